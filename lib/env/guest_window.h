/*
 * The inside of a public window on guest memory: what lib/vm needs to know of it to bind it to a
 * VM.
 */
#ifndef ENV_GUEST_WINDOW_H
#define ENV_GUEST_WINDOW_H

#include <hostvm/guest_window.h>

#include "base/rangemap.h"
#include "env/window.h"

/* What the VM that a window is bound to supplies. All but enter are called with its lock held. */
struct guest_window_owner {
    void (*enter)(void *cookie); /* the VM's lock, recursive */
    void (*leave)(void *cookie);
    int (*check)(void *cookie, struct range range); /* 0: the VM has no memory of its own there */

    /* What the window has placed becomes the guest's, or no longer is: all of the range or none. */
    int (*show)(void *cookie, struct range range, seL4_CapRights_t rights);
    int (*hide)(void *cookie, struct range range);

    /* The window goes, and its memory from the guest with it. It closes and keeps both windows. */
    void (*release)(void *cookie, struct hostvm_window *w);

    void (*log)(void *cookie, const char *message);
};

struct hostvm_window {
    struct window *window; /* mirrors [window->first, window->size) */
    struct window *low;    /* mirrors [0, window->first) elsewhere; NULL when that is empty */
    uint64_t first_gpa;    /* as the caller is told */
    bool is_hidden;        /* a conflict was tolerated: not at the guest's addresses */

    /* Changed with window->copying held alone, so that it may be read with that held shared. */
    struct rangemap attachments; /* value: the guest's rights */
    atomic_size_t nr_unreadable; /* of them, which the guest has no right to: not in the windows'
                                    memory */
    const struct guest_window_owner *owner; /* NULL: not bound */
    void *cookie;
};

/* The window that mirrors gpa, and where its share ends; gpa lies below window->size. */
struct window *guest_window_part(const struct hostvm_window *w, uint64_t gpa, uint64_t *ret_end);

/* What of a range, from gpa on, lies in one of the two. */
struct range guest_window_piece(const struct hostvm_window *w, struct range range, uint64_t gpa,
                                struct window **ret_part);

/* What of a range lies in low. */
struct range guest_window_low_piece(const struct hostvm_window *w, struct range range);

/* At the public border: the owner's lock, and the reason of a failure, said once. */
void guest_window_enter(const struct hostvm_window *w);
void guest_window_leave(const struct hostvm_window *w);
int guest_window_report(const struct hostvm_window *w, int r);

/* The rights of an attachment. */
seL4_CapRights_t guest_window_rights(const struct rangemap_entry *attachment);

#endif
