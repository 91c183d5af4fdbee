/* Tables in guest RAM that the boot processor starts with. */
#ifndef MACHINE_BOOT_STATE_H
#define MACHINE_BOOT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "load/ram.h"

/* The first 4 GiB as they are, in pages of 2 MiB, at PC_PAGE_TABLES. */
void boot_page_tables_write(const struct load_ram *ram);

/* Flat segments, the code's for 64-bit or for 32-bit mode, at PC_GDT; returns the table's limit. */
uint16_t boot_gdt_write(const struct load_ram *ram, bool is_long);

/*
 * What is left of a BIOS: whoever jumps to the reset vector, as Linux does to reboot a
 * hardware-reduced machine without EFI, resets the machine.
 */
void boot_reset_vector_write(const struct load_ram *ram);

#endif
