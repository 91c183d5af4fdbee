#!/bin/bash
# Here lives what is left of the search for what a hostile guest can do: inputs that were kept, run by programs without libFuzzer.
#
# FUZZ=DIR tests the programs in DIR instead of those with sanitizers. One line per device; exit 1 on a failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
programs=${FUZZ:-build/$(uname -m | sed s/aarch64/arm64/)-address-undefined/tests/fuzz}
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failures=0

for corpus in tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    if "$programs/$name" "$corpus" > "$log" 2>&1; then
        echo "ok - $name: $(sed -n 's/^ok - //p' "$log")"
    else
        echo "not ok - $name"
        grep -aE 'ERROR|SUMMARY|runtime error|it is not so|^    #[0-9]+ |the input was' "$log" | head -n 25 | sed 's/^/# /'
        failures=$((failures + 1))
    fi
done
exit $((failures > 0))
