/* The guest's address space: runs of frames go into the window and become memory slots, and out
 * again. */
#include "vm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { ADD_AND_SPLIT = 2 }; /* runs more in a set than before, at most */

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
    if (r == 0) {
        cover_remove(&hosted->readonly, range); /* there is room since it was added */
    } else {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s",
               reason_last()); /* on the way back from a failure already */
    }
}

/* The window that new memory at gpa goes to, and where its share ends. */
static struct window *window_for(const struct hosted_vm *hosted, uint64_t gpa, uint64_t *ret_end)
{
    const struct hostvm_window *bound = hosted->bound;

    if (bound != NULL && gpa < bound->window->size) {
        return guest_window_part(bound, gpa, ret_end);
    }
    *ret_end = UINT64_MAX;
    return hosted->window;
}

/* What of a range, from gpa on, goes to one window. */
static struct range piece_at(const struct hosted_vm *hosted, struct range range, uint64_t gpa,
                             struct window **ret_window)
{
    uint64_t end;

    *ret_window = window_for(hosted, gpa, &end);
    return (struct range){gpa, (end < range_end(range) ? end : range_end(range)) - gpa};
}

static int add_slot(struct hosted_vm *hosted, struct range range, uint8_t *hva, bool readonly)
{
    if (kvm_slots_add_exchanges(&hosted->kvm, range, hva, readonly)) {
        vcpus_leave_guest(hosted);
    }
    return kvm_slots_add(&hosted->kvm, range, hva, readonly);
}

/* A slot per window. */
static int add_range(struct hosted_vm *hosted, struct range range, bool readonly)
{
    uint64_t gpa = range.start;
    int r = 0;

    while (r == 0 && gpa < range_end(range)) {
        struct window *window;
        struct range piece = piece_at(hosted, range, gpa, &window);

        r = add_slot(hosted, piece, window_hva(window, gpa), readonly);
        gpa = range_end(piece);
    }
    if (r == 0 && readonly) {
        r = cover_reserve(&hosted->readonly, ADD_AND_SPLIT);
    }
    if (r == 0 && readonly) {
        cover_add(&hosted->readonly, range);
    }
    return r;
}

/* What is removed next may be in the middle of a run. */
static int reserve_split(struct hosted_vm *hosted, struct range range)
{
    struct range run;

    return cover_at_or_after(&hosted->readonly, range.start, &run) && range_overlaps(run, range)
               ? cover_reserve(&hosted->readonly, 1)
               : 0;
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

static int place_run(struct hosted_vm *hosted, const struct space_run *run)
{
    uint64_t gpa = run->range.start;
    int r = 0;

    while (r == 0 && gpa < range_end(run->range)) {
        struct window *window;
        struct range piece = piece_at(hosted, run->range, gpa, &window);

        r = window_place(window, gpa, piece.size, run->fd, run->offset + (gpa - run->range.start),
                         PROT_READ | PROT_WRITE);
        gpa = range_end(piece);
    }
    return r;
}

/* A run without the right to read has no memory for the guest: it stays a hole. */
static int place_runs(struct hosted_vm *hosted, const struct space_run *runs, size_t nr_runs)
{
    for (size_t i = 0; i < nr_runs; i++) {
        int r;

        if (!is_readable(&runs[i])) {
            continue;
        }
        r = place_run(hosted, &runs[i]);
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
            r = add_range(hosted, range, is_readonly(&runs[i]));
            if (r < 0) {
                return r;
            }
        }
        i += n;
    }
    return 0;
}

/* What was placed, but not shown yet. */
static void take_back(struct hosted_vm *hosted, const struct space_run *runs, size_t nr_runs)
{
    for (size_t i = 0; i < nr_runs; i++) {
        uint64_t gpa = runs[i].range.start;

        if (!is_readable(&runs[i])) {
            continue;
        }
        remove_slots(hosted, runs[i].range);
        while (gpa < range_end(runs[i].range)) {
            struct window *window;
            struct range piece = piece_at(hosted, runs[i].range, gpa, &window);

            (void)window_empty(window, gpa, piece.size);
            gpa = range_end(piece);
        }
    }
}

static void show_run(struct hosted_vm *hosted, const struct space_run *run)
{
    uint64_t gpa = run->range.start;

    while (is_readable(run) && gpa < range_end(run->range)) {
        struct window *window;
        struct range piece = piece_at(hosted, run->range, gpa, &window);

        window_show(window, piece);
        gpa = range_end(piece);
    }
}

