/* Reservations: claiming guest-physical ranges, finding them, giving them back. */
#include <sel4vm/guest_memory.h>

#include <errno.h>
#include <stdlib.h>

#include "vm/vm.h"

enum {
    PAGE = 4096,
    MIN_FREED = 64, /* freed reservations that are not used again yet */
};

static struct vm_memory_reservation_cookie *memory_of(vm_t *vm)
{
    return vm->mem.reservation_cookie;
}

/* A dead or foreign pointer is told apart without being followed. */
bool memory_owns(vm_t *vm, const struct vm_memory_reservation *reservation)
{
    const struct rangemap *map = &memory_of(vm)->reservations;

    for (size_t i = 0; i < map->nr_entries; i++) {
        if (map->entries[i].value == reservation) {
            return true;
        }
    }
    return false;
}

struct vm_memory_reservation *memory_search(vm_t *vm, uint64_t addr)
{
    struct vm_memory_reservation_cookie *memory = memory_of(vm);
    struct rangemap_entry *entry = rangemap_find(&memory->reservations, addr);

    if (entry == NULL) {
        return NULL;
    }
    memory->last_hit = entry->value;
    return entry->value;
}

/* --- reserving --- */

static int check_range(struct range range)
{
    struct range pages;

    if (range.size == 0) {
        return fail(-EINVAL, "cannot reserve guest memory at 0x%llx: its size is 0",
                    (unsigned long long)range.start);
    }
    pages = range_is_valid(range.start, range.size) ? range_round_out(range, PAGE)
                                                    : (struct range){0, 0};
    if (pages.size == 0 || !range_is_valid(pages.start, pages.size)) {
        return fail(-EINVAL,
                    "cannot reserve guest memory at 0x%llx: 0x%llx bytes from there do not fit the "
                    "address space",
                    (unsigned long long)range.start, (unsigned long long)range.size);
    }
    return 0;
}

/* Says what is in the way, where that is known here. */
static int explain_conflict(vm_t *vm, struct range range)
{
    const struct vm_memory_reservation_cookie *memory = memory_of(vm);
    struct range pages = range_round_out(range, PAGE);
    const struct rangemap_entry *entry = rangemap_first_overlap(&memory->pools, pages);

    if (entry != NULL) {
        return fail(-EEXIST,
                    "cannot reserve " RANGE_FMT ": it overlaps the anonymous region " RANGE_FMT,
                    RANGE_ARGS(range), RANGE_ARGS(entry->range));
    }
    entry = rangemap_at_or_after(&memory->reservations, pages.start);
    if (entry != NULL && range_overlaps(range_round_out(entry->range, PAGE), pages)) {
        return fail(-EEXIST,
                    "cannot reserve " RANGE_FMT ": it shares pages with the reservation " RANGE_FMT
                    "; free that first",
                    RANGE_ARGS(range), RANGE_ARGS(entry->range));
    }
    return fail(-EEXIST,
                "cannot reserve " RANGE_FMT ": pages of it are taken in the guest's address space",
                RANGE_ARGS(range));
}

static void retire(struct vm_memory_reservation_cookie *memory,
                   struct vm_memory_reservation *reservation)
{
    *reservation = (struct vm_memory_reservation){.range = {0, 0}};
    if (memory->nr_freed == 0) {
        memory->first_freed = reservation;
    } else {
        memory->last_freed->next_freed = reservation;
    }
    memory->last_freed = reservation;
    memory->nr_freed++;
}

static struct vm_memory_reservation *reuse(struct vm_memory_reservation_cookie *memory)
{
    struct vm_memory_reservation *reservation = memory->first_freed;

    if (memory->nr_freed <= MIN_FREED) {
        return NULL;
    }
    memory->first_freed = reservation->next_freed;
    memory->nr_freed--;
    return reservation;
}

static int new_reservation(vm_t *vm, struct range range, memory_fault_callback_fn callback,
                           void *cookie, struct vm_memory_reservation **ret)
{
    struct vm_memory_reservation *reservation = reuse(memory_of(vm));

    if (reservation == NULL) {
        reservation = malloc(sizeof(*reservation));
    }
    if (reservation == NULL) {
        return fail(-ENOMEM, "cannot reserve " RANGE_FMT ": out of memory", RANGE_ARGS(range));
    }
    *reservation = (struct vm_memory_reservation){
        .range = range,
        .callback = callback,
        .cookie = cookie,
    };
    *ret = reservation;
    return 0;
}

int memory_reserve(vm_t *vm, struct range range, memory_fault_callback_fn callback, void *cookie,
                   struct vm_memory_reservation **ret)
{
    struct vm_memory_reservation *reservation = NULL;
    int r = check_range(range);

