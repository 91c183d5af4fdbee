#!/bin/bash
# Here live the tests of virtio devices on PCI with Debian's stock kernel, run in the box of each architecture.
#
# ARCHS='x86_64 arm64 arm64-gic2' tests those alone, the last one without a controller that takes messages; HOSTVM=FILE,
# with one of them, another build than build/ARCH-plain/hostvm.
# One line per check; exit 1 on a failure. The same script runs outside and, as a script for busybox, inside (--inside).

cd "$(dirname "$0")/../.." || exit 1
. tests/linux/frame.sh

# --- in the guest: what it finds is told line by line ---

write_init() {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec > /dev/console 2>&1
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio-rng virtio_blk; do
    insmod /modules/$module.ko || echo "insmod $module: $?"
done
for device in /sys/bus/pci/devices/*; do
    echo "function $(cat $device/vendor):$(cat $device/device) class $(cat $device/class)"
done
echo "disk $(dd if=/dev/vda bs=1M 2> /dev/null | sha256sum | cut -d ' ' -f 1) $(cat /sys/block/vda/serial)"
echo "entropy $(dd if=/dev/hwrng bs=64 count=8 2> /dev/null | wc -c)"
grep virtio /proc/interrupts | sed 's/^/interrupt /'
dmesg | grep -E 'MMCONFIG|ECAM at|ITS@' | sed 's/^/bridge /'
dmesg -r | grep -E '^<[0-3]>.*(pci|PCI|virtio)' | sed 's/^/complaint /'
echo 'that is all'
poweroff -f
INIT
}

# --- inside: only busybox is there ---

# boot WORDS OPTION...: of the guest's command line, and of hostvm; screen is what the guest said, if it came to its end.
boot() {
    append="console=$console quiet $1"
    shift
    status=0
    timeout 150 "$hostvm" run --virtio pci --rng --disk /tmp/disk.img,ro,serial=pci-1 --kernel /vmlinuz --initrd /tmp/initramfs \
        --append "$append" "$@" > /tmp/raw 2> "$work/err" < /dev/null || status=$?
    tr -d '\r' < /tmp/raw > "$work/screen"
}

# expect NAME PATTERN: a line of the guest's matches; expect_no NAME PATTERN: none does.
expect() {
    if [ $status -eq 0 ] && grep -qx 'that is all' "$work/screen" && grep -qE "$2" "$work/screen"; then pass "$1"
    else fail "$1" "status $status; no line '$2' in: $(tail -n 40 "$work/screen")"; fi
}

expect_no() {
    if [ $status -eq 0 ] && ! grep -E "$2" "$work/screen" "$work/err"; then pass "$1"
    else fail "$1" "status $status, or a line '$2'"; fi
}

# What a guest with all of it does, whichever way it is interrupted.
expect_devices() {
    expect "it_gives_entropy$1" '^entropy 512$'
    expect "the_disk_is_read$1" "^disk $(sha256sum < /tmp/disk.img | cut -d ' ' -f 1) pci-1\$"
}

# Counted on one of the processors, for the device's queue or for all of it.
inside() {
    hostvm=$1
    work=/tmp
    dd if=/dev/urandom of=/tmp/disk.img bs=1M count=2 2> /dev/null
    console=ttyS0
    message='interrupt .* [1-9][0-9]* .*PCI-MSI.* virtio[0-9]-input'
    line='interrupt .* [1-9][0-9]* .*IO-APIC +2[0-3]-fasteoi +virtio[0-9]'
    registers='bridge .*MMCONFIG .* at \[mem 0xe0000000-0xe00fffff\]'
    if [ "$(uname -m)" = aarch64 ]; then
        console=ttyAMA0
        message='interrupt .* [1-9][0-9]* .*ITS-MSI.* virtio[0-9]-input'
        line='interrupt .* [1-9][0-9]* .*(GICv3|GIC-0) +3[5-8] Level +virtio[0-9]'
        registers='bridge .*ECAM at \[mem 0x3f000000-0x3f0fffff\]'
    fi
    mkdir -p /tmp/root/modules
    cp /lib/modules/virtio*.ko /tmp/root/modules
    write_init | make_initramfs > /tmp/initramfs
    boot ''
    expect 'the_bridge_is_where_the_tables_say' "^$registers"
    expect 'the_entropy_device_is_on_the_bus' '^function 0x1af4:0x1044 class 0xff0000$'
    expect_devices ''
    expect_no 'nobody_complains' '^complaint|[wW]arn'
    if [ "$2" = 2 ]; then
        expect 'it_interrupts_by_its_line' "^$line\$"
        exit $((failures != 0))
    fi
    expect 'it_interrupts_by_messages' "^$message\$"
    boot pci=nomsi
    expect_devices '_without_messages'
    expect 'it_interrupts_by_its_line' "^$line\$"
    exit $((failures != 0))
}

if [ "${1:-}" = --inside ]; then
    inside "$2" "$3"
fi

# --- outside ---

set -u
for box in ${ARCHS:-x86_64 arm64 arm64-gic2}; do
    arch=${box%-gic2}
    gic=3
    options=()
    [ "$arch" = "$box" ] || { gic=2 options=(--gic 2); }
    hostvm=$PWD/build/$arch-plain/hostvm
    [ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
    if [ ! -x "$hostvm" ]; then
        skip "$box" "$hostvm is not built"
        continue
    fi
    if ! kernel=$(scripts/box --kernel-path --arch "$arch"); then
        skip "$box" 'there is no kernel for it'
        continue
    fi
    echo "# $box"
    scripts/box --arch "$arch" "${options[@]}" --timeout 380 --mem 1536 --with "$hostvm" --with "$kernel:/vmlinuz" \
        --with "$PWD/tests/linux/frame.sh" --with "$PWD/tests/linux/test_pci.sh" -- \
        sh "$PWD/tests/linux/test_pci.sh" --inside "$hostvm" $gic || failures=$((failures + 1))
done
exit $((failures != 0))
