# Here lives what the tests beside this file say and count, in bash or in busybox's sh, which source it.
#
# Names are promises; a line each: kept, broken, or not looked at. The test sets $work, a directory, and ends with a
# status other than 0 where $failures is.
# shellcheck shell=sh disable=SC3043 # both shells know local variables
failures=0

pass() {
    echo "ok - $1"
}

# What a failure is shown with, unless the test has a function of that name: the end of what a guest last said, and the
# VMM's first errors.
evidence() {
    tail -n 8 "$work/screen"
    head -n 14 "$work/err"
}

# fail NAME [TEXT]
fail() {
    echo "not ok - $1"
    [ -z "${2-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
    evidence 2> /dev/null | tr -d '\r' | sed 's/^/#   /'
    failures=$((failures + 1))
}

skip() {
    echo "skipped - $1: $2"
}

# is NAME ACTUAL EXPECTED
is() {
    if [ "$2" = "$3" ]; then pass "$1"
    else fail "$1" "it is '$2', not '$3'"; fi
}

# make_initramfs < INIT > OUTPUT: busybox, a script for it as the init, and what $work/root has already.
make_initramfs() {
    local root="$work/root"
    # Not command -v: busybox's sh has busybox within itself.
    mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/lib" "$root/proc" "$root/sys" "$root/tmp" &&
        cp "$(which busybox)" "$root/bin/busybox" && cat > "$root/init" && chmod +x "$root/init" &&
        (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0)
}
