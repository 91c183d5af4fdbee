/* From the device tree to boot_info, then to the guest's own code. */
#include "lib/boot.h"

#include <stddef.h>

#include "arm64/virt.h"
#include "lib/machine.h"

/* Devicetree specification 0.4, 5: all numbers are big-endian. */
enum {
    FDT_MAGIC = 0xd00dfeed,
    TOKEN_BEGIN = 1,
    TOKEN_END = 2,
    TOKEN_PROPERTY = 3,
    TOKEN_NOP = 4,
};

struct fdt_header {
    uint32_t magic, size, structure, strings;
};

int has_device_tree;

_Noreturn void guest_start(uintptr_t tree);

static uint32_t be32(const uint32_t *at)
{
    return __builtin_bswap32(*at);
}

static uint64_t be64(const uint32_t *at)
{
    return (uint64_t)be32(at) << 32 | be32(at + 1);
}

static bool is_same(const char *a, const char *b, char end)
{
    while (*a == *b && *b != '\0') {
        a++;
        b++;
    }
    return *b == '\0' && (*a == '\0' || *a == end);
}

static const uint32_t *skip_name(const char *name)
{
    size_t length = 0;

    while (name[length] != '\0') {
        length++;
    }
    return (const uint32_t *)(const void *)(name + (length / 4 + 1) * 4);
}

/* Address and size have two cells each, as on every arm64 machine. */
static void read_property(const char *node, const char *name, const uint32_t *value, uint32_t size)
{
    enum { CELLS = 4 };

    if (is_same(node, "chosen", '\0') && is_same(name, "bootargs", '\0')) {
        boot_info.cmdline = (const char *)value;
    }
    if (!is_same(node, "memory", '@') || !is_same(name, "reg", '\0')) {
        return;
    }
    for (uint32_t i = 0; i + CELLS <= size / 4 && boot_info.nr_regions < BOOT_REGIONS_MAX;
         i += CELLS) {
        boot_info.regions[boot_info.nr_regions++] =
            (struct boot_region){be64(value + i), be64(value + i + 2), 1};
    }
}

static void read_tree(const struct fdt_header *header)
{
    const char *base = (const char *)header;
    const uint32_t *at = (const uint32_t *)(const void *)(base + be32(&header->structure));
    const char *node = "";

    for (;;) {
        switch (be32(at++)) {
        case TOKEN_BEGIN:
            node = (const char *)at;
            at = skip_name(node);
            break;
        case TOKEN_PROPERTY:
            read_property(node, base + be32(&header->strings) + be32(at + 1), at + 2, be32(at));
            at += 2 + (be32(at) + 3) / 4;
            break;
        case TOKEN_END:
        case TOKEN_NOP:
            break;
        default:
            return;
        }
    }
}

void guest_start(uintptr_t tree)
{
    const struct fdt_header *header = (const struct fdt_header *)tree;

    boot_info.method = "its entry point";
    boot_info.cmdline = "";
    if (header != NULL && be32(&header->magic) == FDT_MAGIC) {
        boot_info.method = "a device tree";
        has_device_tree = 1;
        read_tree(header);
    }
    guest_main();
    machine_stop();
}
