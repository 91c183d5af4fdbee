#!/bin/sh
# In the box, with a drive of 64 MiB that is all in memory: what a guest's reads of its disk take, by the request. "All"
# is what passes in the guest from one request to the next; "VMM" is outside of the threads that run the guest. The floor
# is liburing alone: in a loop, and in a thread that an eventfd calls and that answers by one. A VMM is to take no more
# than 1.15 times that loop and a bare exit from the guest, of which as many requests as are made at a time share one.
# As long as somebody has it open, what was read of it stays in memory.
exec 3< /dev/vda
dd if=/dev/vda of=/dev/null bs=1M 2> /dev/null
append='console=ttyS0 quiet'
{
/blk_floor /dev/vda
for transport in mmio pci; do
    /blk_watch "hostvm-$transport" /hostvm run --kernel /vmlinuz --initrd /initramfs --append "$append" --disk /dev/vda \
        --virtio $transport
done
if qemu=$(command -v qemu-system-x86_64); then
    /blk_watch QEMU "$qemu" -M microvm,acpi=on,rtc=on,pit=off,pic=off -accel kvm -cpu host -m 256 \
        -nodefaults -no-user-config -display none -serial stdio -kernel /vmlinuz -initrd /initramfs -append "$append" \
        -global virtio-mmio.force-legacy=false -drive file=/dev/vda,format=raw,if=none,id=disk,aio=io_uring,cache=writeback \
        -device virtio-blk-device,drive=disk
fi
} | awk '
    { all[$1, $2] = $3; vmm[$1, $2] = $4; share[$2] += $5; if (!($2 in seen)) { seen[$2] = 1; order[++n] = $2 } }
    END {
        nr = split("mmio pci", transports)
        for (i = 1; i <= n; i++) {
            name = order[i]
            bound = 1.15 * (all["floor", name] + share[name])
            printf "%s\n  liburing: loop %d, called by eventfd %d; exit %d; bound: 1.15 * (loop + exit) = %d\n", name,
                all["floor", name], vmm["floor", name], share[name], bound
            for (t = 1; t <= nr; t++) {
                who = "hostvm-" transports[t]
                if ((who, name) in all) {
                    printf "  hostvm, %-5s all %d, VMM %d = %.3f of the bound, %.3f times liburing called by eventfd\n",
                        transports[t] ":", all[who, name], vmm[who, name], vmm[who, name] / bound,
                        vmm[who, name] / vmm["floor", name]
                }
            }
            if (("QEMU", name) in all) {
                who = "hostvm-mmio"
                printf "  QEMU:         all %d, VMM %d; hostvm, mmio takes %.3f of all, %.3f of the VMM\n", all["QEMU", name],
                    vmm["QEMU", name], all[who, name] / all["QEMU", name], vmm[who, name] / vmm["QEMU", name]
            }
        }
    }'
