/*
 * The process as an address space: pages are mapped and reserved with mmap among everybody else's.
 */
#define _GNU_SOURCE 1
#include "env/process.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/reason.h"
#include "base/span.h"
#include "env/env.h"
#include "env/space.h"
#include "env/window.h"

struct process_space {
    struct env *env;
    struct space *space;

    /*
     * Guards the space. Recursive: hooks and replaced allocator functions may call in again. Before
     * the env lock.
     */
    pthread_mutex_t lock;
};

static const int reserved_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

static void process_enter(void *cookie)
{
    struct process_space *process = cookie;

    pthread_mutex_lock(&process->lock);
}

static void process_leave(void *cookie)
{
    struct process_space *process = cookie;

    pthread_mutex_unlock(&process->lock);
}

static int prot_of(seL4_CapRights_t rights)
{
    return (seL4_CapRights_get_capAllowRead(rights) ? PROT_READ : 0) |
           (seL4_CapRights_get_capAllowWrite(rights) ? PROT_WRITE : 0);
}

/* The pages are ours before and afterwards, but show nothing. */
static int process_unmap(void *cookie, struct range range)
{
    (void)cookie;
    if (mmap((void *)range.start, range.size, PROT_NONE, reserved_flags | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot unmap [0x%" PRIx64 "..0x%" PRIx64 ") of this process: %s",
                    range.start, range_end(range), strerror(err));
    }
    return 0;
}

static int map_run(const struct space_run *run)
{
    if (mmap((void *)run->range.start, run->range.size, prot_of(run->rights),
             MAP_SHARED | MAP_FIXED, run->fd, (off_t)run->offset) == MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot map [0x%" PRIx64 "..0x%" PRIx64 ") in this process: %s%s",
                    run->range.start, range_end(run->range), strerror(err),
                    err == ENOMEM ? "; vm.max_map_count may be too small" : "");
    }
    return 0;
}

static int process_map(void *cookie, const struct space_run *runs, size_t nr_runs)
{
    for (size_t i = 0; i < nr_runs; i++) {
        int r = map_run(&runs[i]);

        if (r < 0) {
            while (i-- > 0) {
                (void)process_unmap(cookie, runs[i].range); /* at worst it stays visible, unused */
            }
            return r;
        }
    }
    return 0;
}

static int claim_here(struct range range)
{
    int r = span_reserve_at(range.start, range.size);

    if (r < 0) {
        return fail(r, "cannot reserve [0x%" PRIx64 "..0x%" PRIx64 ") of this process: %s",
                    range.start, range_end(range), strerror(-r));
    }
    return 0;
}

static int claim_anywhere(struct range *range, uint64_t align)
{
    void *span = span_reserve(range->size, align);

    if (span == NULL) {
        return fail(-ENOMEM, "cannot reserve 0x%" PRIx64 " bytes of this process: out of addresses",
                    range->size);
    }
    range->start = (uintptr_t)span;
    return 0;
}

static int process_claim(void *cookie, struct range *range, uint64_t align)
{
    (void)cookie;
    return range->start == 0 ? claim_anywhere(range, align) : claim_here(*range);
}

static void process_release(void *cookie, struct range range)
{
    (void)cookie;
    munmap((void *)range.start, range.size);
}

static seL4_CPtr process_get_foreign_cap(void *cookie, uint64_t addr)
{
    struct process_space *process = cookie;

    return window_find_cap(process->env, (const void *)addr);
}

static const struct space_backend backend = {
    .enter = process_enter,
    .leave = process_leave,
    .map = process_map,
    .unmap = process_unmap,
    .claim = process_claim,
    .release = process_release,
    .get_foreign_cap = process_get_foreign_cap,
};

static void init_recursive(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

int process_space_create(struct env *env, struct process_space **ret)
{
    struct process_space *process = calloc(1, sizeof(*process));
    int r;

    if (process == NULL) {
        return fail(-ENOMEM, "cannot create the address space of this process: out of memory");
    }
    process->env = env;
    init_recursive(&process->lock);
    r = space_create(env, &backend, process, &process->space);
    if (r < 0) {
        process_space_destroy(process);
        return r;
    }
    *ret = process;
    return 0;
}

void process_space_destroy(struct process_space *process)
{
    if (process == NULL) {
        return;
    }
    space_destroy(process->space);
    pthread_mutex_destroy(&process->lock);
    free(process);
}

struct space *process_space_of(struct process_space *process)
{
    return process->space;
}
