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

# answers NAME LINE ANSWER: what the guest says to that.
answers() {
    ask "$2"
    if [ "$result-$answer" = "0-$3" ]; then pass "$1"
    else fail "$1" "the answer is $result '$answer', not '$3'"; fi
}

# Which processor a program runs on is the 39th word of its stat (proc(5)).
test_processors() {
    local online=/sys/devices/system/cpu/online fifth=/sys/devices/system/cpu/cpu5/online before
    local where='cut -d" " -f39 /proc/self/stat'
    # Interrupts from one processor to another, as the last one has had them.
    local ipis='awk "/^ *(RES|CAL):/ { n += \$9 } END { print n }" /proc/interrupts'
    answers 'eight_processors_come_up' "nproc; cat $online" $'8\n0-7'
    answers 'each_processor_runs_programs' "for m in 1 2 4 8 10 20 40 80; do taskset \$m $where; done" \
        $'0\n1\n2\n3\n4\n5\n6\n7'
    ask "$ipis"
    before=${answer%%$'\n'*}
    ask 'taskset 1 sh -c "for i in \$(seq 50); do echo \$i; done" | taskset 80 sh -c "while read i; do :; done"'
    ask "$ipis"
    if [ "${answer%%$'\n'*}" -gt "$before" ]; then pass 'processors_interrupt_each_other'
    else fail 'processors_interrupt_each_other' "the last one had $before such interrupts, and then $answer"; fi
    answers 'processor_goes_offline' "echo 0 > $fifth; cat $online" '0-4,6-7'
    answers 'and_comes_back' "echo 1 > $fifth; cat $online; taskset 20 $where" $'0-7\n5'
}

test_machine() {
    local before after total
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
    if start_commanded --mem 5G --cpus 8; then
        test_serial_line
        test_processors
        test_machine
        test_memory_of_the_vmm
        ends 'reboot_by_another_than_the_first_processor_is_0' 'echo 7 > /sys/kernel/reboot/cpu && reboot -f'
    else
        kill -9 $pid
        fail 'guest_with_eight_processors_and_5_gib_comes_up' "it said '$answer'"
    fi
}

halves "$@"
