/* The reader of cpio archives in the "newc" format. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cpio/cpio.h>

#include "base/range.h"
#include "base/reason.h"

/* A walk through an archive; an entry that is not complete ends it. */
struct walk {
    const char *archive;
    uint64_t size;
    uint64_t offset; /* of the next entry */
    const char *name;
    uint64_t name_length;
    const char *file;
    uint64_t file_size;
};

enum step { STEP_ENTRY, STEP_TRAILER, STEP_DAMAGED };

static bool read_number(const char digits[8], uint64_t *ret_number)
{
    uint64_t number = 0;
    int i;

    for (i = 0; i < 8; i++) {
        char c = digits[i];

        if (c >= '0' && c <= '9') {
            number = number << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            number = number << 4 | (uint64_t)(c - 'A' + 10);
        } else {
            return false;
        }
    }
    *ret_number = number;
    return true;
}

static bool is_inside(const struct walk *walk, uint64_t offset, uint64_t size)
{
    return range_contains((struct range){0, walk->size}, (struct range){offset, size});
}

static enum step next_entry(struct walk *walk)
{
    struct cpio_header header;
    uint64_t name_at = walk->offset + sizeof(header);
    uint64_t name_size;
    uint64_t file_at;

    if (walk->archive == NULL || !is_inside(walk, walk->offset, sizeof(header))) {
        return STEP_DAMAGED;
    }
    memcpy(&header, walk->archive + walk->offset, sizeof(header));
    if (memcmp(header.c_magic, CPIO_HEADER_MAGIC, sizeof(header.c_magic)) != 0 ||
        !read_number(header.c_namesize, &name_size) ||
        !read_number(header.c_filesize, &walk->file_size)) {
        return STEP_DAMAGED;
    }
    if (name_size == 0 || !is_inside(walk, name_at, name_size) ||
        walk->archive[name_at + name_size - 1] != '\0') {
        return STEP_DAMAGED;
    }
    walk->name = walk->archive + name_at;
    walk->name_length = strlen(walk->name);
    if (strcmp(walk->name, CPIO_FOOTER_MAGIC) == 0) {
        return STEP_TRAILER;
    }
    /* both sizes have 32 bits, and offsets are those of bytes in memory: nothing wraps */
    file_at = align_up(name_at + name_size, CPIO_ALIGNMENT);
    if (!is_inside(walk, file_at, walk->file_size)) {
        return STEP_DAMAGED;
    }
    walk->file = walk->archive + file_at;
    walk->offset = align_up(file_at + walk->file_size, CPIO_ALIGNMENT);
    return STEP_ENTRY;
}

/* The interface has no const for what it finds: older clients have none either. */
static void *found(const struct walk *walk, const char **name, unsigned long *size)
{
    if (name != NULL) {
        *name = walk->name;
    }
    if (size != NULL) {
        *size = walk->file_size;
    }
    return (void *)(uintptr_t)walk->file;
}

void *cpio_get_entry(const void *archive, unsigned long len, int index, const char **name,
                     unsigned long *size)
{
    struct walk walk = {.archive = archive, .size = len};
    int i;

    for (i = 0; next_entry(&walk) == STEP_ENTRY; i++) {
        if (i == index) {
            return found(&walk, name, size);
        }
    }
    return NULL;
}

void *cpio_get_file(const void *archive, unsigned long len, const char *name, unsigned long *size)
{
    struct walk walk = {.archive = archive, .size = len};

    while (name != NULL && next_entry(&walk) == STEP_ENTRY) {
        if (strcmp(walk.name, name) == 0) {
            return found(&walk, NULL, size);
        }
    }
    return NULL;
}

int cpio_info(const void *archive, unsigned long len, struct cpio_info *info)
{
    struct walk walk = {.archive = archive, .size = len};
    struct cpio_info counted = {0, 0};
    enum step step;

    if (info == NULL) {
        (void)fail(-EINVAL, "cpio_info: nowhere to put the answer");
        return -1;
    }
    while ((step = next_entry(&walk)) == STEP_ENTRY) {
        counted.file_count++;
        if (walk.name_length > counted.max_path_sz) {
            counted.max_path_sz = (unsigned int)walk.name_length;
        }
    }
    if (step == STEP_DAMAGED) {
        (void)fail(-EINVAL, "bad cpio archive: no entry at offset 0x%llx of 0x%lx",
                   (unsigned long long)walk.offset, len);
        return -1;
    }
    *info = counted;
    return 0;
}

void cpio_ls(const void *archive, unsigned long len, char **buf, unsigned long buf_len)
{
    struct walk walk = {.archive = archive, .size = len};
    unsigned long i;

    for (i = 0; buf != NULL && i < buf_len && next_entry(&walk) == STEP_ENTRY; i++) {
        memcpy(buf[i], walk.name, walk.name_length + 1);
    }
}
