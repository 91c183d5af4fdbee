/* ELF executables: their segments into guest RAM, their entry, their PVH note. */
#include "load/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "load/bytes.h"

/* The program headers' place, before it is known whether the file has them. */
struct header_table {
    uint64_t offset;
    uint16_t nr;
    uint16_t entry_size;
};

bool elf_has_magic(const uint8_t *data, size_t size)
{
    return size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

static void read_header_64(const uint8_t *head, struct elf *elf, struct header_table *table)
{
    Elf64_Ehdr header;

    memcpy(&header, head, sizeof(header));
    elf->is_64 = true;
    elf->machine = le16toh(header.e_machine);
    elf->entry = le64toh(header.e_entry);
    *table = (struct header_table){
        .offset = le64toh(header.e_phoff),
        .nr = le16toh(header.e_phnum),
        .entry_size = le16toh(header.e_phentsize),
    };
}

static void read_header_32(const uint8_t *head, struct elf *elf, struct header_table *table)
{
    Elf32_Ehdr header;

    memcpy(&header, head, sizeof(header));
    elf->is_64 = false;
    elf->machine = le16toh(header.e_machine);
    elf->entry = le32toh(header.e_entry);
    *table = (struct header_table){
        .offset = le32toh(header.e_phoff),
        .nr = le16toh(header.e_phnum),
        .entry_size = le16toh(header.e_phentsize),
    };
}

static uint32_t read_segment_64(const uint8_t *entry, struct elf_segment *segment)
{
    Elf64_Phdr header;

    memcpy(&header, entry, sizeof(header));
    *segment = (struct elf_segment){
        .offset = le64toh(header.p_offset),
        .file_size = le64toh(header.p_filesz),
        .vaddr = le64toh(header.p_vaddr),
        .paddr = le64toh(header.p_paddr),
        .size = le64toh(header.p_memsz),
        .is_executable = (le32toh(header.p_flags) & PF_X) != 0,
    };
    return le32toh(header.p_type);
}

static uint32_t read_segment_32(const uint8_t *entry, struct elf_segment *segment)
{
    Elf32_Phdr header;

    memcpy(&header, entry, sizeof(header));
    *segment = (struct elf_segment){
        .offset = le32toh(header.p_offset),
        .file_size = le32toh(header.p_filesz),
        .vaddr = le32toh(header.p_vaddr),
        .paddr = le32toh(header.p_paddr),
        .size = le32toh(header.p_memsz),
        .is_executable = (le32toh(header.p_flags) & PF_X) != 0,
    };
    return le32toh(header.p_type);
}

/* The fixed part: what kind of ELF file this is. */
static int read_header(const struct payload *payload, const uint8_t *head, size_t head_size,
                       struct elf *elf, struct header_table *table, struct load_error *err)
{
    bool is_64 = head_size > EI_CLASS && head[EI_CLASS] == ELFCLASS64;
    size_t size = is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);

    if (head_size < size) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "the file ends at byte %zu, an ELF header takes %zu; "
                           "is the download complete?",
                           head_size, size);
    }
    if (!is_64 && head[EI_CLASS] != ELFCLASS32) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "ELF class %u is neither 32 nor 64 bit; is the file damaged?",
                           head[EI_CLASS]);
    }
    if (head[EI_DATA] != ELFDATA2LSB) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is a big-endian ELF file; give one for a little-endian machine");
    }
    if (is_64) {
        read_header_64(head, elf, table);
    } else {
        read_header_32(head, elf, table);
    }
    return 0;
}

static int check_type(const struct payload *payload, uint16_t type, struct load_error *err)
{
    if (type == ET_REL) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is an ELF object file (.o); link it first");
    }
    if (type == ET_CORE) {
        return kernel_fail(err, -ENOEXEC, payload->name, "it is a core dump; give an executable");
    }
    return 0;
}

