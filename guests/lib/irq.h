/* Interrupts of devices, by the machine's controller; each architecture has its own answer. */
#ifndef LIB_IRQ_H
#define LIB_IRQ_H

#include <stdbool.h>

/* Called with interrupts off; when it returns, the controller is told of the interrupt's end. */
typedef void (*irq_fn)(unsigned irq);

/* Makes the controller ready: everything is masked, and taken as an edge (Arm: as a level, for KVM
 * tells nobody of an edge's end). */
void irq_init(irq_fn handler);

void irq_mask(unsigned irq, bool is_masked);
void irq_make_level(unsigned irq);

/* For the processor, which has them off at first. */
void irq_on(void);
void irq_off(void);

/* Sleeps until the handler has been called; interrupts are off before and behind, and none that
 * comes in between is lost. */
void irq_sleep(void);

#endif
