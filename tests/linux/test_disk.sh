#!/bin/bash
# Here live the tests of virtio disks with Debian's stock kernel, run in the box.
#
# HOSTVM=FILE tests that build instead of build/hostvm. One line per check; exit 1 on a failure.
# The same script runs outside, where it makes what is needed, looks at what is left on the box's own disk when that has
# lost its power, and inside the box (--inside), where it tests.
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

fail() {
    echo "not ok - $1"
    printf '%s\n' "$2" | sed 's/^/# /'
    { tail -n 5 "$work/screen"; head -n 14 "$work/err"; } 2> /dev/null | tr -d "\r" | sed "s/^/#   /"
    failures=$((failures + 1))
}

# check NAME FOUND EXPECTED
check() {
    if [ "$2" = "$3" ]; then pass "$1"
    else fail "$1" "it is '$2', not '$3'"; fi
}

skip() {
    echo "skipped - $1: $2"
}

# --- outside ---

# An initramfs whose init does what the serial line tells it: a command per line, each answered with its output and a
# line "=STATUS".
make_initramfs() {
    mkdir -p "$work/root/bin" "$work/root/dev" "$work/root/proc" "$work/root/sys" "$work/root/tmp" "$work/root/modules"
    cp "$(command -v busybox)" "$work/root/bin/busybox"
    cp "${kernel%/*}/modules/"virtio{,_ring,_mmio,_blk}.ko "$work/root/modules"
    strip --strip-unneeded -R .BTF "$work/root/modules/"*.ko
    cat > "$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
for module in virtio_ring virtio virtio_mmio virtio_blk; do
    insmod /modules/$module.ko
done
echo "=ready"
while read -r line; do
    eval "$line"
    echo "=$?"
done
INIT
    chmod +x "$work/root/init"
    (cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) > "$work/initramfs"
}

outside() {
    local kernel status=0
    work=$(mktemp -d "${TMPDIR:-/tmp}/test_disk.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ "$(uname -m)" != x86_64 ]; then
        skip 'disk' "these tests are for x86_64, this is $(uname -m)"
        exit 0
    fi
    if ! command -v busybox > /dev/null; then
        skip 'disk' 'busybox-static is not installed'
        exit 0
    fi
    kernel=$(scripts/box --kernel-path 2> "$work/err") || status=$?
    if [ $status -ne 0 ]; then
        skip 'disk' "$(head -n 1 "$work/err")"
        exit 0
    fi
    make_initramfs
    # QEMU's TCG may deliver an interrupt of a nested guest twice. One more try, and it is told.
    if ! attempt > "$work/first"; then
        sed 's/^/# first try, failed: /' "$work/first"
        failures=0
        attempt > "$work/first"
    fi
    cat "$work/first"
    exit $((failures != 0))
}

# The box ends without a word, as its power is cut.
attempt() {
    local status=0 end
    truncate -s 64M "$work/drive"
    scripts/box --icount --mem 1024 --timeout 380 --drive "$work/drive" --with "$hostvm" --with build/guests/hello:/hello \
        --with "$kernel:/vmlinuz" --with "$work/initramfs:/initramfs" \
        -- "$PWD/tests/linux/test_disk.sh" --inside "$hostvm" > "$work/out" 2> "$work/err" || status=$?
    : > "$work/screen"
    grep -v '^end ' "$work/out"
    end=$(sed -n 's/^end //p' "$work/out")
    if [ $status -ne 125 ] || [ -z "$end" ]; then
        fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
        return 1
    fi
    [ "${end%% *}" = 0 ] || failures=$((failures + 1))
    check 'flushed_data_is_on_the_disk_after_a_power_failure' \
        "$(dd if="$work/drive" bs=1M skip=8 count=1 2> /dev/null | md5sum)" "${end#* }"
    [ $failures -eq 0 ]
}

# --- inside ---

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

# Three disks: the box's own, a device; a file, half as large as the memory that it is in; and one that is only read.
start_guest() {
    mkdir "$work/small"
    mount -t tmpfs -o size=16m small "$work/small"
    truncate -s 32M "$work/small/image"
    dd if=/dev/urandom of="$work/small/start" bs=1M count=3 2> /dev/null
    dd if="$work/small/start" of="$work/small/image" bs=1M conv=notrunc 2> /dev/null
    start_sum=$(md5sum < "$work/small/start")
    rm "$work/small/start"
    dd if=/dev/urandom of="$work/readonly" bs=1M count=1 2> /dev/null
    mkfifo "$work/keys" "$work/lines"
    "$hostvm" run --kernel /vmlinuz --initrd /initramfs --append 'console=ttyS0 quiet' --cpus 2 \
        --disk /dev/vda --disk "$work/small/image,serial=no-2" --disk "$work/readonly,ro,serial=read-only" \
        < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ] && ask '[ -b /dev/vdc ]' && [ "$result" = 0 ]
}

