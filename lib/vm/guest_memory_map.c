/* Filling reservations with frames: at once, at the first fault, or with memory of our own. */
#include <errno.h>
#include <stdlib.h>

#include <sel4vm/guest_memory.h>

#include "vm/vm.h"

enum { PAGE = 4096 };

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
    if (!memory_owns(vm, reservation)) {
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
