/* Guest RAM: registering it, what of it is allocated, and touching it. */
#include <sel4vm/guest_ram.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sel4vm/guest_memory_helpers.h>

#include "vm/vm.h"

enum { PAGE = 4096 };

static struct range region_range(const struct vm_ram_region *region)
{
    return (struct range){region->start, region->size};
}

/* Index of the first region that ends behind addr. */
static int index_at_or_after(const struct vm_mem *mem, uint64_t addr)
{
    int low = 0;
    int high = mem->num_ram_regions;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (range_end(region_range(&mem->ram_regions[middle])) <= addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- the list of regions --- */

/*
 * A change makes at most two entries more: room for them, so that the change itself cannot fail.
 * RAM that is being registered keeps its room, whatever its iterator has changed meanwhile.
 */
static int make_room(vm_t *vm)
{
    struct vm_mem *mem = &vm->mem;
    size_t nr = (size_t)mem->num_ram_regions + 2 + (size_t)vm->hosted->nr_promised_regions;
    struct vm_ram_region *grown = realloc(mem->ram_regions, nr * sizeof(*grown));

    if (grown == NULL) {
        return fail(-ENOMEM, "cannot change guest RAM: out of memory for its list");
    }
    mem->ram_regions = grown;
    return 0;
}

static void insert_at(struct vm_mem *mem, int at, struct vm_ram_region region)
{
    memmove(&mem->ram_regions[at + 1], &mem->ram_regions[at],
            (size_t)(mem->num_ram_regions - at) * sizeof(region));
    mem->ram_regions[at] = region;
    mem->num_ram_regions++;
}

static void erase_at(struct vm_mem *mem, int at)
{
    mem->num_ram_regions--;
    memmove(&mem->ram_regions[at], &mem->ram_regions[at + 1],
            (size_t)(mem->num_ram_regions - at) * sizeof(mem->ram_regions[0]));
}

/* Joins the entry with the one behind it where both touch and are equal. */
static void join_next(struct vm_mem *mem, int at)
{
    if (at < 0 || at + 1 >= mem->num_ram_regions) {
        return;
    }
    struct vm_ram_region *region = &mem->ram_regions[at];
    const struct vm_ram_region *next = region + 1;

    if (range_end(region_range(region)) == next->start && region->allocated == next->allocated) {
        region->size += next->size;
        erase_at(mem, at + 1);
    }
}

static void join_around(struct vm_mem *mem, int at)
{
    join_next(mem, at);
    join_next(mem, at - 1);
}

static void add_region(struct vm_mem *mem, struct range range)
{
    int at = index_at_or_after(mem, range.start);

    insert_at(mem, at, (struct vm_ram_region){range.start, range.size, 0});
    join_around(mem, at);
}

/* Gives part of the entry at an index the other flag: up to three entries come of one. */
static void set_allocated(struct vm_mem *mem, int at, struct range range, int allocated)
{
    struct range old = region_range(&mem->ram_regions[at]);
    struct range after = {range_end(range), range_end(old) - range_end(range)};

    mem->ram_regions[at] = (struct vm_ram_region){range.start, range.size, allocated};
    if (after.size > 0) {
        insert_at(mem, at + 1, (struct vm_ram_region){after.start, after.size, !allocated});
    }
    if (old.start < range.start) {
        insert_at(mem, at, (struct vm_ram_region){old.start, range.start - old.start, !allocated});
        at++;
    }
    join_around(mem, at);
}

/* The entry with this flag that all of range lies in, or -1. */
static int find_region(const struct vm_mem *mem, struct range range, int allocated)
{
    int at = index_at_or_after(mem, range.start);

    if (range.size == 0 || at == mem->num_ram_regions ||
        mem->ram_regions[at].allocated != allocated ||
        !range_contains(region_range(&mem->ram_regions[at]), range)) {
        return -1;
    }
    return at;
}

static int change_flag(vm_t *vm, struct range range, int allocated)
{
    int at = find_region(&vm->mem, range, !allocated);
    int r;

    if (at < 0) {
        return 0;
    }
    r = make_room(vm);
    if (r == 0) {
        set_allocated(&vm->mem, at, range, allocated);
    }
    return r;
}

/* --- registering --- */

/* Fills a fresh reservation with RAM; when that fails, the reservation is gone. */
static int fill(vm_t *vm, struct vm_memory_reservation *reservation,
                memory_map_iterator_fn iterator, void *cookie)
{
    char reason[REASON_SIZE];
    int r;

    vm->hosted->nr_promised_regions++;
    r = iterator != NULL ? memory_map(vm, reservation, iterator, cookie)
                         : memory_map_zeroed(vm, reservation, seL4_AllRights);
    vm->hosted->nr_promised_regions--;
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s", reason_last());
        (void)memory_free(vm, reservation); /* nothing is mapped in it: cannot fail */
        return fail_text(r, reason);
    }
    add_region(&vm->mem, reservation->range);
    return 0;
}

static int register_at(vm_t *vm, struct range range, memory_map_iterator_fn iterator, void *cookie)
{
    struct vm_memory_reservation *reservation;
    int r = make_room(vm);

    if (r < 0) {
        return r;
    }
    r = memory_reserve(vm, range, default_error_fault_callback, NULL, &reservation);
    return r < 0 ? r : fill(vm, reservation, iterator, cookie);
}

static int register_anon(vm_t *vm, uint64_t size, uintptr_t *ret_addr)
{
    struct vm_memory_reservation *reservation;
    int r = make_room(vm);

    if (r < 0) {
        return r;
    }
    r = memory_reserve_anon(vm, size, PAGE, default_error_fault_callback, NULL, &reservation);
    if (r < 0) {
        return r;
    }
    *ret_addr = reservation->range.start;
    return fill(vm, reservation, NULL, NULL);
}

int vm_ram_register_at(vm_t *vm, uintptr_t start, size_t bytes, bool untyped)
{
    int r;

    (void)untyped; /* no memory of a process lies at a physical address of its choice */
    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_ram_register_at: no VM given"));
    }
    vm_enter(vm);
    r = register_at(vm, (struct range){start, bytes}, NULL, NULL);
    vm_leave(vm);
    return public_status(vm, r);
}

