/* KVM_RUN under a test's eyes: which ones run nothing, and knocks that the library never sees. */
#ifndef SUPPORT_ARM64_RUNS_H
#define SUPPORT_ARM64_RUNS_H

#include <stdbool.h>

/* What the kernel was asked for since runs_watch. */
struct runs {
    unsigned nr;
    unsigned nr_dry; /* that return before the guest runs */
};

/*
 * Until the end, each GUEST_KNOCK is fn's, and the guest goes on; nobody is told, and no kick calls
 * the vcpu out of the guest, from the first knock on to the one for which fn returns false: that
 * and all that follow are the library's. fn NULL: all of them.
 */
typedef bool (*runs_knock_fn)(void *cookie);
void runs_watch(runs_knock_fn fn, void *cookie);
struct runs runs_end(void);

#endif
