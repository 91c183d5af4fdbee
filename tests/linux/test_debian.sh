#!/bin/bash
# Here live the tests of a real Debian as guest: its image is made, it boots from it in the box, to its login and back.
#
# INSTALLS=1 has it install a package as well, over the network: unpacking Debian's list of packages takes its time there.
# HOSTVM=FILE tests that build instead of build/hostvm; VMM=qemu shows, with QEMU in hostvm's place, whether it is the
# image or the box that fails. One line per check; exit 1 on a failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/commanded.sh

# refuses NAME STATUS TEXT COMMAND...: the command ends with the status, and one line that holds the text.
refuses() {
    local name=$1 status=$2 text=$3 ended=0
    shift 3
    "$@" > "$work/output" 2>&1 < /dev/null || ended=$?
    if [ $ended -eq "$status" ] && [ "$(wc -l < "$work/output")" -eq 1 ] && grep -qF -e "$text" "$work/output"; then
        pass "$name"
    else
        fail "$name" "status $ended, not $status; $(head -n 5 "$work/output")"
    fi
}

test_what_image_refuses() {
    refuses 'image_without_a_directory_is_64' 64 'one directory is wanted' scripts/debian-image
    refuses 'image_for_an_unknown_architecture_is_64' 64 "for 'mips'" scripts/debian-image --arch mips "$work/image"
    refuses 'image_of_a_strange_size_is_64' 64 "not '2 GB'" scripts/debian-image --size '2 GB' "$work/image"
    refuses 'image_with_an_unknown_option_is_64' 64 'no option --fast' scripts/debian-image --fast "$work/image"
    refuses 'image_in_an_unusable_cache_is_71' 71 'cannot write' \
        env HOSTVM_CACHE=/proc/none scripts/debian-image "$work/image"
    refuses 'image_from_sources_out_of_reach_is_69' 69 'out of reach' \
        env HOSTVM_CACHE="$work/cache" {http,https}_proxy=http://127.0.0.1:9 scripts/debian-image --quiet "$work/image"
    if [ -z "$(ls -A "$work/cache/debian")" ]; then pass 'failed_image_leaves_nothing_behind'
    else fail 'failed_image_leaves_nothing_behind' "$(ls -A "$work/cache/debian")"; fi
    mkdir "$work/path"
    ln -s /bin/* /usr/bin/* /usr/sbin/* "$work/path" 2> /dev/null
    rm "$work/path/mmdebstrap"
    refuses 'image_without_mmdebstrap_is_69' 69 'scripts/deps debian' \
        env PATH="$work/path" HOSTVM_CACHE="$work/cache" scripts/debian-image "$work/image"
    if [ -e "$work/image" ]; then fail 'what_was_refused_made_nothing' 'its directory is there'
    else pass 'what_was_refused_made_nothing'; fi
}

# A new one, as each boot writes to it.
make_image() {
    scripts/debian-image --quiet "$work/debian" 2> "$work/errors" || return
    e2fsck -fn "$work/debian/debian.img" > "$work/fsck" 2>&1
}

# Whether the guest, behind this machine, will reach the sources that this machine's apt has.
has_network() {
    local base
    # shellcheck disable=SC2016 # apt fills that in
    base=$(apt-get indextargets --format '$(BASE_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
    [ -n "$base" ] && timeout 30 /usr/lib/apt/apt-helper -q download-file "${base}InRelease" "$work/InRelease" \
        > /dev/null 2>&1
}

# Leaves in $vmm the command to run inside, and in $with what it takes there.
choose_vmm() {
    local append='root=/dev/vda console=ttyS0 quiet' file
    with=(--with "$work/debian/vmlinuz:/vmlinuz" --with "$work/debian/initrd.img:/initrd.img")
    case ${VMM:-hostvm} in
    hostvm)
        vmm=("$hostvm" run --disk /dev/vda --net user --cpus 2 --mem 512 --kernel /vmlinuz --initrd /initrd.img
             --append "$append")
        with+=(--with "$hostvm" --with "${hostvm%/*}/hostvm-net-user") ;;
    qemu)
        vmm=(qemu-system-x86_64 -M q35 -accel kvm -cpu host -smp 2 -m 512 -nodefaults -no-user-config -display none
             -no-reboot -serial stdio -kernel /vmlinuz -initrd /initrd.img -append "$append"
             -drive 'file=/dev/vda,if=none,id=disk,format=raw' -device 'virtio-blk-pci,drive=disk'
             -netdev 'user,id=net' -device 'virtio-net-pci,netdev=net,romfile=')
        with+=(--with "$(command -v qemu-system-x86_64)")
        for file in /usr/share/qemu/{linuxboot_dma,kvmvapic}.bin /usr/share/seabios/bios-256k.bin; do
            with+=(--with "$file")
        done ;;
    *)
        echo "test_debian: VMM is hostvm or qemu, not '$VMM'" >&2
        exit 64 ;;
    esac
}

# session: Debian boots, is used, and goes, within one life of the box. It takes the image with it when it fails.
session() {
    local status=0 online='/lib/systemd/systemd-networkd-wait-online --any --timeout=60'
    local run=(--run 'has_two_processors=[ $(nproc) -eq 2 ]'
               --run 'has_no_failed_units=systemctl is-system-running --wait || systemctl --failed'
               --run 'writes_to_its_disk=echo kept > /root/kept'
               --run "gets_an_address_by_dhcp=$online && ip -4 -o addr show scope global | grep .")
    [ -z "$network" ] || run+=(--run
        'installs_a_package=apt-get -qq update && apt-get -qq -y install hello > /root/log 2>&1 && hello')
    [ -e "$work/debian/debian.img" ] || make_image || return
    # QEMU's processors in parallel lose interrupts of nested guests; with the clock of instructions they do not.
    scripts/box --icount --mem 1536 --timeout 900 --net --drive "$work/debian/debian.img" "${with[@]}" -- \
        tests/linux/debian_session.sh --limit 840 "${run[@]}" -- "${vmm[@]}" 2>&1 || status=$?
    [ $status -eq 0 ] || rm "$work/debian/debian.img"
    return $status
}

# What a guest that has powered off leaves: nothing to repair, and what it wrote.
test_disk_afterwards() {
    local kept
    if e2fsck -fn "$work/debian/debian.img" > "$work/fsck" 2>&1; then pass 'file_system_is_clean_after_power_off'
    else fail 'file_system_is_clean_after_power_off' "$(head -n 5 "$work/fsck")"; fi
    kept=$(debugfs -R 'cat /root/kept' "$work/debian/debian.img" 2> "$work/errors")
    if [ "$kept" = kept ]; then pass 'what_the_guest_wrote_is_in_the_image'
    else fail 'what_the_guest_wrote_is_in_the_image' "'$kept' $(tail -n 1 "$work/errors")"; fi
}

test_boot() {
    local status=0
    make_image || status=$?
    if [ $status -eq 69 ]; then
        skip 'debian' "$(head -n 1 "$work/errors")"
        return
    elif [ $status -ne 0 ]; then
        fail 'image_is_made' "status $status: $(head -n 5 "$work/errors" "$work/fsck")"
        return
    fi
    pass 'image_is_made'
    if [ "$(uname -m)" != x86_64 ]; then
        skip 'debian' "these tests are for x86_64, this is $(uname -m)"
        return
    elif [ "${VMM:-hostvm}" = hostvm ] && [ ! -x "${hostvm%/*}/hostvm-net-user" ]; then
        skip 'debian' 'hostvm-net-user was not built, for there is no libslirp-dev'
        return
    fi
    network=
    if [ -z "${INSTALLS:-}" ]; then
        skip 'debian_installs_a_package' 'it takes some ten minutes; make test-debian does it'
    elif has_network; then network=yes
    else skip 'debian_installs_a_package' "this machine's apt does not reach its sources"; fi
    choose_vmm
    twice session && test_disk_afterwards
}

set_up
test_what_image_refuses
test_boot
[ $failures -eq 0 ]
