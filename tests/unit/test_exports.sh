#!/bin/bash
# scripts/check-exports sees what it looks for: a library with one flaw more is refused for that flaw.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
plain=build/$(uname -m)-plain
work=$(mktemp -d "${TMPDIR:-/tmp}/test_exports.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# A copy of the library to be spoilt.
copy() {
    rm -rf "$work/lib"
    mkdir "$work/lib"
    cp "$plain"/libhostvm.{a,map} "$work/lib" && cp -L "$plain/libhostvm.so" "$work/lib"
}

# add DECLARATIONS: a file more in the library; what nobody uses is kept.
add() {
    printf '%s\n' "$1" > "$work/flaw.c"
    ${CC:-cc} -fPIC -fdata-sections ${2-} -c -o "$work/flaw.o" "$work/flaw.c" && ar r "$work/lib/libhostvm.a" "$work/flaw.o"
}

# expect NAME STATUS LINE: the check ends so and its output has the line.
expect() {
    local status=0
    scripts/check-exports "$work/lib" > "$work/out" 2>&1 || status=$?
    if [ $status -eq "$2" ] && grep -qxF -- "$3" "$work/out"; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        echo "# status $status; no line '$3' in:"
        sed 's/^/#   /' "$work/out"
        failures=$((failures + 1))
    fi
}

# refuse NAME DECLARATION SYMBOL SECTION [FLAG]
refuse() {
    copy && add "$2" ${5+"$5"} && expect "$1" 1 "    $3 $4"
}

copy
expect 'the library as it is passes' 0 'ok - the library has no writable globals'
refuse 'a global is seen' 'int counter = 1;' counter .data.counter
refuse 'one that is zero at first is seen' 'int counter;' counter .bss.counter
refuse 'a file-local one is seen' 'static int counter; int *use(void) { return &counter; }' counter .bss.counter
refuse 'one of a function is seen' 'int *use(void) { static int counter = 1; return &counter; }' counter.0 .data.counter.0
refuse 'a table of pointers that is not const is seen' 'extern int other; int *table[] = {&other};' table .data.rel.table
refuse 'one in a common block is seen' 'int counter;' counter '*COM*' -fcommon
copy
add '#include <stddef.h>
extern int other; int *const table[] = {&other}; static _Thread_local int mine; int *use(void) { return &mine; }'
expect 'constants and what is per thread pass' 0 'ok - the library has no writable globals'

copy
sed -i 's/^    vm_run;$/    vm_runs;/' "$work/lib/libhostvm.map"
expect 'an exported function that no header declares is seen' 1 '    > vm_run'
copy
rm "$work/lib/libhostvm.a"
expect 'a library that is not there is seen' 1 "    there is no vm_run in $work/lib/libhostvm.a"
[ $failures -eq 0 ]
