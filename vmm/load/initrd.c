/* The initial RAM disk: a file read straight into guest RAM. */
#include "load/initrd.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "load/file.h"

enum { PAGE = 4096 };

static int place(const char *name, const struct load_ram *ram, uint64_t low, uint64_t high,
                 uint64_t size, uint64_t *ret_gpa, struct load_error *err)
{
    uint64_t ram_end = ram->base + ram->size;
    uint64_t gpa;

    low = low > ram->base ? low : ram->base;
    high = high < ram_end ? high : ram_end;
    if (high >= size) {
        gpa = (high - size) & ~(uint64_t)(PAGE - 1);
        if (gpa >= low) {
            *ret_gpa = gpa;
            return 0;
        }
    }
    return load_fail(err, -EFBIG,
                     "cannot load initrd '%s': its %" PRIu64 " KiB do not fit into [0x%" PRIx64
                     "..0x%" PRIx64 ") between the kernel and the end of RAM; give more RAM",
                     short_name(name), (size + 1023) / 1024, low, high);
}

int initrd_load(const char *name, const struct load_ram *ram, uint64_t low, uint64_t high,
                uint64_t *ret_gpa, uint64_t *ret_size, struct load_error *err)
{
    uint64_t size;
    uint64_t gpa = 0;
    int fd;
    int r;

    fd = regular_file_open("initrd", name, &size, err);
    if (fd < 0) {
        return fd;
    }
    r = place(name, ram, low, high, size, &gpa, err);
    if (r == 0) {
        r = regular_file_read("initrd", fd, name, load_ram_at(ram, gpa), size, err);
    }
    close(fd);
    if (r < 0) {
        return r;
    }
    *ret_gpa = gpa;
    *ret_size = size;
    return 0;
}
