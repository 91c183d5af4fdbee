/* A PCI function of one's own, as a guest uses it: its memory, wherever the guest puts it; its
 * doorbell; its message, masked, pending, and delivered. */
#include "support/vm.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/pci.h>
#include <sel4vm/guest_irq_controller.h>

/*
 * Registers of slot 1: ECAM + 0x8000. The local APIC is seen at DEVICE_GPA. Below, memory of the
 * function is where the bus puts it: base address 0 at the beginning of the window, that of the
 * messages behind it.
 */
enum {
    ECAM = 0x30000000,
    WINDOW = 0x20000000,
    WINDOW_SIZE = 0x100000,
    LAPIC_GPA = 0xfee00000,
    HANDLER_GPA = 0x2000,
    VECTOR = 0x41,
};

#define ENABLE_MEMORY  "movw $6, 0x30008004\n"
#define STORE_EAX(gpa) "mov %eax, " #gpa "\n"
#define WAIT_A_WHILE   "mov $2000, %ecx\n7: dec %ecx\njnz 7b\n"
#define ENABLE_LAPIC   "movl $0x1ff, 0x2000f0\n"
#define SET_UP_MESSAGE                                                                             \
    "movl $0xfee00000, 0x20001000\n"                                                               \
    "movl $0, 0x20001004\n"                                                                        \
    "movl $0x41, 0x20001008\n"
#define ENABLE_MESSAGES "movw $0x8000, 0x30008042\n"
#define UNMASK          "movl $0, 0x2000100c\n"
#define READ_PENDING    "mov 0x20001800, %eax\n"

GUEST_CODE(
    use_registers, "mov 0x30008000, %eax\n" STORE_EAX(0x5000) /* what it is */
    "mov 0x20000010, %eax\n" STORE_EAX(0x5004)                /* not decoded yet */
    ENABLE_MEMORY "mov 0x20000010, %eax\n" STORE_EAX(
        0x5008) "movw $0x1234, 0x20000022\n"
                "movl $0x20080000, 0x30008010\n" /* elsewhere */
                "mov 0x20000010, %eax\n" STORE_EAX(0x500c) "mov 0x20080014, %eax\n" STORE_EAX(
                    0x5010) "movb $0x56, 0x20080fff\n" GUEST_EXIT);

GUEST_CODE(ring_the_bell, ENABLE_MEMORY "movl $1, 0x20000800\n"
                                        "movl $0x20080000, 0x30008010\n"
                                        "movl $2, 0x20080800\n"
                                        "movl $3, 0x20000800\n" /* nothing is there any more */
                                        "movl $4, 0x20080804\n" GUEST_EXIT);

GUEST_CODE(take_message, ENABLE_LAPIC ENABLE_MEMORY SET_UP_MESSAGE ENABLE_MESSAGES
           "xor %r15, %r15\nsti\n" GUEST_KNOCK WAIT_A_WHILE READ_PENDING STORE_EAX(
               0x5000) "mov %r15d, 0x5004\n" UNMASK
                       "1: test %r15, %r15\njz 1b\n" READ_PENDING STORE_EAX(
                           0x5008) "2: cmp $2, %r15\njb 2b\n" /* and one that was never masked */
                                   "cli\nmov %r15d, 0x500c\n" GUEST_EXIT);

GUEST_CODE(handler, "inc %r15\n"
                    "movl $0, 0x2000b0\n"
                    "out %al, $0x80\n"
                    "iretq\n");

/* --- the function: a page, as a program would write it --- */

struct chip {
    uint64_t offset, value;
    size_t size;
    unsigned nr_writes;
    hostvm_pci_function_t *function;
    unsigned nr_knocks;
};

static uint64_t read_chip(void *cookie, unsigned bar, uint64_t offset, size_t size)
{
    (void)cookie;
    (void)bar;
    (void)size;
    return 0xab00 + offset;
}

static void write_chip(void *cookie, unsigned bar, uint64_t offset, size_t size, uint64_t value)
{
    struct chip *chip = cookie;

    assert_int_equal(bar, 0);
    chip->offset = offset;
    chip->size = size;
    chip->value = value;
    chip->nr_writes++;
}

static const hostvm_pci_ops_t ops = {.read = read_chip, .write = write_chip};