/* The windows that guest memory can be in: the VM's own, and the parts of the bound one. */
enum { NR_WINDOWS = 3 };

static void get_windows(const struct hosted_vm *hosted, struct window *ret[NR_WINDOWS])
{
    ret[0] = hosted->window;
    ret[1] = hosted->bound == NULL ? NULL : hosted->bound->window;
    ret[2] = hosted->bound == NULL ? NULL : hosted->bound->low;
}

/* Room in each window for so many changes: afterwards nothing fails for want of it. */
static int reserve_rooms(struct hosted_vm *hosted, size_t nr_changes)
{
    struct window *windows[NR_WINDOWS];
    int r = 0;

    get_windows(hosted, windows);
    for (int i = 0; r == 0 && i < NR_WINDOWS; i++) {
        r = windows[i] == NULL ? 0 : window_reserve_room(windows[i], nr_changes);
    }
    return r;
}

/* Attached memory is not the space's, which therefore does not know of it. */
static int check_attachments(const struct hosted_vm *hosted, const struct space_run *runs,
                             size_t nr_runs)
{
    for (size_t i = 0; hosted->bound != NULL && i < nr_runs; i++) {
        const struct rangemap_entry *entry =
            rangemap_first_overlap(&hosted->bound->attachments, runs[i].range);

        if (entry != NULL) {
            return fail(-EEXIST,
                        "cannot map [0x%llx..0x%llx): the bound window has [0x%llx..0x%llx) "
                        "attached; detach that first",
                        (unsigned long long)runs[i].range.start,
                        (unsigned long long)range_end(runs[i].range),
                        (unsigned long long)entry->range.start,
                        (unsigned long long)range_end(entry->range));
        }
    }
    return 0;
}

static int map(void *cookie, const struct space_run *runs, size_t nr_runs)
{
    struct hosted_vm *hosted = cookie;
    char reason[REASON_SIZE];
    int r = check_attachments(hosted, runs, nr_runs);

    if (r == 0) {
        r = reserve_rooms(hosted, nr_runs);
    }
    if (r < 0) {
        return r;
    }
    r = place_runs(hosted, runs, nr_runs);
    if (r == 0) {
        r = add_slots(hosted, runs, nr_runs);
    }
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s", reason_last());
        take_back(hosted, runs, nr_runs);
        return fail_text(r, reason);
    }
    for (size_t i = 0; i < nr_runs; i++) {
        show_run(hosted, &runs[i]);
    }
    return 0;
}

/* The first piece of a range that a window shows. */
static bool find_shown(const struct window *window, struct range range, struct range *ret)
{
    struct range run;
    uint64_t end;

    if (!cover_at_or_after(&window->memory, range.start, &run) || !range_overlaps(run, range)) {
        return false;
    }
    end = range_end(run) < range_end(range) ? range_end(run) : range_end(range);
    ret->start = run.start > range.start ? run.start : range.start;
    ret->size = end - ret->start;
    return true;
}

/*
 * Takes a mapping out of the window that it is in: not found by translation, then not the guest's,
 * then not this process's. A mapping lies in one piece in each window: it was made in one step, or
 * is part of one that was.
 */
static int unmap(void *cookie, struct range range)
{
    struct hosted_vm *hosted = cookie;
    struct window *windows[NR_WINDOWS];
    struct range pieces[NR_WINDOWS];
    int r = reserve_rooms(hosted, 2); /* hiding, and showing again */

    if (r == 0) {
        r = reserve_split(hosted, range);
    }
    if (r < 0) {
        return r;
    }
    get_windows(hosted, windows);
    if (hosted->kvm.is_closed) {
        windows[0] = NULL; /* the VM is being destroyed, and its own window goes as a whole */
    }
    for (int i = 0; i < NR_WINDOWS; i++) {
        if (windows[i] == NULL || !find_shown(windows[i], range, &pieces[i])) {
            windows[i] = NULL;
            continue;
        }
        window_hide(windows[i], pieces[i]);
    }
    if (!hosted->kvm.is_closed) { /* else its slots are gone */
        vcpus_leave_guest(hosted);
        r = kvm_slots_remove(&hosted->kvm, range);
        if (r == 0) {
            cover_remove(&hosted->readonly, range);
        }
    }
    for (int i = 0; i < NR_WINDOWS; i++) {
        if (windows[i] != NULL && r < 0) {
            window_show(windows[i], pieces[i]);
        } else if (windows[i] != NULL &&
                   window_empty(windows[i], pieces[i].start, pieces[i].size) < 0) {
            /* The guest has lost it, as asked; what stays visible to this process goes with the
             * next use of the range. */
            log_at(hosted->log, HOSTVM_LOG_WARN, "%s", reason_last());
        }
    }
    return r;
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
    atomic_store_explicit(&hosted->nearest, hosted->window, memory_order_release);
    vm->mem.vm_vspace = space_interface(hosted->space);
    return 0;
}

