/* Interrupt controllers and doorbells for the fake KVM: what was set and watched for, to be looked
 * at. */
#ifndef SUPPORT_FAKE_IRQS_H
#define SUPPORT_FAKE_IRQS_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_MAX_BELLS = 128 };

struct fake_irqs {
    int level[256];                 /* by line */
    uint64_t bells[FAKE_MAX_BELLS]; /* addresses that are watched, in no order */
    unsigned nr_bells;
    unsigned nr_irqfds; /* eventfds that are tied to interrupts */
    bool refuses_bells; /* for a test to set */
};

/* Before or behind fake_kvm_begin, whose KVM has them until fake_kvm_end. */
struct fake_irqs *fake_irqs_begin(void);

#endif
