#!/bin/bash
# Here live Linux guests that do what they are told over their serial line: for the tests beside this file, which source it.
#
# The test sets $work (a directory), $hostvm and $limit (seconds for an answer), and counts $failures.

pass() {
    echo "ok - $1"
}

# fail NAME TEXT: with the end of what the guest last run printed, and the first errors.
fail() {
    echo "not ok - $1"
    printf '%s\n' "$2" | sed 's/^/# /'
    { tail -n 5 "$work/screen"; head -n 14 "$work/err"; } 2> /dev/null | tr -d "\r" | sed "s/^/#   /"
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

# --- outside ---

# make_commanded MODULES [FILE...] > OUTPUT: an initramfs whose init loads modules from that directory, in the order of
# $guest_modules, and does what the serial line tells it: a command per line, each answered with its output and a line
# "=STATUS". FILES go to /bin.
make_commanded() {
    local root=$work/root modules=$1 module
    shift
    mkdir -p "$root"/{bin,dev,etc,lib,proc,sys,tmp}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for module in $guest_modules; do
        cp "$modules/$module.ko" "$root/lib/" || return
    done
    [ $# -eq 0 ] || cp "$@" "$root/bin/" || return
    cat > "$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $guest_modules; do
    insmod /lib/\$module.ko
done
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
echo "=ready"
while read -r line; do
    eval "\$line"
    echo "=\$?"
done
INIT
    chmod +x "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0)
}

# --- inside ---

# say LINE...: to the guest.
say() {
    printf "%s\n" "$@" >&6 2> /dev/null
}

# hear: until the guest's next line "=STATUS"; leaves $answer, the lines before it, and $result.
hear() {
    local line
    answer=
    while IFS= read -r -t "$limit" -u 7 line; do
        line=${line%$'\r'}
        echo "$line" >> "$work/screen"
        if [[ $line == =* ]]; then
            result=${line#=}
            answer=${answer%$'\n'}
            return 0
        fi
        answer+=$line$'\n'
    done
    result=none
    return 1
}

# ask LINE: leaves the guest's $answer, and its status in $result.
ask() {
    say "$1"
    hear
}

# start_commanded [OPTION...]: until the guest listens; leaves $pid.
start_commanded() {
    rm -f "$work/keys" "$work/lines"
    mkfifo "$work/keys" "$work/lines"
    "$hostvm" run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' "$@" \
        < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ]
}

# end_commanded: however it is; leaves $status.
end_commanded() {
    local line
    say 'reboot -f'
    while IFS= read -r -t "$limit" -u 7 line; do
        echo "$line" >> "$work/screen"
    done
    kill -9 $pid 2> /dev/null   # where it has not ended by then
    status=0
    wait $pid || status=$?
    exec 6>&- 7<&-
}
