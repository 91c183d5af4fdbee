/* Tiny guest images made on the spot, guarded guest RAM, one-line checks for loader tests. */
#ifndef TESTS_UNIT_LOAD_FIXTURE_H
#define TESTS_UNIT_LOAD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "load/bytes.h"
#include "load/image.h"

#define UNUSED __attribute__((unused))

/* Bytes on the heap, exactly as many as there are, so that a sanitizer sees a read past the end. */
struct blob {
    uint8_t *data;
    size_t size;
};

UNUSED static struct blob blob_make(size_t size)
{
    struct blob blob = {calloc(1, size == 0 ? 1 : size), size};

    assert_non_null(blob.data);
    return blob;
}

UNUSED static struct blob blob_copy(const void *data, size_t size)
{
    struct blob blob = blob_make(size);

    memcpy(blob.data, data, size);
    return blob;
}

UNUSED static void blob_free(struct blob *blob)
{
    free(blob->data);
    blob->data = NULL;
}

/* Guest RAM between two pages that nobody may touch. */
UNUSED static struct load_ram ram_make(uint64_t base, uint64_t size, bool is_zero)
{
    uint8_t *span = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(span, MAP_FAILED);
    assert_int_equal(mprotect(span + 4096, size, PROT_READ | PROT_WRITE), 0);
    if (!is_zero) {
        memset(span + 4096, 0xee, size);
    }
    return (struct load_ram){span + 4096, base, size, is_zero};
}

UNUSED static void ram_free(struct load_ram *ram)
{
    munmap(ram->host - 4096, ram->size + 8192);
}

/* A predictable mixture: text that repeats, numbers that do not, and long runs of zeros. */
UNUSED static void fill_mixed(uint8_t *data, size_t size, uint32_t seed)
{
    size_t i = 0;

    while (i < size) {
        size_t run = seed % 700 + 1;
        uint32_t kind = seed >> 16 & 3;

        run = kind == 0 ? run * 30 : run;
        for (; run > 0 && i < size; run--, i++) {
            seed = seed * 1664525 + 1013904223;
            data[i] = kind == 0   ? 0
                      : kind == 1 ? (uint8_t)(seed >> 24)
                                  : (uint8_t)("guest "[i % 6]);
        }
        seed = seed * 1664525 + 1013904223;
    }
}

struct elf_part {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, file_size, size;
};

enum { ELF_FIXTURE_TABLE = 64 };

/* An ELF file of file_size mixed bytes behind its headers. */
UNUSED static struct blob elf64_make(uint16_t machine, uint64_t entry, const struct elf_part *parts,
                                     unsigned nr, size_t file_size)
{
    struct blob blob = blob_make(file_size);
    size_t table_end = ELF_FIXTURE_TABLE + nr * sizeof(Elf64_Phdr);
    Elf64_Ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = machine,
        .e_version = EV_CURRENT,
        .e_entry = entry,
        .e_phoff = ELF_FIXTURE_TABLE,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)nr,
    };

    fill_mixed(blob.data + table_end, file_size - table_end, 7);
    memcpy(blob.data, &header, sizeof(header));
    for (unsigned i = 0; i < nr; i++) {
        Elf64_Phdr part = {
            .p_type = parts[i].type,
            .p_flags = parts[i].flags,
            .p_offset = parts[i].offset,
            .p_vaddr = parts[i].vaddr,
            .p_paddr = parts[i].paddr,
            .p_filesz = parts[i].file_size,
            .p_memsz = parts[i].size,
        };

        memcpy(blob.data + ELF_FIXTURE_TABLE + i * sizeof(part), &part, sizeof(part));
    }
    return blob;
}

