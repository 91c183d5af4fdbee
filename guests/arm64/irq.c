/* Interrupts of devices through a GIC of version 3, or where the processor has no registers for
 * one, of version 2 (Arm IHI 0069, 12; IHI 0048, 4), where hostvm/chipset.h says. */
#include "lib/irq.h"

#include <stdint.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "mmio.h"

#include <hostvm/chipset.h>

enum {
    DISTRIBUTOR = HOSTVM_GIC_DISTRIBUTOR,
    CONTROL = DISTRIBUTOR,
    GROUPS = DISTRIBUTOR + 0x80,
    ENABLE = DISTRIBUTOR + 0x100,
    DISABLE = DISTRIBUTOR + 0x180,
    TARGETS = DISTRIBUTOR + 0x800, /* version 2: a byte per interrupt */
    ROUTES = DISTRIBUTOR + 0x6000, /* version 3: 8 bytes per interrupt */
    KINDS = DISTRIBUTOR + 0xc00,      /* 2 bits per interrupt; 0: a level */
    ENABLE_GROUP_0 = 1u << 0,
    ENABLE_GROUP_1 = 1u << 1,
    AFFINITIES = 1u << 4,

    WAKER = HOSTVM_GIC_REDISTRIBUTORS + 0x14,

    INTERFACE_CONTROL = HOSTVM_GIC_CPU_INTERFACE,
    INTERFACE_MASK = HOSTVM_GIC_CPU_INTERFACE + 0x4,
    INTERFACE_TAKE = HOSTVM_GIC_CPU_INTERFACE + 0xc,
    INTERFACE_END = HOSTVM_GIC_CPU_INTERFACE + 0x10,
    ANY_PRIORITY = 0xff,

    FIRST = GUEST_IRQ_FIRST,
    IRQS_PER_WORD = 32,
    FIRST_SPECIAL = 1020, /* there is none any more */
};

void handle_irq(void);

static irq_fn irq_handler;
static volatile unsigned nr_taken;
static bool has_registers;

/* The processor's interface (Arm IHI 0069, 12.2): ICC_SRE_EL1, ICC_PMR_EL1, ICC_IGRPEN1_EL1. */
static void init_registers(void)
{
    __asm__ volatile(
        "msr S3_0_C12_C12_5, %0; isb; msr S3_0_C4_C6_0, %1; msr S3_0_C12_C12_7, %0; isb"
        :
        : "r"(1ul), "r"((uint64_t)ANY_PRIORITY)
        : "memory");
}

static void init_version_3(void)
{
    mmio_write32(WAKER, 0);
    mmio_write32(GROUPS + FIRST / IRQS_PER_WORD * 4, ~0u);
    for (unsigned irq = FIRST; irq < FIRST + IRQS_PER_WORD; irq++) {
        mmio_write64(ROUTES + irq * 8, 0);
    }
    init_registers();
}

static void init_version_2(void)
{
    for (unsigned irq = FIRST; irq < FIRST + IRQS_PER_WORD; irq++) {
        mmio_write8(TARGETS + irq, 1);
    }
    mmio_write32(INTERFACE_MASK, ANY_PRIORITY);
    mmio_write32(INTERFACE_CONTROL, ENABLE_GROUP_0);
}

/* ID_AA64PFR0_EL1, bits 27:24: has the processor registers for a GIC? */
void irq_init(irq_fn handler)
{
    uint64_t features;

    irq_handler = handler;
    __asm__("mrs %0, id_aa64pfr0_el1" : "=r"(features));
    has_registers = (features >> 24 & 0xf) != 0;
    mmio_write32(CONTROL, AFFINITIES | ENABLE_GROUP_1 | ENABLE_GROUP_0);
    mmio_write32(DISABLE + FIRST / IRQS_PER_WORD * 4, ~0u);
    mmio_write32(KINDS + FIRST / IRQS_PER_WORD * 8, 0);
    mmio_write32(KINDS + FIRST / IRQS_PER_WORD * 8 + 4, 0);
    if (has_registers) {
        init_version_3();
    } else {
        init_version_2();
    }
}

void irq_mask(unsigned irq, bool is_masked)
{
    mmio_write32((is_masked ? DISABLE : ENABLE) + irq / IRQS_PER_WORD * 4,
                 1u << irq % IRQS_PER_WORD);
    __asm__ volatile("dsb sy" : : : "memory");
}

void irq_make_level(unsigned irq)
{
    (void)irq; /* all are */
}

void irq_on(void)
{
    __asm__ volatile("msr daifclr, #2; isb" : : : "memory");
}

void irq_off(void)
{
    __asm__ volatile("msr daifset, #2; isb" : : : "memory");
}

/* `wfi` ends for an interrupt that is off, too, and now and then for none. */
void irq_sleep(void)
{
    unsigned before = nr_taken;

    while (nr_taken == before) {
        __asm__ volatile("wfi" : : : "memory");
        irq_on();
        irq_off();
    }
}

static unsigned take(void)
{
    uint64_t irq;

    if (!has_registers) {
        return mmio_read32(INTERFACE_TAKE);
    }
    __asm__ volatile("mrs %0, S3_0_C12_C12_0; dsb sy" : "=r"(irq) : : "memory");
    return (unsigned)irq;
}

static void end(unsigned irq)
{
    if (!has_registers) {
        mmio_write32(INTERFACE_END, irq);
        return;
    }
    __asm__ volatile("msr S3_0_C12_C12_1, %0; isb" : : "r"((uint64_t)irq) : "memory");
}

void handle_irq(void)
{
    unsigned irq = take();

    if (irq >= FIRST_SPECIAL) {
        return;
    }
    nr_taken++;
    irq_handler(irq);
    end(irq);
}
