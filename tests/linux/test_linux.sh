#!/bin/bash
# Here live the tests of the hostvm command with Debian's stock kernel, run in the box.
#
# One line per check; exit 1 on a failure. HOSTVM=FILE tests that build instead of build/hostvm.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/commanded.sh
limit=240

outside() {
    local vmlinux=()
    need_box busybox
    scripts/initramfs build/guests/init "$work/initramfs" || exit 1
    make_commanded
    # The box starts from this one; a bzImage holds it compressed.
    [ ! -f "${kernel%/*}/vmlinux" ] || vmlinux=(--with "${kernel%/*}/vmlinux:/vmlinux")
    twice in_box --mem 2048 --timeout 400 "${vmlinux[@]}" --with "$work/initramfs:/initramfs" --
}

# --- inside: boots to the small init ---

# boots NAME KERNEL [OPTION...]: until the init has said so and powered off.
boots() {
    local name=$1 status=0
    shift
    timeout $limit "$hostvm" run --kernel "$@" --initrd /initramfs --append 'console=ttyS0 quiet' \
        > "$work/screen" 2> "$work/err" < /dev/null || status=$?
    if [ $status -ne 0 ]; then
        fail "$name" "status $status, not 0"
    elif ! grep -qE '^\*\*\* This is the init of a Linux guest under hostvm: Linux [0-9].* x86_64 \*\*\*' "$work/screen"; then
        fail "$name" 'its init did not speak'
    elif [ -s "$work/err" ]; then
        fail "$name" 'there should be no errors'
    else
        pass "$name"
    fi
}

# --- inside: the guest that is told what to do ---

interrupts() {
    ask "grep 'ttyS0\$' /proc/interrupts"
    awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' <<< "$answer"
}

test_serial_line() {
    local before after
    ask 'echo heard'
    if [ "$result-$answer" = 0-heard ]; then pass 'serial_line_is_interactive'
    else fail 'serial_line_is_interactive' "the answer is '$answer'"; fi
    before=$(interrupts)
    carries_20_kb
    after=$(interrupts)
    if [ "$after" -gt "$before" ] && [ "$before" -gt 0 ]; then pass 'serial_interrupts_are_counted'
    else fail 'serial_interrupts_are_counted' "they went from $before to $after"; fi
}

test_machine() {
    local before after total
    ask nproc
    if [ "$answer" = 2 ]; then pass 'two_processors_come_up'
    else fail 'two_processors_come_up' "there are: $answer"; fi
    ask 'taskset 1 echo first && taskset 2 echo second'
    if [ "$answer" = $'first\nsecond' ]; then pass 'both_processors_run_programs'
    else fail 'both_processors_run_programs' "the answer is '$answer'"; fi
    ask "sed -n 's/^MemTotal: *//p' /proc/meminfo"
    total=${answer%% *}
    if [ "${total:-0}" -gt $((4900 * 1024)) ] && [ "$total" -le $((5 * 1024 * 1024)) ]; then pass 'memory_of_5_gib_is_there'
    else fail 'memory_of_5_gib_is_there' "MemTotal is $answer"; fi
    before=$(date +%s)
    ask 'cat /sys/class/rtc/rtc0/since_epoch'
    after=$(date +%s)
    if [ "$result" != 0 ]; then
        fail 'real_time_clock_is_the_hosts' "the guest has none: $answer"
    elif [ "$answer" -ge $((before - 1)) ] && [ "$answer" -le $((after + 1)) ]; then
        pass 'real_time_clock_is_the_hosts'
    else
        fail 'real_time_clock_is_the_hosts' "it says $answer, the host $before to $after"
    fi
    before=$(date +%s)
    ask 'date +%s'
    if [ "$answer" -ge $((before - 30)) ] && [ "$answer" -le $((before + 30)) ]; then
        pass 'system_time_starts_with_the_real_time_clock'
    else
        fail 'system_time_starts_with_the_real_time_clock' "it says $answer, the host $before"
    fi
}

# Of the VMM alone, without what is the guest's RAM.
test_memory_of_the_vmm() {
    local kib
    if grep -q __asan_init "$hostvm"; then
        skip 'vmm_takes_less_than_4_mib' 'this build carries a sanitizer'
        return
    fi
    kib=$(awk '/^[0-9a-f]+-[0-9a-f]+ / { is_ram = /memfd:hostvm-frames/ } /^Pss:/ && !is_ram { n += $2 } END { print n }' \
        "/proc/$pid/smaps")
    if [ "$kib" -gt 0 ] && [ "$kib" -lt 4096 ]; then pass 'vmm_takes_less_than_4_mib'
    else fail 'vmm_takes_less_than_4_mib' "it takes $kib KiB"; fi
    echo "# it takes $kib KiB"
}

inside() {
    boots 'bzimage_boots_to_its_init_and_powers_off' /vmlinuz
    if [ -f /vmlinux ]; then
        boots 'vmlinux_boots_by_pvh_to_its_init_and_powers_off' /vmlinux
    else
        skip 'vmlinux_boots_by_pvh_to_its_init_and_powers_off' 'there is no uncompressed kernel beside the compressed one'
    fi
    if start_commanded --mem 5G --cpus 2; then
        test_serial_line
        test_machine
        test_memory_of_the_vmm
        ends 'reboot_is_0'
    else
        kill -9 $pid
        fail 'guest_with_two_processors_and_5_gib_comes_up' "it said '$answer'"
    fi
}

halves "$@"
