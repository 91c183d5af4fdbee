#!/bin/bash
# Here live the tests of sockets between guest and host, and of a folder that both have, with Debian's stock kernel in the box.
#
# One line per check; exit 1 on a failure. HOSTVM=FILE tests that build instead of build/hostvm.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/commanded.sh
streams=$PWD/build/guests/streams
limit=150

# check NAME COMMAND...: passes when the command does.
check() {
    local name=$1
    shift
    if "$@" > "$work/out" 2>&1; then pass "$name"
    else fail "$name" "$* failed: $(cat "$work/out")"; fi
}

# --- outside ---

guest_modules='virtio_ring virtio virtio_mmio vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport fuse virtiofs'

outside() {
    local virtiofsd=() file
    need_box busybox
    [ ! -f "${kernel%/*}/vmlinux" ] || kernel=${kernel%/*}/vmlinux
    make_commanded "$streams"
    for file in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do
        [ ! -x $file ] || virtiofsd=(--with "$file")
    done
    twice in_box --mem 2048 --timeout 380 --with "$streams" "${virtiofsd[@]}" --
}

# --- inside: the guest that is told what to do ---

# does LINE: the guest does it with status 0.
does() {
    ask "$1"
    [ "$result" = 0 ] || { echo "the guest says $result: $answer"; return 1; }
}

# --- inside: sockets ---

# await NAME: until there is such a socket.
await() {
    local i
    for ((i = 0; i < 300; i++)); do
        [ ! -S "$1" ] || return 0
        sleep 0.1
    done
    return 1
}

# A guest's program serves, the host's calls.
host_calls() {
    ask "streams serve vsock:$1 $2 & sleep 1"
    "$streams" call "guest:$work/v:$1" "$2" "$3" || return 1
    does 'wait'
}

# The host's program serves, the guest's calls.
guest_calls() {
    local server
    "$streams" serve "unix:$work/v_$1" "$2" &
    server=$!
    await "$work/v_$1" && does "streams call vsock:$1 $2 $3" && wait $server
}

test_sockets() {
    check 'host_reaches_a_guests_port_with_1_mib_both_ways' host_calls 5000 1 1048576
    check 'guest_reaches_a_hosts_socket_with_1_mib_both_ways' guest_calls 6000 1 1048576
    check 'twenty_streams_of_the_host_at_a_time' host_calls 5001 20 50000
    check 'twenty_streams_of_the_guest_at_a_time' guest_calls 6001 20 50000
    ask 'streams call vsock:7777 1 10'
    if [ "$result" = 1 ] && [[ $answer == *reset* ]]; then pass 'guest_that_reaches_nobody_is_told'
    else fail 'guest_that_reaches_nobody_is_told' "status $result: $answer"; fi
    if "$streams" call "guest:$work/v:7777" 1 10 2> "$work/out"; then
        fail 'host_that_reaches_nobody_is_told' 'it reached somebody'
    else
        pass 'host_that_reaches_nobody_is_told'
    fi
}

# --- inside: a folder ---

test_share() {
    local sum
    check 'folder_is_mounted' does 'mkdir /mnt && mount -t virtiofs home /mnt'
    ask 'ls -1 /mnt; cat /mnt/greeting /mnt/sub/deep'
    is 'guest_sees_what_the_host_has' "$answer" $'greeting\nsub\nhello from the host\ndeep'
    check 'guest_writes' does 'mkdir /mnt/new && echo hello from the guest > /mnt/new/file && mv /mnt/new/file /mnt/new/name && sync'
    is 'host_sees_it' "$(cat "$work/share/new/name" 2>&1)" 'hello from the guest'
    ask 'dd if=/dev/urandom of=/mnt/big bs=64k count=32 2> /dev/null; md5sum < /mnt/big'
    sum=$(md5sum < "$work/share/big")
    is 'two_mib_arrive_as_they_were_written' "$answer" "$sum"
    is 'host_sees_them_whole' "$(stat -c %s "$work/share/big")" 2097152
    echo 'from the host, later' > "$work/share/later"
    ask 'cat /mnt/later'
    is 'guest_sees_what_the_host_adds' "$answer" 'from the host, later'
    ask 'rm /mnt/later /mnt/big; cat /mnt/nothing'
    if [ ! -e "$work/share/later" ] && [[ $answer == *'No such file'* ]]; then pass 'guest_removes_and_misses_files'
    else fail 'guest_removes_and_misses_files' "$answer"; fi
    # A link leads where it leads in the guest, not on the host.
    ln -s /tmp "$work/share/link"
    ask 'touch /tmp/of-the-guest; ls /mnt/link/of-the-guest; rm /mnt/link'
    is 'link_leads_to_the_guests_files' "$answer" /mnt/link/of-the-guest
    check 'read_only_folder_is_mounted' does 'mkdir /ro && mount -t virtiofs second /ro'
    ask 'cat /ro/greeting'
    is 'read_only_folder_is_read' "$answer" 'hello from the host'
    ask 'echo x > /ro/greeting || echo x > /ro/more || rm -f /ro/greeting || mkdir /ro/dir || chmod 777 /ro/greeting'
    if [ "$result" != 0 ] && [ "$(grep -c 'Read-only file system' <<< "$answer")" = 5 ]; then pass 'read_only_folder_refuses_all_changes'
    else fail 'read_only_folder_refuses_all_changes' "status $result: $answer"; fi
    is 'read_only_folder_is_as_it_was' "$(cat "$work/share/greeting")" 'hello from the host'
    check 'folder_is_mounted_again' does 'umount /mnt && mount -t virtiofs home /mnt && ls /mnt/new/name'
}

# servers: the processes of that name, the first one first.
servers() {
    local status
    for status in /proc/[0-9]*/status; do
        awk '$1 == "Name:" && $2 == "virtiofsd" { yes = 1 } $1 == "Pid:" && yes { print $2 }' "$status" 2> /dev/null
    done | sort -n
}

# The server of the first folder ends: that folder is lost, all else goes on.
test_death_of_virtiofsd() {
    ask 'exec 8> /mnt/open'
    kill -9 "$(servers | head -n 1)"
    ask 'echo x >&8; ls /mnt/new; cat /mnt/greeting'
    if [ "$result" != 0 ] && [[ $answer == *'/mnt/greeting'*'Input/output error'* ]]; then pass 'without_virtiofsd_the_guest_sees_io_errors'
    else fail 'without_virtiofsd_the_guest_sees_io_errors' "status $result: $answer"; fi
    ask 'cat /ro/greeting'
    is 'other_folder_goes_on' "$answer" 'hello from the host'
    is 'death_of_virtiofsd_is_told' "$(cat "$work/err")" \
        "hostvm: --share: virtiofsd has ended (signal 9): the guest's accesses to 'home' fail from now on"
    : > "$work/err"
}

# One in a program, one in the kernel, and one that is in both by turns.
test_end_of_busy_processors() {
    local busy='taskset 1 sh -c "while :; do :; done" & taskset 2 dd if=/dev/zero of=/dev/null bs=16M &'
    busy+=' taskset 4 sh -c "while :; do read x < /proc/uptime; done" &'
    # Of the running ones that the kernel counts, one asks.
    ask "$busy until [ \$(cut -d' ' -f4 /proc/loadavg | cut -d/ -f1) -ge 4 ]; do sleep 0.1; done; nproc"
    is 'three_processors_are_there_to_be_busy' "$answer" 3
    kill -TERM $pid
    end_commanded ' '
    is 'SIGTERM_ends_a_guest_whose_processors_are_all_busy' "$status $(tr -d "\0" < "$work/err")" '143 hostvm: ended by signal 15 (Terminated)'
}

inside() {
    local shares=()
    mkdir -p "$work/share/sub"
    echo 'hello from the host' > "$work/share/greeting"
    echo deep > "$work/share/sub/deep"
    if [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ]; then
        shares=(--share "$work/share,tag=home" --share "$work/share,tag=second,ro")
    fi
    if start_commanded --cpus 3 --mem 256M --vsock "$work/v,cid=9" "${shares[@]}"; then
        test_sockets
        if [ ${#shares[@]} -gt 0 ]; then
            test_share
            test_death_of_virtiofsd
        else
            skip 'share' 'virtiofsd is not installed'
        fi
        test_end_of_busy_processors
        check 'name_of_the_socket_is_gone_at_the_end' [ ! -e "$work/v" ]
        is 'no_virtiofsd_is_left_at_the_end' "$(servers)" ''
    else
        kill -9 $pid
        fail 'guest_with_sockets_comes_up' "it said '$answer'"
    fi
}

halves "$@"