int vm_ram_register_at_custom_iterator(vm_t *vm, uintptr_t start, size_t bytes,
                                       memory_map_iterator_fn map_iterator, void *cookie)
{
    int r;

    if (!vm_is_usable(vm) || map_iterator == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_ram_register_at_custom_iterator: no VM or no iterator given"));
    }
    vm_enter(vm);
    r = register_at(vm, (struct range){start, bytes}, map_iterator, cookie);
    vm_leave(vm);
    return public_status(vm, r);
}

uintptr_t vm_ram_register(vm_t *vm, size_t bytes)
{
    uintptr_t addr = 0;
    int r;

    if (!vm_is_usable(vm)) {
        (void)public_status(vm, fail(-EINVAL, "vm_ram_register: no VM given"));
        return 0;
    }
    vm_enter(vm);
    r = register_anon(vm, bytes, &addr);
    vm_leave(vm);
    return public_status(vm, r) == 0 ? addr : 0;
}

/* --- allocating --- */

void vm_ram_mark_allocated(vm_t *vm, uintptr_t start, size_t bytes)
{
    int r;

    if (!vm_is_usable(vm)) {
        (void)public_status(vm, fail(-EINVAL, "vm_ram_mark_allocated: no VM given"));
        return;
    }
    vm_enter(vm);
    r = change_flag(vm, (struct range){start, bytes}, 1);
    vm_leave(vm);
    (void)public_status(vm, r); /* the interface has no result to report it by */
}

void vm_ram_free(vm_t *vm, uintptr_t start, size_t bytes)
{
    int r;

    if (!vm_is_usable(vm)) {
        (void)public_status(vm, fail(-EINVAL, "vm_ram_free: no VM given"));
        return;
    }
    vm_enter(vm);
    r = change_flag(vm, (struct range){start, bytes}, 0);
    vm_leave(vm);
    (void)public_status(vm, r); /* the interface has no result to report it by */
}

static int allocate(vm_t *vm, size_t bytes, uintptr_t *ret_addr)
{
    struct vm_mem *mem = &vm->mem;

    for (int i = 0; i < mem->num_ram_regions; i++) {
        struct vm_ram_region region = mem->ram_regions[i];

        if (!region.allocated && region.size >= bytes) {
            *ret_addr = region.start;
            return bytes == 0 ? 0 : change_flag(vm, (struct range){region.start, bytes}, 1);
        }
    }
    return fail(-ENOSPC, "cannot allocate 0x%zx bytes of guest RAM: no free region is that large",
                bytes);
}

uintptr_t vm_ram_allocate(vm_t *vm, size_t bytes)
{
    uintptr_t addr = 0;
    int r;

    if (!vm_is_usable(vm)) {
        (void)public_status(vm, fail(-EINVAL, "vm_ram_allocate: no VM given"));
        return 0;
    }
    vm_enter(vm);
    r = allocate(vm, bytes, &addr);
    vm_leave(vm);
    return public_status(vm, r) == 0 ? addr : 0;
}

static const struct vm_ram_region *largest_free(const struct vm_mem *mem)
{
    const struct vm_ram_region *largest = NULL;

    for (int i = 0; i < mem->num_ram_regions; i++) {
        const struct vm_ram_region *region = &mem->ram_regions[i];

        if (!region->allocated && arch_can_boot_from(region_range(region)) &&
            (largest == NULL || region->size > largest->size)) {
            largest = region;
        }
    }
    return largest;
}

