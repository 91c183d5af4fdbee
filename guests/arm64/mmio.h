/* Loads and stores, each a single instruction of the width that the name says. */
#ifndef ARM64_MMIO_H
#define ARM64_MMIO_H

#include <stdint.h>

static inline uint8_t mmio_read8(uint64_t address)
{
    uint8_t value;

    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline uint16_t mmio_read16(uint64_t address)
{
    uint16_t value;

    __asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline uint32_t mmio_read32(uint64_t address)
{
    uint32_t value;

    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline uint64_t mmio_read64(uint64_t address)
{
    uint64_t value;

    __asm__ volatile("ldr %x0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

/* A load of 8 bytes into a register that held before, as a load that is ignored leaves it. */
static inline uint64_t mmio_read64_into(uint64_t address, uint64_t before)
{
    __asm__ volatile("ldr %x0, [%1]" : "+r"(before) : "r"(address) : "memory");
    return before;
}

static inline void mmio_write8(uint64_t address, uint8_t value)
{
    __asm__ volatile("strb %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write16(uint64_t address, uint16_t value)
{
    __asm__ volatile("strh %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write32(uint64_t address, uint32_t value)
{
    __asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
    __asm__ volatile("str %x0, [%1]" : : "r"(value), "r"(address) : "memory");
}

/* Accesses of 4 bytes; *other lies in x1 meanwhile. */
static inline uint64_t mmio_read32_beside(uint64_t address, uint64_t *other)
{
    register uint64_t x1 __asm__("x1") = *other;
    uint64_t value;

    __asm__ volatile("ldr %w0, [%2]" : "=&r"(value), "+r"(x1) : "r"(address) : "memory");
    *other = x1;
    return value;
}

static inline void mmio_write32_beside(uint64_t address, uint32_t value, uint64_t *other)
{
    register uint64_t x1 __asm__("x1") = *other;

    __asm__ volatile("str %w1, [%2]" : "+r"(x1) : "r"(value), "r"(address) : "memory");
    *other = x1;
}

#endif
