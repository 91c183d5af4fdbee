#!/bin/bash
# Here live the tests of virtio disks with Debian's stock kernel, run in the box.
#
# One line per check; exit 1 on a failure. HOSTVM=FILE tests that build instead of build/hostvm.
# It also looks at what is left on the box's own disk when that has lost its power, and has
# tests/unit/test_back_disk look at a device.
set -u
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/commanded.sh
limit=240

# --- outside ---

outside() {
    need_box busybox losetup dmsetup
    guest_modules='virtio_ring virtio virtio_mmio virtio_blk'
    make_commanded
    twice attempt
}

# The box ends without a word, as its power is cut.
attempt() {
    local status=0 end
    failures=0
    truncate -s 64M "$work/drive"
    in_box --mem 1024 --timeout 380 --drive "$work/drive" --with build/guests/hello:/hello \
        --with "$(command -v losetup):/losetup" --with "$(command -v dmsetup):/dmsetup" \
        --with build/x86_64-plain/tests/unit/test_back_disk:/test_back_disk -- \
        > "$work/out" 2> "$work/err" || status=$?
    : > "$work/screen"
    grep -v '^end ' "$work/out"
    end=$(sed -n 's/^end //p' "$work/out")
    if [ $status -ne 125 ] || [ -z "$end" ]; then
        fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
        return 1
    fi
    [ "${end%% *}" = 0 ] || failures=$((failures + 1))
    is 'flushed_data_is_on_the_disk_after_a_power_failure' \
        "$(dd if="$work/drive" bs=1M skip=8 count=1 2> /dev/null | md5sum)" "${end#* }"
    [ $failures -eq 0 ]
}

# --- inside ---

# lay_out SECTORS: a device of which block 4096 and some behind it cannot be read or written.
lay_out() {
    printf '%s\n' '0 32768 linear /dev/loop1 0' '32768 2048 error' "34816 $(($1 - 34816)) linear /dev/loop1 34816"
}

# Two devices in files, one with blocks of 4 KiB, whose file shows what was given back of them; one with a fault.
make_devices() {
    insmod /lib/modules/loop.ko && insmod /lib/modules/dm-mod.ko || return 1
    mkdir "$work/behind"
    mount -t tmpfs -o size=96m behind "$work/behind"
    truncate -s 32M "$work/behind/blocks" "$work/behind/faulty"
    /losetup --sector-size 4096 /dev/loop0 "$work/behind/blocks"
    /losetup /dev/loop1 "$work/behind/faulty"
    lay_out 49152 | /dmsetup create --noudevrules --noudevsync device
}

test_device_without_a_guest() {
    if HOSTVM_DEVICE=/dev/loop0 /test_back_disk > "$work/screen" 2>&1; then
        pass 'device_is_read_written_zeroed_and_discarded_at_any_sector'
    else
        fail 'device_is_read_written_zeroed_and_discarded_at_any_sector' "$(grep -a -A 4 'ERROR\|FAILED' "$work/screen")"
    fi
}

# Five disks: the box's own, a device; a file, half as large as the memory that it is in; one that is only read; and two
# devices of the test's.
start_guest() {
    mkdir "$work/small"
    mount -t tmpfs -o size=16m small "$work/small"
    truncate -s 32M "$work/small/image"
    dd if=/dev/urandom of="$work/small/start" bs=1M count=3 2> /dev/null
    dd if="$work/small/start" of="$work/small/image" bs=1M conv=notrunc 2> /dev/null
    start_sum=$(md5sum < "$work/small/start")
    rm "$work/small/start"
    dd if=/dev/urandom of="$work/readonly" bs=1M count=1 2> /dev/null
    make_devices
    test_device_without_a_guest
    start_commanded --cpus 2 --disk /dev/vda --disk "$work/small/image,serial=no-2" \
        --disk "$work/readonly,ro,serial=read-only" --disk /dev/loop0 --disk /dev/dm-0 &&
        ask 'dmesg -n 1; [ -b /dev/vde ]' && [ "$result" = 0 ]
}

