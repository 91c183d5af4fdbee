#!/bin/bash
# Here live the tests of the small virtio devices (console, balloon, entropy) with Debian's stock kernel, in the box.
#
# HOSTVM=FILE tests that build instead of build/hostvm; VIRTIO=pci has the guest find them there. One line per check;
# exit 1 on a failure. The same script runs outside, where it makes what the guest needs, and inside the box (--inside),
# where it tests: one guest, whose hvc0 tells it what to do.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
hostvm=$PWD/build/hostvm
[ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
virtio=${VIRTIO:-mmio}
limit=120
failures=0

pass() {
    echo "ok - $1"
}

# fail NAME TEXT: with the end of what the guest last said, and the first errors.
fail() {
    echo "not ok - $1"
    printf '%s\n' "$2" | sed 's/^/# /'
    { tail -n 8 "$work/screen"; head -n 14 "$work/err"; } 2> /dev/null | tr -d "\r" | sed "s/^/#   /"
    failures=$((failures + 1))
}

skip() {
    echo "skipped - $1: $2"
}

# is NAME EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then pass "$1"
    else fail "$1" "it is '$3', not '$2'"; fi
}

# --- outside ---

# An initramfs whose init does what hvc0 tells it: a command per line, each answered with its output and a line
# "=STATUS". The serial port gets a word, too, which nobody is to see.
make_commanded() {
    local root=$work/root module
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/modules"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for module in virtio_ring virtio virtio_mmio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console \
        virtio_balloon virtio-rng; do
        cp "$1/$module.ko" "$root/modules" || return
    done
    cat > "$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for m in virtio_ring virtio virtio_mmio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console; do
    insmod /modules/$m.ko
done
until [ -c /dev/hvc0 ]; do
    sleep 0.1
done
echo "for the serial port" > /dev/ttyS0
exec setsid sh -c 'exec < /dev/hvc0 > /dev/hvc0 2>&1
    stty -echo
    echo "=ready"
    while read -r line; do
        eval "$line"
        echo "=$?"
    done'
INIT
    chmod +x "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) > "$work/commanded"
}

