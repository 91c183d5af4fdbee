/* Interrupts of the host as drivers describe them, and the interface that would deliver them. */
#pragma once

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PS_INVALID_IRQ_ID (-1)

typedef enum irq_type {
    PS_NONE,
    PS_MSI,
    PS_IOAPIC,
    PS_INTERRUPT,
    PS_TRIGGER,
    PS_PER_CPU,
    PS_OTHER
} irq_type_t;

/**
 * One interrupt; `type` says which member of the union describes it.
 */
typedef struct ps_irq {
    irq_type_t type;
    __extension__ union {
        struct {
            long ioapic;
            long pin;
            long level;
            long polarity;
            long vector;
        } ioapic;
        struct {
            long pci_bus;
            long pci_dev;
            long pci_func;
            long handle;
            long vector;
        } msi;
        struct {
            long number;
        } irq;
        struct {
            long number;
            long trigger;
        } trigger;
        struct {
            long number;
            long trigger;
            long cpu_idx;
        } cpu;
        void *other;
    };
} ps_irq_t;

typedef int irq_id_t;

/**
 * Acknowledges an interrupt. Called once per interrupt, with the data that came with it; 0 on
 * success.
 */
typedef int (*ps_irq_acknowledge_fn_t)(void *ack_data);

/**
 * Told of an interrupt; has it acknowledged, now or later, by calling acknowledge_fn(ack_data).
 */
typedef void (*irq_callback_fn_t)(void *data, ps_irq_acknowledge_fn_t acknowledge_fn,
                                  void *ack_data);

/* Registers a callback: an id from 0 on, or a negative error. */
typedef irq_id_t (*ps_irq_register_fn_t)(void *cookie, ps_irq_t irq, irq_callback_fn_t callback,
                                         void *callback_data);

/* Takes a registration back: 0, or an error. */
typedef int (*ps_irq_unregister_fn_t)(void *cookie, irq_id_t irq_id);

typedef struct ps_irq_ops {
    void *cookie;
    ps_irq_register_fn_t irq_register_fn;
    ps_irq_unregister_fn_t irq_unregister_fn;
} ps_irq_ops_t;

/**
 * Registers a callback for an interrupt of the host.
 *
 * @return an id from 0 on; -EINVAL without ops; -ENOSYS when they cannot do this, as those of a
 *         hosted environment
 */
static inline irq_id_t ps_irq_register(const ps_irq_ops_t *irq_ops, ps_irq_t irq,
                                       irq_callback_fn_t callback, void *callback_data)
{
    if (irq_ops == NULL) {
        return -EINVAL;
    }
    if (irq_ops->irq_register_fn == NULL) {
        return -ENOSYS;
    }
    return irq_ops->irq_register_fn(irq_ops->cookie, irq, callback, callback_data);
}

/**
 * Takes a registration back.
 *
 * @return 0; -EINVAL without ops; -ENOSYS when they cannot do this
 */
static inline int ps_irq_unregister(const ps_irq_ops_t *irq_ops, irq_id_t irq_id)
{
    if (irq_ops == NULL) {
        return -EINVAL;
    }
    if (irq_ops->irq_unregister_fn == NULL) {
        return -ENOSYS;
    }
    return irq_ops->irq_unregister_fn(irq_ops->cookie, irq_id);
}

#ifdef __cplusplus
}
#endif
