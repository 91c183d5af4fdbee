#!/bin/bash
# Here live the tests of scripts/box: what it promises about status, output, files, limits and KVM.
#
# BOX_ARCH=arm64 tests that box instead of this machine's. One line per check; exit 1 on a failure.
set -u

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/test_box.XXXXXX")
trap 'rm -rf "$work"' EXIT
arch=${BOX_ARCH:-$(uname -m)}

. tests/linux/frame.sh

evidence() {
    echo 'output and errors:'
    head -c 2000 "$work/output" "$work/errors"
}

box() {
    scripts/box --arch "$arch" "$@"
}

# check NAME STATUS OUTPUT COMMAND...: the command ends with the status, its output is exactly that.
check() {
    local name=$1 status=$2 ended=0
    printf '%s' "$3" > "$work/expected"
    shift 3
    "$@" > "$work/output" 2> "$work/errors" < /dev/null || ended=$?
    if [ $ended -eq "$status" ] && cmp -s "$work/expected" "$work/output"; then
        pass "$name"
    else
        fail "$name" "status $ended, not $status"
    fi
}

# As check, and the one line on standard error holds the given text.
check_complaint() {
    local name=$1 status=$2 text=$3
    shift 3
    complains() {
        local ended=0
        "$@" 2> "$work/complaint" || ended=$?
        cat "$work/complaint" >&2
        [ "$(wc -l < "$work/complaint")" -eq 1 ] || return 98
        grep -qF -e "$text" "$work/complaint" || return 99
        return $ended
    }
    check "$name" "$status" '' complains "$@"
}

compiler() {
    if [ "$arch" = "$(uname -m)" ]; then
        echo "${CC:-cc}"
    else
        echo "$arch-linux-gnu-gcc" | sed s/^arm64/aarch64/
    fi
}

test_status_and_output() {
    check 'status_0_is_returned' 0 '' box true
    check 'status_7_is_returned' 7 '' box -- sh -c 'exit 7'
    check 'death_by_signal_is_128_and_its_number' 143 '' box -- sh -c 'kill $$'
    check 'output_comes_out_byte_for_byte' 0 $'a\r\n\t\x01\xff no newline' \
        box -- printf 'a\r\n\t\001\377 no newline'
    check 'large_output_is_complete' 0 "$(seq 1 200000)"$'\n' box -- seq 1 200000
    check_complaint 'errors_go_to_standard_error' 3 'err' \
        box -- sh -c 'echo err > /dev/stderr; exit 3'
    check 'processes_left_behind_do_not_hold_the_box' 0 $'done\n' \
        box -- sh -c 'sleep 1000 & echo done'
}

test_arguments_and_files() {
    # shellcheck disable=SC2016 # that nothing expands is the point
    local arguments=('two words' "it's" '"q"' '' $'a\nb\n' '$HOME `x` *' '\n' 'ä')

    check 'arguments_arrive_unchanged' 0 "$(printf '<%s>' "${arguments[@]}")" \
        box -- printf '<%s>' "${arguments[@]}"
    mkdir -p "$work/dir/sub dir"
    echo one > "$work/one"
    echo two > "$work/dir/sub dir/two"
    check 'with_file_is_at_the_same_path' 0 $'one\n' box --with "$work/one" cat "$work/one"
    check 'with_file_is_at_its_destination' 0 $'one\n' box --with "$work/one:/lib/x/y" cat /lib/x/y
    check 'with_directory_brings_its_files' 0 $'two\n' \
        box --with "$work/dir:/d" cat '/d/sub dir/two'
    check_complaint 'with_missing_file_is_66' 66 'no such file' box --with "$work/none" true
    # shellcheck disable=SC2016
    printf '#!/bin/bash\nlist=("$@"); echo "${#list[@]} $PWD"\n' > "$work/script"
    chmod +x "$work/script"
    if [ "$arch" = "$(uname -m)" ]; then
        check 'script_brings_its_interpreter' 0 "2 $PWD"$'\n' box "$work/script" a 'b c'
    else
        skip 'script_brings_its_interpreter' "this machine's bash does not run on $arch"
    fi
    check 'standard_input_is_empty' 0 '' box cat
    check 'stdin_option_connects_standard_input' 0 $'x\ny' feed $'x\ny' box --stdin cat
    check_complaint 'missing_command_is_66' 66 'no command' box no-such-command
    check_complaint 'bad_usage_is_64' 64 '--smp' box --smp none true
}

feed() {
    printf '%s' "$1" | "${@:2}"
}

# Lists what is in a new cache directory after an end in the midst of filling it.
interrupt_filling() {
    mkdir "$1"
    HOSTVM_CACHE=$1 timeout 2 scripts/box --arch "$arch" true
    ls -A "$1"
}

