#!/bin/bash
# Here live the tests of `make install` and `make uninstall`: what lands where, and that programs build against it.
#
# Installs the plain build as it is, builds nothing of it. One line per check; exit 1 on a failure.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
tree=$PWD
arch=$(uname -m | sed s/aarch64/arm64/)
version=$(sed -n 's/^VERSION := //p' Makefile)
major=${version%%.*}
work=$(mktemp -d "${TMPDIR:-/tmp}/test_install.XXXXXX")
trap 'rm -rf "$work"' EXIT
stage=$work/stage
prefix=/opt/hostvm-test.$$ # nobody has it: what lands there was written outside of DESTDIR

. tests/linux/frame.sh

# say NAME STATUS [TEXT]: TEXT says more where STATUS is not 0.
say() {
    if [ "$2" -eq 0 ]; then pass "$1"
    else fail "$1" "$(printf '%s\n' "${3-}" | head -n 30)"; fi
}

# same NAME EXPECTED FOUND
same() {
    local difference
    difference=$(diff <(printf '%s\n' "$2") <(printf '%s\n' "$3"))
    say "$1" $? "$difference"
}

# The tree is built already; and the make that may have called us has no say here.
make_target() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -C "$tree" -o all "$@" 2>&1
}

# What a user of the staged tree asks pkg-config.
pc() {
    env PKG_CONFIG_LIBDIR="$stage$prefix/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage" pkg-config "$@" hostvm
}

expected_files() {
    {
        printf '%s\n' bin/hostvm lib/libhostvm.a lib/libhostvm.so "lib/libhostvm.so.$major" "lib/libhostvm.so.$version" \
            lib/pkgconfig/hostvm.pc share/man/man1/hostvm.1
        # Built where libslirp is.
        [ ! -e "build/$arch-plain/hostvm-net-user" ] || echo libexec/hostvm/hostvm-net-user
        find include -name '*.h' | sed 's,^include,include/hostvm,'
    } | sort
}

files_of() {
    (cd "$1" && find . ! -type d | sed 's,^\./,,' | sort)
}

# --- install ---

[ -e "build/$arch-plain/libhostvm.so.$version" ] || { echo 'not ok - there is a plain build to install'; exit 1; }
touch "$work/before"
output=$(umask 077 && make_target install DESTDIR="$stage" PREFIX="$prefix")
say 'make install succeeds' $? "$output"
same 'it installs the command, both libraries, every header, the .pc file and the manual page' \
    "$(expected_files)" "$(files_of "$stage$prefix")"
same 'all in PREFIX' "$(files_of "$stage$prefix" | sed "s,^,${prefix#/}/,")" "$(files_of "$stage")"
same 'whatever the umask, all may be read by everybody' '' \
    "$(find "$stage$prefix" ! -type l ! -perm -o=r; find "$stage" -type d ! -perm -o=rx ! -path "$stage")"
[ ! -e "$prefix" ]
say 'nothing lands in the real PREFIX' $?
same 'nothing is written to the tree' '' "$(find . -path ./.git -prune -o -path '*/logs' -prune -o -newer "$work/before" -print)"
same 'the links are relative' "libhostvm.so.$major libhostvm.so.$version" \
    "$(cd "$stage$prefix/lib" && echo "$(readlink libhostvm.so) $(readlink "libhostvm.so.$major")")"
same 'the shared library has its name' "[libhostvm.so.$major]" \
    "$(readelf -d "$stage$prefix/lib/libhostvm.so" | sed -n 's/.*(SONAME).*: //p')"
cmp -s vmm/hostvm.1 "$stage$prefix/share/man/man1/hostvm.1"
say 'the manual page is that of the command' $?
output=$(cd include && find . -name '*.h' | while read -r h; do cmp "$h" "$stage$prefix/include/hostvm/$h" 2>&1; done)
same 'the headers are those of the tree' '' "$output"

# --- the .pc file ---

same 'pkg-config knows the version' "$version" "$(pc --modversion)"
same 'hostvm --version says the same' "hostvm $(pc --modversion)" "$("$stage$prefix/bin/hostvm" --version)"
same 'pkg-config knows the prefix' "$prefix" "$(env PKG_CONFIG_LIBDIR="$stage$prefix/lib/pkgconfig" \
    pkg-config --variable=prefix hostvm)"
same 'and the flags' "-I$stage$prefix/include/hostvm" "$(pc --cflags | sed 's/ *$//')"
same 'the shared library needs no other' "-L$stage$prefix/lib -lhostvm" "$(pc --libs | sed 's/ *$//')"
same 'the static one needs libfdt and threads' "-L$stage$prefix/lib -lhostvm -lfdt -pthread" "$(pc --static --libs | sed 's/ *$//')"

# --- programs ---

# build LINK SOURCE: a program outside of the tree, by what pkg-config says and, for its guest, the headers beside it;
# leaves it in $program.
build() {
    local compiler="${CC:-cc} -std=gnu11" flags=() libs=() guests=(-I "$tree/tests" -I "$tree/tests/examples/$arch")
    program=$work/$(basename "$2").$1
    case $2 in *.cpp) compiler="${CXX:-c++} -std=c++17" ;; esac
    read -ra flags <<< "$(pc --cflags)"
    if [ "$1" = static ]; then
        read -ra libs <<< "-static $(pc --static --libs)"
    else
        read -ra libs <<< "$(pc --libs)"
    fi
    # shellcheck disable=SC2086 # the compiler and its standard
    (cd "$work" && $compiler -O2 -Wall -Wextra -Werror "${flags[@]}" "${guests[@]}" -o "$program" "$tree/$2" "${libs[@]}") 2>&1
}

