#!/bin/sh
# In the box: from exec to a test kernel's first output, and to a stock Linux's init, for each VMM there is. The Linux guest
# ends through port 0xf4 in the first instructions of its init, on AArch64 by powering off; the end of the VMM process itself
# is part of the figure.
console=ttyS0
[ "$(uname -m)" = x86_64 ] || console=ttyAMA0
append="console=$console quiet hostvm_exit"
watch() {
    /stopwatch --quiet "$@"
}

for round in 1 2 3; do
    watch "bare KVM, one exit ($round)" /floor
done
for round in 1 2 3; do
    watch "test kernel, hostvm ($round)" /hostvm run /guests/hello
done
watch 'Linux, hostvm' /hostvm run --debug-exit --kernel /vmlinuz --initrd /initramfs --append "$append"
qemu=$(command -v qemu-system-x86_64) || { echo 'QEMU: not installed here'; exit 0; }
exit_device='-device isa-debug-exit,iobase=0xf4,iosize=1'
# shellcheck disable=SC2086 # options are words
{
watch 'test kernel, QEMU microvm' "$qemu" -M microvm,acpi=on,rtc=on,pit=off,pic=off -accel kvm -cpu host -m 256 \
    -nodefaults -no-user-config -display none -serial stdio -kernel /guests/hello.pvh
watch 'Linux, QEMU microvm' "$qemu" -M microvm,acpi=on,rtc=on,pit=off,pic=off -accel kvm -cpu host -m 256 -nodefaults \
    -no-user-config -display none -serial stdio $exit_device -kernel /vmlinuz -initrd /initramfs -append "$append"
}
