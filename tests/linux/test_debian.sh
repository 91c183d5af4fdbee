#!/bin/bash
# Here live the tests of a real Debian as guest: its image is made, it boots from it in the box, to its login and back.
#
# Where there is a network the guest installs a package over it, from the sources that this machine's apt has, as its user
# would: the image brings their lists, which to fetch and read takes a guest in the box ten minutes. Where they have become
# too old for that it fetches new ones.
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

# Whether the guest, behind this machine, will reach the sources that this machine's apt has; $reason says why not.
has_network() {
    local base proxy
    proxy=$(debugfs -R 'cat /etc/apt/apt.conf.d/99mmdebstrap' "$work/debian/debian.img" 2> /dev/null |
        grep -iE '://(localhost|127\.|\[::1\])')
    if [ -n "$proxy" ]; then
        reason="a guest does not reach apt's proxy, which is this machine itself: $proxy"
        return 1
    fi
    # shellcheck disable=SC2016 # apt fills that in
    base=$(apt-get indextargets --format '$(BASE_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
    reason="this machine's apt does not reach its sources"
    [[ $base == http* ]] && timeout 30 /usr/lib/apt/apt-helper -q download-file "${base}InRelease" "$work/InRelease" \
        > /dev/null 2>&1
}

# Leaves in $vmm the command to run inside, and in $with what it takes there.
choose_vmm() {
    local append='root=/dev/vda console=ttyS0 quiet' file
    # Where QEMU delivers an interrupt twice, a processor of the guest waits for what it holds itself. The other one sees
    # that after 21 s; better then to end than to wait for the time limit.
    append+=' panic=-1 sysctl.kernel.panic_on_rcu_stall=1'
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

# Leaves in $run what Debian is asked to do: a check each, in a line each.
choose_checks() {
    local online='/lib/systemd/systemd-networkd-wait-online --any --timeout=60'
    local received='cat /sys/class/net/e*/statistics/rx_bytes' install='apt-get -q -y install hello > /run/apt 2>&1'
    run=(--run 'has_two_processors=[ $(nproc) -eq 2 ]'
         --run 'has_no_failed_units=systemctl is-system-running --wait || systemctl --failed'
         --run 'writes_to_its_disk=echo kept > /root/kept'
         --run "gets_an_address_by_dhcp=$online && ip -4 -o addr show scope global | grep .")
    [ -n "$network" ] || return
    run+=(--run "has_that_package_not_yet=$received > /run/before; ! dpkg -s hello 2> /dev/null"
          --run "installs_a_package=$install || { cat /run/apt; apt-get -q update && $install; } || (cat /run/apt; false)"
          --run 'fetches_the_package_from_its_source=grep "^Get:1 http.* hello " /run/apt'
          --run "receives_the_package_by_its_network_card=[ \$((\$($received) - \$(cat /run/before))) -ge \
\$(stat -c %s /var/cache/apt/archives/hello_*.deb) ]"
          --run 'runs_what_it_installed=hello | grep -x "Hello, world!"'
          --run 'has_that_package_now=dpkg -s hello | grep -x "Status: install ok installed"')
}

# session: Debian boots, is used, and goes, within one life of the box. It takes the image with it when it fails.
session() {
    local status=0 huge=/sys/kernel/mm/transparent_hugepage/shmem_enabled
    [ -e "$work/debian/debian.img" ] || make_image || return
    # QEMU's processors in parallel lose interrupts of nested guests; with the clock of instructions they do not. Each page
    # that such a guest touches costs an exit, after which QEMU knows no translation any more: huge ones are few.
    scripts/box --icount --mem 1536 --timeout 900 --net --drive "$work/debian/debian.img" "${with[@]}" \
        --with tests/linux/debian_session.sh -- sh -c "echo always > $huge && exec \"\$@\"" sh \
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
    [ -n "$network" ] || return
    if debugfs -R 'stat /usr/bin/hello' "$work/debian/debian.img" 2> "$work/errors" | grep -q 'Type: regular'; then
        pass 'what_the_guest_installed_is_in_the_image'
    else fail 'what_the_guest_installed_is_in_the_image' "$(tail -n 1 "$work/errors")"; fi
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
    if has_network; then network=yes
    else skip 'debian_installs_a_package' "$reason"; fi
    choose_vmm
    choose_checks
    twice session && test_disk_afterwards
}

set_up
test_what_image_refuses
test_boot
[ $failures -eq 0 ]
