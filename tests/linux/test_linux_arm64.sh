#!/bin/bash
# Here live the tests of the hostvm command on AArch64: Debian's stock kernel with either interrupt controller, other
# guests, what is refused. They run in the arm64 box.
#
# HOSTVM=FILE tests that build instead of build/arm64-plain/hostvm. One line per check; exit 1 on a failure. The same
# script runs outside and, as a script for busybox, inside the box (--inside).
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/frame.sh
work=/tmp

# In this order.
modules='virtio_ring virtio virtio_mmio virtio_blk failover net_failover virtio_net'

# --- inside: only busybox is there ---

# boots NAME OPTION...: until the init has said so and powered off.
boots() {
    name=$1
    shift
    status=0
    timeout 200 "$hostvm" run --kernel "${kernel:-/vmlinuz}" --initrd "${initrd:-/tmp/initramfs}" --append 'console=ttyAMA0 quiet' "$@" \
        > /tmp/screen 2> /tmp/err < /dev/null || status=$?
    if [ $status -eq 0 ] && [ ! -s /tmp/err ] && tr -d '\r' < /tmp/screen | grep -q "^here is init, processors: $cpus\$"; then
        pass "$name"
    else
        fail "$name" "status $status"
    fi
}

write_init() {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
exec > /dev/ttyAMA0 2>&1
grep arm-pmu /proc/interrupts
# What the last processor has had of interrupts between processors.
ipis() {
    awk '/^ *IPI[01]:/ { n += $9 } END { print n }' /proc/interrupts
}
cpus=/sys/devices/system/cpu
case $(nproc) in
    8)
        for m in 1 2 4 8 10 20 40 80; do
            echo "program on $(taskset $m cut -d' ' -f39 /proc/self/stat)"
        done
        before=$(ipis)
        taskset 1 seq 50 | taskset 80 sh -c 'while read i; do :; done'
        echo 0 > $cpus/cpu5/online
        echo "online: $(cat $cpus/online)"
        echo 1 > $cpus/cpu5/online
        echo "online: $(cat $cpus/online), program on $(taskset 20 cut -d' ' -f39 /proc/self/stat)"
        [ "$(ipis)" -gt "$before" ] && echo 'interrupts between processors'
        echo 7 > /sys/kernel/reboot/cpu && echo "power off by $(cat /sys/kernel/reboot/cpu)"
        ;;
    4)
        for m in 1 2 4 8; do
            taskset $m sh -c 'while :; do :; done' &
        done
        sleep 1
        echo 'all are busy'
        sleep 1000
        ;;
esac
[ ! -e /devices ] || . /devices
echo "here is init, processors: $(nproc)"
poweroff -f
INIT
}

# Packed, and with a script for the init that uses a disk and a network.
make_initramfs_of_devices() {
    mkdir -p /tmp/root/lib
    for module in $modules; do
        cp "/lib/modules/$module.ko" /tmp/root/lib
    done
    cat > /tmp/root/devices <<DEVICES
for module in $modules; do
    /bin/busybox insmod /lib/\$module.ko
done
echo "disk: \$(/bin/busybox head -n 1 /dev/vda)"
echo 'by the guest' | /bin/busybox dd of=/dev/vda bs=512 seek=1 conv=sync,fsync 2> /dev/null
/bin/busybox ip link set eth0 up
/bin/busybox udhcpc -i eth0 -q -n -s /bin/busybox 2>&1 | /bin/busybox grep obtained
DEVICES
    (cd /tmp/root && find . | cpio -o -H newc 2> /dev/null) | gzip -1 > /tmp/initramfs.gz
    rm -r /tmp/root/lib /tmp/root/devices
}

# run ARGUMENT...: of hostvm; leaves $status, /tmp/out and /tmp/err.
run() {
    status=0
    timeout 60 "$hostvm" run "$@" > /tmp/raw 2> /tmp/err < /dev/null || status=$?
    tr -d '\r' < /tmp/raw > /tmp/out
}

# say STATUS NAME: of what was looked at in what that left.
say() {
    if [ "$1" -eq 0 ]; then pass "$2"
    else fail "$2" "status $status; $(head -n 30 /tmp/out)"; fi
}

# complains NAME STATUS ERRORS ARGUMENT...: exactly these errors, and no output.
complains() {
    name=$1 expected=$2 errors=$3
    shift 3
    run "$@"
    [ $status -eq "$expected" ] && [ ! -s /tmp/out ] && [ "$(cat /tmp/err)" = "$errors" ]
    say $? "$name"
}

