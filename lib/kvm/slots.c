/* Memory slots: which guest-physical ranges KVM backs with which memory of this process. */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/reason.h"

/* Until the slots are live, KVM knows nothing of them. */
static int tell_kvm(struct kvm_vm *vm, const struct kvm_slot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->number,
        .flags = size == 0 ? 0 : slot->flags,
        .guest_phys_addr = slot->range.start,
        .memory_size = size,
        .userspace_addr = (uint64_t)(uintptr_t)slot->hva,
    };

    if (!vm->slots.is_live) {
        return 0;
    }
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
        int r = -errno;
        return fail(r, "cannot %s guest memory [0x%llx..0x%llx): %s", size == 0 ? "remove" : "add",
                    (unsigned long long)slot->range.start,
                    (unsigned long long)range_end(slot->range), strerror(-r));
    }
    return 0;
}

/* Index of the first slot that ends behind gpa. */
static size_t index_at_or_after(const struct kvm_slots *slots, uint64_t gpa)
{
    size_t low = 0;
    size_t high = slots->nr_slots;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (range_end(slots->slots[middle].range) <= gpa) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Room for one more slot, and a free place for the number of each: what follows cannot fail for
 * memory. */
static int make_room(struct kvm_slots *slots)
{
    size_t nr_room = slots->nr_room == 0 ? 16 : slots->nr_room * 2;
    struct kvm_slot *grown;
    uint32_t *numbers;

    if (slots->nr_slots + 2 <= slots->nr_room) {
        return 0;
    }
    grown = realloc(slots->slots, nr_room * sizeof(*grown));
    if (grown != NULL) {
        slots->slots = grown;
        numbers = realloc(slots->free_numbers, nr_room * sizeof(*numbers));
        if (numbers != NULL) {
            slots->free_numbers = numbers;
            slots->nr_room = nr_room;
            return 0;
        }
    }
    return fail(-ENOMEM, "cannot add guest memory: out of memory");
}

static int take_number(struct kvm_vm *vm, uint32_t *ret_number)
{
    struct kvm_slots *slots = &vm->slots;

    if (slots->nr_free > 0) {
        *ret_number = slots->free_numbers[--slots->nr_free];
        return 0;
    }
    if (slots->nr_numbers >= vm->host->max_slots) {
        return fail(-ENOSPC,
                    "cannot add guest memory: all %u memory slots of KVM are in use; "
                    "map larger or adjacent pieces",
                    vm->host->max_slots);
    }
    *ret_number = slots->nr_numbers++;
    return 0;
}

static void give_number(struct kvm_slots *slots, uint32_t number)
{
    slots->free_numbers[slots->nr_free++] = number;
}

static void insert(struct kvm_slots *slots, size_t at, struct kvm_slot slot)
{
    memmove(&slots->slots[at + 1], &slots->slots[at], (slots->nr_slots - at) * sizeof(slot));
    slots->slots[at] = slot;
    slots->nr_slots++;
}

static void erase(struct kvm_slots *slots, size_t at)
{
    give_number(slots, slots->slots[at].number);
    slots->nr_slots--;
    memmove(&slots->slots[at], &slots->slots[at + 1],
            (slots->nr_slots - at) * sizeof(slots->slots[0]));
}

static int create(struct kvm_vm *vm, struct range range, uint8_t *hva, uint32_t flags)
{
    struct kvm_slots *slots = &vm->slots;
    struct kvm_slot slot = {.range = range, .hva = hva, .flags = flags};
    int r = make_room(slots);

    if (r < 0) {
        return r;
    }
    r = take_number(vm, &slot.number);
    if (r < 0) {
        return r;
    }
    r = tell_kvm(vm, &slot, range.size);
    if (r < 0) {
        give_number(slots, slot.number);
        return r;
    }
    insert(slots, index_at_or_after(slots, range.start), slot);
    return 0;
}

static int destroy(struct kvm_vm *vm, size_t at)
{
    int r = tell_kvm(vm, &vm->slots.slots[at], 0);

    if (r == 0) {
        erase(&vm->slots, at);
    }
    return r;
}

/* A new slot may become one with its left neighbour, its right one, or both. */
struct neighbours {
    const struct kvm_slot *left;
    const struct kvm_slot *right;
};

static struct neighbours find_neighbours(const struct kvm_slots *slots, struct range range,
                                         const uint8_t *hva, uint32_t flags)
{
    size_t at = index_at_or_after(slots, range.start);
    struct neighbours found = {NULL, NULL};

    if (at > 0) {
        const struct kvm_slot *slot = &slots->slots[at - 1];

        if (range_end(slot->range) == range.start && slot->hva + slot->range.size == hva &&
            slot->flags == flags) {
            found.left = slot;
        }
    }
    if (at < slots->nr_slots) {
        const struct kvm_slot *slot = &slots->slots[at];

        if (slot->range.start == range_end(range) && hva + range.size == slot->hva &&
            slot->flags == flags) {
            found.right = slot;
        }
    }
    return found;
}

static int flags_for(const struct kvm_vm *vm, bool is_readonly, uint32_t *ret_flags)
{
    if (is_readonly && !vm->host->has_readonly_mem) {
        return fail(-EOPNOTSUPP,
                    "cannot map memory read-only: this host's KVM has no read-only memory slots");
    }
    *ret_flags = is_readonly ? KVM_MEM_READONLY : 0;
    return 0;
}

bool kvm_slots_add_exchanges(const struct kvm_vm *vm, struct range range, const uint8_t *hva,
                             bool is_readonly)
{
    struct neighbours found =
        find_neighbours(&vm->slots, range, hva, is_readonly ? KVM_MEM_READONLY : 0);

    return found.left != NULL || found.right != NULL;
}

/* Puts a slot back that had just been there; if even that fails, the range stays a hole, and the
 * reason says so. */
static void restore(struct kvm_vm *vm, const struct kvm_slot *slot)
{
    if (slot->range.size > 0) {
        (void)create(vm, slot->range, slot->hva, slot->flags);
    }
}

int kvm_slots_add(struct kvm_vm *vm, struct range range, uint8_t *hva, bool is_readonly)
{
    struct kvm_slot left = {0};
    struct kvm_slot right = {0};
    struct neighbours found;
    uint32_t flags = 0;
    int r = flags_for(vm, is_readonly, &flags);

    if (r < 0) {
        return r;
    }
    found = find_neighbours(&vm->slots, range, hva, flags);
    if (found.right != NULL) {
        right = *found.right;
    }
    if (found.left != NULL) {
        left = *found.left;
    }
    if (right.range.size > 0) {
        r = destroy(vm, index_at_or_after(&vm->slots, right.range.start));
        if (r < 0) {
            return r;
        }
        range.size += right.range.size;
    }
    if (left.range.size > 0) {
        r = destroy(vm, index_at_or_after(&vm->slots, left.range.start));
        if (r < 0) {
            restore(vm, &right);
            return r;
        }
        range = (struct range){left.range.start, left.range.size + range.size};
        hva = left.hva;
    }
    r = create(vm, range, hva, flags);
    if (r < 0) {
        restore(vm, &left);
        restore(vm, &right);
    }
    return r;
}

/* Takes the slot at an index away, except for what of it lies outside range. */
static int cut(struct kvm_vm *vm, size_t at, struct range range)
{
    const struct kvm_slot old = vm->slots.slots[at];
    struct range before = {old.range.start, 0};
    struct range after = {range_end(range), 0};
    int r = destroy(vm, at);

    if (r < 0) {
        return r;
    }
    if (old.range.start < range.start) {
        before.size = range.start - old.range.start;
        r = create(vm, before, old.hva, old.flags);
        if (r < 0) {
            restore(vm, &old);
            return r;
        }
    }
    if (range_end(old.range) > range_end(range)) {
        after.size = range_end(old.range) - range_end(range);
        r = create(vm, after, old.hva + (after.start - old.range.start), old.flags);
        if (r < 0) {
            if (before.size > 0) {
                (void)destroy(vm, index_at_or_after(&vm->slots, before.start));
            }
            restore(vm, &old);
            return r;
        }
    }
    return 0;
}

/* A slot that was cut, but is not the last one of those that were to be. */
static void mend(struct kvm_vm *vm, const struct kvm_slot *old, struct range range)
{
    if (old->range.start < range.start) {
        (void)destroy(vm, index_at_or_after(&vm->slots, old->range.start));
    }
    restore(vm, old);
}

/* One after the other; when one stays, those before it come back. */
static int cut_each(struct kvm_vm *vm, struct range range, const struct kvm_slot *old, size_t nr)
{
    char reason[REASON_SIZE];

    for (size_t i = 0; i < nr; i++) {
        int r = cut(vm, index_at_or_after(&vm->slots, range_end(old[i].range) - 1), range);

        if (r < 0) {
            (void)snprintf(reason, sizeof(reason), "%s", reason_last());
            while (i-- > 0) {
                mend(vm, &old[i], range);
            }
            return fail_text(r, reason);
        }
    }
    return 0;
}

int kvm_slots_remove(struct kvm_vm *vm, struct range range)
{
    const struct kvm_slots *slots = &vm->slots;
    size_t at = index_at_or_after(slots, range.start);
    struct kvm_slot *old;
    size_t nr = 0;
    int r;

    while (at + nr < slots->nr_slots && range_overlaps(slots->slots[at + nr].range, range)) {
        nr++;
    }
    if (nr <= 1) {
        return nr == 0 ? 0 : cut(vm, at, range);
    }
    old = malloc(nr * sizeof(*old));
    if (old == NULL) {
        return fail(-ENOMEM, "cannot remove guest memory: out of memory");
    }
    memcpy(old, &slots->slots[at], nr * sizeof(*old));
    r = cut_each(vm, range, old, nr);
    free(old);
    return r;
}

const struct kvm_slot *kvm_slots_find(const struct kvm_slots *slots, uint64_t gpa)
{
    size_t at = index_at_or_after(slots, gpa);

    return at < slots->nr_slots && range_has(slots->slots[at].range, gpa) ? &slots->slots[at]
                                                                          : NULL;
}

int kvm_slots_go_live(struct kvm_vm *vm)
{
    struct kvm_slots *slots = &vm->slots;

    if (slots->is_live) {
        return 0;
    }
    slots->is_live = true;
    for (size_t i = 0; i < slots->nr_slots; i++) {
        int r = tell_kvm(vm, &slots->slots[i], slots->slots[i].range.size);

        if (r < 0) {
            while (i-- > 0) {
                (void)tell_kvm(vm, &slots->slots[i], 0); /* fails only where there is nothing */
            }
            slots->is_live = false;
            return r;
        }
    }
    return 0;
}

void kvm_slots_fini(struct kvm_slots *slots)
{
    free(slots->slots);
    free(slots->free_numbers);
    *slots = (struct kvm_slots){0};
}