test_what_the_guest_sees() {
    ask 'cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdc/size'
    is 'disks_have_their_sizes' "$answer" $'131072\n65536\n2048'
    ask 'cat /sys/block/vda/serial; echo; cat /sys/block/vdb/serial; echo; cat /sys/block/vdc/serial; echo'
    is 'disks_have_their_serial_numbers' "$answer" $'\nno-2\nread-only'
    ask 'cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vdc/ro'
    is 'one_is_read_only' "$answer" $'0\n0\n1'
    ask 'ls /sys/block/vda/mq | wc -l; cat /sys/block/vda/queue/physical_block_size /sys/block/vda/queue/write_cache'
    is 'each_processor_has_a_queue' "$answer" $'2\n4096\nwrite back'
}

test_transfers() {
    ask 'dd if=/dev/vdb bs=1M count=3 2> /dev/null | md5sum'
    is 'guest_reads_what_the_file_has' "$answer" "$start_sum"
    ask 'md5sum < /dev/vdc'
    is 'read_only_disk_is_read' "$answer" "$(md5sum < "$work/readonly")"
    ask 'echo x > /dev/vdc'
    is 'read_only_disk_is_not_written' "$((result != 0))" 1
    ask 'dd if=/dev/urandom of=/tmp/data bs=1M count=2 2> /dev/null'
    ask 'dd if=/tmp/data of=/dev/vdb bs=64k seek=64 conv=fsync 2> /dev/null; md5sum < /tmp/data'
    is 'file_has_what_the_guest_wrote' "$(dd if="$work/small/image" bs=1M skip=4 count=2 2> /dev/null | md5sum)" "$answer"
    ask 'for i in 1 2 3 4; do taskset $((i % 2 + 1)) dd if=/dev/vdb bs=4k count=256 2> /dev/null & done | wc -c'
    is 'both_queues_are_read_at_once' "$answer" 4194304
}

space() {
    du -k "$work/small/image" | cut -f 1
}

test_space() {
    local before
    before=$(space)
    ask 'blkdiscard -o 4194304 -l 2097152 /dev/vdb; echo $?; dd if=/dev/vdb bs=1M skip=4 count=2 2> /dev/null | tr -d "\\0" | wc -c'
    is 'what_is_discarded_reads_as_zeroes' "$answer" $'0\n0'
    is 'what_is_discarded_is_given_back' "$((before - $(space)))" 2048
    ask 'dd if=/dev/urandom of=/dev/vdb bs=1M seek=8 count=20 conv=fsync > /dev/null 2>&1'
    is 'full_file_system_is_an_error' "$((result != 0))" 1
    ask 'dd if=/dev/vdb bs=1M count=3 2> /dev/null | md5sum'
    is 'full_file_system_loses_nothing_else' "$answer" "$start_sum"
    is 'full_file_system_is_told_once' "$(sed 's/ at 0x[0-9a-f]*:/ at X:/' "$work/err")" \
        "hostvm: disk '$work/small/image': cannot write at X: No space left on device; the guest is told"
    # Pages that could not be written are written again, unless forgotten.
    ask 'echo 3 > /proc/sys/vm/drop_caches; blkdiscard -o 8388608 -l 20971520 /dev/vdb'
    is 'full_file_system_is_emptied_by_the_guest' "$result" 0
    ask 'dd if=/tmp/data of=/dev/vdb bs=64k seek=64 conv=fsync 2> /dev/null; md5sum < /tmp/data'
    is 'there_is_room_again' "$(dd if="$work/small/image" bs=1M skip=4 count=2 2> /dev/null | md5sum)" "$answer"
}

behind() {
    du -k "$work/behind/blocks" | cut -f 1
}

