#!/bin/sh
# The README's example is the one that the tests build and run; the files it names are there; make knows its targets.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

say() { # STATUS NAME
    if [ "$1" -eq 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        failed=1
    fi
}

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' > /tmp/readme.$$
sed -n '/^#include/,$p' tests/examples/embed.c | diff - /tmp/readme.$$
say $? 'the example is tests/examples/embed.c'
rm -f /tmp/readme.$$

status=0
for file in $(grep -oE '`(lib|vmm|tests|scripts|guests|include)/[a-zA-Z0-9_./-]+' README.md | tr -d '\`' | sort -u); do
    [ -e "$file" ] || { echo "# there is no $file"; status=1; }
done
say $status 'every file it names is there'

status=0
for target in $(grep -oE 'make [a-z-]+' README.md | sed 's/make //' | grep -vE '^(it|it\.)$' | sort -u); do
    make -n "$target" > /dev/null 2>&1 || { echo "# make knows no $target"; status=1; }
done
say $status 'make knows every target it names'
exit $failed