    if (r < 0) {
        return r;
    }
    r = new_reservation(vm, range, callback, cookie, &reservation);
    if (r < 0) {
        return r;
    }
    r = rangemap_reserve(&memory_of(vm)->reservations, 1);
    if (r < 0) {
        (void)fail(r, "cannot reserve " RANGE_FMT ": out of memory", RANGE_ARGS(range));
        goto free_reservation;
    }
    r = space_reserve(vm->hosted->space, range, false, seL4_NoRights, &reservation->claim);
    if (r < 0) {
        r = r == -EEXIST ? explain_conflict(vm, range) : r;
        goto free_reservation;
    }
    space_keep(reservation->claim);
    r = rangemap_add(&memory_of(vm)->reservations, range, reservation);
    assert(r == 0); /* the pages were empty and there is room */
    *ret = reservation;
    return 0;

free_reservation:
    free(reservation);
    return r;
}

vm_memory_reservation_t *vm_reserve_memory_at(vm_t *vm, uintptr_t addr, size_t size,
                                              memory_fault_callback_fn fault_callback, void *cookie)
{
    struct vm_memory_reservation *reservation = NULL;
    int r;

    if (!vm_is_usable(vm) || fault_callback == NULL) {
        (void)public_status(
            vm, fail(-EINVAL, "vm_reserve_memory_at: no VM or no fault callback given"));
        return NULL;
    }
    vm_enter(vm);
    r = memory_reserve(vm, (struct range){addr, size}, fault_callback, cookie, &reservation);
    vm_leave(vm);
    return public_status(vm, r) == 0 ? reservation : NULL;
}

/* --- anonymous reservations --- */

static int take_from_pools(vm_t *vm, uint64_t size, uint64_t align, struct anon_pool **ret_pool,
                           uint64_t *ret_start)
{
    const struct rangemap *pools = &memory_of(vm)->pools;

    for (size_t i = 0; i < pools->nr_entries; i++) {
        int r = anon_pool_take(pools->entries[i].value, size, align, ret_start);

        if (r != -ENOSPC) {
            *ret_pool = pools->entries[i].value;
            return r;
        }
    }
    return fail(-ENOSPC,
                "cannot reserve 0x%llx bytes of anonymous guest memory: no region of "
                "vm_memory_make_anon has "
                "that much left",
                (unsigned long long)size);
}

int memory_reserve_anon(vm_t *vm, uint64_t size, uint64_t align, memory_fault_callback_fn callback,
                        void *cookie, struct vm_memory_reservation **ret)
{
    struct vm_memory_reservation *reservation = NULL;
    struct anon_pool *pool = NULL;
    uint64_t start = 0;
    int r = check_range((struct range){0, size});

    if (r < 0) {
        return r;
    }
    r = new_reservation(vm, (struct range){0, size}, callback, cookie, &reservation);
    if (r < 0) {
        return r;
    }
    r = rangemap_reserve(&memory_of(vm)->reservations, 1);
    if (r < 0) {
        (void)fail(r, "cannot reserve anonymous guest memory: out of memory");
        goto free_reservation;
    }
    r = take_from_pools(vm, align_up(size, PAGE), align == 0 ? 1 : align, &pool, &start);
    if (r < 0) {
        goto free_reservation;
    }
    reservation->range.start = start;
    reservation->pool = pool;
    reservation->claim = pool->claim;
    r = rangemap_add(&memory_of(vm)->reservations, reservation->range, reservation);
    assert(r == 0); /* pools are nobody else's and there is room */
    *ret = reservation;
    return 0;

free_reservation:
    free(reservation);
    return r;
}

vm_memory_reservation_t *(vm_reserve_anon_memory)(vm_t *vm, size_t size, size_t align,
                                                  memory_fault_callback_fn fault_callback,
                                                  void *cookie, uintptr_t *addr)
{
    struct vm_memory_reservation *reservation = NULL;
    int r;

    if (!vm_is_usable(vm) || fault_callback == NULL || addr == NULL) {
        (void)public_status(
            vm, fail(-EINVAL, "vm_reserve_anon_memory: no VM, fault callback or result given"));
        return NULL;
    }
    vm_enter(vm);
    r = memory_reserve_anon(vm, size, align, fault_callback, cookie, &reservation);
    vm_leave(vm);
    if (public_status(vm, r) != 0) {
        return NULL;
    }
    *addr = reservation->range.start;
    return reservation;
}

