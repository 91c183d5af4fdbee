#!/bin/bash
# Here live the tests of the hostvm command with a guest that does to its virtio devices whatever it can (guests/virtio_hostile.c).
#
# HOSTVM=FILE tests that build instead of build/hostvm. On this machine's KVM. One line per check; exit 1 on a failure.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
. tests/linux/frame.sh
. tests/linux/hostile.sh
hostvm=$(realpath -s "${HOSTVM:-build/hostvm}")
guest=$PWD/build/guests/virtio_hostile
work=$(mktemp -d "${TMPDIR:-/tmp}/test_hostile.XXXXXX")
limit=120                   # seconds
most_memory=$((64 << 10))   # KiB, with what the guest has touched of its RAM
pid=

clean_up() {
    exec 8>&-
    [ -z "$pid" ] || kill -9 "$pid" 2> /dev/null
    rm -rf "$work"
}
trap clean_up EXIT
mkfifo "$work/never"
exec 8<> "$work/never"

evidence() {
    grep -a FAIL "$work/out"
    tail -n 5 "$work/err"
}

# result NAME PROBLEM: empty, there is none.
result() {
    if [ -z "$2" ]; then pass "$1"
    else fail "$1" "$2"; fi
}

# run COMMAND...: leaves $status, and in $memory the most that the process held, as it was looked at last.
run() {
    local end=$((SECONDS + limit)) seen
    memory=0
    "$@" > "$work/out" 2> "$work/err" < /dev/null &
    pid=$!
    while seen=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$pid/status" 2> /dev/null) && [ -n "$seen" ]; do
        memory=$seen
        [ $SECONDS -lt $end ] || { kill -9 $pid; break; }
        read -r -t 0.05 -u 8
    done
    status=0
    wait $pid 2> /dev/null || status=$?
    pid=
}

# survives NAME DEVICES WORDS OPTION...: the guest runs to its end, and the command with it.
survives() {
    local name=$1 devices=$2 words=$3
    shift 3
    make_hostile_disk "$work/disk" "$work/expected"
    run "$hostvm" run --debug-exit --append "devices=$devices $words" "$@" "$guest"
    result "${name}_ends_with_all_checks_passed" "$(
        [ $status -eq 1 ] || echo "status $status: check $((status >> 1)), if it is odd")"
    result "${name}_takes_no_more_memory" "$([ "$memory" -le $most_memory ] && [ "$memory" -gt 0 ] || echo "$memory KiB")"
    result "${name}_leads_nobody_out_of_its_memory" "$(grep -a 'Bad address' "$work/err")"
    if [[ " $* " == *" --disk "* ]]; then
        result "${name}_leaves_the_disk_as_it_should_be" "$(cmp "$work/disk" "$work/expected" 2>&1)"
    fi
    if [ -d "$work/dir" ]; then
        result "${name}_leaves_the_folder_alone" "$(find "$work/dir" -mindepth 1 ! -path "$work/dir/file")$(
            grep -Lx text "$work/dir/file")"
    fi
}

[ -c /dev/kvm ] && [ -r /dev/kvm ] || { echo "skipped - hostile guests: no /dev/kvm here"; exit 0; }

survives 'guest_hostile_to_a_disk' 1 '' --disk "$work/disk"

devices=5
options=(--disk "$work/disk" --vsock "$work/socket" --console virtio --balloon 0 --rng)
if [ -x "$(dirname "$hostvm")/hostvm-net-user" ]; then
    options+=(--net user)
    devices=$((devices + 1))
else
    echo "skipped - hostile guests with --net user: there is no hostvm-net-user"
fi
if [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ] || command -v virtiofsd > /dev/null; then
    mkdir "$work/dir"
    echo text > "$work/dir/file"
    options+=(--share "$work/dir")
    devices=$((devices + 1))
else
    skip 'hostile guests with --share' 'there is no virtiofsd'
fi
survives 'guest_hostile_to_all_devices' $devices second --cpus 2 "${options[@]}"
survives 'guest_hostile_to_all_devices_on_pci' $devices 'pci second' --cpus 2 --virtio pci "${options[@]}"
exit $((failures > 0))
