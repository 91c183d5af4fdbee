#!/bin/bash
# Here live the tests of sockets between guest and host, and of a folder that both have, with Debian's stock kernel in the box.
#
# HOSTVM=FILE tests that build instead of build/hostvm. One line per check; exit 1 on a failure.
# The same script runs outside, where it makes what the guest needs, and inside the box (--inside), where it tests.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
hostvm=$PWD/build/hostvm
[ -z "${HOSTVM:-}" ] || hostvm=$(cd "$(dirname "$HOSTVM")" && pwd)/${HOSTVM##*/}
streams=$PWD/build/guests/streams
limit=150
failures=0

pass() {
    echo "ok - $1"
}

# fail NAME TEXT: with the end of what the guest printed, and the first errors.
fail() {
    echo "not ok - $1"
    printf '%s\n' "$2" | sed 's/^/# /'
    { tail -n 8 "$work/screen"; head -n 14 "$work/err"; } 2> /dev/null | tr -d "\r" | sed "s/^/#   /"
    failures=$((failures + 1))
}

skip() {
    echo "skipped - $1: $2"
}

# check NAME COMMAND...: passes when the command does.
check() {
    local name=$1
    shift
    if "$@" > "$work/out" 2>&1; then pass "$name"
    else fail "$name" "$* failed: $(cat "$work/out")"; fi
}

# --- outside ---

readonly modules='virtio_ring virtio virtio_mmio vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport fuse virtiofs'

# An initramfs whose init does what the serial line tells it: a command per line, each answered with its output and a
# line "=STATUS".
make_commanded() {
    local dir=$1 module
    mkdir -p "$work/root"/{bin,dev,proc,sys,tmp,mnt,ro,lib}
    cp "$(command -v busybox)" "$work/root/bin/busybox"
    cp "$streams" "$work/root/bin/streams"
    for module in $modules; do
        cp "$dir/$module.ko" "$work/root/lib/" || exit 1
    done
    strip --strip-unneeded -R .BTF "$work/root/lib/"*.ko
    cat > "$work/root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
for module in $modules; do insmod /lib/\$module.ko; done
echo "=ready"
while read -r line; do
    eval "\$line"
    echo "=\$?"
done
INIT
    chmod +x "$work/root/init"
    (cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) > "$work/commanded"
}

outside() {
    local kernel status=0 virtiofsd=() file
    work=$(mktemp -d "${TMPDIR:-/tmp}/test_sockets.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ "$(uname -m)" != x86_64 ]; then
        skip 'sockets_share' "these tests are for x86_64, this is $(uname -m)"
        exit 0
    fi
    if ! command -v busybox > /dev/null; then
        skip 'sockets_share' 'busybox-static is not installed'
        exit 0
    fi
    kernel=$(scripts/box --kernel-path 2> "$work/err") || status=$?
    if [ $status -ne 0 ]; then
        skip 'sockets_share' "$(head -n 1 "$work/err")"
        exit 0
    fi
    kernel_with=(--with "$kernel:/vmlinuz")
    [ ! -f "${kernel%/*}/vmlinux" ] || kernel_with=(--with "${kernel%/*}/vmlinux:/vmlinuz")
    make_commanded "${kernel%/*}/modules"
    for file in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do
        [ ! -x $file ] || virtiofsd=(--with "$file")
    done
    # QEMU's TCG may deliver an interrupt of a nested guest twice. One more try, and it is told.
    attempt > "$work/first" || status=$?
    if [ $status -ne 0 ]; then
        sed 's/^/# first try, failed: /' "$work/first"
        status=0
        attempt > "$work/first" || status=$?
    fi
    cat "$work/first"
    if [ $status -gt 1 ]; then
        fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
    fi
    exit $((status != 0))
}

attempt() {
    scripts/box --icount --mem 2048 --timeout 380 --with "$hostvm" --with "$streams" "${kernel_with[@]}" "${virtiofsd[@]}" \
        --with "$work/commanded:/commanded" -- "$PWD/tests/linux/test_sockets_share.sh" --inside "$hostvm" "$streams"
}

# --- inside: the guest that is told what to do ---

# say LINE...: to the guest.
say() {
    printf "%s\n" "$@" >&6 2> /dev/null
}

# hear: until the guest's next line "=STATUS"; leaves $answer, the lines before it, and $result.
hear() {
    local line
    answer=
    while IFS= read -r -t $limit -u 7 line; do
        line=${line%$'\r'}
        echo "$line" >> "$work/screen"
        if [[ $line == =* ]]; then
            result=${line#=}
            return 0
        fi
        answer+=$line$'\n'
    done
    result=none
    return 1
}

# ask LINE: leaves the guest's $answer, and its status in $result.
ask() {
    say "$1"
    hear
}

# does LINE: the guest does it with status 0.
does() {
    ask "$1"
    [ "$result" = 0 ] || { echo "the guest says $result: $answer"; return 1; }
}

start_guest() {
    mkfifo "$work/keys" "$work/lines"
    "$hostvm" run --kernel /vmlinuz --initrd /commanded --append 'console=ttyS0 quiet' --mem 256M "$@" \
        < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
    hear && [ "$result" = ready ]
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

# is NAME EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then pass "$1"
    else fail "$1" "it is '$3', not '$2'"; fi
}

test_share() {
    local sum
    check 'folder_is_mounted' does 'mount -t virtiofs home /mnt'
    ask 'ls -1 /mnt; cat /mnt/greeting /mnt/sub/deep'
    is 'guest_sees_what_the_host_has' $'greeting\nsub\nhello from the host\ndeep\n' "$answer"
    check 'guest_writes' does 'mkdir /mnt/new && echo hello from the guest > /mnt/new/file && mv /mnt/new/file /mnt/new/name && sync'
    is 'host_sees_it' 'hello from the guest' "$(cat "$work/share/new/name" 2>&1)"
    ask 'dd if=/dev/urandom of=/mnt/big bs=64k count=32 2> /dev/null; md5sum < /mnt/big'
    sum=$(md5sum < "$work/share/big")
    is 'two_mib_arrive_as_they_were_written' "$sum" "${answer%$'\n'}"
    is 'host_sees_them_whole' 2097152 "$(stat -c %s "$work/share/big")"
    echo 'from the host, later' > "$work/share/later"
    ask 'cat /mnt/later'
    is 'guest_sees_what_the_host_adds' $'from the host, later\n' "$answer"
    ask 'rm /mnt/later /mnt/big; cat /mnt/nothing'
    if [ ! -e "$work/share/later" ] && [[ $answer == *'No such file'* ]]; then pass 'guest_removes_and_misses_files'
    else fail 'guest_removes_and_misses_files' "$answer"; fi
    # A link leads where it leads in the guest, not on the host.
    ln -s /tmp "$work/share/link"
    ask 'touch /tmp/of-the-guest; ls /mnt/link/of-the-guest; rm /mnt/link'
    is 'link_leads_to_the_guests_files' $'/mnt/link/of-the-guest\n' "$answer"
    check 'read_only_folder_is_mounted' does 'mount -t virtiofs second /ro'
    ask 'cat /ro/greeting'
    is 'read_only_folder_is_read' $'hello from the host\n' "$answer"
    ask 'echo x > /ro/greeting || echo x > /ro/more || rm -f /ro/greeting || mkdir /ro/dir || chmod 777 /ro/greeting'
    if [ "$result" != 0 ] && [ "$(grep -c 'Read-only file system' <<< "$answer")" = 5 ]; then pass 'read_only_folder_refuses_all_changes'
    else fail 'read_only_folder_refuses_all_changes' "status $result: $answer"; fi
    is 'read_only_folder_is_as_it_was' 'hello from the host' "$(cat "$work/share/greeting")"
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
    is 'other_folder_goes_on' $'hello from the host\n' "$answer"
    is 'death_of_virtiofsd_is_told' \
        "hostvm: --share: virtiofsd has ended (signal 9): the guest's accesses to 'home' fail from now on" "$(cat "$work/err")"
    : > "$work/err"
}

# ends NAME LINE: the guest's last one; it closes its output, or it is late.
ends() {
    local status=0 line
    say "$2"
    while IFS= read -r -t $limit -u 7 line; do
        echo "$line" >> "$work/screen"
    done
    kill -9 $pid 2> /dev/null   # where it has not ended by then
    wait $pid || status=$?
    exec 6>&- 7<&-
    if [ $status -ne 0 ]; then
        fail "$1" "status $status, not 0"
    elif [ -s "$work/err" ]; then
        fail "$1" 'there should be no errors'
    else
        pass "$1"
    fi
}

inside() {
    local shares=()
    trap '' PIPE    # a guest that is gone shows in what it does not answer
    work=/tmp/test_sockets
    mkdir -p $work
    mkdir -p "$work/share/sub"
    echo 'hello from the host' > "$work/share/greeting"
    echo deep > "$work/share/sub/deep"
    if [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ]; then
        shares=(--share "$work/share,tag=home" --share "$work/share,tag=second,ro")
    fi
    if start_guest --vsock "$work/v,cid=9" "${shares[@]}"; then
        test_sockets
        if [ ${#shares[@]} -gt 0 ]; then
            test_share
            test_death_of_virtiofsd
        else
            skip 'share' 'virtiofsd is not installed'
        fi
        ends 'reboot_is_0' 'reboot -f'
        check 'name_of_the_socket_is_gone_at_the_end' [ ! -e "$work/v" ]
        is 'no_virtiofsd_is_left_at_the_end' '' "$(servers)"
    else
        kill -9 $pid
        fail 'guest_with_sockets_comes_up' "it said '$answer'"
    fi
    exit $((failures != 0))
}

if [ "${1:-}" = --inside ]; then
    hostvm=$2
    streams=$3
    inside
else
    outside
fi