test_what_the_guest_sees() {
    ask 'cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdc/size'
    check 'disks_have_their_sizes' "$answer" $'131072\n65536\n2048'
    ask 'cat /sys/block/vda/serial; echo; cat /sys/block/vdb/serial; echo; cat /sys/block/vdc/serial; echo'
    check 'disks_have_their_serial_numbers' "$answer" $'\nno-2\nread-only'
    ask 'cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vdc/ro'
    check 'one_is_read_only' "$answer" $'0\n0\n1'
    ask 'ls /sys/block/vda/mq | wc -l; cat /sys/block/vda/queue/physical_block_size /sys/block/vda/queue/write_cache'
    check 'each_processor_has_a_queue' "$answer" $'2\n4096\nwrite back'
}

test_transfers() {
    ask 'dd if=/dev/vdb bs=1M count=3 2> /dev/null | md5sum'
    check 'guest_reads_what_the_file_has' "$answer" "$start_sum"
    ask 'md5sum < /dev/vdc'
    check 'read_only_disk_is_read' "$answer" "$(md5sum < "$work/readonly")"
    ask 'echo x > /dev/vdc'
    check 'read_only_disk_is_not_written' "$((result != 0))" 1
    ask 'dd if=/dev/urandom of=/tmp/data bs=1M count=2 2> /dev/null'
    ask 'dd if=/tmp/data of=/dev/vdb bs=64k seek=64 conv=fsync 2> /dev/null; md5sum < /tmp/data'
    check 'file_has_what_the_guest_wrote' "$(dd if="$work/small/image" bs=1M skip=4 count=2 2> /dev/null | md5sum)" "$answer"
    ask 'for i in 1 2 3 4; do taskset $((i % 2 + 1)) dd if=/dev/vdb bs=4k count=256 2> /dev/null & done | wc -c'
    check 'both_queues_are_read_at_once' "$answer" 4194304
}

space() {
    du -k "$work/small/image" | cut -f 1
}

test_space() {
    local before
    before=$(space)
    ask 'blkdiscard -o 4194304 -l 2097152 /dev/vdb; echo $?; dd if=/dev/vdb bs=1M skip=4 count=2 2> /dev/null | tr -d "\\0" | wc -c'
    check 'what_is_discarded_reads_as_zeroes' "$answer" $'0\n0'
    check 'what_is_discarded_is_given_back' "$((before - $(space)))" 2048
    ask 'dd if=/dev/urandom of=/dev/vdb bs=1M seek=8 count=20 conv=fsync > /dev/null 2>&1'
    check 'full_file_system_is_an_error' "$((result != 0))" 1
    ask 'dd if=/dev/vdb bs=1M count=3 2> /dev/null | md5sum'
    check 'full_file_system_loses_nothing_else' "$answer" "$start_sum"
    check 'full_file_system_is_told_once' "$(sed 's/ at 0x[0-9a-f]*:/ at X:/' "$work/err")" \
        "hostvm: disk '$work/small/image': cannot write at X: No space left on device; the guest is told"
    # Pages that could not be written are written again, unless forgotten.
    ask 'echo 3 > /proc/sys/vm/drop_caches; blkdiscard -o 8388608 -l 20971520 /dev/vdb'
    check 'full_file_system_is_emptied_by_the_guest' "$result" 0
    ask 'dd if=/tmp/data of=/dev/vdb bs=64k seek=64 conv=fsync 2> /dev/null; md5sum < /tmp/data'
    check 'there_is_room_again' "$(dd if="$work/small/image" bs=1M skip=4 count=2 2> /dev/null | md5sum)" "$answer"
}