void guest_vspace_destroy(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    space_destroy(hosted->space);
    guest_window_unbind(hosted);
    while (hosted->retired != NULL) {
        struct window *window = hosted->retired;

        hosted->retired = window->next;
        window_destroy(window);
    }
    window_destroy(hosted->window);
    cover_fini(&hosted->readonly);
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

/* --- for the bound window --- */

int guest_vspace_show(struct hosted_vm *hosted, struct range range, seL4_CapRights_t rights)
{
    struct space_run run = {range, -1, 0, rights};
    char reason[REASON_SIZE];
    int r;

    if (!is_readable(&run)) {
        return 0;
    }
    r = add_range(hosted, range, is_readonly(&run));
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s", reason_last());
        remove_slots(hosted, range);
        return fail_text(r, reason);
    }
    return 0;
}

int guest_vspace_hide(struct hosted_vm *hosted, struct range range)
{
    int r = reserve_split(hosted, range);

    if (r < 0) {
        return r;
    }
    vcpus_leave_guest(hosted);
    r = kvm_slots_remove(&hosted->kvm, range);
    if (r == 0) {
        cover_remove(&hosted->readonly, range);
    }
    return r;
}

/* --- translation --- */

/*
 * Any thread, no lock: each window answers for itself. The VM's own is asked even while another is
 * being bound or unbound.
 */
static __attribute__((noinline)) void *search_pointer(const struct hosted_vm *hosted, uint64_t gpa,
                                                      uint64_t size)
{
    const struct window *window = atomic_load_explicit(&hosted->nearest, memory_order_acquire);
    void *p = window_pointer(window, (struct range){gpa, size});

    if (p != NULL || window == hosted->window) {
        return p;
    }
    window = atomic_load_explicit(&hosted->low, memory_order_acquire);
    if (window != NULL) {
        p = window_pointer(window, (struct range){gpa, size});
    }
    return p != NULL ? p : window_pointer(hosted->window, (struct range){gpa, size});
}

static inline void *find_pointer(const vm_t *vm, uint64_t gpa, uint64_t size)
{
    const struct window *window;

    if (!vm_is_usable(vm)) {
        return NULL;
    }
    window = atomic_load_explicit(&vm->hosted->nearest, memory_order_acquire);
    if (cover_seems_to_have(&window->memory, gpa, size)) {
        return window_at(window, gpa);
    }
    return search_pointer(vm->hosted, gpa, size);
}

void *hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    return find_pointer(vm, gpa, size);
}

static __attribute__((noinline)) bool has_readonly(const struct hosted_vm *hosted,
                                                   struct range range)
{
    struct range run;

    return cover_at_or_after(&hosted->readonly, range.start, &run) && range_overlaps(run, range);
}

/* Memory is in this set before it is found above, and as long as it is. Mostly there is none. */
void *hostvm_vm_writable_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    void *p = find_pointer(vm, gpa, size);

    if (p != NULL && !cover_is_empty(&vm->hosted->readonly) &&
        has_readonly(vm->hosted, (struct range){gpa, size})) {
        return NULL;
    }
    return p;
}

uint8_t *guest_vspace_piece(struct hosted_vm *hosted, struct range range, uint64_t *ret_size)
{
    struct window *windows[NR_WINDOWS];
    struct range run;

    get_windows(hosted, windows);
    for (int i = 0; i < NR_WINDOWS; i++) {
        if (windows[i] != NULL && cover_find(&windows[i]->memory, range.start, &run)) {
            uint64_t rest = range_end(run) - range.start;

            *ret_size = rest < range.size ? rest : range.size;
            return window_at(windows[i], range.start);
        }
    }
    return NULL;
}
