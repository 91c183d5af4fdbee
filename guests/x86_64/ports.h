/* x86 I/O ports, with the instruction that the name says. */
#ifndef X86_64_PORTS_H
#define X86_64_PORTS_H

#include <stddef.h>
#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The same three, and what becomes of all of rax, which held before. */
static inline uint64_t in8_rax(uint16_t port, uint64_t before)
{
    __asm__ volatile("inb %1, %%al" : "+a"(before) : "Nd"(port));
    return before;
}

static inline uint64_t in16_rax(uint16_t port, uint64_t before)
{
    __asm__ volatile("inw %1, %%ax" : "+a"(before) : "Nd"(port));
    return before;
}

static inline uint64_t in32_rax(uint16_t port, uint64_t before)
{
    __asm__ volatile("inl %1, %%eax" : "+a"(before) : "Nd"(port));
    return before;
}

static inline void rep_out8(uint16_t port, const void *bytes, size_t n)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(n) : "d"(port) : "memory");
}

static inline void rep_in8(uint16_t port, void *bytes, size_t n)
{
    __asm__ volatile("rep insb" : "+D"(bytes), "+c"(n) : "d"(port) : "memory");
}

#endif
