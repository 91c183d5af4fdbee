/* A PCI bus without KVM: configuration space, base addresses, capabilities, lines, messages, and a
 * guest that does what it likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/pci.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>

#include "fake_controllers.h"
#include "pci/bus.h"
#include "support/envs.h"
#include "support/fake_irqs.h"
#include "support/fake_kvm.h"
#include "support/inject.h"
#include "support/leak.h"

enum {
    ECAM = 0x3f000000,
    WINDOW = 0x10000000,
    WINDOW_SIZE = 0x1000000,
    FIRST_GSI = 36,
};

#define WINDOW64      0x400000000ull
#define WINDOW64_SIZE 0x100000000ull

static struct fake_irqs *kvm;

/* --- a function that remembers what it was asked --- */

struct chip {
    unsigned nr_reads, nr_writes, nr_config_reads, nr_config_writes;
    unsigned bar;
    uint64_t offset, value;
    size_t size;
    unsigned config_offset;
    size_t config_size;
    const hostvm_pci_config_t *config;
};

static void check_access(const struct chip *chip, unsigned bar, uint64_t offset, size_t size)
{
    assert_in_range(bar, 0, HOSTVM_PCI_BARS - 1);
    assert_in_range(size, 1, 8);
    assert_true(offset + size <= chip->config->bars[bar].size);
}

static uint64_t read_chip(void *cookie, unsigned bar, uint64_t offset, size_t size)
{
    struct chip *chip = cookie;

    check_access(chip, bar, offset, size);
    chip->nr_reads++;
    chip->bar = bar;
    chip->offset = offset;
    chip->size = size;
    return 0x1122334455667788;
}

static void write_chip(void *cookie, unsigned bar, uint64_t offset, size_t size, uint64_t value)
{
    struct chip *chip = cookie;

    check_access(chip, bar, offset, size);
    chip->nr_writes++;
    chip->bar = bar;
    chip->offset = offset;
    chip->size = size;
    chip->value = value;
}

static void reads_config(void *cookie, unsigned offset, size_t size)
{
    struct chip *chip = cookie;

    chip->nr_config_reads++;
    chip->config_offset = offset;
    chip->config_size = size;
}

static void wrote_config(void *cookie, unsigned offset, size_t size)
{
    struct chip *chip = cookie;

    chip->nr_config_writes++;
    chip->config_offset = offset;
    chip->config_size = size;
}

static const hostvm_pci_ops_t ops = {read_chip, write_chip, reads_config, wrote_config};

static const hostvm_pci_config_t plain = {
    .vendor = 0x1234,
    .device = 0x5678,
    .subsystem_vendor = 0x9abc,
    .subsystem = 0xdef0,
    .class_code = 0x0180a5,
    .revision = 7,
    .has_line = true,
    .bars = {{.size = 0x4000, .is_64bit = true}, {.size = 0}, {.size = 0x100}},
    .nr_vectors = 3,
    .msix_bar = 4,
    .ops = &ops,
};

/* --- the bench --- */

struct bench {
    struct leak_state before;
    hostvm_env_t env;
    vm_t vm;
    hostvm_pci_bus_t *bus;
    struct chip chip;
};

static const hostvm_pci_bus_config_t bus_config = {
    .ecam = ECAM,
    .memory = {WINDOW, WINDOW_SIZE},
    .memory64 = {WINDOW64, WINDOW64_SIZE},
    .gsi = {FIRST_GSI, FIRST_GSI + 1, FIRST_GSI + 2, FIRST_GSI + 3},
};

/* Lines that both architectures have. */
static hostvm_pci_bus_config_t config_here(void)
{
    hostvm_pci_bus_config_t config = bus_config;

#if defined(__x86_64__)
    for (unsigned i = 0; i < HOSTVM_PCI_LINES; i++) {
        config.gsi[i] = 20 + i;
    }
#endif
    return config;
}

static int set_up(void **state)
{
    static struct bench bench;
    const hostvm_pci_bus_config_t config = config_here();

    memset(&bench, 0, sizeof(bench));
    leak_begin(&bench.before);
    fake_kvm_begin();
    kvm = fake_irqs_begin();
    bench.env = envs_create();
    assert_int_equal(vm_init(&bench.vm, &bench.env.vka, &bench.env.simple, bench.env.vspace,
                             &bench.env.io_ops, bench.env.endpoint, "pci"),
                     0);
    assert_int_equal(vm_create_default_irq_controller(&bench.vm), 0);
    assert_int_equal(fake_controllers_start(&bench.vm), 0);
    bench.bus = hostvm_pci_bus_create(&bench.vm, &config);
    assert_non_null(bench.bus);
    bench.chip.config = &plain;
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    (void)inject_disarm();
    hostvm_pci_bus_destroy(b->bus);
    assert_int_equal(kvm->nr_bells, 0);
    assert_int_equal(hostvm_vm_destroy(&b->vm), 0);
    hostvm_env_destroy(&b->env);
    fake_kvm_end();
    leak_check(&b->before);
    return 0;
}

static hostvm_pci_function_t *add(struct bench *b, int slot, const hostvm_pci_config_t *config)
{
    hostvm_pci_config_t copy = *config;
    hostvm_pci_function_t *function;

    copy.cookie = &b->chip;
    function = hostvm_pci_add(b->bus, slot, &copy);
    assert_non_null(function);
    return function;
}

static uint64_t mask_of(size_t size)
{
    return size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1;
}

static uint64_t config_read(struct bench *b, unsigned slot, unsigned offset, size_t size)
{
    return hostvm_pci_read_config(b->bus, slot << 15 | offset, size) & mask_of(size);
}

