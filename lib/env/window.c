/* Windows: reserving the span, and placing memory in it. */
#define _GNU_SOURCE 1
#include "env/window.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/reason.h"
#include "base/span.h"
#include "env/env.h"

static const uint64_t page_size = UINT64_C(1) << seL4_PageBits;
/* Large pages of the guest are to be large pages of the host. */
static const uint64_t span_align = UINT64_C(1) << seL4_HugePageBits;
static const uint64_t large_span = UINT64_C(1) << 40;
static const uint64_t small_span = UINT64_C(16) << 30;

/*
 * 47 bits of addresses hold 128 TiB; that many windows get a large span, further ones a small one.
 */
static const unsigned nr_large_spans = 32;

int window_create(struct env *env, struct window **ret)
{
    struct window *window = calloc(1, sizeof(*window));

    if (window == NULL) {
        return fail(-ENOMEM, "cannot create a window on guest memory: out of memory");
    }
    window->env = env;
    env_lock(env);
    if (env->config.window_size != 0) {
        window->size = align_up(env->config.window_size, page_size);
    } else {
        window->is_large = env->nr_large_windows < nr_large_spans;
        window->size = window->is_large ? large_span : small_span;
    }
    env->nr_large_windows += window->is_large;
    window->next = env->windows;
    env->windows = window;
    env_unlock(env);
    *ret = window;
    return 0;
}

static void unhook(struct window *window)
{
    struct window **link = &window->env->windows;

    env_lock(window->env);
    while (*link != window) {
        link = &(*link)->next;
    }
    *link = window->next;
    window->env->nr_large_windows -= window->is_large;
    env_unlock(window->env);
}

void window_destroy(struct window *window)
{
    if (window == NULL) {
        return;
    }
    unhook(window);
    if (window->base != NULL) {
        munmap(window->base, window->size);
    }
    free(window);
}

void window_set_owner(struct window *window, seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa),
                      void *cookie)
{
    env_lock(window->env);
    window->get_cap = get_cap;
    window->cookie = cookie;
    env_unlock(window->env);
}

static int reserve_span(struct window *window)
{
    bool is_fixed = window->env->config.window_size != 0;
    uint64_t size = window->size;
    char *base;

    if (window->base != NULL) {
        return 0;
    }
    base = span_reserve(size, span_align);
    while (base == NULL && !is_fixed && size > small_span) {
        size /= 2;
        base = span_reserve(size, span_align);
    }
    if (base == NULL) {
        return fail(-ENOMEM,
                    "cannot reserve %" PRIu64 " MiB of addresses for guest memory; is there a "
                    "limit (ulimit -v), or is window_size too large?",
                    size >> 20);
    }
    env_lock(window->env);
    window->size = size;
    window->base = base;
    env_unlock(window->env);
    return 0;
}

/* Checks what is to be changed; reserves the span at the first time. */
static int check_place(struct window *window, uint64_t gpa, uint64_t size)
{
    int r;

    if (size == 0 || (gpa | size) % page_size != 0) {
        return fail(-EINVAL,
                    "cannot change 0x%" PRIx64 " bytes at guest address 0x%" PRIx64
                    " in the window: it must be whole pages of 4 KiB",
                    size, gpa);
    }
    r = reserve_span(window);
    if (r < 0) {
        return r;
    }
    if (!range_contains((struct range){0, window->size}, (struct range){gpa, size})) {
        return fail(-ERANGE,
                    "guest address 0x%" PRIx64 " with 0x%" PRIx64 " bytes is outside the "
                    "window of %" PRIu64 " MiB; raise window_size",
                    gpa, size, window->size >> 20);
    }
    return 0;
}

int window_place(struct window *window, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
                 int prot)
{
    int r;

    r = check_place(window, gpa, size);
    if (r < 0) {
        return r;
    }
    if (mmap(window->base + gpa, size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
        MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot map 0x%" PRIx64 " bytes at guest address 0x%" PRIx64 ": %s%s",
                    size, gpa, strerror(err),
                    err == ENOMEM ? "; vm.max_map_count may be too small" : "");
    }
    return 0;
}

int window_empty(struct window *window, uint64_t gpa, uint64_t size)
{
    int r;

    r = check_place(window, gpa, size);
    if (r < 0) {
        return r;
    }
    if (mmap(window->base + gpa, size, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot unmap 0x%" PRIx64 " bytes at guest address 0x%" PRIx64 ": %s",
                    size, gpa, strerror(err));
    }
    return 0;
}

/* A copy of the window that a pointer points into, with its base, owner and cookie. */
static bool find_window(struct env *env, const char *pointer, struct window *ret)
{
    const struct window *window;
    bool is_found = false;

    env_lock(env);
    for (window = env->windows; window != NULL && !is_found; window = window->next) {
        is_found =
            window->base != NULL && window->get_cap != NULL &&
            range_has((struct range){(uintptr_t)window->base, window->size}, (uintptr_t)pointer);
        if (is_found) {
            *ret = *window;
        }
    }
    env_unlock(env);
    return is_found;
}

seL4_CPtr window_find_cap(struct env *env, const void *pointer)
{
    struct window window;

    if (!find_window(env, pointer, &window)) {
        return seL4_CapNull;
    }
    return window.get_cap(window.cookie, (uint64_t)((const char *)pointer - window.base));
}
