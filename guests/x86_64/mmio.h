/* Loads and stores, each a single instruction of the width that the name says. */
#ifndef X86_64_MMIO_H
#define X86_64_MMIO_H

#include <stdint.h>

static inline uint8_t mmio_read8(uint64_t address)
{
    uint8_t value;

    __asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
    return value;
}

static inline uint16_t mmio_read16(uint64_t address)
{
    uint16_t value;

    __asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline uint32_t mmio_read32(uint64_t address)
{
    uint32_t value;

    __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline uint64_t mmio_read64(uint64_t address)
{
    uint64_t value;

    __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
    return value;
}

/* A load of 8 bytes into a register that held before, as a load that is ignored leaves it. */
static inline uint64_t mmio_read64_into(uint64_t address, uint64_t before)
{
    __asm__ volatile("movq (%1), %0" : "+r"(before) : "r"(address) : "memory");
    return before;
}

static inline void mmio_write8(uint64_t address, uint8_t value)
{
    __asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

static inline void mmio_write16(uint64_t address, uint16_t value)
{
    __asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write32(uint64_t address, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
    __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

/* Accesses of 4 bytes; *other lies in rbx meanwhile. */
static inline uint64_t mmio_read32_beside(uint64_t address, uint64_t *other)
{
    uint64_t value = 0;

    __asm__ volatile("movl (%2), %k0" : "+a"(value), "+b"(*other) : "r"(address) : "memory");
    return value;
}

static inline void mmio_write32_beside(uint64_t address, uint32_t value, uint64_t *other)
{
    __asm__ volatile("movl %1, (%2)" : "+b"(*other) : "r"(value), "r"(address) : "memory");
}

#endif