# crashes NAME REASON ARGUMENT...: the reason first, then registers.
crashes() {
    name=$1 reason=$2
    shift 2
    run "$@"
    [ $status -eq 70 ] && [ "$(head -n 1 /tmp/err)" = "hostvm: guest: vcpu 0 cannot go on: $reason" ] &&
        grep -q '^hostvm:   pc  0000000040000004 ' /tmp/err && grep -q '^hostvm:   code at pc: ' /tmp/err
    say $? "$name"
}

# Instructions, each a word with its least byte first.
make_flat_guests() {
    # x1 = 0x90f4000, w0 = 3, strb w0, [x1], for ever
    printf '\341\041\241\322\001\000\210\362\140\000\200\122\040\000\000\071\000\000\000\024' > exit
    # x1 = 0x30000000; ldr w0, [x1], or stp xzr, xzr, [x1]
    printf '\001\000\246\322\040\000\100\271\000\000\000\024' > read
    printf '\001\000\246\322\077\174\000\251\000\000\000\024' > pair
}

test_other_guests() {
    run "$guests/hello" --append 'from Arm'
    [ $status -eq 0 ] && [ ! -s /tmp/err ] && grep -qx 'booted by a device tree' /tmp/out &&
        grep -qx 'memory: \[0x40000000..0x50000000) type 1' /tmp/out && grep -qx 'command line: from Arm' /tmp/out
    say $? 'bare_metal_elf_runs_and_ends'
    run --debug-exit exit
    [ $status -eq 7 ] && [ ! -s /tmp/err ]
    say $? 'flat_code_runs_and_the_debug_exit_ends_it'
    status=0
    "$example" > /tmp/out 2> /tmp/err || status=$?
    [ $status -eq 0 ] && [ "$(cat /tmp/out)" = 'the guest read 84' ]
    say $? 'example_embeds_a_vm'
    crashes 'read_of_nothing_is_70_with_a_report' \
        'read of 4 bytes at 0x30000000: nothing is there and nobody handled it' read
    undecoded='an instruction that the processor does not describe (a pair of registers, an atomic operation,'
    undecoded="$undecoded a base register written back)"
    crashes 'undecoded_store_is_70_with_a_report' \
        "write at 0x30000000 by $undecoded: there is no memory" pair
    grep -qx 'hostvm:   exit -0: memory write at 0x30000000, of a width nobody told' /tmp/err
    say $? 'and_the_report_has_its_address'
}

test_refusals() {
    # e_machine of an ELF header: x86-64
    (head -c 18 "$guests/hello"; printf '\076\000'; tail -c +21 "$guests/hello") > x86
    head -c 3000000 /vmlinuz > cut
    head -c 3000000 /vmlinuz.gz > cut.gz
    head -c 100 dtb > cut.dtb
    : > empty
    echo 'just text' > text
    truncate -s 300M large
    mkdir dir
    complains 'missing_kernel_is_66' 66 "hostvm: cannot load kernel 'none': No such file or directory" none
    complains 'empty_kernel_is_66' 66 "hostvm: cannot load kernel 'empty': the file is empty" empty
    complains 'directory_as_kernel_is_66' 66 \
        "hostvm: cannot load kernel 'dir': it is a directory; give an ordinary file" dir
    complains 'text_as_kernel_is_66' 66 \
        "hostvm: cannot load kernel 'text': it is a text file; give a bzImage, an ELF file, an arm64 Image or flat code" text
    complains 'kernel_for_x86_is_66' 66 \
        "hostvm: cannot load kernel 'x86': it is an ELF file for x86_64, the machine is arm64; give one for arm64" x86
    run cut
    [ $status -eq 66 ] && grep -q "^hostvm: cannot load kernel 'cut': .*; is the download complete?\$" /tmp/err
    say $? 'kernel_cut_short_is_66'
    run cut.gz
    [ $status -eq 66 ] && grep -q "^hostvm: cannot load kernel 'cut.gz': .*; is the download complete?\$" /tmp/err
    say $? 'compressed_kernel_cut_short_is_66'
    run --kernel /vmlinuz --mem 16M
    [ $status -eq 66 ] && grep -q 'lie outside RAM \[0x40000000..0x41000000); give more RAM$' /tmp/err
    say $? 'kernel_larger_than_memory_is_66'
    complains 'missing_device_tree_is_66' 66 "hostvm: cannot load device tree 'none': No such file or directory" \
        "$guests/hello" --dtb none
    complains 'device_tree_cut_short_is_66' 66 \
        "hostvm: cannot load device tree 'cut.dtb': it is a damaged device tree blob; compile it again with dtc" \
        "$guests/hello" --dtb cut.dtb
    complains 'dump_that_cannot_be_written_is_71' 71 \
        "hostvm: cannot write the device tree to 'none/dtb': No such file or directory" --dump-dtb none/dtb
    complains 'missing_initrd_is_66' 66 "hostvm: cannot load initrd 'none': No such file or directory" \
        "$guests/hello" --initrd none
    complains 'empty_initrd_is_66' 66 "hostvm: cannot load initrd 'empty': the file is empty" "$guests/hello" --initrd empty
    run "$guests/hello" --initrd large
    [ $status -eq 66 ] && grep -q "^hostvm: cannot load initrd 'large': its 307200 KiB do not fit into .*; give more RAM\$" /tmp/err
    say $? 'initrd_larger_than_memory_is_66'
    complains 'missing_disk_is_66' 66 "hostvm: cannot use 'none' as a disk: No such file or directory" \
        "$guests/hello" --disk none
    complains 'module_for_linux_is_64' 64 \
        'hostvm: --module is for multiboot and PVH kernels; this one takes an --initrd' /vmlinuz --module "$guests/hello"
    complains 'acpi_tables_are_refused' 64 'hostvm: an arm64 machine has no ACPI tables: see --dump-dtb' --dump-acpi dir
    complains 'too_many_processors_are_64' 64 "hostvm: --cpus wants a number from 1 to 123, not '124'; see hostvm --help" \
        "$guests/hello" --cpus 124
    complains 'too_much_memory_is_64' 64 "hostvm: --mem '513G' is out of range: 2M to 512G; see hostvm --help" \
        "$guests/hello" --mem 513G
}

