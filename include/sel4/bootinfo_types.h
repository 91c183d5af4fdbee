/* Extended boot information, which a kernel hands to its first task; hosted, there is none. */
#pragma once

#include <sel4/types.h>

/**
 * What a chunk of extended boot information holds: the type given to
 * simple_get_extended_bootinfo.
 */
enum {
    SEL4_BOOTINFO_HEADER_PADDING = 0,
    SEL4_BOOTINFO_HEADER_X86_VBE = 1,
    SEL4_BOOTINFO_HEADER_X86_MBMMAP = 2,
    SEL4_BOOTINFO_HEADER_X86_ACPI_RSDP = 3,
    SEL4_BOOTINFO_HEADER_X86_FRAMEBUFFER = 4,
    SEL4_BOOTINFO_HEADER_X86_TSC_FREQ = 5,
    SEL4_BOOTINFO_HEADER_FDT = 6
};

/**
 * What each chunk begins with.
 */
typedef struct seL4_BootInfoHeader {
    seL4_Word id;     /* SEL4_BOOTINFO_HEADER_... */
    seL4_Word len;    /* bytes of the chunk, this header included */
} seL4_BootInfoHeader;

#include <sel4/arch/bootinfo_types.h>
