/* Guest images: says by content what a file is and loads it, whatever it is. */
#ifndef LOAD_IMAGE_H
#define LOAD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/file.h"
#include "load/ram.h"
#include "load/reason.h"

enum image_machine {
    IMAGE_FOR_X86,
    IMAGE_FOR_ARM64,
};

enum image_format {
    IMAGE_BZIMAGE,   /* Linux's own format on x86 */
    IMAGE_ELF_LINUX, /* vmlinux: an ELF file with a PVH note, or a 64-bit entry at a high address */
    IMAGE_ELF_BARE,  /* any other ELF file */
    IMAGE_MULTIBOOT, /* a multiboot 1 header, in an ELF file or not */
    IMAGE_ARM64,     /* Linux's own format on arm64 */
    IMAGE_FLAT,      /* bytes of code, nothing else */
};

/* What the first instruction of the guest expects of its processor. */
enum image_entry_mode {
    ENTRY_LONG64,      /* long mode, identity paging; Linux: boot_params in rsi */
    ENTRY_PVH32,       /* protected mode, paging off; hvm_start_info in ebx */
    ENTRY_LINUX32,     /* protected mode, paging off; boot_params in esi */
    ENTRY_MULTIBOOT32, /* protected mode, paging off; 0x2badb002 in eax, its information in ebx */
    ENTRY_PROTECTED32, /* protected mode, paging off, nothing else promised */
    ENTRY_REAL16,      /* real mode, segments 0 */
    ENTRY_ARM64,       /* EL1, MMU off; Linux: device tree in x0 */
};

/*
 * What of Linux's setup header the machine's description needs (Documentation/arch/x86/boot.rst).
 */
enum {
    SETUP_HEADER_START = 0x1f1,
    SETUP_HEADER_MAX = 0x290 - SETUP_HEADER_START,
};

struct image_linux {
    uint8_t setup_header[SETUP_HEADER_MAX]; /* as in the file from 0x1f1; all zero for a vmlinux */
    uint16_t setup_header_size;             /* how much of it the file has; 0 for a vmlinux */
    uint16_t version;         /* of the boot protocol, 0x20f for 2.15; 0 for a vmlinux */
    uint64_t initrd_max;      /* highest address the initrd's last byte may have */
    uint32_t cmdline_max;     /* bytes, without the final zero */
    bool decompresses_itself; /* the guest has that work: see bzimage.h */
    const char *compression;  /* what the kernel is packed with; NULL: nothing */
};

struct image_multiboot {
    uint32_t flags;            /* of the header */
    bool wants_page_alignment; /* modules on page boundaries */
    bool wants_memory_map;
};

struct image {
    enum image_format format;
    enum image_entry_mode mode;
    uint64_t entry;     /* guest physical */
    uint64_t low, high; /* [low, high) is the image's, bss and room to decompress itself included */
    bool has_pvh;
    uint64_t pvh_entry;            /* with has_pvh: could also be entered here, in ENTRY_PVH32 */
    struct image_linux linux_boot; /* IMAGE_BZIMAGE, IMAGE_ELF_LINUX; of IMAGE_ARM64 the limits */
    struct image_multiboot multiboot; /* IMAGE_MULTIBOOT */
};

/*
 * Loads file into RAM. On failure (-ENOENT and the like do not come from here; -ENOEXEC: not what
 * it claims to be or for another machine, -EILSEQ: compressed data damaged, -EFBIG: does not fit
 * into RAM, -ENOMEM) parts of it may be in RAM already.
 */
int image_load(const struct image_file *file, enum image_machine machine,
               const struct load_ram *ram, struct image *ret_image, struct load_error *err);

#endif
