/* Interrupt controllers and doorbells for the fake KVM. */
#include "support/fake_irqs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_kvm.h"

static struct fake_irqs irqs;

static int refuse(int err)
{
    errno = err;
    return -1;
}

static int watch(const struct kvm_ioeventfd *bell)
{
    if ((bell->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) == 0) {
        if (irqs.refuses_bells) {
            return refuse(ENOSPC);
        }
        assert_in_range(irqs.nr_bells, 0, FAKE_MAX_BELLS - 1);
        irqs.bells[irqs.nr_bells++] = bell->addr;
        return 0;
    }
    for (unsigned i = 0; i < irqs.nr_bells; i++) {
        if (irqs.bells[i] == bell->addr) {
            irqs.bells[i] = irqs.bells[--irqs.nr_bells];
            return 0;
        }
    }
    return refuse(ENOENT);
}

static bool answer(int fd, unsigned long request, void *arg, int *ret_result)
{
    struct kvm_irq_level *line = arg;

    (void)fd;
    *ret_result = 0;
    switch (request) {
    case KVM_CHECK_EXTENSION:
        *ret_result = 1;
        return (uintptr_t)arg == KVM_CAP_IRQCHIP;
    case KVM_CREATE_IRQCHIP:
    case KVM_SET_DEVICE_ATTR:
    case KVM_SET_GSI_ROUTING:
        return true;
    case KVM_IRQFD:
        irqs.nr_irqfds +=
            (((const struct kvm_irqfd *)arg)->flags & KVM_IRQFD_FLAG_DEASSIGN) != 0 ? -1u : 1;
        return true;
    case KVM_CREATE_DEVICE:
        if ((((struct kvm_create_device *)arg)->flags & KVM_CREATE_DEVICE_TEST) == 0) {
            ((struct kvm_create_device *)arg)->fd = (uint32_t)open("/dev/null", O_RDWR | O_CLOEXEC);
        }
        return true;
    case KVM_IRQ_LINE_STATUS:
        irqs.level[line->irq & 0xff] = (int)line->level; /* Arm has the line's kind above that */
        return true;
    case KVM_IOEVENTFD:
        *ret_result = watch(arg);
        return true;
    default:
        return false;
    }
}

struct fake_irqs *fake_irqs_begin(void)
{
    memset(&irqs, 0, sizeof(irqs));
    fake_kvm_extend(answer);
    return &irqs;
}