UNUSED static struct blob elf32_make(uint16_t machine, uint32_t entry, const struct elf_part *parts,
                                     unsigned nr, size_t file_size)
{
    struct blob blob = blob_make(file_size);
    size_t table_end = ELF_FIXTURE_TABLE + nr * sizeof(Elf32_Phdr);
    Elf32_Ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = machine,
        .e_version = EV_CURRENT,
        .e_entry = entry,
        .e_phoff = ELF_FIXTURE_TABLE,
        .e_ehsize = sizeof(Elf32_Ehdr),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = (uint16_t)nr,
    };

    fill_mixed(blob.data + table_end, file_size - table_end, 9);
    memcpy(blob.data, &header, sizeof(header));
    for (unsigned i = 0; i < nr; i++) {
        Elf32_Phdr part = {
            .p_type = parts[i].type,
            .p_flags = parts[i].flags,
            .p_offset = (uint32_t)parts[i].offset,
            .p_vaddr = (uint32_t)parts[i].vaddr,
            .p_paddr = (uint32_t)parts[i].paddr,
            .p_filesz = (uint32_t)parts[i].file_size,
            .p_memsz = (uint32_t)parts[i].size,
        };

        memcpy(blob.data + ELF_FIXTURE_TABLE + i * sizeof(part), &part, sizeof(part));
    }
    return blob;
}

/* Name, descriptor and type as in an ELF note, at offset; returns its length. */
UNUSED static size_t note_put(struct blob *blob, size_t offset, const char *name, uint32_t type,
                              uint32_t value)
{
    size_t name_size = strlen(name) + 1;
    size_t padded = (name_size + 3) & ~(size_t)3;

    store_le32(blob->data + offset, (uint32_t)name_size);
    store_le32(blob->data + offset + 4, 4);
    store_le32(blob->data + offset + 8, type);
    memset(blob->data + offset + 12, 0, padded);
    memcpy(blob->data + offset + 12, name, name_size);
    store_le32(blob->data + offset + 12 + padded, value);
    return 16 + padded;
}

UNUSED static struct blob gzip_pack(struct blob plain)
{
    struct blob packed = blob_make(plain.size * 2 + 256);
    z_stream z = {.next_in = plain.data,
                  .avail_in = (uInt)plain.size,
                  .next_out = packed.data,
                  .avail_out = (uInt)packed.size};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.size = z.total_out;
    deflateEnd(&z);
    return packed;
}

UNUSED static struct blob xz_pack(struct blob plain)
{
    struct blob packed = blob_make(plain.size * 2 + 256);
    size_t size = 0;

    assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, plain.data, plain.size,
                                             packed.data, &size, packed.size),
                     LZMA_OK);
    packed.size = size;
    return packed;
}

UNUSED static struct blob zstd_pack(struct blob plain)
{
    struct blob packed = blob_make(plain.size * 2 + 256);

    packed.size = ZSTD_compress(packed.data, packed.size, plain.data, plain.size, 3);
    assert_false(ZSTD_isError(packed.size));
    return packed;
}

UNUSED static struct blob lz4_frame_pack(struct blob plain)
{
    struct blob packed = blob_make(LZ4F_compressFrameBound(plain.size, NULL));

    packed.size = LZ4F_compressFrame(packed.data, packed.size, plain.data, plain.size, NULL);
    assert_false(LZ4F_isError(packed.size));
    return packed;
}

/* In blocks of block_size; kernels have 8 MiB, tests smaller ones. */
UNUSED static struct blob lz4_pack_blocks(struct blob plain, size_t block_size)
{
    struct blob packed = blob_make(plain.size * 2 + 256 + plain.size / block_size * 32);
    size_t end = 4;

    store_le32(packed.data, 0x184c2102);
    for (size_t done = 0; done < plain.size; done += block_size) {
        size_t n = plain.size - done < block_size ? plain.size - done : block_size;
        int size = LZ4_compress_HC((const char *)plain.data + done, (char *)packed.data + end + 4,
                                   (int)n, (int)(packed.size - end - 4), 9);

        assert_true(size > 0);
        store_le32(packed.data + end, (uint32_t)size);
        end += 4 + (size_t)size;
    }
    packed.size = end;
    return packed;
}

UNUSED static struct blob lz4_pack(struct blob plain)
{
    return lz4_pack_blocks(plain, 8 << 20);
}

enum {
    BZIMAGE_SETUP_SIZE = 5 * 512,
    BZIMAGE_PAYLOAD = 0x400, /* from the protected-mode code's start */
};

