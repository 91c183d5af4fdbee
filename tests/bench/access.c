/*
 * Access to guest memory from the VMM: translating an address, beside a loop that calls a function
 * which does nothing, and copying all of it with vm_ram_touch, beside memcpy on the same bytes in
 * the same run. In nanoseconds; in the deterministic box: instructions.
 *
 *   access [MIB]       guest RAM to be copied (1024)
 */
#include <hostvm/env.h>
#include <hostvm/guest_window.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>

#include "bench/bare.h"

enum { NR_TRANSLATIONS = 1000000, PAGE = 4096, MIB = 1 << 20 };

/* Where PCs have RAM: below the hole for video memory, and above it. Then, apart, where no power of
 * two is. */
#define RAM       0x100000ul
#define LOW_RAM   0ul
#define APART_RAM 0x158000000ul

static void check(int is_good, const char *what)
{
    if (!is_good) {
        (void)fprintf(stderr, "access: %s: %s\n", what, hostvm_last_error());
        exit(1);
    }
}

/* --- translation --- */

typedef void *(*translate_fn)(vm_t *vm, uintptr_t gpa, size_t size);

static __attribute__((noinline)) void *translate_nothing(vm_t *vm, uintptr_t gpa, size_t size)
{
    (void)vm;
    __asm__ volatile("" ::"r"(size));
    return (void *)gpa;
}

/* Addresses all over [start, start + size), 8 bytes each. */
static double time_translations(vm_t *vm, translate_fn translate, uintptr_t start, size_t size)
{
    uint64_t begin = now();
    uintptr_t offset = 0;

    for (int i = 0; i < NR_TRANSLATIONS; i++) {
        const void *p = translate(vm, start + offset, 8);

        __asm__ volatile("" ::"r"(p));
        offset = (offset + 7919 * 8) & (size - 1);
    }
    return (double)(now() - begin) / NR_TRANSLATIONS;
}

static void measure_translation(vm_t *vm, const char *name, uintptr_t start, size_t size)
{
    double floor = time_translations(vm, translate_nothing, start, size);
    double library = time_translations(vm, hostvm_vm_pointer, start, size);

    check(hostvm_vm_pointer(vm, start, size) != NULL, name);
    printf("translate, %-24s  a call %6.1f  hostvm %6.1f  more %6.1f\n", name, floor, library,
           library - floor);
}

/* --- copying --- */

static int copy_page(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                     void *cookie)
{
    (void)vm;
    (void)addr;
    memcpy((uint8_t *)cookie + offset, pointer, size);
    return 0;
}

static void copy_pages(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t done = 0; done < size; done += PAGE) {
        memcpy(to + done, from + done, PAGE);
        __asm__ volatile("" ::: "memory");
    }
}

static void print_copy(const char *name, uint64_t floor, uint64_t library)
{
    printf("copy, %-30s  memcpy %11.0f  hostvm %11.0f  ratio %.3f\n", name, (double)floor,
           (double)library, (double)library / (double)floor);
}

static void measure_touch(vm_t *vm, uint8_t *buf, size_t size, ram_touch_callback_fn callback,
                          const char *name)
{
    uint8_t *ram = hostvm_vm_pointer(vm, RAM, size);
    uint64_t begin = now();
    uint64_t floor;

    if (callback == copy_page) {
        copy_pages(buf, ram, size);
    } else if (callback == vm_guest_ram_write_callback) {
        memcpy(ram, buf, size);
    } else {
        memcpy(buf, ram, size);
    }
    __asm__ volatile("" ::: "memory");
    floor = now() - begin;
    begin = now();
    check(vm_ram_touch(vm, RAM, size, callback, buf) == 0, name);
    print_copy(name, floor, now() - begin);
}

/* The bound window is the same memory. */
static void measure_window(hostvm_window_t *window, uint8_t *buf, size_t size)
{
    const uint8_t *ram = hostvm_window_ptr(window, RAM, size);
    uint64_t begin = now();
    uint64_t floor;

    check(ram != NULL, "window");
    memcpy(buf, ram, size);
    __asm__ volatile("" ::: "memory");
    floor = now() - begin;
    begin = now();
    check(hostvm_window_read(window, RAM, buf, size) == 0, "window");
    print_copy("hostvm_window_read", floor, now() - begin);
}

static void measure_words(hostvm_window_t *window, size_t size)
{
    uint64_t begin = now();
    uintptr_t offset = 0;
    uint32_t value;

    for (int i = 0; i < NR_TRANSLATIONS; i++) {
        (void)hostvm_window_read32(window, RAM + offset, &value);
        offset = (offset + 7919 * 4) & (size - 1);
    }
    printf("hostvm_window_read32  %6.1f\n", (double)(now() - begin) / NR_TRANSLATIONS);
}

int main(int argc, char **argv)
{
    size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) * MIB;
    hostvm_window_t *window;
    hostvm_env_t env;
    uint8_t *buf;
    vm_t vm;

    check(hostvm_env_create(&env, NULL) == 0, "environment");
    check(vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, seL4_CapNull, "bench") == 0,
          "VM");
    check(vm_ram_register_at(&vm, LOW_RAM, 0xa0000, false) == 0, "low RAM");
    check(vm_ram_register_at(&vm, RAM, size, false) == 0, "RAM");
    check(vm_ram_register_at(&vm, APART_RAM, 64ul * MIB, false) == 0, "RAM apart");
    measure_translation(&vm, "from 1 MiB on", RAM, MIB);
    measure_translation(&vm, "below 640 KiB", LOW_RAM, 0x80000);
    measure_translation(&vm, "behind no power of two", APART_RAM, 64ul * MIB);

    buf = malloc(size);
    check(buf != NULL, "buffer");
    memset(buf, 1, size);
    memset(hostvm_vm_pointer(&vm, RAM, size), 2, size);
    measure_touch(&vm, buf, size, vm_guest_ram_read_callback, "vm_guest_ram_read_callback");
    measure_touch(&vm, buf, size, vm_guest_ram_write_callback, "vm_guest_ram_write_callback");
    measure_touch(&vm, buf, size, copy_page, "a callback, page by page");
    (void)hostvm_vm_destroy(&vm);

    check(hostvm_window_create(RAM + size, 0, &window) == 0, "window");
    check(vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, seL4_CapNull, "bench") == 0,
          "VM");
    check(hostvm_window_bind(window, &vm) == 0, "bind");
    check(vm_ram_register_at(&vm, RAM, size, false) == 0, "RAM");
    memset(hostvm_vm_pointer(&vm, RAM, size), 3, size);
    measure_translation(&vm, "in a bound window", RAM, MIB);
    measure_words(window, MIB);
    measure_window(window, buf, size);
    free(buf);
    hostvm_window_destroy(window);
    (void)hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return 0;
}