test_device() {
    local before
    ask 'cd /sys/block/vdd; cat size queue/logical_block_size queue/physical_block_size queue/discard_granularity; cd /'
    is 'device_has_the_blocks_that_it_has' "$answer" $'65536\n4096\n4096\n4096'
    ask 'dd if=/tmp/data of=/dev/vdd bs=64k seek=64 conv=fsync 2> /dev/null; md5sum < /tmp/data'
    is 'device_has_what_the_guest_wrote' \
        "$(dd if=/dev/loop0 bs=1M skip=4 count=2 2> /dev/null | md5sum)" "$answer"
    before=$(behind)
    ask 'dd if=/tmp/data of=/dev/vdd bs=64k seek=64 oflag=direct 2> /dev/null && blkdiscard -o 4194304 -l 2097152 /dev/vdd'
    is 'what_was_just_written_to_a_device_is_discarded' "$result" 0
    is 'and_the_device_has_given_it_back' "$((before - $(behind)))" 2048
    ask 'dd if=/dev/vdd bs=1M skip=4 count=2 2> /dev/null | tr -d "\\0" | wc -c'
    is 'and_it_reads_as_zeroes' "$answer" 0
}

test_faults_of_a_device() {
    ask 'dd if=/dev/vde of=/tmp/read bs=4k skip=4095 count=2 iflag=direct 2> /dev/null; wc -c < /tmp/read'
    is 'fault_is_an_error_to_who_reads_it_alone' "$answer" 4096
    is 'fault_of_a_device_is_told' "$(grep dm-0 "$work/err")" \
        "hostvm: disk '/dev/dm-0': cannot read at 0x1000000: Input/output error; the guest is told"
    ask 'dd if=/tmp/data of=/dev/vde bs=4k seek=4096 count=1 oflag=direct conv=fsync 2> /dev/null'
    is 'what_the_device_did_not_take_is_an_error_of_the_flush' "$((result != 0))" 1
    ask 'dd if=/tmp/data of=/dev/vde bs=1M seek=17 conv=fsync 2> /dev/null && md5sum < /tmp/data'
    is 'behind_the_fault_all_is_well' "$(dd if=/dev/dm-0 bs=1M skip=17 count=2 2> /dev/null | md5sum)" "$answer"
    is 'faults_of_a_device_are_told_once' "$(grep -c dm-0 "$work/err")" 1
}

# becomes DISK SECTORS: within the guest's patience.
becomes() {
    local size=/sys/block/$1/size
    ask "for i in \$(seq 100); do [ \$(cat $size) = $2 ] && break; usleep 20000; done; cat $size"
    [ "$answer" = "$2" ]
}

test_sizes_that_change() {
    truncate -s 40M "$work/small/image"
    becomes vdb 81920
    is 'file_that_grew_is_noticed' "$answer" 81920
    truncate -s 1M "$work/small/image"
    becomes vdb 2048
    is 'file_that_shrank_is_noticed' "$answer" 2048
    ask 'dd if=/dev/vdb bs=1M skip=1 count=1 2> /dev/null | wc -c'
    is 'behind_its_end_there_is_nothing' "$answer" 0
    truncate -s 40M "$work/behind/blocks"
    /losetup -c /dev/loop0
    becomes vdd 81920
    is 'device_that_grew_is_noticed' "$answer" 81920
    ask 'dd if=/tmp/data of=/dev/vdd bs=1M seek=38 conv=fsync 2> /dev/null'
    is 'and_written_where_it_grew' "$result" 0
    lay_out 40960 | /dmsetup load device
    /dmsetup resume --noudevrules --noudevsync device
    becomes vde 40960
    is 'device_that_shrank_is_noticed' "$answer" 40960
}

# refused NAME TEXT OPTION...
refused() {
    local name=$1 text=$2 status=0
    shift 2
    "$hostvm" run --kernel /hello "$@" > "$work/refused" 2>&1 < /dev/null || status=$?
    is "$name" "$(cat "$work/refused") ($status)" "$text (66)"
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
    is 'guest_flushes' "${answer%%$'\n'*}" 0
    is 'flush_reaches_the_device' "$(($(awk '{ print $16 }' /sys/block/vda/stat) > flushes))" 1
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
    if start_guest; then
        test_what_the_guest_sees
        test_transfers
        test_space
        test_device
        test_faults_of_a_device
        test_sizes_that_change
        test_locks
        end
    fi
    kill -9 $pid
    fail 'guest_with_five_disks_comes_up' "it said '$answer'"
}

halves "$@"