static hostvm_pci_bus_t *add_chip(struct testvm *t, struct chip *chip)
{
    const hostvm_pci_bus_config_t bus_config = {
        .ecam = ECAM,
        .memory = {WINDOW, WINDOW_SIZE},
        .gsi = {20, 21, 22, 23},
    };
    const hostvm_pci_config_t config = {
        .vendor = 0x1234,
        .device = 0x5678,
        .class_code = 0xff0000,
        .bars = {{.size = 0x1000}},
        .nr_vectors = 1,
        .msix_bar = 1,
        .ops = &ops,
        .cookie = chip,
    };
    hostvm_pci_bus_t *bus = hostvm_pci_bus_create(&t->vm, &bus_config);

    assert_non_null(bus);
    chip->function = hostvm_pci_add(bus, 1, &config);
    assert_non_null(chip->function);
    return bus;
}

static uint32_t told(struct testvm *t, uintptr_t gpa)
{
    uint32_t value;

    memcpy(&value, testvm_pointer(t, gpa, sizeof(value)), sizeof(value));
    return value;
}

static void test_memory_is_where_the_guest_puts_it(void **state)
{
    struct testvm *t = *state;
    struct chip chip = {0};
    hostvm_pci_bus_t *bus = add_chip(t, &chip);

    testvm_boot(t, &use_registers);
    testvm_run_to_exit(t);
    assert_int_equal(told(t, 0x5000), 0x56781234);
    assert_int_equal(told(t, 0x5004), 0xffffffff);
    assert_int_equal(told(t, 0x5008), 0xab10);
    assert_int_equal(told(t, 0x500c), 0xffffffff);
    assert_int_equal(told(t, 0x5010), 0xab14);
    assert_int_equal(chip.nr_writes, 2);
    assert_int_equal(chip.offset, 0xfff);
    assert_int_equal(chip.size, 1);
    assert_int_equal(chip.value, 0x56);
    hostvm_pci_bus_destroy(bus);
}

static void test_a_doorbell_is_where_the_guest_puts_it(void **state)
{
    const hostvm_doorbell_t doorbell = {.addr = 0x800, .size = 4};
    struct testvm *t = *state;
    struct chip chip = {0};
    hostvm_pci_bus_t *bus = add_chip(t, &chip);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    eventfd_t count = 0;

    assert_int_equal(hostvm_pci_doorbell_add(chip.function, 0, &doorbell, fd), 0);
    testvm_boot(t, &ring_the_bell);
    testvm_run_to_exit(t);
    assert_int_equal(eventfd_read(fd, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(chip.nr_writes, 1);
    assert_int_equal(chip.offset, 0x804);
    hostvm_pci_bus_destroy(bus);
    (void)close(fd);
}

/* The first knock says that the message is masked, the second comes from the handler. */
static void send(vm_vcpu_t *vcpu, void *cookie)
{
    struct chip *chip = cookie;

    (void)vcpu;
    if (chip->nr_knocks++ < 2) {
        assert_true(hostvm_pci_has_messages(chip->function));
        assert_int_equal(eventfd_write(hostvm_pci_vector_fd(chip->function, 0), 1), 0);
    }
}

static void test_a_masked_message_is_delivered_when_it_is_unmasked(void **state)
{
    struct testvm *t = *state;
    struct chip chip = {0};
    hostvm_pci_bus_t *bus;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    bus = add_chip(t, &chip);
    testvm_boot(t, &take_message);
    testvm_map_device_at(t, LAPIC_GPA);
    testvm_load(t, HANDLER_GPA, &handler);
    testvm_set_vector(t, VECTOR, HANDLER_GPA);
    testvm_listen(t, send, &chip);
    testvm_run_to_exit(t);
    assert_int_equal(told(t, 0x5000), 1); /* pending */
    assert_int_equal(told(t, 0x5004), 0); /* and not delivered */
    assert_int_equal(told(t, 0x5008), 0);
    assert_int_equal(told(t, 0x500c), 2);
    hostvm_pci_bus_destroy(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_memory_is_where_the_guest_puts_it),
        vm_test(test_a_doorbell_is_where_the_guest_puts_it),
        vm_test(test_a_masked_message_is_delivered_when_it_is_unmasked),
    };

    return run_vm_tests(tests);
}
