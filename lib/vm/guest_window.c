/* Binding a public window to a VM, and what the window asks of the VM from then on. */
#include <hostvm/guest_window.h>

#include <errno.h>

#include "vm/vm.h"

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

static int check(void *cookie, struct range range)
{
    struct hosted_vm *hosted = cookie;
    struct range mapping;

    if (!space_first_mapping(hosted->space, range, &mapping)) {
        return 0;
    }
    return fail(-EEXIST, "cannot attach [0x%llx..0x%llx): the VM has [0x%llx..0x%llx) mapped",
                (unsigned long long)range.start, (unsigned long long)range_end(range),
                (unsigned long long)mapping.start, (unsigned long long)range_end(mapping));
}

static int show(void *cookie, struct range range, seL4_CapRights_t rights)
{
    return guest_vspace_show(cookie, range, rights);
}

static int hide(void *cookie, struct range range)
{
    return guest_vspace_hide(cookie, range);
}

static void log_reason(void *cookie, const char *message)
{
    struct hosted_vm *hosted = cookie;

    log_at(hosted->log, HOSTVM_LOG_ERROR, "%s", message);
}

/* Everything that a window shows goes from the guest. Its slots lie in it and nowhere else. */
static int remove_all(struct hosted_vm *hosted, const struct window *window)
{
    struct range run = {0, 0};
    int r = 0;

    while (r == 0 && cover_at_or_after(&window->memory, range_end(run), &run)) {
        r = guest_vspace_hide(hosted, run);
    }
    return r;
}

/* Readers without a lock may still have the window: it stays as long as the VM. */
static void retire(struct hosted_vm *hosted, struct window *window, bool is_closed)
{
    if (window == NULL) {
        return;
    }
    if (is_closed) {
        window_hide(window, (struct range){0, window->size}); /* all: needs no room */
        window_close(window);
    } else {
        window_leave(window);
    }
    window->next = hosted->retired;
    hosted->retired = window;
}

static void forget(struct hosted_vm *hosted)
{
    atomic_store_explicit(&hosted->nearest, hosted->window, memory_order_release);
    atomic_store_explicit(&hosted->low, NULL, memory_order_release);
    hosted->bound = NULL;
}

static void release(void *cookie, struct hostvm_window *w)
{
    struct hosted_vm *hosted = cookie;
    int r = remove_all(hosted, w->window);

    if (r == 0 && w->low != NULL) {
        r = remove_all(hosted, w->low);
    }
    if (r < 0) {
        log_reason(hosted, reason_last());
    }
    forget(hosted);
    retire(hosted, w->window, r == 0);
    retire(hosted, w->low, r == 0);
}

static const struct guest_window_owner owner = {
    .enter = enter,
    .leave = leave,
    .check = check,
    .show = show,
    .hide = hide,
    .release = release,
    .log = log_reason,
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

static void join(struct hosted_vm *hosted, struct window *window)
{
    if (window != NULL) {
        window_join(window, hosted->env);
        window_set_owner(window, get_cap, hosted);
    }
}

/* All attachments become the guest's, or none. */
static int show_attachments(struct hosted_vm *hosted, const struct hostvm_window *w)
{
    const struct rangemap *map = &w->attachments;
    char reason[REASON_SIZE];
    size_t i = 0;
    int r = 0;

    for (; r == 0 && i < map->nr_entries; i++) {
        r = check(hosted, map->entries[i].range);
    }
    if (r < 0) {
        return r;
    }
    for (i = 0; i < map->nr_entries; i++) {
        r = show(hosted, map->entries[i].range, guest_window_rights(&map->entries[i]));
        if (r < 0) {
            (void)snprintf(reason, sizeof(reason), "%s", reason_last());
            break;
        }
    }
    while (r < 0 && i-- > 0) {
        (void)public_status(hosted->vm, hide(hosted, map->entries[i].range));
    }
    return r < 0 ? fail_text(r, reason) : 0;
}

static int bind_window(struct hosted_vm *hosted, struct hostvm_window *w)
{
    int r;

    if (w->owner != NULL || hosted->bound != NULL) {
        return fail(-EBUSY, "cannot bind a window to a VM: the %s is bound already",
                    w->owner != NULL ? "window" : "VM");
    }
    hosted->bound = w; /* where its attachments are looked for */
    r = show_attachments(hosted, w);
    if (r < 0) {
        hosted->bound = NULL;
        return r;
    }
    w->owner = &owner;
    w->cookie = hosted;
    join(hosted, w->window);
    join(hosted, w->low);
    atomic_store_explicit(&hosted->low, w->low, memory_order_release);
    atomic_store_explicit(&hosted->nearest, w->window, memory_order_release);
    return 0;
}

int hostvm_window_bind(hostvm_window_t *w, vm_t *vm)
{
    int r;

    if (w == NULL || !vm_is_usable(vm)) {
        r = fail(-EINVAL, "hostvm_window_bind: no window, no VM, or one without vm_init");
        (void)public_status(vm, r); /* logs; the number is more than it returns */
        return r;
    }
    vm_enter(vm);
    r = bind_window(vm->hosted, w);
    vm_leave(vm);
    (void)public_status(vm, r);
    return r;
}

void guest_window_unbind(struct hosted_vm *hosted)
{
    struct hostvm_window *w = hosted->bound;

    if (w == NULL) {
        return;
    }
    forget(hosted);
    window_leave(w->window);
    if (w->low != NULL) {
        window_leave(w->low);
    }
    w->owner = NULL;
    w->cookie = NULL;
}
