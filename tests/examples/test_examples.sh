#!/bin/bash
# Runs the examples: each checks itself, and prints what it promises here.
#
# EXAMPLES=DIR runs those of that build instead of the plain one's. One line per check; exit 1 on a failure. It also runs
# as a script for busybox, in a box.
set -u
cd "$(dirname "$0")/../.." || exit 1
arch=$(uname -m | sed s/aarch64/arm64/)
dir=${EXAMPLES:-build/$arch-plain/tests/examples}
work=$(mktemp -d "${TMPDIR:-/tmp}/test_examples.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# say NAME STATUS [FILE]: FILE says more where STATUS is not 0.
say() {
    if [ "$2" -eq 0 ]; then
        echo "ok - $1"
        return
    fi
    echo "not ok - $1"
    [ -z "${3-}" ] || sed 's/^/# /' "$3"
    failures=$((failures + 1))
}

# What an example prints on standard output.
promise_of() {
    case $1 in
    embed | embed_cpp) echo 'the guest read 84' ;;
    event_loop) echo 'the guest has seen 3 ticks' ;;
    virtio_device) echo 'A DEVICE IN A PAGE' ;;
    sel4_devices) echo '6 * 7 is 42, after 1 acknowledged interrupt' ;;
    sel4_shared_page) echo 'the reader was refused 0xbad and reads 0x600d, as we do: 0x600d' ;;
    esac
}

# run NAME PROGRAM
run() {
    local name=$1 status=0
    timeout -k 5 60 "$2" > "$work/out" 2> "$work/err" < /dev/null || status=$?
    [ $status -ne 0 ] || [ "$(cat "$work/out")" = "$(promise_of "$name")" ] || status=1
    cat "$work/out" >> "$work/err"
    say "$name keeps its promise" $status "$work/err"
}

# seL4 code is what would compile on seL4: all of hostvm stands in main() and the includes above it; none in its guests.
for source in tests/examples/sel4_*.c; do
    sed '/^\/\* --- .*hostvm/,$d' "$source" > "$work/sel4"
    grep -n 'hostvm' "$work/sel4" > "$work/err"
    [ $? -eq 1 ] && grep -q '^static int run_vmm(' "$work/sel4" && ! grep -q '^int main' "$work/sel4"
    say "$(basename "$source") knows seL4 alone, but for main()" $? "$work/err"
done
grep -n 'hostvm' tests/examples/load.h tests/examples/*/guest.h tests/examples/sel4_*.h tests/examples/*/sel4_*.h > "$work/err"
[ $? -eq 1 ]
say 'and so do their guests' $? "$work/err"

lines=$(sed -n '/^#include/,$p' tests/examples/embed.c | grep -c '')
[ "$lines" -le 60 ]
say "embed.c is an embedding in 60 lines ($lines)" $?

if ! "$dir/../../hostvm" check > "$work/check" 2>&1; then
    echo "skipped - running the examples: $(head -n 1 "$work/check")"
    exit $((failures > 0))
fi
for source in tests/examples/*.c tests/examples/*.cpp; do
    name=$(basename "$source" | sed 's/\.cpp$/_cpp/; s/\.c$//')
    program=$dir/$name
    # Where the README's is for another architecture, ours has one of its own.
    [ ! -e "tests/examples/$arch/$name.c" ] || program=$dir/$arch/$name
    run "$name" "$program"
done
exit $((failures > 0))
