/* A VM without KVM for the driver of virtio_driver.h: its memory is the VM's. */
#ifndef SUPPORT_VIRTIO_VM_H
#define SUPPORT_VIRTIO_VM_H

#include <stdio.h>

#include <hostvm/env.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "fake_controllers.h"
#include "support/fake_irqs.h"
#include "support/fake_kvm.h"
#include "support/leak.h"
#include "support/virtio_driver.h"

/* What lies before the rings. */
enum { TABLE_GPA = 0x80000, BUFFERS_GPA = 0x100000 };

static hostvm_env_t driver_env;
static struct fake_irqs *driver_irqs; /* what the VM's KVM was told */

/* Nothing is left of a test that is over. */
static struct leak_state driver_leak_state;

static inline int driver_leak_begin(void **state)
{
    (void)state;
    leak_begin(&driver_leak_state);
    return 0;
}

static inline int driver_leak_end(void **state)
{
    (void)state;
    leak_check(&driver_leak_state);
    return 0;
}

#define driver_test(f) cmocka_unit_test_setup_teardown(f, driver_leak_begin, driver_leak_end)

/* The last thing that was said. */
static char driver_said[512];

static inline void driver_log(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)cookie;
    (void)level;
    (void)snprintf(driver_said, sizeof(driver_said), "%s", message);
}

/* A VM with RAM, and no device yet. */
static inline vm_t *driver_begin(void)
{
    const hostvm_env_config_t config = {.log_fn = driver_log};

    memset(&driver, 0, sizeof(driver));
    driver_said[0] = '\0';
    fake_kvm_begin();
    driver_irqs = fake_irqs_begin();
    assert_int_equal(hostvm_env_create(&driver_env, &config), 0);
    assert_int_equal(vm_init(&driver.vm, &driver_env.vka, &driver_env.simple, driver_env.vspace,
                             &driver_env.io_ops, driver_env.endpoint, "driver"),
                     0);
    assert_int_equal(vm_ram_register_at(&driver.vm, 0, DRIVER_RAM, false), 0);
    assert_int_equal(vm_create_default_irq_controller(&driver.vm), 0);
    assert_int_equal(fake_controllers_start(&driver.vm), 0);
    return &driver.vm;
}

/* The device is gone by now. */
static inline void driver_end(void)
{
    assert_int_equal(driver_irqs->nr_irqfds, 0);
    assert_int_equal(driver_irqs->nr_bells, 0);
    assert_int_equal(hostvm_vm_destroy(&driver.vm), 0);
    hostvm_env_destroy(&driver_env);
    fake_kvm_end();
}

#endif
