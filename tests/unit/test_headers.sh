#!/bin/sh
# Every public header compiles alone, as C and as C++, without a warning, and shows nothing private.
# CC and CXX name the compilers; clang and the arm64 cross compiler are asked where installed.
# Prints a line per language, and one per header where a header fails; ends with 1 if one did.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
number=0
failed=0

say() { # VERDICT TEXT
    number=$((number + 1))
    echo "$1 $number - $2"
}

# One translation unit per header: the header, and a declaration because a header may have none;
# and one with all of them.
write_units() {
    cd "$root/include" || exit 1
    find . -name '*.h' | sed 's,^\./,,' | LC_ALL=C sort > "$work/headers"
    mkdir "$work/units"
    while read -r header; do
        unit=$work/units/$(echo "$header" | tr / _).c
        printf '#include <%s>\ntypedef int unit;\n' "$header" > "$unit"
        echo "$header $unit" >> "$work/list"
    done < "$work/headers"
}

compile() { # COMPILER FLAG... UNIT...
    "$@" -fsyntax-only -Wall -Wextra -Werror -I "$root/include" 2>> "$work/messages"
}

# All units at once is quick; only when that fails does each go alone, to find the guilty.
check_compiler() { # NAME COMPILER FLAG...
    name=$1
    shift
    : > "$work/messages"
    sed 's/.*/#include <&>/' "$work/headers" > "$work/together.c"
    # the names hold no blanks: mktemp and the tree see to that
    # shellcheck disable=SC2046
    if compile "$@" $(cut -d ' ' -f 2 "$work/list") "$work/together.c"; then
        say ok "$(wc -l < "$work/headers") headers, $name"
        return
    fi
    { cat "$work/list"; echo "all-of-them $work/together.c"; } > "$work/list.and.together"
    while read -r header unit; do
        : > "$work/messages"
        if compile "$@" "$unit"; then
            say ok "$header, $name"
        else
            say 'not ok' "$header, $name"
            sed 's/^/# /' "$work/messages"
            failed=1
        fi
    done < "$work/list.and.together"
}

# What a header includes ends up in client programs: neither KVM's interface nor lib/ may.
check_privacy() { # COMPILER
    verdict=ok
    while read -r header unit; do
        private=$("$1" -std=c11 -M -I "$root/include" "$unit" 2> "$work/messages" |
            grep -oE "[^ ]*(linux/kvm\.h|/pthread\.h|$root/(lib|vmm|tests)/[^ ]*)")
        if [ -n "$private" ]; then
            verdict='not ok'
            failed=1
            echo "$private" | sed "s,^,# $header includes ,"
        fi
    done < "$work/list"
    say "$verdict" 'no header includes <linux/kvm.h>, <pthread.h> or a private header'
}

check_if_installed() { # NAME COMPILER FLAG...
    if command -v "$2" > /dev/null; then
        check_compiler "$@"
    else
        say ok "$1 # SKIP no $2 here"
    fi
}

write_units
check_compiler 'C11' "${CC:-cc}" -std=c11 -Wpedantic
# what client code is compiled with; clang then warns of a typedef that two headers repeat
check_compiler 'gnu99' "${CC:-cc}" -std=gnu99
check_if_installed 'gnu99 with clang' clang -std=gnu99
check_if_installed 'C++17' "${CXX:-c++}" -x c++ -std=c++17 -Wpedantic
check_if_installed 'C11 with clang' clang -std=c11 -Wpedantic
check_privacy "${CC:-cc}"
check_if_installed 'C11 for arm64' aarch64-linux-gnu-gcc -std=c11 -Wpedantic
check_if_installed 'C++17 for arm64' aarch64-linux-gnu-g++ -x c++ -std=c++17 -Wpedantic
echo "1..$number"
exit $failed
