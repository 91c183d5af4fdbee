/* Random calls of the memory functions. */
#include "support/model_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>

#include "support/model.h"

#define GIB (1ull << 30)

enum { OPS_PER_VM = 2000, OPS_PER_CHECK = 64, MAX_TOUCH = 4 * MODEL_UNITS_PER_PAGE };

/* Where the modelled memory lies: at 0, on a PC's usual place, across 4 GiB, far up. */
static const uint64_t bases[] = {0, 0x100000, 4 * GIB - 20 * MODEL_PAGE, 700 * GIB};

struct run {
    const struct model_target *target;
    struct testvm *t;
    struct model model;
    vm_memory_reservation_t *handles[MODEL_RESERVATIONS]; /* dead ones stay until they are reused */
    seL4_CPtr caps[MODEL_CAPS];
    uint64_t seed;
    uint64_t random;
    unsigned long nr_ops; /* done */
    const char *what;     /* of the call under way */
    struct model_span span;
};

/* --- chance --- */

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t next_random(struct run *run)
{
    uint64_t z = run->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned below(struct run *run, unsigned end)
{
    return (unsigned)(next_random(run) % end);
}

/* Of some pages, whole or not; once in a while empty. */
static struct model_span any_span(struct run *run)
{
    struct model_span span = {below(run, MODEL_UNITS), 0};

    switch (below(run, 8)) {
    case 0:
        span.size = 0;
        break;
    case 1:
    case 2:
        span.size = 1 + below(run, MODEL_UNITS_PER_PAGE);
        break;
    case 3:
        span.size = 1 + below(run, 8 * MODEL_UNITS_PER_PAGE);
        break;
    default: /* whole pages */
        span.start -= span.start % MODEL_UNITS_PER_PAGE;
        span.size = (1 + below(run, 3)) * MODEL_UNITS_PER_PAGE;
    }
    if (span.size > MODEL_UNITS - span.start) {
        span.size = MODEL_UNITS - span.start;
    }
    return span;
}

/* Mostly a part of one region of RAM. */
static struct model_span any_ram_span(struct run *run)
{
    struct model_span span = any_span(run);
    struct model_span region;
    enum model_ram kind;
    unsigned at = 0;

    for (unsigned i = below(run, 8); model_next_region(&run->model, &at, &region, &kind); i--) {
        if (i == 0) {
            span.start = region.start + (below(run, 2) == 0 ? 0 : below(run, region.size));
            span.size %= region.size + 1;
            break;
        }
    }
    if (span.size > MODEL_UNITS - span.start) {
        span.size = MODEL_UNITS - span.start;
    }
    return span;
}

/* --- comparing --- */

static _Noreturn void complain(const struct run *run, const char *difference)
{
    fail_msg("%s at unit %u, %u units: %s; HOSTVM_MODEL_SEED=%llu HOSTVM_MODEL_OPS=%lu does it "
             "again (last reason: %s)",
             run->what, run->span.start, run->span.size, difference, (unsigned long long)run->seed,
             run->nr_ops, hostvm_last_error());
    abort(); /* not reached */
}

static void expect(const struct run *run, bool is_true, const char *difference)
{
    if (!is_true) {
        complain(run, difference);
    }
}

static void begin(struct run *run, const char *what, struct model_span span)
{
    run->what = what;
    run->span = span;
}

static uintptr_t address(const struct run *run, unsigned unit)
{
    return run->model.base + (uintptr_t)unit * MODEL_UNIT;
}

static size_t bytes(struct model_span span)
{
    return (size_t)span.size * MODEL_UNIT;
}

/* Bytes as the model has them, for as many units as fit the buffer. */
static void fill_expected(struct run *run, struct model_span span, uint8_t *buffer)
{
    for (unsigned i = 0; i < span.size; i++) {
        memset(buffer + (size_t)i * MODEL_UNIT, *model_byte(&run->model, span.start + i),
               MODEL_UNIT);
    }
}

static void check_ram_list(struct run *run)
{
    const struct vm_mem *mem = &run->t->vm.mem;
    struct model_span span;
    enum model_ram kind;
    unsigned at = 0;
    int i = 0;

    while (model_next_region(&run->model, &at, &span, &kind)) {
        const struct vm_ram_region *region = &mem->ram_regions[i];

        expect(run,
               i < mem->num_ram_regions && region->start == address(run, span.start) &&
                   region->size == bytes(span) && region->allocated == (kind == MODEL_TAKEN),
               "ram_regions differ");
        i++;
    }
    expect(run, i == mem->num_ram_regions, "ram_regions has entries too many");
}

static void check_page(struct run *run, unsigned page)
{
    struct model_span span = {page * MODEL_UNITS_PER_PAGE, MODEL_UNITS_PER_PAGE};
    uint8_t expected[MODEL_PAGE];
    const void *p = hostvm_vm_pointer(&run->t->vm, address(run, span.start), MODEL_PAGE);

    begin(run, "looking at a page", span);
    expect(run, (p != NULL) == model_has_memory(&run->model, span), "memory is, or is not, there");
    if (p != NULL) {
        fill_expected(run, span, expected);
        expect(run, memcmp(p, expected, sizeof(expected)) == 0, "the content differs");
    }
}

static bool is_same_slot(const struct model_page *a, const struct model_page *b)
{
    return a->content != MODEL_NONE && b->content != MODEL_NONE && a->is_readonly == b->is_readonly;
}

/* The fewest slots that there can be, each at its place in the window. */
static void check_slots(struct run *run)
{
    const struct model_page *pages = run->model.pages;
    struct fake_slot slots[MODEL_PAGES];
    size_t nr = run->target->get_slots(slots, MODEL_PAGES);
    unsigned first = 0;
    size_t i = 0;

    begin(run, "looking at the memory slots", (struct model_span){0, 0});
    while (first < MODEL_PAGES) {
        unsigned end = first + 1;

        while (end < MODEL_PAGES && is_same_slot(&pages[first], &pages[end])) {
            end++;
        }
        if (pages[first].content != MODEL_NONE) {
            run->span = (struct model_span){first * MODEL_UNITS_PER_PAGE,
                                            (end - first) * MODEL_UNITS_PER_PAGE};
            expect(run,
                   i < nr && slots[i].gpa == address(run, run->span.start) &&
                       slots[i].size == bytes(run->span) &&
                       (slots[i].flags != 0) == pages[first].is_readonly &&
                       slots[i].hva - slots[i].gpa == slots[0].hva - slots[0].gpa,
                   "its slot differs");
            i++;
        }
        first = end;
    }
    expect(run, i == nr, "there are slots too many");
}

static void check_all(struct run *run, bool is_live)
{
    check_ram_list(run);
    for (unsigned page = 0; page < MODEL_PAGES; page++) {
        check_page(run, page);
    }
    if (is_live && run->target->get_slots != NULL) {
        check_slots(run);
    }
}

/* --- reservations --- */

/* A number that is free; the last one may be in use when all are. */
static int free_number(const struct run *run)
{
    int i = 0;

    while (i < MODEL_RESERVATIONS && run->model.reservations[i].is_used) {
        i++;
    }
    return i < MODEL_RESERVATIONS ? i : MODEL_NONE;
}

static void check_region(struct run *run, int i)
{
    uintptr_t addr = 0;
    size_t size = 0;

    vm_get_reservation_memory_region(run->handles[i], &addr, &size);
    expect(run, addr == address(run, run->span.start) && size == bytes(run->span),
           "the reservation lies elsewhere");
}

/* The library has made reservations that we are not shown, perhaps where dead ones were. */
static void forget_dead_handles(struct run *run)
{
    for (int i = 0; i < MODEL_RESERVATIONS; i++) {
        if (!run->model.reservations[i].is_used) {
            run->handles[i] = NULL;
        }
    }
}

static void op_reserve(struct run *run)
{
    struct model_span span = any_span(run);
    int i = free_number(run);
    vm_memory_reservation_t *handle;
    bool is_possible;

    if (i == MODEL_NONE) {
        return;
    }
    begin(run, "vm_reserve_memory_at", span);
    is_possible = span.size > 0 && model_is_unclaimed(&run->model, span);
    handle = vm_reserve_memory_at(&run->t->vm, address(run, span.start), bytes(span),
                                  default_error_fault_callback, NULL);
    expect(run, (handle != NULL) == is_possible, "granted, or refused");
    if (handle != NULL) {
        run->handles[i] = handle;
        model_reserve(&run->model, i, span);
        check_region(run, i);
    }
}

static unsigned nr_pages_of(struct model_span span)
{
    return (span.size + MODEL_UNITS_PER_PAGE - 1) / MODEL_UNITS_PER_PAGE;
}

static void op_reserve_anon(struct run *run)
{
    static const size_t aligns[] = {
        0, 1, MODEL_UNIT, 1000, MODEL_PAGE, 2 * MODEL_PAGE, 3 * MODEL_PAGE, 8 * MODEL_PAGE};
    struct model_span span = {0, any_span(run).size};
    size_t align = aligns[below(run, sizeof(aligns) / sizeof(aligns[0]))];
    vm_memory_reservation_t *handle;
    int i = free_number(run);
    int place = MODEL_NONE;
    uintptr_t addr = 1;

    if (i == MODEL_NONE) {
        return;
    }
    begin(run, "vm_reserve_anon_memory", span);
    if (span.size > 0) {
        place = model_place(&run->model, nr_pages_of(span), align == 0 ? 1 : align);
    }
    handle = vm_reserve_anon_memory(&run->t->vm, bytes(span), align, default_error_fault_callback,
                                    NULL, &addr);
    expect(run, (handle != NULL) == (place != MODEL_NONE), "granted, or refused");
    if (handle == NULL) {
        expect(run, addr == 1, "a refusal changed the result");
        return;
    }
    span.start = (unsigned)place * MODEL_UNITS_PER_PAGE;
    run->span = span;
    expect(run, addr == address(run, span.start), "granted elsewhere");
    run->handles[i] = handle;
    model_take_place(&run->model, (unsigned)place);
    model_reserve(&run->model, i, span);
    check_region(run, i);
}

static void op_make_anon(struct run *run)
{
    struct model_span span = any_span(run);
    bool is_possible;

    if (run->model.nr_pools == MODEL_POOLS) {
        return;
    }
    begin(run, "vm_memory_make_anon", span);
    is_possible = span.size > 0 && model_is_unclaimed(&run->model, span);
    expect(run,
           (vm_memory_make_anon(&run->t->vm, address(run, span.start), bytes(span)) == 0) ==
               is_possible,
           "granted, or refused");
    if (is_possible) {
        model_make_pool(&run->model, span);
    }
}

static bool is_live_handle(const struct run *run, const vm_memory_reservation_t *handle)
{
    for (int i = 0; i < MODEL_RESERVATIONS; i++) {
        if (run->model.reservations[i].is_used && run->handles[i] == handle) {
            return true;
        }
    }
    return false;
}

static void op_free(struct run *run)
{
    int i = (int)below(run, MODEL_RESERVATIONS);
    struct model_reservation *reservation = &run->model.reservations[i];

    if (!reservation->is_used && is_live_handle(run, run->handles[i])) {
        return; /* the heap has used the block again */
    }
    begin(run, "vm_free_reserved_memory", reservation->span);
    expect(run,
           (vm_free_reserved_memory(&run->t->vm, run->handles[i]) == 0) == reservation->is_used,
           "freed, or refused");
    if (reservation->is_used) {
        model_free(&run->model, i);
    }
}

/* --- mapping --- */

/* What an iterator answers with, and where it goes wrong. */
struct plan {
    struct run *run;
    struct model_span span;
    struct model_frame frames[MODEL_PAGES];
    unsigned nr_frames;
    unsigned nr_asked;
    unsigned bad; /* the page whose answer is bad; nr_frames: none */
    unsigned how; /* it is bad */
};

static bool is_listed(const struct plan *plan, unsigned nr, int cap)
{
    for (unsigned i = 0; i < nr; i++) {
        if (plan->frames[i].cap == cap) {
            return true;
        }
    }
    return false;
}

/* Mostly one that can be mapped. */
static int any_cap(struct run *run, const struct plan *plan, unsigned nr)
{
    int cap = (int)below(run, MODEL_CAPS);

    for (int i = 0; i < MODEL_CAPS && below(run, 64) != 0; i++) {
        if (run->model.caps[cap].page == MODEL_NONE && !is_listed(plan, nr, cap)) {
            break;
        }
        cap = (cap + 1) % MODEL_CAPS;
    }
    return cap;
}

static void make_plan(struct run *run, struct plan *plan, struct model_span span)
{
    unsigned rights = below(run, 8);
    unsigned first;
    unsigned end;

    model_span_pages(span, &first, &end);
    *plan = (struct plan){.run = run, .span = span, .nr_frames = end - first};
    for (unsigned i = 0; i < plan->nr_frames; i++) {
        if (below(run, 4) == 0) {
            rights = below(run, 8);
        }
        plan->frames[i] = (struct model_frame){
            .cap = any_cap(run, plan, i), .can_read = rights != 0, .can_write = rights > 2};
    }
    plan->bad = below(run, 8) == 0 ? below(run, plan->nr_frames) : plan->nr_frames;
    plan->how = below(run, 4);
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    struct plan *plan = cookie;
    unsigned i = plan->nr_asked++;
    vm_frame_t frame = {.cptr = seL4_CapNull};

    expect(plan->run,
           i < plan->nr_frames && addr == address(plan->run, plan->span.start) + i * MODEL_PAGE,
           "the iterator is asked for another address");
    frame.cptr = plan->run->caps[plan->frames[i].cap];
    frame.rights = seL4_CapRights_new(0, 0, plan->frames[i].can_read, plan->frames[i].can_write);
    frame.vaddr = addr - addr % MODEL_PAGE;
    frame.size_bits = 12;
    if (i == plan->bad && plan->how == 0) {
        frame.cptr = seL4_CapNull;
    } else if (i == plan->bad && plan->how == 1) {
        frame.vaddr += MODEL_PAGE;
    } else if (i == plan->bad && plan->how == 2) {
        frame.size_bits = 21;
    } else if (i == plan->bad) {
        frame.size_bits = 13;
    }
    return frame;
}

static bool is_good(const struct plan *plan)
{
    return plan->bad == plan->nr_frames &&
           model_can_map(&plan->run->model, plan->frames, plan->nr_frames);
}

static void op_map(struct run *run)
{
    int i = (int)below(run, MODEL_RESERVATIONS);
    struct model_reservation *reservation = &run->model.reservations[i];
    struct plan plan;
    bool is_possible;

    if (!reservation->is_used) {
        return;
    }
    make_plan(run, &plan, reservation->span);
    begin(run, "vm_map_reservation", reservation->span);
    is_possible = !reservation->is_mapped && is_good(&plan);
    expect(run,
           (vm_map_reservation(&run->t->vm, run->handles[i], next_frame, &plan) == 0) ==
               is_possible,
           "mapped, or refused");
    if (is_possible) {
        expect(run, plan.nr_asked == plan.nr_frames, "the iterator was not asked for every page");
        model_map(&run->model, reservation->span, plan.frames);
        reservation->is_mapped = true;
    }
}

static void op_map_list(struct run *run)
{
    int i = (int)below(run, MODEL_RESERVATIONS);
    struct model_reservation *reservation = &run->model.reservations[i];
    seL4_CPtr list[MODEL_PAGES];
    struct plan plan;
    unsigned nr;
    bool is_possible;

    if (!reservation->is_used) {
        return;
    }
    make_plan(run, &plan, reservation->span);
    for (unsigned k = 0; k < plan.nr_frames; k++) {
        plan.frames[k].can_read = plan.frames[k].can_write = true;
        list[k] = run->caps[plan.frames[k].cap];
    }
    nr = plan.bad; /* that many are in the list */
    begin(run, "vm_map_reservation_frames", reservation->span);
    is_possible = !reservation->is_mapped && is_good(&plan);
    expect(run,
           (vm_map_reservation_frames(&run->t->vm, run->handles[i], list, nr, 12) == 0) ==
               is_possible,
           "mapped, or refused");
    if (is_possible) {
        model_map(&run->model, reservation->span, plan.frames);
        reservation->is_mapped = true;
    }
}

static void make_caps(struct run *run, int even)
{
    bool is_readonly = below(run, 2) == 0;

    run->caps[even] = envs_frame(&run->t->env, 12);
    run->caps[even + 1] =
        envs_copy(&run->t->env, run->caps[even], is_readonly ? seL4_CanRead : seL4_AllRights);
    run->model.caps[even + 1].is_readonly = is_readonly;
    memset(run->model.contents[even / 2], 0, sizeof(run->model.contents[even / 2]));
}

/* Deletes a frame, wherever it is mapped; another one takes its place. */
static void op_replace_frame(struct run *run)
{
    int even = (int)below(run, MODEL_CAPS) & ~1;

    begin(run, "vka_cnode_delete", (struct model_span){0, 0});
    for (int cap = even; cap < even + 2; cap++) {
        envs_delete(&run->t->env, run->caps[cap]);
        model_unmap_cap(&run->model, cap);
    }
    make_caps(run, even);
}

/* --- RAM --- */

static void add_ram(struct run *run, struct model_span span)
{
    forget_dead_handles(run);
    model_reserve(&run->model, MODEL_RAM_OWNER, span);
    model_set_ram(&run->model, span, MODEL_FREE);
}

static void op_register_at(struct run *run)
{
    struct model_span span = any_span(run);
    bool is_possible = span.size > 0 && model_is_unclaimed(&run->model, span);

    begin(run, "vm_ram_register_at", span);
    expect(run,
           (vm_ram_register_at(&run->t->vm, address(run, span.start), bytes(span),
                               below(run, 2) == 0) == 0) == is_possible,
           "registered, or refused");
    if (is_possible) {
        add_ram(run, span);
        model_map_zeroed(&run->model, span);
    }
}

static void op_register_frames(struct run *run)
{
    struct model_span span = any_span(run);
    struct plan plan;
    bool is_possible;

    if (span.size == 0) {
        return;
    }
    make_plan(run, &plan, span);
    is_possible = model_is_unclaimed(&run->model, span) && is_good(&plan);
    begin(run, "vm_ram_register_at_custom_iterator", span);
    expect(run,
           (vm_ram_register_at_custom_iterator(&run->t->vm, address(run, span.start), bytes(span),
                                               next_frame, &plan) == 0) == is_possible,
           "registered, or refused");
    if (is_possible) {
        add_ram(run, span);
        model_map(&run->model, span, plan.frames);
    }
}

static void op_register(struct run *run)
{
    struct model_span span = {0, any_span(run).size};
    int place =
        span.size > 0 ? model_place(&run->model, nr_pages_of(span), MODEL_PAGE) : MODEL_NONE;

    span.start = place == MODEL_NONE ? 0 : (unsigned)place * MODEL_UNITS_PER_PAGE;
    begin(run, "vm_ram_register", span);
    expect(run,
           vm_ram_register(&run->t->vm, bytes(span)) ==
               (place == MODEL_NONE ? 0 : address(run, span.start)),
           "registered elsewhere, or refused");
    if (place != MODEL_NONE) {
        model_take_place(&run->model, (unsigned)place);
        add_ram(run, span);
        model_map_zeroed(&run->model, span);
    }
}

static void op_mark(struct run *run)
{
    struct model_span span = any_ram_span(run);

    begin(run, "vm_ram_mark_allocated", span);
    vm_ram_mark_allocated(&run->t->vm, address(run, span.start), bytes(span));
    if (model_is_all(&run->model, span, MODEL_FREE)) {
        model_set_ram(&run->model, span, MODEL_TAKEN);
    }
}

static void op_ram_free(struct run *run)
{
    struct model_span span = any_ram_span(run);

    begin(run, "vm_ram_free", span);
    vm_ram_free(&run->t->vm, address(run, span.start), bytes(span));
    if (model_is_all(&run->model, span, MODEL_TAKEN)) {
        model_set_ram(&run->model, span, MODEL_FREE);
    }
}

static void op_allocate(struct run *run)
{
    struct model_span wanted = {0, any_span(run).size};
    struct model_span span;
    enum model_ram kind;
    uintptr_t expected = 0;
    unsigned at = 0;
    bool is_found = false;

    while (!is_found && model_next_region(&run->model, &at, &span, &kind)) {
        is_found = kind == MODEL_FREE && span.size >= wanted.size;
    }
    if (is_found) {
        wanted.start = span.start;
        expected = address(run, span.start);
        model_set_ram(&run->model, wanted, MODEL_TAKEN);
    }
    begin(run, "vm_ram_allocate", wanted);
    expect(run, vm_ram_allocate(&run->t->vm, bytes(wanted)) == expected, "another address");
}

static void op_find_largest(struct run *run)
{
    struct model_span largest = {0, 0};
    struct model_span span;
    enum model_ram kind;
    unsigned at = 0;
    uintptr_t addr = 1;
    size_t size = 1;
    int r;

    while (model_next_region(&run->model, &at, &span, &kind)) {
        bool is_low = !BOOTS_FROM_LOW_RAM || address(run, span.start + span.size) < UINT32_MAX;

        if (kind == MODEL_FREE && is_low && span.size > largest.size) {
            largest = span;
        }
    }
    begin(run, "vm_ram_find_largest_free_region", largest);
    r = vm_ram_find_largest_free_region(&run->t->vm, &addr, &size);
    expect(run, (r == 0) == (largest.size > 0), "found, or not");
    expect(run,
           largest.size > 0 ? addr == address(run, largest.start) && size == bytes(largest)
                            : addr == 1 && size == 1,
           "another region");
}

/* --- touching --- */

static struct model_span touch_span(struct run *run)
{
    struct model_span span = any_ram_span(run);

    if (span.size > MAX_TOUCH) {
        span.size = MAX_TOUCH;
    }
    return span;
}

static bool can_touch(struct run *run, struct model_span span)
{
    return model_is_ram(&run->model, span) && model_has_memory(&run->model, span);
}

/* One frame at two places of the span: which of the bytes meant for it stays is memcpy's to say. */
static bool is_ambiguous(struct run *run, struct model_span span)
{
    unsigned end = span.start + span.size;

    for (unsigned a = span.start; a < end; a++) {
        for (unsigned b = a + MODEL_UNITS_PER_PAGE - a % MODEL_UNITS_PER_PAGE; b < end; b++) {
            if (model_byte(&run->model, a) == model_byte(&run->model, b)) {
                return true;
            }
        }
    }
    return false;
}

static void op_write(struct run *run)
{
    struct model_span span = touch_span(run);
    bool is_possible = can_touch(run, span);
    uint8_t buffer[MAX_TOUCH * MODEL_UNIT];
    uint8_t value = (uint8_t)next_random(run);

    if (is_possible && is_ambiguous(run, span)) {
        return;
    }
    for (unsigned i = 0; i < span.size; i++) {
        memset(buffer + (size_t)i * MODEL_UNIT, (uint8_t)(value + i), MODEL_UNIT);
        if (is_possible) {
            *model_byte(&run->model, span.start + i) = (uint8_t)(value + i);
        }
    }
    begin(run, "vm_ram_touch, writing", span);
    expect(run,
           (vm_ram_touch(&run->t->vm, address(run, span.start), bytes(span),
                         vm_guest_ram_write_callback, buffer) == 0) == is_possible,
           "touched, or refused");
}

/* A read, and how its pieces have to come. */
struct reading {
    struct run *run;
    uint8_t buffer[MAX_TOUCH * MODEL_UNIT];
    size_t done;        /* bytes */
    unsigned nr_pieces; /* that may still come: the last of them ends the touch */
};

enum { ENOUGH = 7 };

static int read_piece(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                      void *cookie)
{
    struct reading *reading = cookie;

    expect(reading->run,
           offset == reading->done &&
               addr == address(reading->run, reading->run->span.start) + offset,
           "a piece comes out of order");
    expect(reading->run, size > 0 && addr % MODEL_PAGE + size <= MODEL_PAGE,
           "a piece crosses a page border");
    reading->done += size;
    assert_int_equal(vm_guest_ram_read_callback(vm, addr, pointer, size, offset, reading->buffer),
                     0);
    reading->nr_pieces--;
    return reading->nr_pieces == 0 ? ENOUGH : 0;
}

static void op_read(struct run *run)
{
    struct model_span span = touch_span(run);
    bool is_possible = can_touch(run, span);
    struct reading reading = {.run = run, .nr_pieces = 1 + below(run, 8)};
    uint8_t expected[MAX_TOUCH * MODEL_UNIT];
    int r;

    begin(run, "vm_ram_touch, reading", span);
    r = vm_ram_touch(&run->t->vm, address(run, span.start), bytes(span), read_piece, &reading);
    if (!is_possible) {
        expect(run, r == -1 && reading.done == 0, "touched");
        return;
    }
    expect(run, r == (reading.nr_pieces == 0 ? ENOUGH : 0), "the result is another");
    expect(run, reading.done == bytes(span) || r == ENOUGH, "it ended early");
    fill_expected(run, span, expected);
    expect(run, memcmp(reading.buffer, expected, reading.done) == 0, "the content differs");
}

static void op_pointer(struct run *run)
{
    struct model_span span = any_span(run);

    begin(run, "hostvm_vm_pointer", span);
    expect(run,
           (hostvm_vm_pointer(&run->t->vm, address(run, span.start), bytes(span)) != NULL) ==
               model_has_memory(&run->model, span),
           "memory is, or is not, there");
}

/* --- the run --- */

static const struct {
    void (*fn)(struct run *run);
    unsigned weight;
} ops[] = {
    {op_reserve, 8},       {op_reserve_anon, 8}, {op_make_anon, 1},
    {op_free, 12},         {op_map, 12},         {op_map_list, 4},
    {op_replace_frame, 3}, {op_register_at, 1},  {op_register_frames, 1},
    {op_register, 1},      {op_mark, 8},         {op_ram_free, 12},
    {op_allocate, 8},      {op_find_largest, 4}, {op_write, 6},
    {op_read, 6},          {op_pointer, 5},
};

static void any_op(struct run *run)
{
    enum { TOTAL = 100 };
    unsigned n = below(run, TOTAL);
    size_t i = 0;

    while (n >= ops[i].weight) {
        n -= ops[i].weight;
        i++;
    }
    ops[i].fn(run);
}

static void run_vm(struct run *run, unsigned long nr_ops)
{
    unsigned long live_at = below(run, 2) == 0 ? 0 : below(run, OPS_PER_VM);

    run->t = testvm_create();
    model_init(&run->model, bases[below(run, sizeof(bases) / sizeof(bases[0]))]);
    memset(run->handles, 0, sizeof(run->handles));
    for (int cap = 0; cap < MODEL_CAPS; cap += 2) {
        make_caps(run, cap);
    }
    for (unsigned i = below(run, 4); i > 0; i--) {
        op_register_at(run);
    }
    for (unsigned long i = 0; i < nr_ops; i++) {
        if (i == live_at) {
            run->target->go_live(run->t);
            forget_dead_handles(run);
        }
        run->nr_ops++;
        any_op(run);
        check_ram_list(run);
        if (i % OPS_PER_CHECK == OPS_PER_CHECK - 1 || i + 1 == nr_ops) {
            check_all(run, i >= live_at);
        }
    }
    testvm_destroy(run->t);
}

/* The number in an environment variable, or what it is without. */
static uint64_t number_from(const char *name, uint64_t without)
{
    const char *text = getenv(name);
    char *end = NULL;
    uint64_t value;

    if (text == NULL) {
        return without;
    }
    value = strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        fail_msg("%s is '%s', not a number", name, text);
    }
    return value;
}

static uint64_t any_seed(void)
{
    uint32_t seed = 0;

    assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
    return seed;
}

void model_run(const struct model_target *target, unsigned long nr_ops)
{
    struct run run = {.target = target, .seed = number_from("HOSTVM_MODEL_SEED", any_seed())};

    nr_ops = number_from("HOSTVM_MODEL_OPS", nr_ops);
    run.random = run.seed;
    while (run.nr_ops < nr_ops) {
        unsigned long rest = nr_ops - run.nr_ops;

        run_vm(&run, rest < OPS_PER_VM ? rest : OPS_PER_VM);
    }
    if (run.nr_ops == 0) {
        fail_msg("HOSTVM_MODEL_OPS is 0: nothing was tried");
    }
}