# becomes SECTORS: within the guest's patience.
becomes() {
    ask "for i in \$(seq 100); do [ \$(cat /sys/block/vdb/size) = $1 ] && break; usleep 20000; done; cat /sys/block/vdb/size"
    [ "$answer" = "$1" ]
}

test_sizes_that_change() {
    truncate -s 40M "$work/small/image"
    becomes 81920
    check 'file_that_grew_is_noticed' "$answer" 81920
    truncate -s 1M "$work/small/image"
    becomes 2048
    check 'file_that_shrank_is_noticed' "$answer" 2048
    ask 'dd if=/dev/vdb bs=1M skip=1 count=1 2> /dev/null | wc -c'
    check 'behind_its_end_there_is_nothing' "$answer" 0
}

# refused NAME TEXT OPTION...
refused() {
    local name=$1 text=$2 status=0
    shift 2
    "$hostvm" run --kernel /hello "$@" > "$work/refused" 2>&1 < /dev/null || status=$?
    check "$name" "$(cat "$work/refused") ($status)" "$text (66)"
}

test_locks() {
    refused 'device_in_use_is_refused' "hostvm: cannot use '/dev/vda' as a disk: it is in use by another program, or mounted" \
        --disk /dev/vda
    refused 'file_in_use_is_refused' "hostvm: cannot use '$work/small/image' as a disk: it is in use by another program" \
        --disk "$work/small/image,ro"
    refused 'file_that_is_read_is_not_written' "hostvm: cannot use '$work/readonly' as a disk: it is in use by another program" \
        --disk "$work/readonly"
    if "$hostvm" run --kernel /hello --disk "$work/readonly,ro" > "$work/refused" 2>&1 < /dev/null; then
        pass 'two_may_read'
    else
        fail 'two_may_read' "$(cat "$work/refused")"
    fi
}

# The end: the program is killed, then the box loses its power without having written anything that nobody flushed.
end() {
    local sum flushes
    flushes=$(awk '{ print $16 }' /sys/block/vda/stat)
    ask 'dd if=/tmp/data of=/dev/vda bs=1M seek=8 count=1 conv=fsync 2> /dev/null; echo $?; head -c 1048576 /tmp/data | md5sum'
    kill -9 $pid
    wait $pid 2> /dev/null
    exec 6>&- 7<&-
    sum=${answer#*$'\n'}
    check 'guest_flushes' "${answer%%$'\n'*}" 0
    check 'flush_reaches_the_device' "$(($(awk '{ print $16 }' /sys/block/vda/stat) > flushes))" 1
    if "$hostvm" run --kernel /hello --disk /dev/vda > "$work/again" 2>&1 < /dev/null; then
        pass 'killed_program_leaves_no_lock'
    else
        fail 'killed_program_leaves_no_lock' "$(cat "$work/again")"
    fi
    echo "end $failures $sum"
    sleep 1    # until all was heard outside
    echo b > /proc/sysrq-trigger
    sleep 100
}

inside() {
    trap '' PIPE    # a guest that is gone shows in what it does not answer
    work=/tmp/test_disk
    mkdir -p $work
    if start_guest; then
        test_what_the_guest_sees
        test_transfers
        test_space
        test_sizes_that_change
        test_locks
        end
    fi
    kill -9 $pid
    fail 'guest_with_three_disks_comes_up' "it said '$answer'"
    exit 1
}

if [ "${1:-}" = --inside ]; then
    hostvm=$2
    inside
else
    outside
fi