static int check_table(const struct payload *payload, const struct elf *elf,
                       const struct header_table *table, size_t head_size, struct load_error *err)
{
    size_t entry_size = elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    if (table->nr == 0) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is an ELF file without program headers; link it as an executable");
    }
    if (table->entry_size != entry_size) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its program headers take %u bytes each, ELF has them with %zu; "
                           "is the file damaged?",
                           table->entry_size, entry_size);
    }
    if (table->offset > head_size || table->nr * entry_size > head_size - table->offset) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its %u program headers at 0x%" PRIx64 " lie outside the first %zu "
                           "bytes; is the download complete?",
                           table->nr, table->offset, head_size);
    }
    return 0;
}

static int check_segment(const struct payload *payload, const struct elf_segment *segment,
                         struct load_error *err)
{
    if (segment->file_size > segment->size) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "the segment at 0x%" PRIx64 " takes 0x%" PRIx64 " bytes in the file but "
                           "0x%" PRIx64 " in memory; is the file damaged?",
                           segment->paddr, segment->file_size, segment->size);
    }
    if (segment->file_size > UINT64_MAX - segment->offset) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "the segment at 0x%" PRIx64 " ends behind any possible file; "
                           "is the file damaged?",
                           segment->paddr);
    }
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct elf_segment *left = a;
    const struct elf_segment *right = b;

    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Keeps PT_LOAD and PT_NOTE of the program headers at table. */
static int read_segments(const struct payload *payload, const uint8_t *table, unsigned nr,
                         struct elf *elf, struct load_error *err)
{
    size_t entry_size = elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    for (unsigned i = 0; i < nr; i++) {
        const uint8_t *entry = table + i * entry_size;
        struct elf_segment segment;
        uint32_t type;
        int r;

        type = elf->is_64 ? read_segment_64(entry, &segment) : read_segment_32(entry, &segment);
        if (type == PT_NOTE && elf->nr_notes < ELF_SEGMENTS_MAX) {
            elf->notes[elf->nr_notes++] = segment;
        }
        if (type != PT_LOAD || segment.size == 0) {
            continue;
        }
        r = check_segment(payload, &segment, err);
        if (r < 0) {
            return r;
        }
        if (elf->nr_segments == ELF_SEGMENTS_MAX) {
            return kernel_fail(err, -ENOEXEC, payload->name,
                               "it has more than %d segments to load; is the file damaged?",
                               ELF_SEGMENTS_MAX);
        }
        elf->segments[elf->nr_segments++] = segment;
    }
    if (elf->nr_segments == 0) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is an ELF file without a segment to load; link it as an executable");
    }
    qsort(elf->segments, elf->nr_segments, sizeof(elf->segments[0]), by_offset);
    return 0;
}

static int parse_head(const struct payload *payload, const uint8_t *head, size_t head_size,
                      struct elf *elf, struct load_error *err)
{
    struct header_table table = {0};
    int r;

    r = read_header(payload, head, head_size, elf, &table, err);
    if (r < 0) {
        return r;
    }
    r = check_type(payload, load_le16(head + offsetof(Elf64_Ehdr, e_type)), err);
    if (r < 0) {
        return r;
    }
    r = check_table(payload, elf, &table, head_size, err);
    if (r < 0) {
        return r;
    }
    return read_segments(payload, head + table.offset, table.nr, elf, err);
}

int elf_parse(const struct payload *payload, struct elf *ret_elf, struct load_error *err)
{
    uint8_t head[ELF_HEAD_SIZE];
    size_t size;
    int r;

    memset(ret_elf, 0, sizeof(*ret_elf));
    if (payload->codec == NULL) {
        return parse_head(payload, payload->data, payload->size, ret_elf, err);
    }
    r = payload_read(payload, head, sizeof(head), false, &size, err);
    if (r < 0) {
        return r;
    }
    return parse_head(payload, head, size, ret_elf, err);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a <= b ? b - a < a_size : a - b < b_size;
}

