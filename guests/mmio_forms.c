/*
 * Instructions of x86 that load, store, or do both, reach a device and leave the right registers.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h). An instruction that changes
 * memory arrives as a load, then a store of the same width.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    REG = GUEST_DEVICE_BASE + 0x100,
};

static void check_constants(void)
{
    __asm__ volatile("movb $0x81, (%0)" : : "r"((uint64_t)REG) : "memory");
    check("constant byte", mmio_read64(REG), 0x81);
    __asm__ volatile("movw $0x8182, (%0)" : : "r"((uint64_t)REG) : "memory");
    check("constant of 2 bytes", mmio_read64(REG), 0x8182);
    __asm__ volatile("movl $0x81828384, (%0)" : : "r"((uint64_t)REG) : "memory");
    check("constant of 4 bytes", mmio_read64(REG), 0x81828384);
    __asm__ volatile("movq $-0x7e7d7c7c, (%0)" : : "r"((uint64_t)REG) : "memory");
    check("constant of 8 bytes, sign-extended", mmio_read64(REG), 0xffffffff81828384);
}

/* A byte or two replace the low part of a register; 4 bytes clear the rest. */
static void check_partial_loads(void)
{
    uint64_t rax = 0x1122334455667788;

    __asm__ volatile("movb (%1), %%al" : "+a"(rax) : "r"((uint64_t)REG) : "memory");
    check("byte load keeps the register's rest", rax, 0x1122334455667784);
    __asm__ volatile("movw (%1), %%ax" : "+a"(rax) : "r"((uint64_t)REG) : "memory");
    check("load of 2 bytes keeps the rest", rax, 0x1122334455668384);
    __asm__ volatile("movl (%1), %%eax" : "+a"(rax) : "r"((uint64_t)REG) : "memory");
    check("load of 4 bytes clears the rest", rax, 0x81828384);
}

static void check_extending_loads(void)
{
    uint64_t value;

    __asm__ volatile("movzbl (%1), %k0" : "=r"(value) : "r"((uint64_t)REG) : "memory");
    check("byte with zeros", value, 0x84);
    __asm__ volatile("movsbq (%1), %0" : "=r"(value) : "r"((uint64_t)REG) : "memory");
    check("byte with its sign", value, 0xffffffffffffff84);
    __asm__ volatile("movzwl (%1), %k0" : "=r"(value) : "r"((uint64_t)REG) : "memory");
    check("2 bytes with zeros", value, 0x8384);
    __asm__ volatile("movslq (%1), %0" : "=r"(value) : "r"((uint64_t)REG) : "memory");
    check("4 bytes with their sign", value, 0xffffffff81828384);
}

static void check_changes(void)
{
    mmio_write32(REG, 0x1000);
    __asm__ volatile("orl $0x0f, (%0)" : : "r"((uint64_t)REG) : "memory", "cc");
    check("or", mmio_read32(REG), 0x100f);
    __asm__ volatile("addl %1, (%0)" : : "r"((uint64_t)REG), "r"(0x11) : "memory", "cc");
    check("add", mmio_read32(REG), 0x1020);
    __asm__ volatile("andl $0xff, (%0)" : : "r"((uint64_t)REG) : "memory", "cc");
    check("and", mmio_read32(REG), 0x20);
    __asm__ volatile("incl (%0)" : : "r"((uint64_t)REG) : "memory", "cc");
    check("inc", mmio_read32(REG), 0x21);
    __asm__ volatile("lock addl $2, (%0)" : : "r"((uint64_t)REG) : "memory", "cc");
    check("locked add", mmio_read32(REG), 0x23);
}

static void check_exchange(void)
{
    uint32_t value = 0x77;

    __asm__ volatile("xchgl %0, (%1)" : "+r"(value) : "r"((uint64_t)REG) : "memory");
    check("exchange loads", value, 0x23);
    check("exchange stores", mmio_read32(REG), 0x77);
}

static void check_comparisons(void)
{
    uint8_t is_equal;

    __asm__ volatile("cmpl $0x77, (%1); sete %0"
                     : "=q"(is_equal)
                     : "r"((uint64_t)REG)
                     : "memory", "cc");
    check("compare", is_equal, 1);
    __asm__ volatile("testb $0x08, (%1); sete %0"
                     : "=q"(is_equal)
                     : "r"((uint64_t)REG)
                     : "memory", "cc");
    check("test a bit", is_equal, 1);
}

void guest_main(void)
{
    check_constants();
    check_partial_loads();
    check_extending_loads();
    check_changes();
    check_exchange();
    check_comparisons();
    report_end();
}
