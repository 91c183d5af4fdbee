/* How a guest is entered: the boot processor's registers, per entry mode. */
#ifndef MACHINE_ENTRY_H
#define MACHINE_ENTRY_H

#include <stdint.h>

#include <sel4vm/guest_vm.h>

#include "load/image.h"

/* Where the tables of the boot processor lie in guest RAM, and what the guest is handed. */
struct entry_state {
    enum image_entry_mode mode;
    uint64_t entry; /* first instruction */
    uint64_t info;  /* address of what the guest is told: boot parameters, start info, multiboot
                       information */
    uint64_t page_tables; /* PML4, for long mode */
    uint64_t gdt;         /* descriptor table, for long and protected mode */
    uint16_t gdt_limit;
};

/* Sets the registers of a vcpu that was not started yet. */
void entry_set(vm_vcpu_t *vcpu, const struct entry_state *state);

#endif
