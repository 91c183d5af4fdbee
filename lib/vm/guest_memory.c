/* Reservations: claiming guest-physical ranges, filling them with frames, giving them back. */
#include <sel4vm/guest_memory.h>

#include <errno.h>
#include <stdlib.h>

#include "vm/vm.h"

enum {
    PAGE = 4096,
    MIN_FREED = 64, /* freed reservations that are not used again yet */
};

#define RANGE_FMT     "[0x%llx..0x%llx)"
#define RANGE_ARGS(r) (unsigned long long)(r).start, (unsigned long long)range_end(r)

static struct vm_memory_reservation_cookie *memory_of(vm_t *vm)
{
    return vm->mem.reservation_cookie;
}

/* A dead or foreign pointer is told apart without being followed. */
static bool owns(vm_t *vm, const struct vm_memory_reservation *reservation)
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

static uint64_t round_up(uint64_t value, uint64_t align)
{
    uint64_t rest = value % align;

    if (rest == 0) {
        return value;
    }
    return value > UINT64_MAX - (align - rest) ? UINT64_MAX : value + (align - rest);
}

/* Where size bytes of whole pages, aligned, fit into a range. */
static bool fits(struct range room, uint64_t size, uint64_t align, uint64_t *ret_start)
{
    uint64_t start = round_up(room.start, align);

    /* An alignment below a page may ask for the middle of one; pages are handed out whole. */
    while (start % PAGE != 0 && start < range_end(room)) {
        start = round_up(start + 1, align);
    }
    if (start % PAGE != 0 || !range_is_valid(start, size) ||
        !range_contains(room, (struct range){start, size})) {
        return false;
    }
    *ret_start = start;
    return true;
}

/* Takes [start, start + size) out of a freed piece, which it lies in; there is room for one more.
 */
static void take_freed(struct anon_pool *pool, struct range piece, uint64_t start, uint64_t size)
{
    int r = 0;

    (void)rangemap_remove(&pool->freed, piece.start);
    if (start > piece.start) {
        r |= rangemap_add(&pool->freed, (struct range){piece.start, start - piece.start}, pool);
    }
    if (start + size < range_end(piece)) {
        r |= rangemap_add(&pool->freed,
                          (struct range){start + size, range_end(piece) - (start + size)}, pool);
    }
    assert(r == 0);
}

static int pool_take(struct anon_pool *pool, uint64_t size, uint64_t align, uint64_t *ret_start)
{
    struct range rest = {pool->cursor, range_end(pool->range) - pool->cursor};
    uint64_t start;
    int r = rangemap_reserve(&pool->freed, pool->nr_taken + 2);

    if (r < 0) {
        return fail(r, "cannot reserve anonymous guest memory: out of memory");
    }
    for (size_t i = 0; i < pool->freed.nr_entries; i++) {
        struct range piece = pool->freed.entries[i].range;

        if (fits(piece, size, align, &start)) {
            take_freed(pool, piece, start, size);
            pool->nr_taken++;
            *ret_start = start;
            return 0;
        }
    }
    if (!fits(rest, size, align, &start)) {
        return -ENOSPC;
    }
    pool->cursor = start + size;
    pool->nr_taken++;
    *ret_start = start;
    return 0;
}

/* Room for it was made when the range was taken. */
static void pool_give(struct anon_pool *pool, struct range range)
{
    struct rangemap_entry *entry = rangemap_at_or_after(&pool->freed, range_end(range));
    int r;

    pool->nr_taken--;
    if (entry != NULL && entry->range.start == range_end(range)) {
        range.size += entry->range.size;
        (void)rangemap_remove(&pool->freed, entry->range.start);
    }
    entry = range.start > 0 ? rangemap_find(&pool->freed, range.start - 1) : NULL;
    if (entry != NULL) {
        range = (struct range){entry->range.start, entry->range.size + range.size};
        (void)rangemap_remove(&pool->freed, range.start);
    }
    if (range_end(range) == pool->cursor) {
        pool->cursor = range.start;
        return;
    }
    r = rangemap_add(&pool->freed, range, pool);
    assert(r == 0);
}