static void config_write(struct bench *b, unsigned slot, unsigned offset, size_t size,
                         uint64_t value)
{
    hostvm_pci_write_config(b->bus, slot << 15 | offset, size, value);
}

static uint64_t bar_of(struct bench *b, unsigned slot, unsigned index)
{
    return config_read(b, slot, 0x10 + 4 * index, 4) & ~15ull;
}

enum { MEMORY = 2, MASTER = 4, NO_LINE = 0x400 };

static void command(struct bench *b, unsigned slot, unsigned value)
{
    config_write(b, slot, 4, 2, value);
}

/* --- configuration space --- */

static void test_slots_without_function_read_as_ones(void **state)
{
    struct bench *b = *state;

    (void)add(b, 3, &plain);
    for (unsigned slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        assert_int_equal(config_read(b, slot, 0, 4), slot == 3 ? 0x56781234 : 0xffffffff);
    }
    assert_int_equal(config_read(b, 3, 1 << 12, 4), 0xffffffff); /* function 1 */
    config_write(b, 4, 0, 4, 0);
    assert_int_equal(hostvm_pci_read_config(b->bus, HOSTVM_PCI_ECAM_SIZE, 4), UINT64_MAX);
}

static void test_a_function_shows_what_it_is(void **state)
{
    struct bench *b = *state;

    (void)add(b, 5, &plain);
    assert_int_equal(config_read(b, 5, 0x00, 8), 0x0010000056781234);
    assert_int_equal(config_read(b, 5, 0x08, 4), 0x0180a507);
    assert_int_equal(config_read(b, 5, 0x0c, 4), 0);
    assert_int_equal(config_read(b, 5, 0x2c, 4), 0xdef09abc);
    assert_int_equal(config_read(b, 5, 0x34, 4), 0x40);
    assert_int_equal(config_read(b, 5, 0x3d, 1), 1);
    assert_int_equal(config_read(b, 5, 0x3c, 1), config_here().gsi[1]);
    assert_int_equal(config_read(b, 5, 0x100, 4), 0xffffffff); /* no extended capabilities */
    assert_int_equal(config_read(b, 5, 0xffc, 4), 0xffffffff);
}

static void test_a_bridge_is_seen_when_it_has_a_name(void **state)
{
    struct bench *b = *state;
    hostvm_pci_bus_config_t config = config_here();

    hostvm_pci_bus_destroy(b->bus);
    config.vendor = 0x1b36;
    config.device = 8;
    b->bus = hostvm_pci_bus_create(&b->vm, &config);
    assert_non_null(b->bus);
    assert_int_equal(config_read(b, 0, 0, 4), 0x00081b36);
    assert_int_equal(config_read(b, 0, 8, 4), 0x06000000);
    assert_int_equal(config_read(b, 0, 0x3c, 2), 0); /* no line */
    assert_int_equal(hostvm_pci_slot(add(b, -1, &plain)), 1);
}

/* Each byte alone, and all widths: what can be written is what the specification has. */
static void test_only_what_is_writable_is_written(void **state)
{
    static const uint8_t writable[0x40] = {
        [0x04] = 6,    [0x05] = 4,    [0x0c] = 0xff, [0x11] = 0xc0, [0x12] = 0xff, [0x13] = 0xff,
        [0x14] = 0xff, [0x15] = 0xff, [0x16] = 0xff, [0x17] = 0xff, [0x19] = 0xff, [0x1a] = 0xff,
        [0x1b] = 0xff, [0x21] = 0xf0, [0x22] = 0xff, [0x23] = 0xff, [0x3c] = 0xff,
    };
    static const size_t sizes[] = {1, 2, 4, 8};
    struct bench *b = *state;

    (void)add(b, 0, &plain);
    for (unsigned s = 0; s < 4; s++) {
        for (unsigned at = 0; at < sizeof(writable); at++) {
            uint64_t before = config_read(b, 0, at, sizes[s]);

            for (unsigned ones = 0; ones < 2; ones++) {
                uint64_t after;

                config_write(b, 0, at, sizes[s], ones ? UINT64_MAX : 0);
                after = config_read(b, 0, at, sizes[s]);
                for (unsigned i = 0; i < sizes[s] && at + i < sizeof(writable); i++) {
                    uint8_t old = (uint8_t)(before >> 8 * i);
                    uint8_t mask = writable[at + i];

                    assert_int_equal((uint8_t)(after >> 8 * i),
                                     ones ? old | mask : old & (uint8_t)~mask);
                }
            }
        }
    }
}

static void test_accesses_past_the_end_of_a_function_are_to_nothing(void **state)
{
    struct bench *b = *state;

    (void)add(b, 0, &plain);
    assert_int_equal(config_read(b, 0, 0xffd, 4), 0xffffffff);
    config_write(b, 0, 0xffd, 4, 0);
    assert_int_equal(config_read(b, 0, 0xfe, 4), 0xffff0000); /* the end of what there is */
    assert_int_equal(hostvm_pci_read_config(b->bus, 0, 9), UINT64_MAX);
    assert_int_equal(hostvm_pci_read_config(b->bus, 0, 0), UINT64_MAX);
}

/* --- base addresses --- */

