/* Room for what a guest is told at its start, taken piece by piece out of its RAM. */
#include "load/boot_info.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int boot_room_init(struct boot_room *room, const char *what, const struct load_ram *ram,
                   uint64_t gpa, uint64_t size, struct load_error *err)
{
    const uint64_t top = (uint64_t)1 << 32;

    if (!load_ram_has(ram, gpa, size) || gpa > top || size > top - gpa) {
        return load_fail(err, -EINVAL,
                         "cannot write the %s to 0x%" PRIx64 ": 0x%" PRIx64
                         " bytes there are not RAM below 4 GiB",
                         what, gpa, size);
    }
    *room = (struct boot_room){.ram = ram, .next = gpa, .end = gpa + size};
    return 0;
}

uint8_t *boot_room_take(struct boot_room *room, uint64_t size, uint64_t align, uint64_t *ret_gpa)
{
    uint64_t start = (room->next + align - 1) & ~(align - 1);
    uint8_t *host;

    if (room->is_short || start > room->end || size > room->end - start) {
        room->is_short = true;
        return NULL;
    }
    host = load_ram_at(room->ram, start);
    memset(host, 0, size);
    room->next = start + size;
    *ret_gpa = start;
    return host;
}

uint64_t boot_room_put_text(struct boot_room *room, const char *text)
{
    size_t size = text == NULL ? 0 : strlen(text) + 1;
    uint64_t gpa = 0;
    uint8_t *host;

    if (text == NULL) {
        return 0;
    }
    host = boot_room_take(room, size, 1, &gpa);
    if (host == NULL) {
        return 0;
    }
    memcpy(host, text, size);
    return gpa;
}

int boot_room_check(const struct boot_room *room, const char *what, struct load_error *err)
{
    if (room->is_short) {
        return load_fail(err, -E2BIG,
                         "cannot write the %s: it does not fit below 0x%" PRIx64
                         "; shorten the command line",
                         what, room->end);
    }
    return 0;
}