outside() {
    local kernel status=0
    work=$(mktemp -d "${TMPDIR:-/tmp}/test_virtio.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ "$(uname -m)" != x86_64 ]; then
        skip 'virtio' "these tests are for x86_64, this is $(uname -m)"
        exit 0
    fi
    for program in busybox script; do
        if ! command -v $program > /dev/null; then
            skip 'virtio' "$program is not installed"
            exit 0
        fi
    done
    kernel=$(scripts/box --kernel-path 2> "$work/err") || status=$?
    if [ $status -ne 0 ]; then
        skip 'virtio' "$(head -n 1 "$work/err")"
        exit 0
    fi
    make_commanded "${kernel%/*}/modules" || exit 1
    # QEMU's TCG may deliver an interrupt of a nested guest twice. One more try, and it is told.
    attempt > "$work/first" || status=$?
    if [ $status -ne 0 ]; then
        sed 's/^/# first try, failed: /' "$work/first"
        status=0
        attempt > "$work/first" || status=$?
    fi
    cat "$work/first"
    if [ $status -gt 1 ]; then
        fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
    fi
    exit $((status != 0))
}

attempt() {
    scripts/box --icount --mem 2048 --timeout 300 --with "$hostvm" --with "$kernel:/vmlinuz" \
        --with "$work/commanded:/commanded" --with "$(command -v script)" \
        -- "$PWD/tests/linux/test_virtio.sh" --inside "$hostvm" "$virtio" "$(command -v script)"
}

# --- inside: the guest, on a terminal of its own ---

# say LINE...: to the guest.
say() {
    printf "%s\n" "$@" >&6 2> /dev/null
}

# hear: until the guest's next line "=STATUS"; leaves $answer, the lines before it, and $result.
hear() {
    local line
    answer=
    while IFS= read -r -t $limit -u 7 line; do
        line=${line//$'\r'/}    # the guest's own, and the terminal's
        echo "$line" >> "$work/screen"
        if [[ $line == =* ]]; then
            result=${line#=}
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

# The terminal is script's; its size is what stty says. The guest is asked to do without 64 MiB.
start_guest() {
    mkfifo "$work/keys" "$work/lines"
    cat > "$work/run" <<RUN
#!/bin/busybox sh
stty cols 100 rows 30
tty > $work/tty
echo \$\$ > $work/pid
exec $hostvm run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' --mem 512 --console virtio \
    --balloon 64M --virtio $virtio 2> $work/err
RUN
    chmod +x "$work/run"
    SHELL=/bin/sh "$script" -qec "$work/run" /dev/null < "$work/keys" > "$work/lines" &
    job=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ]
}

# In MiB: what the guest's memory takes of the host's.
host_mib() {
    local fd
    for fd in /proc/"$(cat "$work/pid")"/fd/*; do
        if [[ $(readlink "$fd") == /memfd:hostvm-frames* ]]; then
            stat -L -c %b "$fd"
        fi
    done | awk '{ n += $1 } END { printf "%d\n", n / 2048 }'
}

# eventually NAME EXPECTED COMMAND: until the guest answers as expected; it is asked again and again.
eventually() {
    local i
    for ((i = 0; i < 100; i++)); do
        ask "$3"
        [ "$answer" != "$2"$'\n' ] || break
        ask 'sleep 0.1'
    done
    is "$1" "$2" "${answer%$'\n'}"
}

test_console() {
    local expected i lines=()
    if grep -q 'for the serial port' "$work/screen"; then fail 'serial_port_is_silent' 'it spoke'
    else pass 'serial_port_is_silent'; fi
    ask 'tty; echo heard'
    is 'console_is_interactive' $'/dev/hvc0\nheard\n' "$answer"
    for ((i = 0; i < 200; i++)); do
        lines+=("$(printf 'line %03d %090d' $i $i)")
    done
    expected=$(printf '%s\n' "${lines[@]}" | md5sum)
    say 'head -n 200 > /tmp/lines' "${lines[@]}"
    hear
    ask 'md5sum < /tmp/lines'
    is 'input_of_20_kb_at_once_arrives_complete' "$expected"$'\n' "$answer"
    ask 'cat /tmp/lines'
    is 'output_of_20_kb_comes_out_complete' "$expected" "$(printf %s "$answer" | md5sum)"
    eventually 'guest_has_the_terminals_size' '30 100' 'stty size'
    stty -F "$(cat "$work/tty")" cols 71 rows 19
    eventually 'guest_sees_the_terminal_change_its_size' '19 71' 'stty size'
    printf '\001h' >&6
    ask 'echo after help'
    case $answer in
    *'Ctrl-a x ends the VM'*'after help'*) pass 'help_key_works' ;;
    *) fail 'help_key_works' "the answer is '$answer'" ;;
    esac
}

test_entropy() {
    local first
    ask 'insmod /modules/virtio-rng.ko; cat /sys/class/misc/hw_random/rng_current'
    case $answer in
    virtio_rng*) pass 'entropy_device_is_there' ;;
    *) fail 'entropy_device_is_there' "it is '$answer'" ;;
    esac
    ask 'head -c 4096 /dev/hwrng | md5sum'
    first=$answer
    ask 'head -c 4096 /dev/hwrng | md5sum'
    if [ "$result" = 0 ] && [ ${#first} -gt 30 ] && [ "$first" != "$answer" ]; then pass 'entropy_is_never_the_same'
    else fail 'entropy_is_never_the_same' "it is '$first', then '$answer'"; fi
    ask 'head -c 4096 /dev/hwrng | wc -c'
    is 'entropy_comes_as_much_as_asked_for' $'4096\n' "$answer"
}

# shrinks NAME MIB COMMAND: the host's memory comes to that, or less; until then the guest is asked to do something.
shrinks() {
    local i mib
    for ((i = 0; i < 100; i++)); do
        mib=$(host_mib)
        [ "$mib" -gt "$2" ] || break
        ask "$3"
    done
    if [ "$mib" -le "$2" ]; then pass "$1"
    else fail "$1" "the host has $mib MiB of it, not $2"; fi
    echo "# the host has $mib MiB of it"
}

test_balloon() {
    local pages=$((64 * 256)) full
    ask 'insmod /modules/virtio_balloon.ko'
    eventually 'balloon_inflates_to_its_target' "balloon_inflate $pages" 'grep ^balloon_inflate /proc/vmstat'
    ask 'dd if=/dev/zero of=/tmp/much bs=1M count=100 2> /dev/null'
    full=$(host_mib)
    if [ "$full" -ge 100 ]; then pass 'memory_that_the_guest_fills_is_the_hosts'
    else fail 'memory_that_the_guest_fills_is_the_hosts' "it has $full MiB of it"; fi
    ask 'rm /tmp/much'
    shrinks 'memory_that_the_guest_frees_goes_back_to_the_host' $((full - 80)) 'sleep 0.5'
    ask 'rmmod virtio_balloon; grep ^balloon_deflate /proc/vmstat'
    is 'balloon_deflates_when_its_driver_goes' "balloon_deflate $pages"$'\n' "$answer"
    ask 'insmod /modules/virtio_balloon.ko'
    eventually 'balloon_inflates_for_a_driver_that_comes_back' "balloon_inflate $((2 * pages))" \
        'grep ^balloon_inflate /proc/vmstat'
    ask 'dd if=/dev/zero of=/tmp/much bs=1M count=100 2> /dev/null && seq 100000 > /tmp/few && md5sum < /tmp/few'
    is 'memory_that_went_back_is_there_again' "$(seq 100000 | md5sum)"$'\n' "$answer"
}

test_end() {
    local status=0 line last=
    say 'echo last words; poweroff -f'
    while IFS= read -r -t $limit -u 7 line; do
        last=${line//$'\r'/}
        echo "$last" >> "$work/screen"
    done
    exec 6>&- 7<&-
    wait "$job" || status=$?
    is 'guest_powers_off_with_status_0' 0 "$status"
    is 'last_words_are_heard' 'last words' "$last"
    is 'there_are_no_errors' '' "$(cat "$work/err")"
}

inside() {
    trap '' PIPE    # a guest that is gone shows in what it does not answer
    work=/tmp/test_virtio
    mkdir -p $work
    if start_guest; then
        test_console
        test_entropy
        test_balloon
        test_end
    else
        fail 'guest_comes_up_on_its_virtio_console' "it said '$answer'"
        [ ! -f $work/pid ] || kill -9 "$(cat $work/pid)"
    fi
    exit $((failures != 0))
}

if [ "${1:-}" = --inside ]; then
    hostvm=$2
    virtio=$3
    script=$4
    inside
else
    outside
fi