static void test_base_addresses_tell_their_size(void **state)
{
    struct bench *b = *state;
    hostvm_pci_config_t config = plain;

    config.bars[2].is_prefetchable = true;
    (void)add(b, 0, &config);
    for (unsigned i = 0; i < HOSTVM_PCI_BARS; i++) {
        config_write(b, 0, 0x10 + 4 * i, 4, 0xffffffff);
    }
    assert_int_equal(config_read(b, 0, 0x10, 8), 0xffffffffffffc004);
    assert_int_equal(config_read(b, 0, 0x18, 4), 0xffffff08);
    assert_int_equal(config_read(b, 0, 0x1c, 4), 0);
    assert_int_equal(config_read(b, 0, 0x20, 4), 0xfffff000);
    assert_int_equal(config_read(b, 0, 0x24, 4), 0);
}

static void test_base_addresses_are_chosen_apart(void **state)
{
    struct bench *b = *state;
    struct range taken[3 * 4];
    unsigned nr_taken = 0;

    for (unsigned slot = 0; slot < 4; slot++) {
        (void)add(b, (int)slot, &plain);
        for (unsigned i = 0; i < HOSTVM_PCI_BARS; i++) {
            uint64_t size = i == 4 ? 0x1000 : plain.bars[i].size;
            struct range range = {bar_of(b, slot, i), size};

            if (size == 0) {
                continue;
            }
            assert_true(range_contains((struct range){WINDOW, WINDOW_SIZE}, range));
            assert_int_equal(range.start % size, 0);
            for (unsigned k = 0; k < nr_taken; k++) {
                assert_false(range_overlaps(range, taken[k]));
            }
            taken[nr_taken++] = range;
        }
    }
}

static void test_large_memory_is_put_where_there_is_room(void **state)
{
    struct bench *b = *state;
    hostvm_pci_config_t config = plain;

    config.bars[0].size = 0x40000000;
    (void)add(b, 0, &config);
    assert_int_equal(config_read(b, 0, 0x10, 8), WINDOW64 | 4);
    (void)add(b, 1, &config);
    assert_int_equal(config_read(b, 1, 0x10, 8), (WINDOW64 + 0x40000000) | 4);
    config.bars[0].size = 0x200000000; /* more than there is */
    (void)add(b, 2, &config);
    assert_int_equal(config_read(b, 2, 0x10, 8), 4);
}

static void test_memory_is_decoded_where_and_when_the_guest_says(void **state)
{
    struct bench *b = *state;
    uint64_t at;

    (void)add(b, 0, &plain);
    at = bar_of(b, 0, 0);
    assert_int_equal(pci_memory_read(b->bus, at + 8, 4), UINT64_MAX);
    pci_memory_write(b->bus, at + 8, 4, 1);
    assert_int_equal(b->chip.nr_reads + b->chip.nr_writes, 0);
    command(b, 0, MEMORY);
    assert_int_equal(pci_memory_read(b->bus, at + 8, 4), 0x1122334455667788);
    assert_int_equal(b->chip.bar, 0);
    assert_int_equal(b->chip.offset, 8);
    assert_int_equal(b->chip.size, 4);
    pci_memory_write(b->bus, bar_of(b, 0, 2) + 0xff, 1, 0x55);
    assert_int_equal(b->chip.bar, 2);
    assert_int_equal(b->chip.offset, 0xff);
    assert_int_equal(b->chip.value, 0x55);

    config_write(b, 0, 0x10, 8, WINDOW64 + 0x8000);
    assert_int_equal(pci_memory_read(b->bus, at + 8, 4), UINT64_MAX);
    (void)pci_memory_read(b->bus, WINDOW64 + 0xbff8, 8);
    assert_int_equal(b->chip.offset, 0x3ff8);
    command(b, 0, 0);
    assert_int_equal(pci_memory_read(b->bus, WINDOW64 + 0x8000, 1), UINT64_MAX);
    assert_int_equal(b->chip.nr_reads, 2);
}

static void test_accesses_across_the_end_of_memory_are_to_nothing(void **state)
{
    struct bench *b = *state;
    uint64_t at;

    (void)add(b, 0, &plain);
    command(b, 0, MEMORY);
    at = bar_of(b, 0, 0);
    assert_int_equal(pci_memory_read(b->bus, at + 0x3ffd, 4), UINT64_MAX);
    pci_memory_write(b->bus, at + 0x3fff, 8, 0);
    assert_int_equal(pci_memory_read(b->bus, at - 1, 2), UINT64_MAX);
    assert_int_equal(b->chip.nr_reads + b->chip.nr_writes, 0);
}

static void test_memory_outside_of_the_windows_is_not_decoded(void **state)
{
    static const uint64_t places[] = {0,
                                      ECAM,
                                      WINDOW - 0x4000,
                                      WINDOW + WINDOW_SIZE,
                                      WINDOW64 + WINDOW64_SIZE,
                                      0xffffffffffffc000};
    struct bench *b = *state;

    (void)add(b, 0, &plain);
    command(b, 0, MEMORY);
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        config_write(b, 0, 0x10, 8, places[i]);
        assert_int_equal(pci_memory_read(b->bus, places[i], 4), UINT64_MAX);
    }
    assert_int_equal(b->chip.nr_reads, 0);
    config_write(b, 0, 0x10, 8, WINDOW + WINDOW_SIZE - 0x4000);
    (void)pci_memory_read(b->bus, WINDOW + WINDOW_SIZE - 4, 4);
    assert_int_equal(b->chip.nr_reads, 1);
}