needed_by() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(libhostvm.*\)\]/\1/p'
}

run_example() {
    if [ -n "$no_kvm" ]; then
        echo "skipped - running $(basename "$program"): $no_kvm"
        return
    fi
    output=$(env LD_LIBRARY_PATH="$stage$prefix/lib" timeout -k 5 60 "$program" 2>&1)
    say "$(basename "$program") runs" $? "$output"
}

no_kvm=$("$stage$prefix/bin/hostvm" check 2>&1 | head -n 1)
"$stage$prefix/bin/hostvm" check > "$work/check" 2>&1 && no_kvm=
for source in tests/examples/*.c tests/examples/*.cpp; do
    [ ! -e "tests/examples/$arch/$(basename "$source")" ] || source=tests/examples/$arch/$(basename "$source")
    for link in shared static; do
        output=$(build $link "$source")
        say "$(basename "$source") builds against the installed tree, $link" $? "$output"
        program=$work/$(basename "$source").$link
        [ $link = shared ] && wanted=libhostvm.so.$major || wanted=
        same "$(basename "$program") needs '$wanted'" "$wanted" "$(needed_by "$program")"
        run_example
    done
done

# --- again, and the way back ---

touch "$stage$prefix/include/hostvm/gone.h" "$stage$prefix/lib/stranger.a"
output=$(make_target install DESTDIR="$stage" PREFIX="$prefix")
say 'make install succeeds where it was installed before' $? "$output"
[ ! -e "$stage$prefix/include/hostvm/gone.h" ]
say 'a header of an older version goes' $?
output=$(make_target uninstall DESTDIR="$stage" PREFIX="$prefix")
say 'make uninstall succeeds' $? "$output"
same 'it removes what was installed and nothing else' lib/stranger.a "$(files_of "$stage$prefix")"
output=$(make_target uninstall DESTDIR="$stage" PREFIX="$prefix")
say 'make uninstall succeeds where nothing is installed' $? "$output"

output=$(make_target install DESTDIR="$work/with blank")
say 'a DESTDIR may have a blank in it' $? "$output"
same 'PREFIX is /usr/local unless it is given' "$(expected_files)" "$(files_of "$work/with blank/usr/local")"
same 'the .pc file says so' prefix=/usr/local "$(grep ^prefix "$work/with blank/usr/local/lib/pkgconfig/hostvm.pc")"
output=$(make_target uninstall DESTDIR="$work/with blank")
say 'and it is uninstalled from there' $? "$output"
same 'wholly' '' "$(files_of "$work/with blank")"

[ $failures -eq 0 ]
