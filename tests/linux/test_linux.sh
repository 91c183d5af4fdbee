#!/bin/bash
# Here live the tests of the hostvm command with Debian's stock kernel, run in the box.
#
# HOSTVM=FILE tests that build instead of build/hostvm. One line per check; exit 1 on a failure.
# The same script runs outside, where it makes what the guests need, and inside the box (--inside), where it tests.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
hostvm=$PWD/build/hostvm
[ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
limit=240
failures=0

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

# --- outside ---

# An initramfs whose init does what the serial line tells it: a command per line, each answered with its output and a
# line "=STATUS".
make_commanded() {
    mkdir -p "$work/root/bin" "$work/root/dev" "$work/root/proc" "$work/root/sys" "$work/root/tmp"
    cp "$(command -v busybox)" "$work/root/bin/busybox"
    cat > "$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
echo "=ready"
while read -r line; do
    eval "$line"
    echo "=$?"
done
INIT
    chmod +x "$work/root/init"
    (cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) > "$work/commanded"
}

outside() {
    local kernel status=0 vmlinux=()
    work=$(mktemp -d "${TMPDIR:-/tmp}/test_linux.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ "$(uname -m)" != x86_64 ]; then
        skip 'linux' "these tests are for x86_64, this is $(uname -m)"
        exit 0
    fi
    if ! command -v busybox > /dev/null; then
        skip 'linux' 'busybox-static is not installed'
        exit 0
    fi
    kernel=$(scripts/box --kernel-path 2> "$work/err") || status=$?
    if [ $status -ne 0 ]; then
        skip 'linux' "$(head -n 1 "$work/err")"
        exit 0
    fi
    scripts/initramfs build/guests/init "$work/initramfs" || exit 1
    make_commanded
    # The box starts from this one; a bzImage holds it compressed.
    [ ! -f "${kernel%/*}/vmlinux" ] || vmlinux=(--with "${kernel%/*}/vmlinux:/vmlinux")
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
    scripts/box --icount --mem 2048 --timeout 400 --with "$hostvm" --with "$kernel:/vmlinuz" "${vmlinux[@]}" \
        --with "$work/initramfs:/initramfs" --with "$work/commanded:/commanded" \
        -- "$PWD/tests/linux/test_linux.sh" --inside "$hostvm"
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

# say LINE...: to the guest.
say() {
    printf "%s\n" "$@" >&6 2> /dev/null
}

# hear: until the guest's next line "=STATUS"; leaves $answer, the lines before it, and $result.
hear() {
    local line
    answer=
    while IFS= read -r -t $limit -u 7 line; do
        line=${line%$'\r'}
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

start_commanded() {
    mkfifo "$work/keys" "$work/lines"
    "$hostvm" run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' --mem 5G --cpus 8 \
        < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ]
}

interrupts() {
    ask "grep 'ttyS0\$' /proc/interrupts"
    awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' <<< "$answer"
}

test_serial_line() {
    local before after expected i lines=()
    ask 'echo heard'
    if [ "$result-$answer" = $'0-heard\n' ]; then pass 'serial_line_is_interactive'
    else fail 'serial_line_is_interactive' "the answer is '$answer'"; fi
    before=$(interrupts)
    for ((i = 0; i < 200; i++)); do
        lines+=("$(printf 'line %03d %090d' $i $i)")
    done
    expected=$(printf '%s\n' "${lines[@]}" | md5sum)
    say 'head -n 200 > /tmp/lines' "${lines[@]}"
    hear
    ask 'md5sum < /tmp/lines'
    if [ "$answer" = "$expected"$'\n' ]; then pass 'input_of_20_kb_at_once_arrives_complete'
    else fail 'input_of_20_kb_at_once_arrives_complete' "its sum is '$answer', not '$expected'"; fi
    ask 'cat /tmp/lines'
    if [ "$(printf %s "$answer" | md5sum)" = "$expected" ]; then pass 'output_of_20_kb_comes_out_complete'
    else fail 'output_of_20_kb_comes_out_complete' "it has ${#answer} characters"; fi
    after=$(interrupts)
    if [ "$after" -gt "$before" ] && [ "$before" -gt 0 ]; then pass 'serial_interrupts_are_counted'
    else fail 'serial_interrupts_are_counted' "they went from $before to $after"; fi
}

# answers NAME LINE ANSWER: what the guest says to that.
answers() {
    ask "$2"
    if [ "$result-$answer" = "0-$3"$'\n' ]; then pass "$1"
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
    elif [ "${answer%%$'\n'*}" -ge $((before - 1)) ] && [ "${answer%%$'\n'*}" -le $((after + 1)) ]; then
        pass 'real_time_clock_is_the_hosts'
    else
        fail 'real_time_clock_is_the_hosts' "it says $answer, the host $before to $after"
    fi
    before=$(date +%s)
    ask 'date +%s'
    if [ "${answer%%$'\n'*}" -ge $((before - 30)) ] && [ "${answer%%$'\n'*}" -le $((before + 30)) ]; then
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

# ends NAME LINE: the guest's last one; it closes its output, or it is late.
ends() {
    local status=0 line
    say "$2"
    while IFS= read -r -t $limit -u 7 line; do
        echo "$line" >> "$work/screen"
    done
    kill -9 $pid 2> /dev/null   # where it has not ended by then
    wait $pid || status=$?
    exec 6>&- 7<&-
    if [ $status -ne 0 ]; then
        fail "$1" "status $status, not 0"
    elif [ -s "$work/err" ]; then
        fail "$1" 'there should be no errors'
    else
        pass "$1"
    fi
}

inside() {
    trap '' PIPE    # a guest that is gone shows in what it does not answer
    work=/tmp/test_linux
    mkdir -p $work
    boots 'bzimage_boots_to_its_init_and_powers_off' /vmlinuz
    if [ -f /vmlinux ]; then
        boots 'vmlinux_boots_by_pvh_to_its_init_and_powers_off' /vmlinux
    else
        skip 'vmlinux_boots_by_pvh_to_its_init_and_powers_off' 'there is no uncompressed kernel beside the compressed one'
    fi
    if start_commanded; then
        test_serial_line
        test_processors
        test_machine
        test_memory_of_the_vmm
        ends 'reboot_by_another_than_the_first_processor_is_0' 'echo 7 > /sys/kernel/reboot/cpu && reboot -f'
    else
        kill -9 $pid
        fail 'guest_with_eight_processors_and_5_gib_comes_up' "it said '$answer'"
    fi
    exit $((failures != 0))
}

if [ "${1:-}" = --inside ]; then
    hostvm=$2
    inside
else
    outside
fi