static void test_of_two_that_overlap_the_first_is_decoded(void **state)
{
    struct bench *b = *state;
    uint64_t first;

    (void)add(b, 0, &plain);
    (void)add(b, 1, &plain);
    first = bar_of(b, 0, 0);
    command(b, 0, MEMORY);
    config_write(b, 1, 0x18, 4, first + 0x1000); /* 256 bytes in the middle of 16 KiB */
    command(b, 1, MEMORY);
    (void)pci_memory_read(b->bus, first + 0x1004, 4);
    assert_int_equal(b->chip.bar, 0);
    assert_int_equal(b->chip.offset, 0x1004);
    config_write(b, 0, 0x10, 8, WINDOW64); /* out of the other's way */
    (void)pci_memory_read(b->bus, first + 0x1004, 4);
    assert_int_equal(b->chip.bar, 2);
    assert_int_equal(b->chip.offset, 4);
    assert_int_equal(pci_memory_read(b->bus, first, 4), UINT64_MAX);
}

static void test_doorbells_follow_their_memory(void **state)
{
    const hostvm_doorbell_t doorbell = {.addr = 0x3000, .size = 2};
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);
    int fd = eventfd(0, 0);

    assert_int_equal(hostvm_pci_doorbell_add(function, 0, &doorbell, fd), 0);
    assert_int_equal(kvm->nr_bells, 0);
    command(b, 0, MEMORY);
    assert_int_equal(kvm->nr_bells, 1);
    assert_int_equal(kvm->bells[0], bar_of(b, 0, 0) + 0x3000);
    config_write(b, 0, 0x10, 8, WINDOW64);
    assert_int_equal(kvm->nr_bells, 1);
    assert_int_equal(kvm->bells[0], WINDOW64 + 0x3000);
    config_write(b, 0, 0x10, 8, 0);
    assert_int_equal(kvm->nr_bells, 0);
    config_write(b, 0, 0x10, 8, WINDOW64);
    assert_int_equal(kvm->nr_bells, 1);
    command(b, 0, 0);
    assert_int_equal(kvm->nr_bells, 0);
    (void)close(fd);
}

static void test_a_doorbell_that_kvm_refuses_is_a_write(void **state)
{
    const hostvm_doorbell_t doorbell = {.addr = 0x3000, .size = 2};
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);
    int fd = eventfd(0, 0);

    assert_int_equal(hostvm_pci_doorbell_add(function, 0, &doorbell, fd), 0);
    kvm->refuses_bells = true;
    command(b, 0, MEMORY);
    pci_memory_write(b->bus, bar_of(b, 0, 0) + 0x3000, 2, 1);
    assert_int_equal(b->chip.nr_writes, 1);
    assert_int_equal(hostvm_pci_doorbell_add(function, 0, &doorbell, fd), -1);
    kvm->refuses_bells = false;
    command(b, 0, 0);
    command(b, 0, MEMORY);
    assert_int_equal(kvm->nr_bells, 1);
    (void)close(fd);
}

/* --- capabilities --- */

static void test_capabilities_are_a_list(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5};
    static const uint8_t writable[] = {0, 0xf0, 0, 0, 0xff};
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);
    int first = hostvm_pci_add_capability(function, 9, bytes, NULL, sizeof(bytes));
    int second = hostvm_pci_add_capability(function, 9, bytes, writable, sizeof(bytes));

    assert_int_equal(config_read(b, 0, 0x40, 2), 0x4c11); /* MSI-X is the first */
    assert_int_equal(first, 0x4e);
    assert_int_equal(config_read(b, 0, 0x4c, 2), 0x5409);
    assert_int_equal(second, 0x56);
    assert_int_equal(config_read(b, 0, 0x54, 2), 0x0009);
    config_write(b, 0, 0x54, 8, UINT64_MAX);
    assert_int_equal(config_read(b, 0, 0x54, 8), 0x00ff0403f2010009);
    assert_memory_equal(hostvm_pci_capability(function, (unsigned)second), "\x01\xf2\x03\x04\xff",
                        5);
}

static void test_the_program_is_told_of_its_bytes_alone(void **state)
{
    static const uint8_t bytes[6];
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);
    unsigned at = (unsigned)hostvm_pci_add_capability(function, 9, bytes, NULL, sizeof(bytes));

    (void)config_read(b, 0, at - 2, 2);
    (void)config_read(b, 0, 0, 8);
    config_write(b, 0, at - 6, 4, 0);
    assert_int_equal(b->chip.nr_config_reads + b->chip.nr_config_writes, 0);
    (void)config_read(b, 0, at - 2, 4);
    assert_int_equal(b->chip.nr_config_reads, 1);
    assert_int_equal(b->chip.config_offset, at);
    assert_int_equal(b->chip.config_size, 2);
    config_write(b, 0, at + 4, 8, 0);
    assert_int_equal(b->chip.nr_config_writes, 1);
    assert_int_equal(b->chip.config_offset, at + 4);
    assert_int_equal(b->chip.config_size, 2);
}

static void test_configuration_space_can_be_filled_to_its_end(void **state)
{
    static const uint8_t bytes[200];
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    assert_int_equal(hostvm_pci_add_capability(function, 9, bytes, NULL, 179), -1);
    assert_reason("cannot add a capability of 181 bytes: configuration space has room for 180");
    for (unsigned i = 0; i < 180 / 4; i++) {
        assert_int_equal(hostvm_pci_add_capability(function, 9, bytes, NULL, 2), 0x4e + 4 * i);
    }
    assert_int_equal(hostvm_pci_add_capability(function, 9, bytes, NULL, 1), -1);
    assert_reason("cannot add a capability of 3 bytes: configuration space has room for 0");
    assert_int_equal(hostvm_pci_add_capability(NULL, 9, bytes, NULL, 1), -1);
    assert_reason("hostvm_pci_add_capability: no function, or no bytes given");
}

