#!/bin/sh
# In the box, with two drives that hold the same Debian: from exec to its login on the serial line, for each VMM there is.
#
# Each VMM has a drive of its own, for the guest writes to it. Both are in memory before they are used: as long as somebody
# has them open, what was read of them stays there. What is waited for them nevertheless is not in the figure.
exec 3< /dev/vda 4< /dev/vdb
for drive in vda vdb; do
    echo 2048 > /sys/block/$drive/queue/read_ahead_kb
    cat /dev/$drive > /dev/null
done
append='root=/dev/vda console=ttyS0 quiet'
watch() {
    /stopwatch --quiet --until ' login: ' "$@" < /dev/null
}

status=0
watch 'Debian, hostvm' /hostvm run --mem 512 --disk /dev/vda --kernel /vmlinuz --initrd /initrd.img --append "$append" ||
    status=1
qemu=$(command -v qemu-system-x86_64) || { echo 'QEMU: not installed here'; exit $status; }
watch 'Debian, QEMU microvm' "$qemu" -M microvm,acpi=on,rtc=on,pit=off,pic=off -accel kvm -cpu host -m 512 -nodefaults \
    -no-user-config -display none -serial stdio -kernel /vmlinuz -initrd /initrd.img -append "$append" \
    -global virtio-mmio.force-legacy=false -drive file=/dev/vdb,format=raw,if=none,id=disk,aio=io_uring,cache=writeback \
    -device virtio-blk-device,drive=disk || status=1
exit $status