static int make_anon(vm_t *vm, struct range range)
{
    struct vm_memory_reservation_cookie *memory = memory_of(vm);
    struct anon_pool *pool;
    struct range pages;
    int r = check_range(range);

    if (r < 0) {
        return r;
    }
    pages = range_round_out(range, PAGE);
    pool = anon_pool_create(range);
    if (pool == NULL || rangemap_reserve(&memory->pools, 1) < 0) {
        anon_pool_destroy(pool);
        return fail(-ENOMEM, "cannot make " RANGE_FMT " anonymous: out of memory",
                    RANGE_ARGS(range));
    }
    r = space_reserve(vm->hosted->space, pages, false, seL4_NoRights, &pool->claim);
    if (r < 0) {
        anon_pool_destroy(pool);
        return r == -EEXIST ? explain_conflict(vm, range) : r;
    }
    space_keep(pool->claim);
    r = rangemap_add(&memory->pools, pages, pool);
    assert(r == 0); /* its pages were empty and there is room */
    return 0;
}

int vm_memory_make_anon(vm_t *vm, uintptr_t addr, size_t size)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_memory_make_anon: no VM given"));
    }
    vm_enter(vm);
    r = make_anon(vm, (struct range){addr, size});
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- freeing --- */

int memory_free(vm_t *vm, struct vm_memory_reservation *reservation)
{
    struct vm_memory_reservation_cookie *memory = memory_of(vm);
    struct range pages = range_round_out(reservation->range, PAGE);
    int r;

    if (reservation->is_mapped) {
        r = space_unmap(vm->hosted->space, pages, VSPACE_PRESERVE);
        if (r < 0) {
            return r;
        }
        reservation->is_mapped = false;
    }
    if (reservation->pool == NULL) {
        r = space_unreserve(vm->hosted->space, reservation->claim);
        if (r < 0) {
            return r;
        }
    } else {
        anon_pool_give(reservation->pool, pages);
    }
    (void)rangemap_remove(&memory->reservations, reservation->range.start);
    if (memory->last_hit == reservation) {
        memory->last_hit = NULL;
    }
    retire(memory, reservation);
    return 0;
}

static int check_freeable(vm_t *vm, const struct vm_memory_reservation *reservation)
{
    if (!memory_owns(vm, reservation)) {
        return fail(-ENOENT, "cannot free a reservation that is not one of this VM (any more)");
    }
    if (reservation->is_being_mapped) {
        return fail(-EBUSY, "cannot free " RANGE_FMT ": its iterator is being asked for frames",
                    RANGE_ARGS(reservation->range));
    }
    return 0;
}

int vm_free_reserved_memory(vm_t *vm, vm_memory_reservation_t *reservation)
{
    int r;

    if (!vm_is_usable(vm) || reservation == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_free_reserved_memory: no VM or no reservation given"));
    }
    vm_enter(vm);
    r = check_freeable(vm, reservation);
    if (r == 0) {
        r = memory_free(vm, reservation);
    }
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- asking --- */

void vm_get_reservation_memory_region(vm_memory_reservation_t *reservation, uintptr_t *addr,
                                      size_t *size)
{
    if (reservation == NULL) {
        (void)public_status(
            NULL, fail(-EINVAL, "vm_get_reservation_memory_region: no reservation given"));
        return;
    }
    if (reservation->range.size == 0) {
        (void)public_status(NULL, fail(-ENOENT, "vm_get_reservation_memory_region: the reservation "
                                                "was freed"));
        return;
    }
    if (addr != NULL) {
        *addr = reservation->range.start;
    }
    if (size != NULL) {
        *size = reservation->range.size;
    }
}

/* --- the whole --- */

int vm_memory_init(vm_t *vm)
{
    struct vm_memory_reservation_cookie *memory;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_memory_init: no VM, or one without vm_init"));
    }
    if (memory_of(vm) != NULL) {
        return 0;
    }
    memory = calloc(1, sizeof(*memory));
    if (memory == NULL) {
        return public_status(vm, fail(-ENOMEM, "cannot prepare reservations: out of memory"));
    }
    vm->mem.reservation_cookie = memory;
    return 0;
}

void memory_fini(vm_t *vm)
{
    struct vm_memory_reservation_cookie *memory = memory_of(vm);

    if (memory == NULL) {
        return;
    }
    for (size_t i = 0; i < memory->reservations.nr_entries; i++) {
        free(memory->reservations.entries[i].value);
    }
    while (memory->nr_freed > 0) {
        struct vm_memory_reservation *reservation = memory->first_freed;

        memory->first_freed = reservation->next_freed;
        memory->nr_freed--;
        free(reservation);
    }
    for (size_t i = 0; i < memory->pools.nr_entries; i++) {
        anon_pool_destroy(memory->pools.entries[i].value);
    }
    rangemap_fini(&memory->reservations);
    rangemap_fini(&memory->pools);
    free(memory);
    vm->mem.reservation_cookie = NULL;
}