/* --- lines --- */

/* KVM has it; on Arm only from the first start on. */
static int level_of(struct bench *b, unsigned slot)
{
    int level = b->bus->nr_raising[slot % HOSTVM_PCI_LINES] > 0;

#if defined(__x86_64__)
    assert_int_equal(kvm->level[config_here().gsi[slot % HOSTVM_PCI_LINES]], level);
#endif
    return level;
}

static void test_lines_are_shared_by_every_fourth_slot(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *functions[6];

    for (int slot = 0; slot < 6; slot++) {
        functions[slot] = add(b, slot, &plain);
    }
    hostvm_pci_set_irq(functions[1], true);
    hostvm_pci_set_irq(functions[1], true);
    assert_int_equal(level_of(b, 1), 1);
    assert_int_equal(level_of(b, 0) + level_of(b, 2) + level_of(b, 3), 0);
    hostvm_pci_set_irq(functions[5], true);
    hostvm_pci_set_irq(functions[1], false);
    assert_int_equal(level_of(b, 1), 1);
    hostvm_pci_set_irq(functions[5], false);
    assert_int_equal(level_of(b, 1), 0);
    hostvm_pci_set_irq(functions[4], true);
    hostvm_pci_remove(functions[4]);
    assert_int_equal(level_of(b, 0), 0);
    hostvm_pci_set_irq(NULL, true);
}

static void test_a_disabled_line_is_pending(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    command(b, 0, NO_LINE);
    hostvm_pci_set_irq(function, true);
    assert_int_equal(level_of(b, 0), 0);
    assert_int_equal(config_read(b, 0, 6, 2), 0x18);
    command(b, 0, 0);
    assert_int_equal(level_of(b, 0), 1);
    command(b, 0, NO_LINE);
    assert_int_equal(level_of(b, 0), 0);
    command(b, 0, 0);
    hostvm_pci_set_irq(function, false);
    assert_int_equal(level_of(b, 0), 0);
    assert_int_equal(config_read(b, 0, 6, 2), 0x10);
}

static void test_a_function_without_a_line_raises_none(void **state)
{
    struct bench *b = *state;
    hostvm_pci_config_t config = plain;
    hostvm_pci_function_t *function;

    config.has_line = false;
    function = add(b, 0, &config);
    hostvm_pci_set_irq(function, true);
    assert_int_equal(level_of(b, 0), 0);
    assert_int_equal(config_read(b, 0, 0x3c, 2), 0);
}

/* --- messages --- */

enum { MSIX = 0x40, ENABLE = 0x8000, MASK_ALL = 0x4000 };

static uint64_t table(struct bench *b, unsigned vector)
{
    return bar_of(b, 0, 4) + 16 * vector;
}

static uint64_t pending(struct bench *b)
{
    return pci_memory_read(b->bus, bar_of(b, 0, 4) + 0x800, 8);
}

static bool is_connected(const hostvm_pci_function_t *function, unsigned vector)
{
    return function->msix.vectors[vector].is_connected;
}

static void set_message(struct bench *b, unsigned vector, uint64_t address, uint32_t data)
{
    pci_memory_write(b->bus, table(b, vector), 8, address);
    pci_memory_write(b->bus, table(b, vector) + 8, 8, data);
}

static void test_the_table_begins_masked(void **state)
{
    struct bench *b = *state;

    (void)add(b, 0, &plain);
    assert_int_equal(config_read(b, 0, MSIX + 2, 2), 2); /* of three */
    assert_int_equal(config_read(b, 0, MSIX + 4, 4), 4);
    assert_int_equal(config_read(b, 0, MSIX + 8, 4), 0x804);
    command(b, 0, MEMORY);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pci_memory_read(b->bus, table(b, i), 8), 0);
        assert_int_equal(pci_memory_read(b->bus, table(b, i) + 8, 8), 1ull << 32);
    }
    assert_int_equal(pci_memory_read(b->bus, table(b, 3), 8), 0);
    pci_memory_write(b->bus, table(b, 0), 8, UINT64_MAX);
    pci_memory_write(b->bus, table(b, 0) + 8, 8, UINT64_MAX);
    assert_int_equal(pci_memory_read(b->bus, table(b, 0) + 8, 8), 0x1ffffffff);
    pci_memory_write(b->bus, table(b, 0) + 0x800, 8, UINT64_MAX);
    pci_memory_write(b->bus, table(b, 3), 8, UINT64_MAX);
    assert_int_equal(pci_memory_read(b->bus, table(b, 3), 8) | pending(b), 0);
}

static void test_a_masked_message_is_pending(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    command(b, 0, MEMORY | MASTER);
    config_write(b, 0, MSIX + 2, 2, ENABLE);
    assert_int_equal(eventfd_write(hostvm_pci_vector_fd(function, 1), 1), 0);
    assert_int_equal(pending(b), 2);
    assert_int_equal(pci_memory_read(b->bus, bar_of(b, 0, 4) + 0x800, 1), 2);
    set_message(b, 1, 0xfee00000, 0x4041);
    assert_true(is_connected(function, 1));
    assert_false(is_connected(function, 0));
    assert_int_equal(function->msix.vectors[1].msi.address, 0xfee00000);
    assert_int_equal(function->msix.vectors[1].msi.data, 0x4041);
    assert_int_equal(pending(b), 0); /* KVM's to send */
    pci_memory_write(b->bus, table(b, 1) + 12, 4, 1);
    assert_false(is_connected(function, 1));
}

