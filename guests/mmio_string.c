/*
 * String instructions of x86 reach a device element by element, in their order.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h).
 */
#include <stddef.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    REG = GUEST_DEVICE_BASE + 0x200,
};

static uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static uint32_t words[3];

static void check_copy_to_device(void)
{
    uint64_t to = REG;
    const void *from = bytes;
    size_t n = 5;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    check("rep movsb to the device", mmio_read64(REG), 0x0504030201);
    check("its destination", to, REG + 5);
    check("its count", n, 0);
}

static void check_fill_device(void)
{
    uint64_t to = REG + 8;
    size_t n = 3;

    __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(0x7a79) : "memory");
    check("rep stosw to the device", mmio_read64(REG + 8), 0x7a797a797a79);
}

static void check_copy_from_device(void)
{
    void *to = words;
    uint64_t from = REG + 1;
    size_t n = 3;

    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    check("rep movsl from the device", words[0], 0x05040302);
    check("its second element", words[1], 0x79000000);
    check("its third element", words[2], 0x797a797a);
}

static void check_load(void)
{
    uint64_t from = REG;
    uint32_t value;

    __asm__ volatile("lodsl" : "=a"(value), "+S"(from) : : "memory");
    check("lodsl", value, 0x04030201);
    check("its source", from, REG + 4);
}

static void check_copy_within_device(void)
{
    uint64_t to = REG + 0x10;
    uint64_t from = REG;

    __asm__ volatile("movsq" : "+D"(to), "+S"(from) : : "memory");
    check("movsq from device to device", mmio_read64(REG + 0x10), 0x0504030201);
}

void guest_main(void)
{
    check_copy_to_device();
    check_fill_device();
    check_copy_from_device();
    check_load();
    check_copy_within_device();
    report_end();
}
