#!/bin/bash
# Here live the tests of the hostvm command with Debian's stock arm64 kernel, run in the arm64 box.
#
# HOSTVM=FILE tests that build instead of build/arm64-plain/hostvm. One line per check; exit 1 on a failure. The same
# script runs outside and, as a script for busybox, inside the box (--inside).

# --- inside: only busybox is there ---

# boots NAME OPTION...: until the init has said so and powered off.
boots() {
    name=$1
    shift
    status=0
    timeout 200 "$hostvm" run --kernel /vmlinuz --initrd /tmp/initramfs --append 'console=ttyAMA0 quiet' "$@" \
        > /tmp/screen 2> /tmp/err < /dev/null || status=$?
    if [ $status -eq 0 ] && [ ! -s /tmp/err ] && tr -d '\r' < /tmp/screen | grep -q "^here is init, processors: $cpus\$"; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        echo "# status $status"
        tail -n 5 /tmp/screen | sed 's/^/#   /'
        head -n 14 /tmp/err | sed 's/^/#   /'
        failures=$((failures + 1))
    fi
}

make_initramfs() {
    mkdir -p /tmp/root/bin /tmp/root/dev /tmp/root/sys
    cp /usr/bin/busybox /tmp/root/bin/busybox
    cat > /tmp/root/init <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
echo "here is init, processors: $(/bin/busybox nproc)" > /dev/ttyAMA0
/bin/busybox poweroff -f
INIT
    chmod +x /tmp/root/init
    (cd /tmp/root && find . | cpio -o -H newc 2> /dev/null) > /tmp/initramfs
}

if [ "$1" = --inside ]; then
    hostvm=$2
    failures=0
    make_initramfs
    cpus=1
    boots 'compressed_image_boots_to_its_init_and_powers_off'
    cpus=2
    boots 'two_processors_come_up' --cpus 2 --mem 512M
    exit $((failures != 0))
fi

# --- outside ---

set -u
cd "$(dirname "$0")/../.." || exit 1
hostvm=$PWD/build/arm64-plain/hostvm
[ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
kernel=$(scripts/box --kernel-path --arch arm64) || exit 1
exec scripts/box --arch arm64 --timeout 500 --mem 1536 --with "$hostvm" --with "$kernel:/vmlinuz" \
    --with "$PWD/tests/linux/test_linux_arm64.sh:/test" -- sh /test --inside "$hostvm"