static void test_messages_are_masked_together(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    command(b, 0, MEMORY | MASTER);
    set_message(b, 0, 0xfee00000, 0x4040);
    set_message(b, 2, 0xfee00000, 0x4042);
    assert_false(is_connected(function, 0)); /* not enabled */
    assert_false(hostvm_pci_has_messages(function));
    config_write(b, 0, MSIX + 2, 2, ENABLE | MASK_ALL);
    assert_true(hostvm_pci_has_messages(function));
    assert_false(is_connected(function, 0));
    config_write(b, 0, MSIX + 3, 1, ENABLE >> 8);
    assert_true(is_connected(function, 0) && is_connected(function, 2));
    assert_false(is_connected(function, 1));
    command(b, 0, MEMORY); /* who is no master sends nothing */
    assert_false(is_connected(function, 0) || is_connected(function, 2));
    command(b, 0, MEMORY | MASTER);
    assert_true(is_connected(function, 0));
    config_write(b, 0, MSIX + 2, 2, 0);
    assert_false(is_connected(function, 0) || hostvm_pci_has_messages(function));
}

static void test_a_changed_message_is_connected_anew(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    command(b, 0, MEMORY | MASTER);
    config_write(b, 0, MSIX + 2, 2, ENABLE);
    set_message(b, 0, 0xfee00000, 0x4040);
    pci_memory_write(b->bus, table(b, 0) + 8, 4, 0x4051);
    assert_true(is_connected(function, 0));
    assert_int_equal(function->msix.vectors[0].msi.data, 0x4051);
    pci_memory_write(b->bus, table(b, 0) + 1, 1, 0x10);
    assert_int_equal(function->msix.vectors[0].msi.address, 0xfee01000);
    pci_memory_write(b->bus, table(b, 0), 4, 0xfee00003); /* the two lowest bits are no address */
    assert_int_equal(function->msix.vectors[0].msi.address, 0xfee00000);
    assert_int_equal(function->msix.vectors[0].msi.device, 0);
}

static void test_messages_take_the_place_of_the_line(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    hostvm_pci_set_irq(function, true);
    assert_int_equal(level_of(b, 0), 1);
    config_write(b, 0, MSIX + 2, 2, ENABLE | MASK_ALL);
    assert_int_equal(level_of(b, 0), 0);
    config_write(b, 0, MSIX + 2, 2, 0);
    assert_int_equal(level_of(b, 0), 1);
}

/* What a driver before left behind is not the next one's. */
static void test_nothing_is_pending_when_messages_are_turned_on(void **state)
{
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    command(b, 0, MEMORY | MASTER);
    config_write(b, 0, MSIX + 2, 2, ENABLE);
    assert_int_equal(eventfd_write(hostvm_pci_vector_fd(function, 2), 1), 0);
    assert_int_equal(pending(b), 4);
    config_write(b, 0, MSIX + 2, 2, 0);
    config_write(b, 0, MSIX + 2, 2, ENABLE);
    assert_int_equal(pending(b), 0);
}

static void test_many_messages_have_room(void **state)
{
    struct bench *b = *state;
    hostvm_pci_config_t config = plain;
    hostvm_pci_function_t *function;

    config.nr_vectors = HOSTVM_PCI_MAX_VECTORS;
    function = add(b, 0, &config);
    assert_int_equal(config_read(b, 0, MSIX + 2, 2), 255);
    assert_int_equal(config_read(b, 0, MSIX + 8, 4), 0x1004);
    command(b, 0, MEMORY | MASTER);
    config_write(b, 0, MSIX + 2, 2, ENABLE);
    assert_int_equal(eventfd_write(hostvm_pci_vector_fd(function, 255), 1), 0);
    assert_int_equal(pci_memory_read(b->bus, bar_of(b, 0, 4) + 0x1018, 8), 1ull << 63);
    set_message(b, 255, 0xfee00000, 0x4040);
    assert_true(is_connected(function, 255));
    assert_int_equal(hostvm_pci_vector_fd(function, 256), -1);
    assert_reason("there is no message 256 of this PCI function");
    assert_int_equal(hostvm_pci_vector_fd(NULL, 0), -1);
}

/* --- misuse --- */

static void refuse_bus(struct bench *b, const hostvm_pci_bus_config_t *config, const char *reason)
{
    assert_null(hostvm_pci_bus_create(&b->vm, config));
    assert_reason(reason);
}

static void test_a_bus_that_cannot_be_is_refused(void **state)
{
    struct bench *b = *state;
    hostvm_pci_bus_config_t config = config_here();

    refuse_bus(b, &config,
               "cannot reserve [0x3f000000..0x3f100000): it shares pages with the reservation "
               "[0x3f000000..0x3f100000); free that first");
    hostvm_pci_bus_destroy(b->bus);
    b->bus = NULL;
    refuse_bus(b, NULL, "hostvm_pci_bus_create: no VM or no configuration given");
    config.ecam += 0x1000;
    refuse_bus(b, &config,
               "cannot make a PCI bus with registers at 0x3f001000: that is no multiple of 1 MiB");
    config = config_here();
    config.memory.size = 0x100000000;
    refuse_bus(b, &config,
               "cannot make a PCI bus with memory at [0x10000000..0x110000000) and "
               "[0x400000000..0x500000000): that is not of whole pages, or the first not below 4 "
               "GiB");
    config = config_here();
    config.memory64.start = UINT64_MAX - 0xfff;
    assert_null(hostvm_pci_bus_create(&b->vm, &config));
    config = config_here();
    config.memory64.start = WINDOW;
    assert_null(hostvm_pci_bus_create(&b->vm, &config)); /* over the other window */
    hostvm_pci_bus_destroy(NULL);
}