test_limits() {
    check_complaint 'time_limit_is_124' 124 'time limit' box --timeout 12 sleep 100
    check_complaint 'panic_is_125' 125 'Kernel panic' box -- sh -c 'echo c > /proc/sysrq-trigger'
    check_complaint 'missing_status_is_125' 125 'without an exit status' box reboot -f
    check 'interrupted_filling_leaves_nothing_behind' 0 '' interrupt_filling "$work/cache"
    check_complaint 'unusable_cache_is_71' 71 'cannot write' \
        env HOSTVM_CACHE=/proc/none scripts/box --arch "$arch" true
    check_complaint 'packages_out_of_reach_are_69' 69 'cannot fetch' \
        env HOSTVM_CACHE="$work/cache" {http,https}_proxy=http://127.0.0.1:9 \
        scripts/box --arch "$arch" true
    mkdir "$work/path"
    ln -s /bin/* /usr/bin/* "$work/path" 2> /dev/null
    rm -f "$work/path"/qemu-system-*
    check_complaint 'missing_qemu_is_69' 69 'apt-get install qemu-system' \
        env PATH="$work/path" scripts/box --arch "$arch" true
    mkdir "$work/full"
    if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=1m box "$work/full"; then
        skip 'full_disk_is_71' 'mounting a small tmpfs needs root'
        return
    fi
    check_complaint 'full_disk_is_71' 71 'no space' \
        env HOSTVM_CACHE="$work/full" scripts/box --arch "$arch" true
    check 'full_disk_leaves_nothing_behind' 0 '' ls -A "$work/full"
    umount "$work/full"
}

# As a guest of the box would find them: by name, by size, read, written, and not written.
test_drives() {
    truncate -s 3M "$work/disk"
    { printf 'first\n'; head -c 1048570 /dev/zero; } > "$work/disk,2"
    cp "$work/disk,2" "$work/disk-ro"
    check 'drives_are_vda_and_vdb_in_order' 0 $'6144\n2048\nfirst\n' \
        box --drive "$work/disk" --drive "$work/disk,2" -- \
        sh -c 'cat /sys/block/vda/size /sys/block/vdb/size; head -n 1 /dev/vdb'
    check 'without_drive_there_is_none' 0 '' box -- sh -c 'ls /sys/block | grep vd; :'
    check 'what_is_written_to_a_drive_stays' 0 '' \
        box --drive "$work/disk" -- sh -c 'echo kept | dd of=/dev/vda bs=4096 seek=5 conv=fsync 2> /dev/null'
    check 'what_was_written_is_in_the_file' 0 'kept' dd if="$work/disk" bs=4 skip=5120 count=1 status=none
    check 'drive_ro_is_read' 0 $'first\n' box --drive "$work/disk-ro,ro" head -n 1 /dev/vda
    check 'drive_ro_is_not_written' 0 $'1\nrefused\n' \
        box --drive "$work/disk-ro,ro" -- sh -c \
        'cat /sys/block/vda/ro; { echo other > /dev/vda && sync; } 2> /dev/null || echo refused'
    check 'drive_ro_is_as_before' 0 '' cmp "$work/disk,2" "$work/disk-ro"
    check 'drives_go_with_icount' 0 $'first\n' box --icount --drive "$work/disk,2" head -n 1 /dev/vda
    check_complaint 'drive_that_is_missing_is_66' 66 'there is no such file' \
        box --drive "$work/none" true
    check_complaint 'drive_without_a_name_is_64' 64 'wants a value' box --drive
}

test_network() {
    local look port
    # shellcheck disable=SC2016 # it is the box that expands
    look='ip -4 -o addr show eth0 | sed "s/.* inet \([^ ]*\).*/\1/"; ip route | sed -n "s/^default via \([^ ]*\).*/\1/p"; cat /etc/resolv.conf'
    check 'net_gives_address_route_and_resolver' 0 $'10.0.2.15/24\n10.0.2.2\nnameserver 10.0.2.3\n' \
        box --net -- sh -c "$look"
    check 'without_net_there_is_none' 0 $'lo\n' box ls /sys/class/net
    if ! command -v busybox > /dev/null; then
        skip 'net_reaches_this_machine' 'busybox-static is not installed'
        return
    fi
    port=$((20000 + $$ % 10000))
    busybox nc -l -p $port <<< 'hello from outside' > /dev/null 2>&1 &
    check 'net_reaches_this_machine' 0 $'hello from outside\n' \
        box --net -- sh -c "nc -w 5 10.0.2.2 $port < /dev/null"
    kill $! 2> /dev/null
}

exits_under_icount() {
    box --icount "$work/probe" | sed -n 's/kvm works: \([0-9]*\) ns per exit/\1/p'
}

test_kvm() {
    local first second kernel

    if ! "$(compiler)" -O2 -o "$work/probe" tests/linux/kvm_probe.c 2> "$work/errors"; then
        skip 'kvm_works_inside' "cannot compile for $arch: $(head -n 1 "$work/errors")"
        return
    fi
    probe() {
        box --icount "$work/probe" | sed 's/:.*//'
        return "${PIPESTATUS[0]}"
    }
    check 'kvm_works_inside' 0 $'kvm works\n' probe
    first=$(exits_under_icount)
    second=$(exits_under_icount)
    check "icount_repeats_to_one_percent" 0 '' \
        test $((100 * (${first:-0} - ${second:-1}))) -le "${first:-0}" -a \
        $((100 * (${second:-1} - ${first:-0}))) -le "${first:-0}"
    kernel=$(scripts/box --kernel-path --arch "$arch")
    check 'kernel_path_is_a_file' 0 '' test -s "$kernel"
}

test_status_and_output
test_arguments_and_files
test_limits
test_drives
test_network
test_kvm
[ $failures -eq 0 ]