# has NAME LINE: of the guest that has just run.
has() {
    tr -d '\r' < /tmp/screen | grep -qx "$2"
    say $? "$1"
}

test_what_processors_did() {
    n=0
    while [ $n -lt 8 ]; do
        has "processor_${n}_runs_programs" "program on $n"
        n=$((n + 1))
    done
    has 'processors_interrupt_each_other' 'interrupts between processors'
    has 'processor_goes_offline' 'online: 0-4,6-7'
    has 'and_comes_back' 'online: 0-7, program on 5'
    has 'and_another_than_the_first_powers_off' 'power off by 7'
}

# A guest with four processors keeps them busy for good.
test_end_of_busy_processors() {
    "$hostvm" run --kernel /vmlinuz --initrd /tmp/initramfs --append 'console=ttyAMA0 quiet' --cpus 4 --mem 512M \
        > /tmp/screen 2> /tmp/err < /dev/null &
    pid=$!
    n=0
    while ! grep -q 'all are busy' /tmp/screen && [ $n -lt 200 ]; do
        sleep 1
        n=$((n + 1))
    done
    kill -TERM $pid
    (sleep 60; kill -KILL $pid 2> /dev/null) &
    guard=$!
    status=0
    wait $pid || status=$?
    kill $guard
    [ $status -eq 143 ] && [ $n -lt 200 ] && [ "$(cat /tmp/err)" = 'hostvm: ended by signal 15 (Terminated)' ]
    say $? 'SIGTERM_ends_a_guest_whose_processors_are_all_busy'
}

# The guest's own list of interrupts has the counters', or not.
test_counters() {
    cpus=1
    boots 'guest_has_no_performance_counters_unasked'
    ! grep -q 'arm-pmu' /tmp/screen
    say $? 'and_finds_none'
    boots 'guest_with_performance_counters_boots' --pmu
    grep -q 'GICv3  23 Level     arm-pmu' /tmp/screen
    say $? 'and_finds_them_with_their_interrupt'
}

# As other distributions have kernels: compressed, with what they then need to find a disk and a network.
test_devices() {
    net=
    [ ! -e "${hostvm%/*}/hostvm-net-user" ] || net='--net user'
    make_initramfs_of_devices
    (echo 'by the host'; head -c 1048564 /dev/zero) > disk
    cpus=2 kernel=/vmlinuz.gz initrd=/tmp/initramfs.gz
    # shellcheck disable=SC2086 # two words
    boots 'compressed_kernel_with_packed_initrd_boots_with_devices' --cpus 2 --disk disk,serial=first $net
    kernel='' initrd=''
    grep -q '^disk: by the host' /tmp/screen && [ "$(tail -c +513 disk | head -n 1)" = 'by the guest' ]
    say $? 'its_disk_is_read_and_written'
    if [ -z "$net" ]; then
        echo 'skipped - its_network_has_an_address: there is no hostvm-net-user'
        return
    fi
    grep -q 'lease of 10.0.2.15 obtained from 10.0.2.2' /tmp/screen
    say $? 'its_network_has_an_address'
}

