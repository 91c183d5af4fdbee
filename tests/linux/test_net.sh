#!/bin/bash
# Here live the tests of --net with Debian's stock kernel, run in the box: a user network, a tap.
#
# HOSTVM=FILE tests that build instead of build/hostvm, with hostvm-net-user beside it. One line per check; exit 1 on a
# failure. The same script runs outside, where it makes what the guests need, and inside the box (--inside), where it tests.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
hostvm=$(realpath "${HOSTVM:-build/hostvm}")
limit=240
failures=0
. tests/linux/commanded.sh

# --- outside ---

guest_modules='virtio_ring virtio virtio_mmio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net'

# What udhcpc calls when it has an address (busybox's udhcpc has no default).
make_dhcp() {
    cat > "$work/dhcp" <<'DHCP'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
echo "nameserver $dns" > /etc/resolv.conf
echo "$ip/$mask via $router, names from $dns"
DHCP
    chmod +x "$work/dhcp"
}

outside() {
    local kernel status=0
    work=$(mktemp -d "${TMPDIR:-/tmp}/test_net.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    [ "$(uname -m)" = x86_64 ] || { skip 'net' "these tests are for x86_64, this is $(uname -m)"; exit 0; }
    command -v busybox > /dev/null || { skip 'net' 'busybox-static is not installed'; exit 0; }
    kernel=$(scripts/box --kernel-path 2> "$work/err") || { skip 'net' "$(head -n 1 "$work/err")"; exit 0; }
    with=()
    [ ! -x "${hostvm%/*}/hostvm-net-user" ] || with=(--with "${hostvm%/*}/hostvm-net-user")
    gcc -O2 -Wall -static -o "$work/net_peer" tests/linux/net_peer.c || exit 1
    make_dhcp
    make_commanded "${kernel%/*}/modules" "$work/dhcp" "$work/net_peer" > "$work/commanded" || exit 1
    # QEMU's TCG may deliver an interrupt of a nested guest twice. One more try, and it is told.
    attempt > "$work/first" || status=$?
    if [ $status -ne 0 ]; then
        sed 's/^/# first try, failed: /' "$work/first"
        status=0
        attempt > "$work/first" || status=$?
    fi
    cat "$work/first"
    [ $status -le 1 ] || fail 'the_box_comes_to_its_end' "scripts/box ended with status $status"
    exit $((status != 0))
}

attempt() {
    scripts/box --icount --mem 1536 --timeout 390 --with "$hostvm" "${with[@]}" --with "$kernel:/vmlinuz" \
        --with "$work/commanded:/commanded" --with "$work/net_peer:/net_peer" \
        --with "$PWD/tests/linux/commanded.sh" -- "$PWD/tests/linux/test_net.sh" --inside "$hostvm"
}

# --- inside: what both kinds of network have to do ---

# listens PORT: until somebody does, on this side.
listens() {
    local i pattern
    pattern=$(printf ':%04X 0*:0000 0A' "$1")
    for ((i = 0; i < 500; i++)); do
        ! grep -q "$pattern" /proc/net/tcp /proc/net/tcp6 || return 0
        usleep 10000
    done
}

# The guest connects to this side, which it knows as 10.0.2.2.
carries_from_a_guest_that_connects() {
    local sum
    sum=$(md5sum < "$work/data")
    nc -l -p 5001 <&8 > "$work/received" &
    listens 5001
    ask "nc 10.0.2.2 5001 < /tmp/data"
    [ "$result" = 0 ] || kill $!
    wait $!
    is 'user_network_carries_bytes_out_of_the_guest' "$(md5sum < "$work/received")" "$sum"
    nc -l -p 5002 < "$work/data" &
    listens 5002
    ask "nc 10.0.2.2 5002 < /tmp/quiet > /tmp/received && md5sum < /tmp/received"
    [ "$result" = 0 ] || kill $!
    wait $!
    is 'user_network_carries_bytes_into_the_guest' "$answer" "$sum"
}

# By sendfile(2): as large as the sender's network takes it.
carries_files() {
    local sum
    sum=$(md5sum < "$work/data")
    ask "httpd -p 80 -h /tmp"
    wget -q -O "$work/received" http://10.1.0.2/data
    is 'tap_carries_bytes_out_of_the_guest' "$(md5sum < "$work/received")" "$sum"
    httpd -p 80 -h "$work"
    ask "wget -q -O /tmp/received http://10.1.0.1/data && md5sum < /tmp/received"
    is 'tap_carries_bytes_into_the_guest' "$answer" "$sum"
}

# The guest and this side have the same bytes, and a pipe that nobody writes to: for nc an end of its input is the end.
make_data() {
    ask "mkfifo /tmp/quiet; sleep 100000 > /tmp/quiet & seq 1 $1 > /tmp/data"
    seq 1 "$1" > "$work/data"
}

# refuses NAME LINE OPTION...
refuses() {
    local name=$1 line=$2 status=0
    shift 2
    "$hostvm" run --kernel /vmlinuz "$@" > /dev/null 2> "$work/err" < /dev/null || status=$?
    is "$name" "$status $(cat "$work/err")" "71 $line"
}

# gone PID: when there is no such process any more, nor its remains.
gone() {
    local i
    for ((i = 0; i < 500; i++)); do
        [ -e "/proc/$1" ] || return 0
        usleep 10000
    done
    return 1
}

# down: when the guest has seen that the link is down.
down() {
    ask 'i=0; while [ $i -lt 500 ] && [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do i=$((i+1)); usleep 10000; done'
    ask 'cat /sys/class/net/eth0/carrier'
    is "$1" "$answer" 0
}

# --- inside: user networks ---

program_of() {
    cat /proc/$pid/task/*/children | tr -d ' '
}

test_user() {
    local program i
    echo 'nameserver 127.0.0.1' > /etc/resolv.conf
    /net_peer names &
    dns=$!
    nc -l -p 5555 <&8 > /dev/null &
    busy=$!
    refuses 'user_network_names_a_port_in_use' \
        'hostvm: cannot forward tcp port 5555 of 0.0.0.0: Address already in use' --net user,hostfwd=tcp::5555-:22
    kill $busy
    start_commanded --net 'user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::2223-10.0.2.15:23' || {
        fail 'guest_with_a_user_network_comes_up' "it said '$answer'"
        return
    }
    program=$(program_of)
    ask 'ip link set eth0 up && udhcpc -i eth0 -q -n -s /bin/dhcp 2> /dev/null | tail -n 1'
    is 'user_network_gives_an_address' "$answer" '10.0.2.15/24 via 10.0.2.2, names from 10.0.2.3'
    ask 'ping -c 3 10.0.2.2 | grep -c "bytes from"'
    is 'user_network_answers_pings' "$answer" 3
    ask "nslookup host.example 2> /dev/null | sed -n 's/^Address: //p' | tail -n 1"
    is 'user_network_resolves_names' "$answer" 192.0.2.7
    ask 'i=0; until ip -6 addr | grep fec0: | grep -qv tentative; do i=$((i+1)); [ $i -lt 1000 ] || break; usleep 10000; done'
    ask 'ping6 -c 3 fec0::2 | grep -c "bytes from"'
    is 'user_network_has_ipv6' "$answer" 3
    make_data 40000
    carries_from_a_guest_that_connects
    say 'nc -l -p 22 < /tmp/quiet | md5sum'
    for ((i = 0; i < 200; i++)); do
        ! nc 127.0.0.1 2222 < "$work/data" || break
        usleep 10000
    done
    hear
    is 'user_network_forwards_tcp_to_the_guest' "$answer" "$(md5sum < "$work/data")"
    ask 'net_peer datagram 23 > /tmp/datagram & until grep -q ":0017 " /proc/net/udp; do usleep 10000; done'
    echo datagram > /dev/udp/127.0.0.1/2223
    ask 'i=0; until [ -s /tmp/datagram ] || [ $i -ge 500 ]; do i=$((i+1)); usleep 10000; done; cat /tmp/datagram'
    is 'user_network_forwards_udp_to_the_guest' "$answer" datagram
    kill -9 "$program"
    down 'link_is_down_when_the_program_of_a_user_network_has_ended'
    is 'end_of_that_program_is_told' "$(cat "$work/err")" \
        'hostvm: hostvm-net-user was ended by signal 9 (Killed): the guest'"'"'s link is down'
    is 'that_program_leaves_nothing_behind' "$(program_of)" ''
    end_commanded
    is 'guest_goes_on_without_its_network' $status 0
    kill $dns
}

test_end_of_user() {
    local program
    "$hostvm" run --kernel /vmlinuz --net user > /dev/null 2>&1 < /dev/null &
    pid=$!
    until program=$(program_of) && [ -n "$program" ]; do usleep 10000; done
    kill -9 $pid
    wait $pid 2> /dev/null
    if gone "$program"; then pass 'program_of_a_user_network_ends_with_hostvm'
    else fail 'program_of_a_user_network_ends_with_hostvm' "it is there: $(head -n 3 /proc/"$program"/status)"; fi
}

# --- inside: taps ---

statistic() {
    cat /sys/class/net/tap0/statistics/"$1"
}

# large NAME PACKETS BYTES: whether the frames since then were larger than those on a wire.
large() {
    local size=$((($(statistic "$3_bytes") - $5) / ($(statistic "$3_packets") - $4)))
    echo "# $size bytes in a frame $2 the guest"
    if [ $size -gt 3000 ]; then pass "$1"
    else fail "$1" "they have $size bytes"; fi
}

test_tap() {
    local bits cpu rx_packets rx_bytes tx_packets tx_bytes
    insmod /lib/modules/tun.ko
    mkdir -p /dev/net
    [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
    refuses 'missing_tap_is_named' \
        "hostvm: there is no tap 'tap7'; ip tuntap add tap7 mode tap would make one" --net tap=tap7
    refuses 'interface_that_is_no_tap_is_named' "hostvm: 'lo' is not a tap" --net tap=lo
    /net_peer tap single
    refuses 'tap_with_too_few_queues_is_named' "hostvm: the tap 'single' has not that many queues; ip tuntap add single mode \
tap multi_queue makes one with several" --net tap=single,queues=2
    /net_peer tap tap0 multi_queue
    ip addr add 10.1.0.1/24 dev tap0
    ip link set tap0 mtu 1400 up
    start_commanded --cpus 2 --virtio pci --net tap=tap0,queues=2,mac=52:54:00:12:34:56 || {
        fail 'guest_with_a_tap_comes_up' "it said '$answer'"
        return
    }
    ask 'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ls -d /sys/class/net/eth0/queues/*x-? | wc -l'
    is 'guest_sees_address_mtu_and_queues_of_the_tap' "${answer//$'\n'/ }" '52:54:00:12:34:56 1400 4'
    ask 'cat /sys/class/net/eth0/device/features'
    for bit in 0 1 3 5 7 8 11 12 15 16 17 18 22 23; do bits+=${answer:$bit:1}; done
    is 'guest_gets_offloads_and_queues' "$bits" 11111111111111
    ask 'ip addr add 10.1.0.2/24 dev eth0 && ip link set eth0 up'
    for cpu in 1 2; do
        ask "taskset $cpu ping -c 3 10.1.0.1 | grep -c 'bytes from'"
        is "tap_serves_the_queues_of_processor_$cpu" "$answer" 3
    done
    ping -c 3 -s 8000 10.1.0.2 | grep -c 'bytes from' > "$work/count"
    is 'tap_carries_fragments_to_the_guest_and_back' "$(cat "$work/count")" 3
    make_data 600000
    rx_packets=$(statistic rx_packets) rx_bytes=$(statistic rx_bytes)
    tx_packets=$(statistic tx_packets) tx_bytes=$(statistic tx_bytes)
    carries_files
    large 'guest_leaves_cutting_to_the_host' from rx "$rx_packets" "$rx_bytes"
    large 'guest_takes_frames_that_are_not_cut' to tx "$tx_packets" "$tx_bytes"
    ask 'ip link set eth0 promisc on && ip link set eth0 allmulticast on && ip link set eth0 down'
    ask 'ip link set eth0 address 52:54:00:12:34:57 && ip link set eth0 up && dmesg | grep -c "Failed to set"'
    is 'commands_are_acknowledged' "$answer" 0
    ask "ping -c 3 10.1.0.1 | grep -c 'bytes from'"
    is 'guest_is_reached_by_another_address' "$answer" 3
    ip link del tap0
    down 'link_is_down_when_the_tap_has_vanished'
    is 'vanished_tap_is_told' "$(cat "$work/err")" "hostvm: the tap 'tap0' is gone: the guest's link is down"
    end_commanded
    is 'guest_goes_on_without_its_tap' $status 0
}

inside() {
    trap '' PIPE    # a guest that is gone shows in what it does not answer
    work=/tmp/test_net
    mkdir -p $work /etc
    mkfifo $work/quiet
    exec 8<> $work/quiet
    if [ -x "${hostvm%/*}/hostvm-net-user" ]; then
        test_user
        test_end_of_user
    else
        skip 'user networks' 'hostvm-net-user was not built, for there is no libslirp-dev'
    fi
    test_tap
    exit $((failures != 0))
}

if [ "${1:-}" = --inside ]; then
    hostvm=$2
    inside
else
    outside
fi
