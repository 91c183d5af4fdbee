/* The guest's address space: runs of frames go into the window and become memory slots, and out
 * again. */
#include "vm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void enter(void *cookie)
{
    struct hosted_vm *hosted = cookie;

    vm_enter(hosted->vm);
}

static void leave(void *cookie)
{
    struct hosted_vm *hosted = cookie;

    vm_leave(hosted->vm);
}

static bool is_readable(const struct space_run *run)
{
    return seL4_CapRights_get_capAllowRead(run->rights) != 0;
}

static bool is_readonly(const struct space_run *run)
{
    return seL4_CapRights_get_capAllowWrite(run->rights) == 0;
}

static void remove_slots(struct hosted_vm *hosted, struct range range)
{
    int r;

    vcpus_leave_guest(hosted);
    r = kvm_slots_remove(&hosted->kvm, range);
    if (r < 0) {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s",
               reason_last()); /* on the way back from a failure already */
    }
}

static int add_slot(struct hosted_vm *hosted, struct range range, bool readonly)
{
    uint8_t *hva = window_hva(hosted->window, range.start);

    if (kvm_slots_add_exchanges(&hosted->kvm, range, hva, readonly)) {
        vcpus_leave_guest(hosted);
    }
    return kvm_slots_add(&hosted->kvm, range, hva, readonly);
}

/* The window makes neighbours in the guest neighbours in this process, so runs that touch are one
 * slot. */
static size_t join_runs(const struct space_run *runs, size_t nr_runs, struct range *ret_range)
{
    size_t n = 1;

    *ret_range = runs[0].range;
    while (n < nr_runs && is_readable(&runs[n]) && is_readonly(&runs[n]) == is_readonly(&runs[0]) &&
           runs[n].range.start == range_end(*ret_range)) {
        ret_range->size += runs[n].range.size;
        n++;
    }
    return n;
}

/* A run without the right to read has no memory for the guest: it stays a hole. */
static int place_runs(struct hosted_vm *hosted, const struct space_run *runs, size_t nr_runs)
{
    for (size_t i = 0; i < nr_runs; i++) {
        int r;

        if (!is_readable(&runs[i])) {
            continue;
        }
        r = window_place(hosted->window, runs[i].range.start, runs[i].range.size, runs[i].fd,
                         runs[i].offset, PROT_READ | PROT_WRITE);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int add_slots(struct hosted_vm *hosted, const struct space_run *runs, size_t nr_runs)
{
    size_t i = 0;

    while (i < nr_runs) {
        struct range range;
        size_t n = 1;

        if (is_readable(&runs[i])) {
            int r;

            n = join_runs(&runs[i], nr_runs - i, &range);
            r = add_slot(hosted, range, is_readonly(&runs[i]));
            if (r < 0) {
                return r;
            }
        }
        i += n;
    }
    return 0;
}

static void take_back(struct hosted_vm *hosted, const struct space_run *runs, size_t nr_runs)
{
    for (size_t i = 0; i < nr_runs; i++) {
        if (is_readable(&runs[i])) {
            remove_slots(hosted, runs[i].range);
            (void)window_empty(hosted->window, runs[i].range.start, runs[i].range.size);
        }
    }
}

static int map(void *cookie, const struct space_run *runs, size_t nr_runs)
{
    struct hosted_vm *hosted = cookie;
    char reason[REASON_SIZE];
    int r = place_runs(hosted, runs, nr_runs);

    if (r == 0) {
        r = add_slots(hosted, runs, nr_runs);
    }
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s", reason_last());
        take_back(hosted, runs, nr_runs);
        return fail_text(r, reason);
    }
    return 0;
}

static int unmap(void *cookie, struct range range)
{
    struct hosted_vm *hosted = cookie;
    int r;

    if (!hosted->kvm.is_closed) { /* else the VM is being destroyed, and its slots are gone */
        vcpus_leave_guest(hosted);
        r = kvm_slots_remove(&hosted->kvm, range);
        if (r < 0) {
            return r;
        }
    }
    if (window_empty(hosted->window, range.start, range.size) < 0) {
        /* The guest has lost it, as asked; what stays visible to this process goes with the next
         * use of the range. */
        log_at(hosted->log, HOSTVM_LOG_WARN, "%s", reason_last());
    }
    return 0;
}

static const struct space_backend backend = {
    .enter = enter,
    .leave = leave,
    .map = map,
    .unmap = unmap,
};

static seL4_CPtr get_cap(void *cookie, uint64_t gpa)
{
    struct hosted_vm *hosted = cookie;
    seL4_CPtr cptr;

    vm_enter(hosted->vm);
    cptr = space_get_cap(hosted->space, gpa);
    vm_leave(hosted->vm);
    return cptr;
}

int guest_vspace_create(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    int r = window_create(hosted->env, &hosted->window);

    if (r < 0) {
        return r;
    }
    r = space_create(hosted->env, &backend, hosted, &hosted->space);
    if (r < 0) {
        window_destroy(hosted->window);
        hosted->window = NULL;
        return r;
    }
    window_set_owner(hosted->window, get_cap, hosted);
    vm->mem.vm_vspace = space_interface(hosted->space);
    return 0;
}

void guest_vspace_destroy(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    space_destroy(hosted->space);
    window_destroy(hosted->window);
    hosted->space = NULL;
    hosted->window = NULL;
}

bool guest_vspace_access(struct hosted_vm *hosted, struct fault *fault)
{
    const struct kvm_slot *slot = kvm_slots_find(&hosted->kvm.slots, fault->addr);
    uint8_t *p;

    if (slot == NULL || !range_contains(slot->range, (struct range){fault->addr, fault->size}) ||
        (fault->is_write && (slot->flags & KVM_MEM_READONLY) != 0)) {
        return false;
    }
    p = slot->hva + (fault->addr - slot->range.start);
    if (fault->is_write) {
        memcpy(p, &fault->data, fault->size);
    } else {
        fault->data = 0;
        memcpy(&fault->data, p, fault->size);
    }
    return true;
}

uint8_t *guest_vspace_pointer(struct hosted_vm *hosted, struct range range)
{
    const struct kvm_slot *slot;
    uint8_t *first = NULL;
    uint64_t done = 0;

    if (!range_is_valid(range.start, range.size)) {
        return NULL;
    }
    do {
        uint8_t *hva;

        slot = kvm_slots_find(&hosted->kvm.slots, range.start + done);
        if (slot == NULL) {
            return NULL;
        }
        hva = slot->hva + (range.start + done - slot->range.start);
        if (first == NULL) {
            first = hva;
        } else if (hva != first + done) {
            return NULL;
        }
        done = range_end(slot->range) - range.start;
    } while (done < range.size);
    return first;
}

void *hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    void *p;

    if (!vm_is_usable(vm)) {
        return NULL;
    }
    vm_enter(vm);
    p = guest_vspace_pointer(vm->hosted, (struct range){gpa, size});
    vm_leave(vm);
    return p;
}
