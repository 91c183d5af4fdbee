/* The architecture's part of the start-up environment: interrupts and I/O ports of the host. */
#pragma once

#include <sel4/sel4.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Puts the handler of a host interrupt into a slot. */
typedef seL4_Error (*simple_get_IRQ_handler_fn)(void *data, int irq, seL4_CNode cnode,
                                                seL4_Word index, uint8_t depth);

#if defined(CONFIG_ARCH_X86_64)

typedef seL4_Error (*arch_simple_get_IOPort_cap_fn)(void *data, uint16_t start_port,
                                                    uint16_t end_port, seL4_Word root,
                                                    seL4_Word dest, seL4_Word depth);
typedef seL4_Error (*arch_simple_get_msi_fn)(void *data, seL4_CNode root, seL4_Word index,
                                             uint8_t depth, seL4_Word pci_bus, seL4_Word pci_dev,
                                             seL4_Word pci_func, seL4_Word handle,
                                             seL4_Word vector);
typedef seL4_Error (*arch_simple_get_ioapic_fn)(void *data, seL4_CNode root, seL4_Word index,
                                                uint8_t depth, seL4_Word ioapic, seL4_Word pin,
                                                seL4_Word level, seL4_Word polarity,
                                                seL4_Word vector);

typedef struct arch_simple {
    void *data;
    arch_simple_get_IOPort_cap_fn IOPort_cap;
    arch_simple_get_msi_fn msi;
    simple_get_IRQ_handler_fn irq;
    arch_simple_get_ioapic_fn ioapic;
} arch_simple_t;

#elif defined(CONFIG_ARCH_AARCH64)

typedef seL4_Error (*arch_simple_get_IRQ_trigger_fn)(void *data, int irq, int trigger,
                                                     seL4_CNode root, seL4_Word index,
                                                     uint8_t depth);

typedef struct arch_simple {
    simple_get_IRQ_handler_fn irq;
    arch_simple_get_IRQ_trigger_fn irq_trigger;
    void *data;
} arch_simple_t;

#endif

#ifdef __cplusplus
}
#endif