static void refuse(struct bench *b, int slot, const hostvm_pci_config_t *config, const char *reason)
{
    assert_null(hostvm_pci_add(b->bus, slot, config));
    assert_reason(reason);
}

static void test_a_function_that_cannot_be_is_refused(void **state)
{
    struct bench *b = *state;
    hostvm_pci_config_t config = plain;

    refuse(b, 0, NULL, "hostvm_pci_add: no bus or no configuration given");
    refuse(b, 32, &config, "there is no PCI slot 32: they are 0 to 31");
    refuse(b, -2, &config, "there is no PCI slot -2: they are 0 to 31");
    config.ops = NULL;
    refuse(b, 0, &config, "cannot add a PCI function: it has no functions to call");
    config = plain;
    config.vendor = 0xffff;
    refuse(b, 0, &config, "cannot add a PCI function of vendor 0xffff: that means none");
    config = plain;
    config.nr_vectors = 257;
    refuse(b, 0, &config, "cannot add a PCI function with 257 messages: the most is 256");
    config = plain;
    config.msix_bar = 2;
    refuse(b, 0, &config, "cannot add a PCI function: base address 2 is not free for its messages");
    config = plain;
    config.msix_bar = 1; /* the upper half of another */
    refuse(b, 0, &config,
           "cannot add a PCI function: base address 1 is not as described, of 0x1000 bytes");
    config = plain;
    config.bars[2].size = 0x300;
    refuse(b, 0, &config,
           "cannot add a PCI function: base address 2 is not as described, of 0x300 bytes");
    config.bars[2].size = 8;
    refuse(b, 0, &config,
           "cannot add a PCI function: base address 2 is not as described, of 0x8 bytes");
    config.bars[2].size = 0x100000000;
    refuse(b, 0, &config,
           "cannot add a PCI function: base address 2 is not as described, of 0x100000000 bytes");
    config = plain;
    config.bars[5] = (hostvm_pci_bar_t){.size = 0x1000, .is_64bit = true};
    refuse(b, 0, &config,
           "cannot add a PCI function: base address 5 is not as described, of 0x1000 bytes");
    for (int slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        assert_int_equal(hostvm_pci_slot(add(b, -1, &plain)), slot);
    }
    refuse(b, -1, &plain, "cannot add a PCI function: all 32 slots are taken");
    refuse(b, 7, &plain, "cannot add a PCI function: slot 7 is taken");
    hostvm_pci_remove(NULL);
}

static void test_a_doorbell_that_cannot_be_is_refused(void **state)
{
    static const struct {
        unsigned bar;
        hostvm_doorbell_t doorbell;
        const char *reason;
    } cases[] = {
        {6, {.addr = 0}, "cannot add a doorbell: the PCI function has no base address 6"},
        {1, {.addr = 0}, "cannot add a doorbell: the PCI function has no base address 1"},
        {0, {.addr = 0x4000}, "cannot add a doorbell: it is not in the memory of base address 0"},
        {0,
         {.addr = 0x3ffe, .size = 4},
         "cannot add a doorbell: it is not in the memory of base address 0"},
        {0,
         {.addr = 0, .is_port = true},
         "cannot add a doorbell: it is not in the memory of base address 0"},
        {0,
         {.addr = UINT64_MAX, .size = 4},
         "cannot add a doorbell: it is not in the memory of base address 0"},
    };
    struct bench *b = *state;
    hostvm_pci_function_t *function = add(b, 0, &plain);

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(hostvm_pci_doorbell_add(function, cases[i].bar, &cases[i].doorbell, 0),
                         -1);
        assert_reason(cases[i].reason);
    }
    assert_int_equal(hostvm_pci_doorbell_add(NULL, 0, &cases[0].doorbell, 0), -1);
    assert_reason("hostvm_pci_doorbell_add: no function or no doorbell given");
}

/* --- what fails on the way is taken back: heap is compared when all is over, for a VM keeps some
 * of what was freed --- */

static void test_every_failure_is_undone(void **state)
{
    const hostvm_pci_bus_config_t config = config_here();
    const hostvm_doorbell_t doorbell = {.addr = 0};
    struct bench *b = *state;
    unsigned n = 0;
    bool is_done = false;

    hostvm_pci_bus_destroy(b->bus);
    while (!is_done) {
        hostvm_pci_config_t function_config = plain;
        hostvm_pci_function_t *function = NULL;
        struct leak_state before, after;

        function_config.cookie = &b->chip;
        leak_begin(&before);
        inject_fail_nth(++n);
        b->bus = hostvm_pci_bus_create(&b->vm, &config);
        if (b->bus != NULL) {
            function = hostvm_pci_add(b->bus, -1, &function_config);
        }
        is_done = function != NULL && hostvm_pci_doorbell_add(function, 0, &doorbell, 0) == 0;
        assert_int_equal(inject_disarm(), !is_done);
        if (!is_done) {
            assert_string_not_equal(hostvm_last_error(), "");
        }
        hostvm_pci_bus_destroy(b->bus);
        b->bus = NULL;
        leak_begin(&after);
        assert_int_equal(after.nr_fds, before.nr_fds);
    }
    assert_in_range(n, 8, 100);
}

/* --- a guest that does what it likes --- */

