#!/bin/sh
# In the box: packets between this side and a Linux guest through a tap, for hostvm and for QEMU's virtio-net without vhost.
# Figures are instructions per packet, or per KiB of a stream, of everybody: sender, kernels, VMM, receiver.
tap() {
    insmod /lib/modules/tun.ko 2> /dev/null
    mkdir -p /dev/net
    [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
    tunctl -t tap0 > /dev/null
    ip addr add 10.1.0.1/24 dev tap0
    ip link set tap0 up
}

# measure FILE COMMAND...: the guest of that VMM says when it is ready; FILE gets a line per measurement.
measure() {
    file=$1
    shift
    mkfifo /tmp/console
    "$@" > /tmp/console 2>&1 < /dev/null &
    vmm=$!
    awk '/ready to be measured/ { exit } { print > "/tmp/said" }' /tmp/console && /packets host 10.1.0.2 > "$file"
    status=$?
    kill -9 $vmm 2> /dev/null
    wait $vmm 2> /dev/null
    rm /tmp/console
    [ $status -eq 0 ] || { echo "net: no figures from $1"; tail -n 5 /tmp/said; exit 1; }
}

append='console=ttyS0 quiet'
tap
measure /tmp/hostvm /hostvm run --kernel /vmlinuz --initrd /initramfs --append "$append" --net tap=tap0
qemu=$(command -v qemu-system-x86_64)
if [ -n "$qemu" ]; then
    measure /tmp/qemu "$qemu" -M microvm,acpi=on,rtc=on,pit=off,pic=off -accel kvm -cpu host -m 256 -nodefaults \
        -no-user-config -display none -serial stdio -kernel /vmlinuz -initrd /initramfs -append "$append" \
        -global virtio-mmio.force-legacy=false -netdev tap,id=tap,ifname=tap0,script=no,downscript=no,vhost=off \
        -device virtio-net-device,netdev=tap
else
    echo 'QEMU: not installed here'
    sed 's/|.*/|0/' /tmp/hostvm > /tmp/qemu
fi
paste -d '|' /tmp/hostvm /tmp/qemu | awk -F '|' '
    { printf "%-48s hostvm %9d", $1, $2; if ($4 > 0) printf "   QEMU %9d   ratio %.3f", $4, $2 / $4; print "" }'