# survives NAME DEVICES WORDS OPTION...: a guest that does to its devices whatever it can, on two processors.
survives() {
    name=$1 devices=$2 words=$3
    shift 3
    cp /hostile/before hostile
    status=0
    timeout 250 "$hostvm" run --debug-exit --cpus 2 --append "devices=$devices second rounds=3 $words" --disk hostile --vsock socket \
        "$@" "$guests/virtio_hostile" > /tmp/raw 2> /tmp/err < /dev/null || status=$?
    tr -d '\r\000' < /tmp/raw | grep -a 'FAIL\|exception' > /tmp/out
    [ $status -eq 1 ]
    say $? "${name}_ends_with_all_checks_passed"
    ! grep -q 'Bad address' /tmp/err
    say $? "${name}_leads_nobody_out_of_its_memory"
    cmp hostile /hostile/after
    say $? "${name}_leaves_the_disk_as_it_should_be"
}

test_hostile_guests() {
    # shellcheck disable=SC2086 # two words
    survives 'guest_hostile_to_all_devices' "$(set -- $net; echo $((5 + ($# > 0))))" '' --rng --console virtio --balloon 0 $net
    survives 'guest_hostile_to_devices_on_pci' 2 pci --virtio pci
}

if [ "$1" = --inside ]; then
    hostvm=$2
    guests=$3
    example=$4
    cd /tmp || exit 1
    write_init | make_initramfs > /tmp/initramfs
    make_flat_guests
    test_counters
    test_devices
    cpus=8
    boots 'eight_processors_come_up' --cpus 8 --mem 512M
    test_what_processors_did
    test_end_of_busy_processors
    cpus=2
    run --dump-dtb dtb --cpus 2 --mem 512M
    [ $status -eq 0 ] && [ -s dtb ] && [ ! -s /tmp/err ]
    say $? 'device_tree_is_written'
    boots 'written_device_tree_is_what_linux_boots_with' --dtb dtb --cpus 2 --mem 512M
    test_other_guests
    test_hostile_guests
    test_refusals
    exit $((failures != 0))
fi

if [ "$1" = --inside-gicv2 ]; then
    hostvm=$2
    guests=$3
    cd /tmp || exit 1
    write_init | make_initramfs > /tmp/initramfs
    cpus=1
    boots 'linux_boots_with_gicv2'
    cpus=2
    boots 'two_processors_come_up_with_gicv2' --cpus 2
    complains 'more_processors_than_gicv2_has_are_71' 71 \
        'hostvm: cannot create vcpu 8 (this host allows 8): Invalid argument' \
        "$guests/hello" --cpus 9
    exit $((failures != 0))
fi

# --- outside ---

set -u
. tests/linux/hostile.sh
hostvm=$PWD/build/arm64-plain/hostvm
guests=$PWD/build/arm64-plain/guests
example=$PWD/build/arm64-plain/tests/examples/arm64/embed
[ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
kernel=$(scripts/box --kernel-path --arch arm64) || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/test_linux_arm64.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0
# The box has its kernel plain; of what a guest needs of its own, what a disk and a network need.
gzip -c "$kernel" > "$work/vmlinuz.gz"
with=(--with "$work/vmlinuz.gz:/vmlinuz.gz")
for module in $modules; do
    with+=(--with "${kernel%/*}/modules/$module.ko:/lib/modules/$module.ko")
done
make_hostile_disk "$work/before" "$work/after"
with+=(--with "$work/before:/hostile/before" --with "$work/after:/hostile/after" --with "$guests/virtio_hostile")
[ ! -e "${hostvm%/*}/hostvm-net-user" ] || with+=(--with "${hostvm%/*}/hostvm-net-user")

# inside GIC WORD: that half of the script, in the box with such an interrupt controller.
inside() {
    scripts/box --arch arm64 --gic "$1" --timeout 500 --mem 1536 "${with[@]}" --with "$hostvm" --with "$kernel:/vmlinuz" \
        --with "$guests/hello" --with "$example" --with "$PWD/tests/linux/frame.sh" \
        --with "$PWD/tests/linux/test_linux_arm64.sh" -- \
        sh "$PWD/tests/linux/test_linux_arm64.sh" "$2" "$hostvm" "$guests" "$example" ||
        failed=1
}

inside 3 --inside
inside 2 --inside-gicv2
exit $failed