/* payload with size_tail more bytes, as most formats have their length appended. */
UNUSED static struct blob bzimage_make(struct blob payload, size_t size_tail)
{
    size_t payload_size = payload.size + size_tail;
    size_t code_size = (BZIMAGE_PAYLOAD + payload_size + 15) & ~(size_t)15;
    struct blob blob = blob_make(BZIMAGE_SETUP_SIZE + code_size);
    uint8_t *code = blob.data + BZIMAGE_SETUP_SIZE;

    blob.data[0x1f1] = 4;
    store_le32(blob.data + 0x1f4, (uint32_t)(code_size / 16));
    memcpy(blob.data + 0x1fe, "\x55\xaa\xeb\x6aHdrS\x0f\x02", 10);
    blob.data[0x211] = 1;
    store_le32(blob.data + 0x22c, 0x7fffffff);
    blob.data[0x234] = 1;
    blob.data[0x236] = 1;
    store_le32(blob.data + 0x238, 2047);
    store_le32(blob.data + 0x248, BZIMAGE_PAYLOAD);
    store_le32(blob.data + 0x24c, (uint32_t)payload_size);
    store_le64(blob.data + 0x258, 0x100000);
    store_le32(blob.data + 0x260, 0x40000);
    memset(code, 0x90, BZIMAGE_PAYLOAD);
    memcpy(code + BZIMAGE_PAYLOAD, payload.data, payload.size);
    return blob;
}

UNUSED static int load_blob(struct blob blob, enum image_machine machine,
                            const struct load_ram *ram, struct image *image, struct load_error *err)
{
    struct image_file file = {.data = blob.data, .size = blob.size, .name = "k"};

    err->text[0] = '\0';
    return image_load(&file, machine, ram, image, err);
}

UNUSED static void assert_refused(struct blob blob, enum image_machine machine,
                                  const struct load_ram *ram, int code, const char *line)
{
    struct load_error err;
    struct image image;

    assert_int_equal(load_blob(blob, machine, ram, &image, &err), code);
    assert_string_equal(err.text, line);
}

UNUSED static void assert_loaded(struct blob blob, enum image_machine machine,
                                 const struct load_ram *ram, struct image *image)
{
    struct load_error err;

    if (load_blob(blob, machine, ram, image, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

/*
 * Cut off after every byte, and every byte of the first nr_flipped set to what headers should not
 * have: it must load or be refused with a reason, and touch nothing but RAM.
 */
UNUSED static void try_damaged(struct blob good, enum image_machine machine,
                               const struct load_ram *ram, size_t nr_flipped)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct load_error err;
    struct image image;

    for (size_t size = 1; size < good.size; size++) {
        struct blob cut = blob_copy(good.data, size);

        if (load_blob(cut, machine, ram, &image, &err) < 0) {
            assert_true(strlen(err.text) > 20);
        }
        blob_free(&cut);
    }
    for (size_t at = 0; at < nr_flipped && at < good.size; at++) {
        for (size_t i = 0; i < sizeof(values); i++) {
            struct blob bad = blob_copy(good.data, good.size);

            bad.data[at] = values[i];
            if (load_blob(bad, machine, ram, &image, &err) < 0) {
                assert_true(strlen(err.text) > 20);
            } else {
                assert_true(image.low < image.high && image.high <= ram->base + ram->size);
            }
            blob_free(&bad);
        }
    }
}

/* The little-endian field of so many bytes set to 0, 1, its maximum, and around the file's size. */
UNUSED static void try_lying_field(struct blob good, enum image_machine machine,
                                   const struct load_ram *ram, size_t offset, size_t field_size)
{
    uint64_t values[] = {0,
                         1,
                         UINT64_MAX,
                         UINT64_MAX / 2,
                         UINT64_MAX - 0xfff,
                         good.size - 1,
                         good.size,
                         good.size + 1,
                         ram->size - 1,
                         ram->size,
                         0xffffffff,
                         0x80000000};
    struct load_error err;
    struct image image;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct blob bad = blob_copy(good.data, good.size);
        uint64_t value = htole64(values[i]);

        memcpy(bad.data + offset, &value, field_size);
        if (load_blob(bad, machine, ram, &image, &err) < 0) {
            assert_true(strlen(err.text) > 20);
        } else {
            assert_true(image.low < image.high && image.high <= ram->base + ram->size);
        }
        blob_free(&bad);
    }
}

#endif