int vm_ram_find_largest_free_region(vm_t *vm, uintptr_t *addr, size_t *size)
{
    const struct vm_ram_region *largest;
    int r = 0;

    if (!vm_is_usable(vm) || addr == NULL || size == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_ram_find_largest_free_region: no VM or no result given"));
    }
    vm_enter(vm);
    largest = largest_free(&vm->mem);
    if (largest != NULL) {
        *addr = largest->start;
        *size = largest->size;
    } else {
        r = fail(-ENOENT, "there is no free guest RAM");
    }
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- touching --- */

/* Entries of the list may touch each other: together they have to cover the range. */
static bool is_ram(const struct vm_mem *mem, struct range range)
{
    int at = index_at_or_after(mem, range.start);
    uint64_t addr = range.start;

    if (!range_is_valid(range.start, range.size)) {
        return false;
    }
    do {
        if (at == mem->num_ram_regions || !range_has(region_range(&mem->ram_regions[at]), addr)) {
            return false;
        }
        addr = range_end(region_range(&mem->ram_regions[at]));
        at++;
    } while (addr < range_end(range));
    return true;
}

/* All of it has memory behind it. RAM need not: its mapping may be without the right to read. */
static int check_is_there(vm_t *vm, struct range range)
{
    struct range rest = range;

    do {
        uint64_t size;

        if (guest_vspace_piece(vm->hosted, rest, &size) == NULL) {
            return fail(-EFAULT,
                        "cannot touch [0x%llx..0x%llx): the guest has no right to this memory",
                        (unsigned long long)range.start, (unsigned long long)range_end(range));
        }
        rest = (struct range){rest.start + size, rest.size - size};
    } while (rest.size > 0);
    return 0;
}

/* The library's own callbacks copy any number of bytes; a client's gets no more than a page. */
static bool takes_all(ram_touch_callback_fn callback)
{
    return callback == vm_guest_ram_read_callback || callback == vm_guest_ram_write_callback;
}

/*
 * What is next of a range, and how much of it in one go. A client's callback may have unmapped it,
 * so each page is looked up.
 */
static uint8_t *next_piece(vm_t *vm, struct range rest, bool is_whole, uint64_t *ret_size)
{
    uint64_t page_rest = PAGE - rest.start % PAGE;

    if (is_whole) {
        return guest_vspace_piece(vm->hosted, rest, ret_size);
    }
    *ret_size = page_rest < rest.size ? page_rest : rest.size;
    return hostvm_vm_pointer(vm, rest.start, *ret_size);
}

static int touch(vm_t *vm, struct range range, ram_touch_callback_fn callback, void *cookie)
{
    int r = public_status(vm, check_is_there(vm, range));

    for (uint64_t done = 0; r == 0 && done < range.size;) {
        struct range rest = {range.start + done, range.size - done};
        uint64_t size;
        uint8_t *hva = next_piece(vm, rest, takes_all(callback), &size);

        if (hva == NULL) {
            return public_status(vm, check_is_there(vm, rest));
        }
        vm->hosted->nr_callbacks++;
        r = callback(vm, rest.start, hva, size, done, cookie);
        vm->hosted->nr_callbacks--;
        done += size;
    }
    return r;
}

int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie)
{
    struct range range = {addr, size};
    int r;

    if (!vm_is_usable(vm) || touch_callback == NULL) {
        return public_status(vm, fail(-EINVAL, "vm_ram_touch: no VM or no callback given"));
    }
    vm_enter(vm);
    if (is_ram(&vm->mem, range)) {
        r = touch(vm, range, touch_callback, cookie);
    } else {
        r = public_status(vm, fail(-EFAULT,
                                   "cannot touch 0x%zx bytes at 0x%zx: they are not all guest RAM",
                                   size, (size_t)addr));
    }
    vm_leave(vm);
    return r;
}

static int check_copy(vm_t *vm, const void *vaddr, const void *buf)
{
    if (vaddr == NULL || buf == NULL) {
        return public_status(vm,
                             fail(-EINVAL, "cannot copy guest RAM: no address or no buffer given"));
    }
    return 0;
}

int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf)
{
    (void)guest_addr;
    if (check_copy(vm, vaddr, buf) != 0) {
        return -1;
    }
    memcpy((uint8_t *)buf + offset, vaddr, size);
    return 0;
}

int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf)
{
    (void)guest_addr;
    if (check_copy(vm, vaddr, buf) != 0) {
        return -1;
    }
    memcpy(vaddr, (const uint8_t *)buf + offset, size);
    return 0;
}
