# Here live tests of Linux guests that do what they are told, for the scripts beside this file, which source it.
#
# Such a script runs twice: outside, where its function outside makes what the guests need, and inside the box, where its
# function inside tests. It sets $limit, seconds for an answer of a guest, and ends with: halves "$@".
# shellcheck shell=bash
. tests/linux/frame.sh
export LC_ALL=C
test=${0##*/}
test=${test%.sh}

# set_up: leaves $hostvm, and $work, a directory that goes at the end.
set_up() {
    hostvm=$(realpath -s "${HOSTVM:-build/hostvm}")
    work=$(mktemp -d "${TMPDIR:-/tmp}/$test.XXXXXX")
    trap 'rm -rf "$work"' EXIT
}

# halves "$@": the half that is wanted; ends.
halves() {
    if [ "${1:-}" = --inside ]; then
        trap '' PIPE    # a guest that is gone shows in what it does not answer
        work=/tmp/$test
        mkdir -p "$work"
        hostvm=$2
        shift 2
        inside "$@"
    else
        set_up
        outside
    fi
    exit $((failures != 0))
}

# --- outside ---

# need_box PROGRAM...: leaves $kernel; without it, or without those programs, the tests are skipped.
need_box() {
    local program
    [ "$(uname -m)" = x86_64 ] || skip_all "these tests are for x86_64, this is $(uname -m)"
    for program in "$@"; do
        command -v "$program" > /dev/null || skip_all "$program is not installed"
    done
    kernel=$(scripts/box --kernel-path 2> "$work/err") || skip_all "$(head -n 1 "$work/err")"
}

skip_all() {
    skip "${test#test_}" "$1"
    exit 0
}

# make_commanded FILE...: an initramfs, $work/commanded, whose init loads $guest_modules, in that order, and does what
# $guest_console (ttyS0, unless set) tells it: a command per line, each answered with its output and a line "=STATUS".
# FILES go to /bin, the kernel's modules of $spare_modules to /lib, for a command to load. Where the console is another, the
# serial port has been told so: nobody is to see it.
make_commanded() {
    local module
    mkdir -p "$work/root/bin" "$work/root/lib"
    for module in ${guest_modules:-} ${spare_modules:-}; do
        # The kernel takes longer to check type information and signature than for all else in a module.
        strip --strip-unneeded -R .BTF -o "$work/root/lib/$module.ko" "${kernel%/*}/modules/$module.ko" || exit 1
    done
    [ $# -eq 0 ] || cp "$@" "$work/root/bin/" || exit 1
    make_initramfs > "$work/commanded" <<INIT || exit 1
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in ${guest_modules:-}; do
    insmod /lib/\$module.ko
done
until [ -c /dev/${guest_console:=ttyS0} ]; do
    sleep 0.1
done
[ $guest_console = ttyS0 ] || echo 'for the serial port' > /dev/ttyS0
exec < /dev/$guest_console > /dev/$guest_console 2>&1
stty -echo
echo "=ready"
while read -r line; do
    eval "\$line"
    echo "=\$?"
done
INIT
}

# in_box OPTION... -- ARGUMENT...: the other half of the script, with the arguments; options are the box's.
in_box() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    scripts/box --icount --with "$hostvm" --with "$kernel:/vmlinuz" --with "$work/commanded:/commanded" \
        --with "$PWD/tests/linux/frame.sh" --with "$PWD/tests/linux/commanded.sh" "${options[@]}" -- \
        "$PWD/tests/linux/$test.sh" --inside "$hostvm" "$@"
}

# twice COMMAND...: what runs in a box, and its output, of the second time where the first failed. Its status is not 0,
# and counted as a failure, where both did.
twice() {
    local status=0
    "$@" > "$work/first" || status=$?
    # QEMU's TCG may deliver an interrupt of a nested guest twice. One more try, and it is told.
    if [ $status -ne 0 ]; then
        sed 's/^/# first try, failed: /' "$work/first"
        status=0
        "$@" > "$work/first" || status=$?
    fi
    cat "$work/first"
    [ $status -le 1 ] || fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
    [ $status -eq 0 ] || failures=$((failures + 1))
    return $status
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
        line=${line//$'\r'/}
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

# start COMMAND...: whose input and output are the guest's console, until the guest listens; leaves $pid.
start() {
    rm -f "$work/keys" "$work/lines"
    mkfifo "$work/keys" "$work/lines"
    "$@" < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ]
}

# start_commanded OPTION...: of hostvm.
start_commanded() {
    start "$hostvm" run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' "$@"
}

# end_commanded [LINE]: the guest's last one (reboot -f); it closes its output, or it is late; leaves $status.
end_commanded() {
    local line
    say "${1:-reboot -f}"
    while IFS= read -r -t "$limit" -u 7 line; do
        echo "${line//$'\r'/}" >> "$work/screen"
    done
    kill -9 "$pid" 2> /dev/null   # where it has not ended by then
    status=0
    wait "$pid" || status=$?
    exec 6>&- 7<&-
}

# ends NAME [LINE]: by its reboot, or what LINE does, with status 0 and no errors.
ends() {
    end_commanded "${2:-}"
    if [ $status -ne 0 ]; then
        fail "$1" "status $status, not 0"
    elif [ -s "$work/err" ]; then
        fail "$1" 'there should be no errors'
    else
        pass "$1"
    fi
}

# carries_20_kb: the guest's console, either way; leaves 200 lines in the guest's /tmp/lines.
carries_20_kb() {
    local expected i lines=()
    for ((i = 0; i < 200; i++)); do
        lines+=("$(printf 'line %03d %090d' $i $i)")
    done
    expected=$(printf '%s\n' "${lines[@]}" | md5sum)
    say 'head -n 200 > /tmp/lines' "${lines[@]}"
    hear
    ask 'md5sum < /tmp/lines'
    is 'input_of_20_kb_at_once_arrives_complete' "$answer" "$expected"
    ask 'cat /tmp/lines'
    is 'output_of_20_kb_comes_out_complete' "$(printf '%s\n' "$answer" | md5sum)" "$expected"
}
