/* The guest RAM that a loader may fill. */
#ifndef LOAD_RAM_H
#define LOAD_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_ram {
    uint8_t *host; /* where the guest address base lies in this process */
    uint64_t base;
    uint64_t size;
    bool is_zero; /* nobody has written to it yet: zeros need not be written again */
};

/* [gpa, gpa + size) lies in RAM; wrapping is no danger. */
static inline bool load_ram_has(const struct load_ram *ram, uint64_t gpa, uint64_t size)
{
    return gpa >= ram->base && gpa - ram->base <= ram->size &&
           size <= ram->size - (gpa - ram->base);
}

/* Where gpa lies in this process; only for an address that load_ram_has. */
static inline uint8_t *load_ram_at(const struct load_ram *ram, uint64_t gpa)
{
    return ram->host + (gpa - ram->base);
}

#endif