static uint64_t dice(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Addresses, sizes and values that come near to something, and some that do not. */
static void play(struct bench *b, uint64_t *seed)
{
    static const uint64_t places[] = {WINDOW, WINDOW64,   WINDOW + 0x8000, WINDOW + WINDOW_SIZE,
                                      0,      UINT64_MAX, 0xfee00000};
    unsigned slot = (unsigned)dice(seed) % 5;
    unsigned offset = (unsigned)dice(seed) % (dice(seed) % 8 == 0 ? 0x1000 : 0x60);
    size_t size = 1 + dice(seed) % 8;
    uint64_t value = dice(seed) % 2 == 0 ? dice(seed) : places[dice(seed) % 7];
    uint64_t addr = (dice(seed) % 3 == 0   ? WINDOW64
                     : dice(seed) % 2 == 0 ? WINDOW
                                           : bar_of(b, slot, 4)) +
                    dice(seed) % 0x9000;

    switch (dice(seed) % 6) {
    case 0:
        config_write(b, slot, offset, size, value);
        break;
    case 1:
        (void)hostvm_pci_read_config(b->bus, (uint32_t)dice(seed), size);
        hostvm_pci_write_config(b->bus, (uint32_t)dice(seed), size, value);
        break;
    case 2:
        command(b, slot, dice(seed) % 4 == 0 ? 0 : MEMORY | MASTER);
        break;
    case 3:
        config_write(b, slot, 0x10 + 4 * (dice(seed) % 6), 4, value);
        break;
    case 4:
        (void)pci_memory_read(b->bus, addr, size);
        break;
    default:
        pci_memory_write(b->bus, addr, size, value);
        break;
    }
}

static void connect_all(struct bench *b, unsigned slot)
{
    command(b, slot, MEMORY | MASTER);
    config_write(b, slot, MSIX + 2, 2, ENABLE);
    for (unsigned i = 0; i < plain.nr_vectors; i++) {
        pci_memory_write(b->bus, bar_of(b, slot, 4) + 16 * i + 12, 4, 0);
        assert_true(is_connected(b->bus->functions[slot], i));
    }
}

static void test_a_guest_that_plays_breaks_nothing(void **state)
{
    static const uint8_t bytes[8] = {0};
    static const uint8_t writable[8] = {0xff, 0xff, 0xff, 0xff};
    struct bench *b = *state;
    const hostvm_doorbell_t doorbell = {.addr = 0x1000};
    uint64_t seed = 0x9e3779b97f4a7c15;
    int fd = eventfd(0, EFD_NONBLOCK);
    struct leak_state before;

    for (int slot = 0; slot < 4; slot++) {
        hostvm_pci_function_t *function = add(b, slot, &plain);

        assert_true(hostvm_pci_add_capability(function, 9, bytes, writable, 8) > 0);
        assert_int_equal(hostvm_pci_doorbell_add(function, 0, &doorbell, fd), 0);
    }
    for (unsigned slot = 0; slot < 4; slot++) {
        connect_all(b, slot); /* the library keeps what was connected once */
    }
    leak_begin(&before);
    for (unsigned i = 0; i < 200000; i++) {
        play(b, &seed);
        assert_in_range(kvm->nr_bells, 0, 4);
    }
    for (unsigned slot = 0; slot < 4; slot++) {
        command(b, slot, 0);
        assert_int_equal(config_read(b, slot, 0, 4), 0x56781234);
    }
    assert_int_equal(kvm->nr_bells, 0);
    leak_check(&before);
    assert_true(b->chip.nr_reads > 100 && b->chip.nr_writes > 100);
    (void)close(fd);
}

#define pci_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pci_test(test_slots_without_function_read_as_ones),
        pci_test(test_a_function_shows_what_it_is),
        pci_test(test_a_bridge_is_seen_when_it_has_a_name),
        pci_test(test_only_what_is_writable_is_written),
        pci_test(test_accesses_past_the_end_of_a_function_are_to_nothing),
        pci_test(test_base_addresses_tell_their_size),
        pci_test(test_base_addresses_are_chosen_apart),
        pci_test(test_large_memory_is_put_where_there_is_room),
        pci_test(test_memory_is_decoded_where_and_when_the_guest_says),
        pci_test(test_accesses_across_the_end_of_memory_are_to_nothing),
        pci_test(test_memory_outside_of_the_windows_is_not_decoded),
        pci_test(test_of_two_that_overlap_the_first_is_decoded),
        pci_test(test_doorbells_follow_their_memory),
        pci_test(test_a_doorbell_that_kvm_refuses_is_a_write),
        pci_test(test_capabilities_are_a_list),
        pci_test(test_the_program_is_told_of_its_bytes_alone),
        pci_test(test_configuration_space_can_be_filled_to_its_end),
        pci_test(test_lines_are_shared_by_every_fourth_slot),
        pci_test(test_a_disabled_line_is_pending),
        pci_test(test_a_function_without_a_line_raises_none),
        pci_test(test_the_table_begins_masked),
        pci_test(test_a_masked_message_is_pending),
        pci_test(test_messages_are_masked_together),
        pci_test(test_a_changed_message_is_connected_anew),
        pci_test(test_messages_take_the_place_of_the_line),
        pci_test(test_nothing_is_pending_when_messages_are_turned_on),
        pci_test(test_many_messages_have_room),
        pci_test(test_a_bus_that_cannot_be_is_refused),
        pci_test(test_a_function_that_cannot_be_is_refused),
        pci_test(test_a_doorbell_that_cannot_be_is_refused),
        pci_test(test_every_failure_is_undone),
        pci_test(test_a_guest_that_plays_breaks_nothing),
    };

    return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
