# Here lives what a disk has before and behind guests/virtio_hostile.c, for the tests of it beside this file, in bash.
# shellcheck shell=bash

# pattern SALT: a sector of GUEST_PATTERN(SALT, i).
pattern() {
    local i byte value
    for ((i = 0; i < 64; i++)); do
        value=$(((i + 1) * 0x0123456789abcdef + $1))
        for ((byte = 0; byte < 64; byte += 8)); do
            # shellcheck disable=SC2059 # the format is the byte
            printf "\\x$(printf %02x $((value >> byte & 255)))"
        done
    done
}

# make_hostile_disk BEFORE AFTER
make_hostile_disk() {
    { pattern 1; pattern 5; head -c 64512 /dev/zero; } > "$1"
    { pattern 1; pattern 2; head -c 64512 /dev/zero; } > "$2"
}
