/* The ends of a guest, exceptions, and the processor's name. */
#include "lib/machine.h"

#include "arm64/virt.h"
#include "lib/contract.h"
#include "lib/print.h"
#include "mmio.h"

/* Where hostvm's machine has what ends it; a choice of its own. */
enum { DEBUG_EXIT = 0x090f4000 };

/* Level 0 is of 512 GiB each, level 1 of 1 GiB (Arm ARM, D8.2.6). */
enum { LEVEL0_SHIFT = 39, LEVEL1_SHIFT = 30, ENTRIES = 512, TABLE = 0x3, BLOCK_OTHER = 0x705 };

extern uint64_t level0[ENTRIES];
extern const uint8_t second_begin[];

_Noreturn void handle_exception(uint64_t vector, uint64_t syndrome, uint64_t pc, uint64_t address);
_Noreturn void second_start(void);

static void (*second_fn)(void);

void handle_exception(uint64_t vector, uint64_t syndrome, uint64_t pc, uint64_t address)
{
    print("exception ");
    print_decimal(vector);
    print(" syndrome ");
    print_hex(syndrome);
    print(" pc ");
    print_hex(pc);
    print(" address ");
    print_hex(address);
    print("\n");
    machine_exit(GUEST_EXIT_EXCEPTION);
}

void machine_map(uint64_t gpa)
{
    static uint64_t level1[ENTRIES] __attribute__((aligned(4096)));

    level1[(gpa >> LEVEL1_SHIFT) % ENTRIES] = (gpa >> LEVEL1_SHIFT << LEVEL1_SHIFT) | BLOCK_OTHER;
    if (gpa >> LEVEL0_SHIFT != 0) { /* below, all is there from the start */
        level0[gpa >> LEVEL0_SHIFT] = (uint64_t)(uintptr_t)level1 | TABLE;
    }
    __asm__ volatile("dsb ishst; isb" : : : "memory");
}

/* MIDR_EL1 (Arm ARM, D17.2.100): implementer, part. */
void machine_print_cpu(void)
{
    uint64_t midr;

    __asm__("mrs %0, midr_el1" : "=r"(midr));
    print("implementer ");
    print_hex(midr >> 24 & 0xff);
    print(" part ");
    print_hex(midr >> 4 & 0xfff);
}

void machine_stop(void)
{
    for (;;) {
        __asm__ volatile("msr daifset, #15; wfi");
    }
}

void machine_spin(void)
{
    __asm__ volatile("msr daifset, #15");
    for (;;) {
        __asm__ volatile("");
    }
}

void machine_tell(unsigned port, unsigned value)
{
    mmio_write8(GUEST_PORTS_BASE + port, (uint8_t)value);
}

unsigned machine_ask(unsigned port)
{
    return mmio_read8(GUEST_PORTS_BASE + port);
}

/* The processor does not describe it (Arm ARM, D17.2.37, ISV): a pair of registers. */
void machine_store_oddly(uint64_t address)
{
    __asm__ volatile("stp xzr, xzr, [%0]" : : "r"(address) : "memory");
}

void machine_sync(unsigned step)
{
    machine_tell(GUEST_SYNC_PORT, step);
}

void machine_exit(unsigned value)
{
    mmio_write8(has_device_tree ? DEBUG_EXIT : GUEST_PORTS_BASE + GUEST_EXIT_PORT, (uint8_t)value);
    machine_stop();
}

static void call_psci(uint32_t function, uint64_t first, uint64_t second)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = first;
    register uint64_t x2 __asm__("x2") = second;
    register uint64_t x3 __asm__("x3") = 0;

    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
}

void second_start(void)
{
    second_fn();
    machine_stop();
}

/* Processors are numbered from 0 on in the lowest field of MPIDR_EL1. */
void machine_start_second(void (*fn)(void))
{
    second_fn = fn;
    __asm__ volatile("dsb ish" : : : "memory");
    call_psci(PSCI_CPU_ON, 1, (uintptr_t)second_begin);
}

void machine_power_off(void)
{
    call_psci(PSCI_SYSTEM_OFF, 0, 0);
    machine_exit(0);
}

void machine_reset(void)
{
    call_psci(PSCI_SYSTEM_RESET, 0, 0);
    machine_stop();
}

/* Nothing crashes the processor itself: an access that nobody can do, where nothing is. */
void machine_crash(void)
{
    machine_store_oddly(GUEST_NOWHERE);
    machine_exit(GUEST_EXIT_SURVIVED);
}