/* No segment may overwrite another; compressed bytes come once, so that they cannot be shared. */
static int check_overlaps(const struct payload *payload, const struct elf *elf,
                          struct load_error *err)
{
    for (unsigned i = 1; i < elf->nr_segments; i++) {
        const struct elf_segment *a = &elf->segments[i];

        for (unsigned j = 0; j < i; j++) {
            const struct elf_segment *b = &elf->segments[j];

            if (overlap(a->paddr, a->size, b->paddr, b->size)) {
                return kernel_fail(err, -ENOEXEC, payload->name,
                                   "its segments at 0x%" PRIx64 " and 0x%" PRIx64
                                   " overlap in memory; is the file damaged?",
                                   b->paddr, a->paddr);
            }
            if (payload->codec != NULL && a->file_size > 0 && b->file_size > 0 &&
                overlap(a->offset, a->file_size, b->offset, b->file_size)) {
                return kernel_fail(err, -ENOEXEC, payload->name,
                                   "its segments at 0x%" PRIx64 " and 0x%" PRIx64
                                   " overlap in the file; decompress it first",
                                   b->paddr, a->paddr);
            }
        }
    }
    return 0;
}

static int check_fits(const struct payload *payload, const struct elf *elf,
                      const struct load_ram *ram, struct load_error *err)
{
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *segment = &elf->segments[i];

        if (!load_ram_has(ram, segment->paddr, segment->size)) {
            return kernel_fail(err, -EFBIG, payload->name,
                               "its segment of 0x%" PRIx64 " bytes at 0x%" PRIx64
                               " lies outside RAM [0x%" PRIx64 "..0x%" PRIx64 "); give more RAM",
                               segment->size, segment->paddr, ram->base, ram->base + ram->size);
        }
    }
    return 0;
}

static void measure(const struct elf *elf, uint64_t *ret_low, uint64_t *ret_high)
{
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;

    for (unsigned i = 0; i < elf->nr_segments; i++) {
        uint64_t end = elf->segments[i].paddr + elf->segments[i].size;

        low = elf->segments[i].paddr < low ? elf->segments[i].paddr : low;
        high = end > high ? end : high;
    }
    *ret_low = low;
    *ret_high = high;
}

int elf_load(const struct payload *payload, const struct elf *elf, const struct load_ram *ram,
             uint64_t *ret_low, uint64_t *ret_high, struct load_error *err)
{
    struct piece pieces[ELF_SEGMENTS_MAX];
    int r;

    r = check_fits(payload, elf, ram, err);
    if (r == 0) {
        r = check_overlaps(payload, elf, err);
    }
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *segment = &elf->segments[i];

        pieces[i] = (struct piece){
            .offset = segment->offset,
            .size = segment->file_size,
            .host = load_ram_at(ram, segment->paddr),
            .is_zero = ram->is_zero,
        };
        if (!ram->is_zero) {
            memset(pieces[i].host + segment->file_size, 0, segment->size - segment->file_size);
        }
    }
    r = payload_fill(payload, pieces, elf->nr_segments, err);
    if (r < 0) {
        return r;
    }
    measure(elf, ret_low, ret_high);
    return 0;
}

/*
 * The specification has e_entry as a virtual address; kernels that turn paging on themselves put
 * the physical one there.
 */
int elf_entry(const struct payload *payload, const struct elf *elf, uint64_t *ret_entry,
              struct load_error *err)
{
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *segment = &elf->segments[i];

        if (segment->is_executable && elf->entry >= segment->vaddr &&
            elf->entry - segment->vaddr < segment->size) {
            *ret_entry = elf->entry - segment->vaddr + segment->paddr;
            return 0;
        }
    }
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *segment = &elf->segments[i];

        if (segment->is_executable && elf->entry >= segment->paddr &&
            elf->entry - segment->paddr < segment->size) {
            *ret_entry = elf->entry;
            return 0;
        }
    }
    return kernel_fail(err, -ENOEXEC, payload->name,
                       "its entry 0x%" PRIx64 " lies in none of its executable segments; "
                       "link it with the right entry",
                       elf->entry);
}

bool elf_is_high(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        if (elf->segments[i].vaddr >> 63 != 0) {
            return true;
        }
    }
    return false;
}