static int take_from_pools(vm_t *vm, uint64_t size, uint64_t align, struct anon_pool **ret_pool,
                           uint64_t *ret_start)
{
    const struct rangemap *pools = &memory_of(vm)->pools;

    for (size_t i = 0; i < pools->nr_entries; i++) {
        int r = pool_take(pools->entries[i].value, size, align, ret_start);

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
    r = take_from_pools(vm, round_up(size, PAGE), align == 0 ? 1 : align, &pool, &start);
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

/* What is handed out of a region: never a byte that is not in it. */
static struct range whole_pages(struct range range)
{
    uint64_t start = round_up(range.start, PAGE);
    uint64_t end = range_end(range) & ~(uint64_t)(PAGE - 1);

    return (struct range){start, end > start ? end - start : 0};
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
    pool = calloc(1, sizeof(*pool));
    if (pool == NULL || rangemap_reserve(&memory->pools, 1) < 0) {
        free(pool);
        return fail(-ENOMEM, "cannot make " RANGE_FMT " anonymous: out of memory",
                    RANGE_ARGS(range));
    }
    r = space_reserve(vm->hosted->space, pages, false, seL4_NoRights, &pool->claim);
    if (r < 0) {
        free(pool);
        return r == -EEXIST ? explain_conflict(vm, range) : r;
    }
    space_keep(pool->claim);
    pool->range = whole_pages(range);
    pool->cursor = pool->range.start;
    rangemap_init(&pool->freed);
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
        pool_give(reservation->pool, pages);
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
    if (!owns(vm, reservation)) {
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

/* --- mapping --- */

struct frame_list {
    struct space_frame *frames;
    size_t nr_frames;
    size_t nr_room;
};

static int append_frame(struct frame_list *list, struct space_frame frame)
{
    if (list->nr_frames == list->nr_room) {
        size_t nr_room = list->nr_room == 0 ? 64 : list->nr_room * 2;
        struct space_frame *grown = realloc(list->frames, nr_room * sizeof(*grown));

        if (grown == NULL) {
            return fail(-ENOMEM, "cannot map a reservation: out of memory for its list of frames");
        }
        list->frames = grown;
        list->nr_room = nr_room;
    }
    list->frames[list->nr_frames++] = frame;
    return 0;
}

/* An iterator may answer anything: the frame has to be the next one of the reservation. */
static int check_frame(struct range pages, uint64_t next, const vm_frame_t *frame)
{
    if (frame->cptr == seL4_CapNull) {
        return fail(-ENOENT, "cannot map " RANGE_FMT ": the iterator has no frame for 0x%llx",
                    RANGE_ARGS(pages), (unsigned long long)next);
    }
    if (!frame_bits_valid((unsigned)frame->size_bits)) {
        return fail(-EINVAL,
                    "cannot map " RANGE_FMT
                    ": the iterator's frame for 0x%llx has %zu size bits, not 12, 21 "
                    "or 30",
                    RANGE_ARGS(pages), (unsigned long long)next, frame->size_bits);
    }
    if (frame->vaddr != next || frame->vaddr % (1ull << frame->size_bits) != 0 ||
        !range_contains(pages, (struct range){frame->vaddr, 1ull << frame->size_bits})) {
        return fail(-EINVAL,
                    "cannot map " RANGE_FMT
                    ": the iterator's frame of %zu size bits for 0x%llx is to go to "
                    "0x%llx: not the next address, not aligned or not inside",
                    RANGE_ARGS(pages), frame->size_bits, (unsigned long long)next,
                    (unsigned long long)frame->vaddr);
    }
    return 0;
}

/* The iterator is asked for base, base + size of the frames so far, ... until every page has one.
 */
static int collect_frames(const struct vm_memory_reservation *reservation,
                          memory_map_iterator_fn iterator, void *cookie, struct frame_list *list)
{
    struct range pages = range_round_out(reservation->range, PAGE);
    uint64_t done = 0;

    while (done < pages.size) {
        vm_frame_t frame = iterator(reservation->range.start + done, cookie);
        int r = check_frame(pages, pages.start + done, &frame);

        if (r == 0) {
            r = append_frame(list, (struct space_frame){.cptr = frame.cptr,
                                                        .rights = frame.rights,
                                                        .addr = frame.vaddr,
                                                        .bits = (unsigned)frame.size_bits});
        }
        if (r < 0) {
            return r;
        }
        done += 1ull << frame.size_bits;
    }
    return 0;
}

int memory_map(vm_t *vm, struct vm_memory_reservation *reservation, memory_map_iterator_fn iterator,
               void *cookie)
{
    struct frame_list list = {NULL, 0, 0};
    int r;

    reservation->is_being_mapped = true;
    vm->hosted->nr_callbacks++;
    r = collect_frames(reservation, iterator, cookie, &list);
    vm->hosted->nr_callbacks--;
    reservation->is_being_mapped = false;
    if (r == 0) {
        r = space_map_frames(vm->hosted->space, reservation->claim, list.frames, list.nr_frames,
                             NULL);
    }
    free(list.frames);
    if (r == 0) {
        reservation->is_mapped = true;
        reservation->iterator = NULL;
    }
    return r;
}

int memory_map_deferred(vm_t *vm, struct vm_memory_reservation *reservation)
{
    return memory_map(vm, reservation, reservation->iterator, reservation->iterator_cookie);
}

int memory_map_zeroed(vm_t *vm, struct vm_memory_reservation *reservation, seL4_CapRights_t rights)
{
    struct range pages = range_round_out(reservation->range, PAGE);
    struct block *block;
    int r = block_create(vm->hosted->env, pages.size, &block);

    if (r < 0) {
        return r;
    }
    r = space_map_block(vm->hosted->space, reservation->claim, pages, block, 0, rights);
    block_put(block); /* the mapping counts now, or nobody does */
    if (r == 0) {
        reservation->is_mapped = true;
    }
    return r;
}

static int check_mappable(vm_t *vm, const struct vm_memory_reservation *reservation)
{
    if (!owns(vm, reservation)) {
        return fail(-ENOENT, "cannot map a reservation that is not one of this VM (any more)");
    }
    if (reservation->is_mapped) {
        return fail(-EEXIST, "cannot map " RANGE_FMT ": it is mapped already",
                    RANGE_ARGS(reservation->range));
    }
    if (reservation->is_being_mapped) {
        return fail(-EBUSY, "cannot map " RANGE_FMT ": its iterator is being asked for frames",
                    RANGE_ARGS(reservation->range));
    }
    return 0;
}

int vm_map_reservation(vm_t *vm, vm_memory_reservation_t *reservation,
                       memory_map_iterator_fn map_iterator, void *cookie)
{
    int r;

    if (!vm_is_usable(vm) || reservation == NULL || map_iterator == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_map_reservation: no VM, reservation or iterator given"));
    }
    vm_enter(vm);
    r = check_mappable(vm, reservation);
    if (r == 0 && env_config(vm->hosted->env)->defer_memory_map) {
        reservation->iterator = map_iterator;
        reservation->iterator_cookie = cookie;
    } else if (r == 0) {
        r = memory_map(vm, reservation, map_iterator, cookie);
    }
    vm_leave(vm);
    return public_status(vm, r);
}

struct frame_array {
    const seL4_CPtr *frames;
    size_t nr_frames;
    size_t bits;
    struct range range; /* of the reservation */
};

static vm_frame_t next_of_array(uintptr_t addr, void *cookie)
{
    const struct frame_array *array = cookie;
    size_t i = (addr - array->range.start) >> array->bits;

    if (i >= array->nr_frames) {
        return (vm_frame_t){seL4_CapNull, seL4_NoRights, 0, 0};
    }
    return (vm_frame_t){array->frames[i], seL4_AllRights,
                        (array->range.start & ~(uint64_t)(PAGE - 1)) + (i << array->bits),
                        array->bits};
}

int vm_map_reservation_frames(vm_t *vm, vm_memory_reservation_t *reservation, seL4_CPtr *frames,
                              size_t num_frames, size_t frame_size_bits)
{
    int r;

    if (!vm_is_usable(vm) || reservation == NULL || frames == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_map_reservation_frames: no VM, reservation or frames given"));
    }
    if (frame_size_bits > UINT_MAX || !frame_bits_valid((unsigned)frame_size_bits)) {
        return public_status(
            vm,
            fail(-EINVAL, "vm_map_reservation_frames: frames have 12, 21 or 30 size bits, not %zu",
                 frame_size_bits));
    }
    vm_enter(vm);
    r = check_mappable(vm, reservation);
    if (r == 0) {
        struct frame_array array = {frames, num_frames, frame_size_bits, reservation->range};

        r = memory_map(vm, reservation, next_of_array, &array);
    }
    vm_leave(vm);
    return public_status(vm, r);
}

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
        struct anon_pool *pool = memory->pools.entries[i].value;

        rangemap_fini(&pool->freed);
        free(pool);
    }
    rangemap_fini(&memory->reservations);
    rangemap_fini(&memory->pools);
    free(memory);
    vm->mem.reservation_cookie = NULL;
}
