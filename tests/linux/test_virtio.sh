#!/bin/bash
# Here live the tests of the small virtio devices (console, balloon, entropy) with Debian's stock kernel, in the box.
#
# One guest, whose hvc0 tells it what to do. One line per check; exit 1 on a failure. HOSTVM=FILE tests that build instead
# of build/hostvm; VIRTIO=pci has the guest find its devices there.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/commanded.sh
limit=120

# --- outside ---

guest_console=hvc0
guest_modules='virtio_ring virtio virtio_mmio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console'
spare_modules='virtio_balloon virtio-rng'

outside() {
    need_box busybox script
    make_commanded
    twice in_box --mem 2048 --timeout 300 --with "$(command -v script)" -- "${VIRTIO:-mmio}" "$(command -v script)"
}

# --- inside: the guest, on a terminal of its own ---

# The terminal is script's; its size is what stty says. The guest is asked to do without 64 MiB.
start_guest() {
    cat > "$work/run" <<RUN
#!/bin/busybox sh
stty cols 100 rows 30
tty > $work/tty
echo \$\$ > $work/pid
exec $hostvm run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' --mem 512 --console virtio \
    --balloon 64M --rng --virtio $virtio 2>> $work/err
RUN
    chmod +x "$work/run"
    start env SHELL=/bin/sh "$script" -qec "$work/run" /dev/null
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
        [ "$answer" != "$2" ] || break
        ask 'sleep 0.1'
    done
    is "$1" "$answer" "$2"
}

test_console() {
    if grep -q 'for the serial port' "$work/screen"; then fail 'serial_port_is_silent' 'it spoke'
    else pass 'serial_port_is_silent'; fi
    ask 'tty; echo heard'
    is 'console_is_interactive' "$answer" $'/dev/hvc0\nheard'
    carries_20_kb
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
    ask 'insmod /lib/virtio-rng.ko; cat /sys/class/misc/hw_random/rng_current'
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
    is 'entropy_comes_as_much_as_asked_for' "$answer" 4096
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
    ask 'insmod /lib/virtio_balloon.ko'
    eventually 'balloon_inflates_to_its_target' "balloon_inflate $pages" 'grep ^balloon_inflate /proc/vmstat'
    ask 'dd if=/dev/zero of=/tmp/much bs=1M count=100 2> /dev/null'
    full=$(host_mib)
    if [ "$full" -ge 100 ]; then pass 'memory_that_the_guest_fills_is_the_hosts'
    else fail 'memory_that_the_guest_fills_is_the_hosts' "it has $full MiB of it"; fi
    ask 'rm /tmp/much'
    shrinks 'memory_that_the_guest_frees_goes_back_to_the_host' $((full - 80)) 'sleep 0.5'
    ask 'rmmod virtio_balloon; grep ^balloon_deflate /proc/vmstat'
    is 'balloon_deflates_when_its_driver_goes' "$answer" "balloon_deflate $pages"
    ask 'insmod /lib/virtio_balloon.ko'
    eventually 'balloon_inflates_for_a_driver_that_comes_back' "balloon_inflate $((2 * pages))" \
        'grep ^balloon_inflate /proc/vmstat'
    ask 'dd if=/dev/zero of=/tmp/much bs=1M count=100 2> /dev/null && seq 100000 > /tmp/few && md5sum < /tmp/few'
    is 'memory_that_went_back_is_there_again' "$answer" "$(seq 100000 | md5sum)"
}

test_end() {
    end_commanded 'echo last words; poweroff -f'
    is 'guest_powers_off_with_status_0' $status 0
    is 'last_words_are_heard' "$(tail -n 1 "$work/screen")" 'last words'
    is 'there_are_no_errors' "$(cat "$work/err")" ''
}

inside() {
    virtio=$1
    script=$2
    if start_guest; then
        test_console
        test_entropy
        test_balloon
        test_end
    else
        fail 'guest_comes_up_on_its_virtio_console' "it said '$answer'"
        [ ! -f "$work/pid" ] || kill -9 "$(cat "$work/pid")"
    fi
}

halves "$@"
