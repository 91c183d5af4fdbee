/* What a host says of itself: usable, or what is wrong with its KVM, and what would help. */
#include <hostvm/host.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include <cmocka.h>

#include "support/envs.h"
#include "support/fake_kvm.h"
#include "support/leak.h"

static void test_a_usable_host_says_what_it_has(void **state)
{
    struct leak_state held;
    hostvm_host_t host;

    (void)state;
    leak_begin(&held);
    fake_kvm_begin();
    assert_int_equal(hostvm_host_check(&host), 0);
    fake_kvm_end();
    leak_check(&held);
    assert_true(host.usable);
    assert_int_equal(host.error, 0);
    assert_int_equal(host.api_version, 12);
    assert_int_equal(host.max_memslots, 509);
    assert_int_equal(host.max_vcpus, 4); /* what KVM has where it does not say */
    assert_true(host.has_readonly_memory);
    assert_false(host.has_irqchip);
    assert_false(host.has_sync_regs);
    assert_string_equal(host.reason, "");
    assert_string_equal(host.help, "");
}

static void test_a_host_that_does_not_count_slots_has_32(void **state)
{
    const struct fake_kvm_faults faults = {.missing_cap = KVM_CAP_NR_MEMSLOTS};
    hostvm_host_t host;

    (void)state;
    fake_kvm_begin_with(&faults);
    assert_int_equal(hostvm_host_check(&host), 0);
    fake_kvm_end();
    assert_int_equal(host.max_memslots, 32);
}

static void test_a_host_without_read_only_memory_is_usable(void **state)
{
    const struct fake_kvm_faults faults = {.missing_cap = KVM_CAP_READONLY_MEM};
    hostvm_host_t host;

    (void)state;
    fake_kvm_begin_with(&faults);
    assert_int_equal(hostvm_host_check(&host), 0);
    fake_kvm_end();
    assert_false(host.has_readonly_memory);
}

static const struct {
    struct fake_kvm_faults faults;
    int error;
    const char *reason;
    const char *help;
} unusable[] = {
    {{.open_errno = ENOENT},
     ENOENT,
     "cannot open /dev/kvm: No such file or directory",
     "load the module kvm_intel or kvm_amd, enable virtualisation in the firmware, or enable "
     "nested virtualisation when this machine is itself virtual"},
    {{.open_errno = EACCES},
     EACCES,
     "cannot open /dev/kvm: Permission denied",
     "add your user to the group kvm and log in again, or run as root"},
    {{.open_errno = EPERM},
     EPERM,
     "cannot open /dev/kvm: Operation not permitted",
     "add your user to the group kvm and log in again, or run as root"},
    {{.open_errno = ENODEV},
     ENODEV,
     "cannot open /dev/kvm: No such device",
     "enable virtualisation in the firmware; no processor extension answers"},
    {{.open_errno = ENXIO},
     ENXIO,
     "cannot open /dev/kvm: No such device or address",
     "enable virtualisation in the firmware; no processor extension answers"},
    {{.open_errno = EMFILE},
     EMFILE,
     "cannot open /dev/kvm: Too many open files",
     "allow this process more open files (ulimit -n)"},
    {{.open_errno = ENFILE},
     ENFILE,
     "cannot open /dev/kvm: Too many open files in system",
     "allow the system more open files (sysctl fs.file-max)"},
    {{.open_errno = EIO}, EIO, "cannot open /dev/kvm: Input/output error", "see the kernel's log"},
    {{.version_errno = ENOTTY},
     ENOTTY,
     "cannot use /dev/kvm: it does not answer as KVM: Inappropriate ioctl for device",
     "another device has its name; remove that, then load the module kvm_intel or kvm_amd"},
    {{.version = 11},
     EOPNOTSUPP,
     "cannot use /dev/kvm: its interface has version 11, not 12",
     "use a newer Linux kernel"},
    {{.run_size = 64},
     EOPNOTSUPP,
     "cannot use /dev/kvm: it gives no size for a vcpu's run page",
     "use a newer Linux kernel"},
    {{.run_size_errno = EIO},
     EIO,
     "cannot use /dev/kvm: it gives no size for a vcpu's run page",
     "see the kernel's log"},
    {{.missing_cap = KVM_CAP_IMMEDIATE_EXIT},
     EOPNOTSUPP,
     "cannot use /dev/kvm: it lacks KVM_CAP_IMMEDIATE_EXIT; the kernel is too old",
     "use a newer Linux kernel"},
    {{.missing_cap = KVM_CAP_USER_MEMORY},
     EOPNOTSUPP,
     "cannot use /dev/kvm: it lacks KVM_CAP_USER_MEMORY; the kernel is too old",
     "use a newer Linux kernel"},
    {{.create_errno = EBUSY},
     EBUSY,
     "cannot create a KVM virtual machine: Device or resource busy",
     "another hypervisor holds the processor's extension; stop it"},
    {{.create_errno = ENOMEM},
     ENOMEM,
     "cannot create a KVM virtual machine: Cannot allocate memory",
     "free some memory"},
};

static void test_an_unusable_host_says_why_and_what_would_help(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
        struct leak_state held;
        hostvm_host_t host;

        leak_begin(&held);
        fake_kvm_begin_with(&unusable[i].faults);
        assert_int_equal(hostvm_host_check(&host), -1);
        fake_kvm_end();
        leak_check(&held);
        assert_false(host.usable);
        assert_int_equal(host.error, unusable[i].error);
        assert_string_equal(host.reason, unusable[i].reason);
        assert_string_equal(host.help, unusable[i].help);
        assert_reason(unusable[i].reason);
    }
}

static void test_a_check_without_a_result_is_refused(void **state)
{
    (void)state;
    assert_int_equal(hostvm_host_check(NULL), -1);
    assert_reason("hostvm_host_check: no result given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_usable_host_says_what_it_has),
        cmocka_unit_test(test_a_host_that_does_not_count_slots_has_32),
        cmocka_unit_test(test_a_host_without_read_only_memory_is_usable),
        cmocka_unit_test(test_an_unusable_host_says_why_and_what_would_help),
        cmocka_unit_test(test_a_check_without_a_result_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
