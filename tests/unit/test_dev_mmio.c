/* Accesses of every width and place to registers of 32 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/mmio.h"

enum { NR_REGISTERS = 8 };

/* Four bytes of each tell which register they are of. */
struct chip {
    uint32_t registers[NR_REGISTERS];
    unsigned nr_reads, nr_writes;
};

static uint32_t read_chip(void *device, unsigned offset)
{
    struct chip *chip = device;

    assert_in_range(offset, 0, 4 * NR_REGISTERS - 1);
    assert_int_equal(offset % 4, 0);
    chip->nr_reads++;
    return chip->registers[offset / 4];
}

static void write_chip(void *device, unsigned offset, uint32_t value)
{
    struct chip *chip = device;

    assert_in_range(offset, 0, 4 * NR_REGISTERS - 1);
    assert_int_equal(offset % 4, 0);
    chip->nr_writes++;
    chip->registers[offset / 4] = value;
}

struct bench {
    struct chip chip;
    struct mmio_device mmio;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    for (unsigned i = 0; i < NR_REGISTERS; i++) {
        bench->chip.registers[i] = 0xa0b0c0d0 + i * 0x01010101;
    }
    bench->mmio = (struct mmio_device){&bench->chip, read_chip, write_chip, 0x1000, 32, "chip"};
}

static void test_reads_give_their_part_of_a_register(void **state)
{
    static const struct {
        unsigned offset, size;
        uint64_t value;
    } reads[] = {{4, 4, 0xa1b1c1d1}, {4, 2, 0xc1d1}, {6, 2, 0xa1b1},
                 {4, 1, 0xd1},       {5, 1, 0xc1},   {6, 1, 0xb1},
                 {7, 1, 0xa1},       {5, 2, 0xb1c1}, {8, 8, 0xa3b3c3d3a2b2c2d2}};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        b.chip.nr_reads = 0;
        assert_int_equal(mmio_device_read(&b.mmio, reads[i].offset, reads[i].size), reads[i].value);
        assert_int_equal(b.chip.nr_reads, reads[i].size == 8 ? 2 : 1); /* reading has effects */
    }
}

static void test_reads_across_registers_give_nothing(void **state)
{
    static const struct {
        unsigned offset, size;
    } reads[] = {{1, 4}, {2, 4}, {3, 4}, {3, 2}, {1, 8}, {4 + 3, 8}};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        assert_int_equal(mmio_device_read(&b.mmio, reads[i].offset, reads[i].size), 0);
    }
    assert_int_equal(b.chip.nr_reads, 0);
}

static void test_writes_reach_one_register_or_two(void **state)
{
    static const struct {
        unsigned size;
        uint32_t first, second;
    } writes[] = {{1, 0x88, 0xa3b3c3d3},
                  {2, 0x7788, 0xa3b3c3d3},
                  {4, 0x55667788, 0xa3b3c3d3},
                  {8, 0x55667788, 0x11223344}};
    struct bench b;

    (void)state;
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        bench_init(&b);
        mmio_device_write(&b.mmio, 8, writes[i].size, 0x1122334455667788);
        assert_int_equal(b.chip.registers[1], 0xa1b1c1d1);
        assert_int_equal(b.chip.registers[2], writes[i].first);
        assert_int_equal(b.chip.registers[3], writes[i].second);
        assert_int_equal(b.chip.nr_writes, writes[i].size == 8 ? 2 : 1);
    }
}

static void test_writes_elsewhere_change_nothing(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned offset = 1; offset < 4; offset++) {
            mmio_device_write(&b.mmio, offset, size, UINT64_MAX);
        }
    }
    assert_int_equal(b.chip.nr_writes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_give_their_part_of_a_register),
        cmocka_unit_test(test_reads_across_registers_give_nothing),
        cmocka_unit_test(test_writes_reach_one_register_or_two),
        cmocka_unit_test(test_writes_elsewhere_change_nothing),
    };

    return cmocka_run_group_tests_name("dev_mmio", tests, NULL, NULL);
}
