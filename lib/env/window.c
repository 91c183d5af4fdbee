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

static struct window *new_window(void)
{
    struct window *window = calloc(1, sizeof(*window));
    pthread_rwlockattr_t attr;

    if (window != NULL) {
        /* None of it can fail. Copies that never end would keep memory from being taken away. */
        (void)pthread_rwlockattr_init(&attr);
        (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        (void)pthread_rwlock_init(&window->copying, &attr);
        (void)pthread_rwlockattr_destroy(&attr);
    }
    return window;
}

static int no_memory(void)
{
    return fail(-ENOMEM, "cannot create a window on guest memory: out of memory");
}

int window_create(struct env *env, struct window **ret)
{
    struct window *window = new_window();

    if (window == NULL) {
        return no_memory();
    }
    env_lock(env);
    if (env->config.window_size != 0) {
        window->size = align_up(env->config.window_size, page_size);
    } else {
        window->is_large = env->nr_large_windows < nr_large_spans;
        window->size = window->is_large ? large_span : small_span;
    }
    env->nr_large_windows += window->is_large;
    env_unlock(env);
    window_join(window, env);
    *ret = window;
    return 0;
}

int window_create_anywhere(uint64_t size, struct window **ret)
{
    struct window *window = new_window();

    if (window == NULL) {
        return no_memory();
    }
    window->base = span_reserve(size, span_align);
    if (window->base == NULL) {
        window_destroy(window);
        return fail(-ENOMEM,
                    "cannot reserve %" PRIu64 " MiB of addresses for a window on guest memory; is "
                    "there a limit (ulimit -v)?",
                    size >> 20);
    }
    window->size = size;
    window->is_reserved = true;
    *ret = window;
    return 0;
}

int window_create_identity(uint64_t first, uint64_t size, struct window **ret)
{
    struct window *window = new_window();
    int r;

    if (window == NULL) {
        return no_memory();
    }
    r = span_reserve_at(first, size - first);
    if (r < 0) {
        window_destroy(window);
        return fail(r, "cannot reserve [0x%" PRIx64 "..0x%" PRIx64 ") of this process: %s", first,
                    size, strerror(-r));
    }
    window->first = first;
    window->size = size;
    window->is_reserved = true;
    *ret = window;
    return 0;
}

void window_join(struct window *window, struct env *env)
{
    env_lock(env);
    window->env = env;
    window->next = env->windows;
    env->windows = window;
    env_unlock(env);
}

void window_leave(struct window *window)
{
    struct env *env = window->env;
    struct window **link;

    if (env == NULL) {
        return;
    }
    env_lock(env);
    link = &env->windows;
    while (*link != window) {
        link = &(*link)->next;
    }
    *link = window->next;
    env->nr_large_windows -= window->is_large;
    window->env = NULL;
    env_unlock(env);
}

void window_close(struct window *window)
{
    window_leave(window);
    if (window->is_reserved) {
        munmap(window_at(window, window->first), window->size - window->first);
    }
    window->is_reserved = false;
}

void window_destroy(struct window *window)
{
    if (window == NULL) {
        return;
    }
    window_close(window);
    cover_fini(&window->memory);
    (void)pthread_rwlock_destroy(&window->copying);
    free(window);
}

void window_set_owner(struct window *window, seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa),
                      void *cookie)
{
    struct env *env = window->env;

    env_lock(env);
    window->get_cap = get_cap;
    window->cookie = cookie;
    env_unlock(env);
}

static int reserve_span(struct window *window)
{
    uint64_t size = window->size;
    bool is_fixed;
    char *base;

    if (window->is_reserved) {
        return 0;
    }
    is_fixed = window->env->config.window_size != 0;
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
    window->is_reserved = true;
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
    if (!window_covers(window, (struct range){gpa, size})) {
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
    if (mmap(window_at(window, gpa), size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
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
    if (mmap(window_at(window, gpa), size, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot unmap 0x%" PRIx64 " bytes at guest address 0x%" PRIx64 ": %s",
                    size, gpa, strerror(err));
    }
    return 0;
}

/* --- translation --- */

int window_reserve_room(struct window *window, size_t nr_changes)
{
    return cover_reserve(&window->memory, nr_changes);
}

void window_show(struct window *window, struct range range)
{
    cover_add(&window->memory, range);
}

void window_hide(struct window *window, struct range range)
{
    (void)pthread_rwlock_wrlock(&window->copying); /* cannot fail: nobody holds it and calls us */
    cover_remove(&window->memory, range);
    (void)pthread_rwlock_unlock(&window->copying);
}

/*
 * The guest may look at, or change, the same bytes meanwhile: what it takes for one access is to be
 * one here. Others are copied in any order.
 */
static void copy_from_guest(void *buf, const void *hva, uint64_t size)
{
    uint64_t value;

    if (((uintptr_t)hva & (size - 1)) != 0) {
        memcpy(buf, hva, size);
        return;
    }
    switch (size) {
    case 1:
        value = __atomic_load_n((const uint8_t *)hva, __ATOMIC_ACQUIRE);
        break;
    case 2:
        value = __atomic_load_n((const uint16_t *)hva, __ATOMIC_ACQUIRE);
        break;
    case 4:
        value = __atomic_load_n((const uint32_t *)hva, __ATOMIC_ACQUIRE);
        break;
    case 8:
        value = __atomic_load_n((const uint64_t *)hva, __ATOMIC_ACQUIRE);
        break;
    default:
        memcpy(buf, hva, size);
        return;
    }
    memcpy(buf, &value, size);
}

static void copy_to_guest(void *hva, const void *buf, uint64_t size)
{
    uint64_t value = 0;

    if (size > sizeof(value) || ((uintptr_t)hva & (size - 1)) != 0) {
        memcpy(hva, buf, size);
        return;
    }
    memcpy(&value, buf, size);
    switch (size) {
    case 1:
        __atomic_store_n((uint8_t *)hva, (uint8_t)value, __ATOMIC_RELEASE);
        break;
    case 2:
        __atomic_store_n((uint16_t *)hva, (uint16_t)value, __ATOMIC_RELEASE);
        break;
    case 4:
        __atomic_store_n((uint32_t *)hva, (uint32_t)value, __ATOMIC_RELEASE);
        break;
    case 8:
        __atomic_store_n((uint64_t *)hva, value, __ATOMIC_RELEASE);
        break;
    default:
        memcpy(hva, buf, size);
    }
}

static bool has(const struct window *window, struct range range)
{
    return cover_seems_to_have(&window->memory, range.start, range.size) ||
           cover_has(&window->memory, range);
}

int window_read(struct window *window, struct range range, void *buf)
{
    bool is_there;

    (void)pthread_rwlock_rdlock(&window->copying);
    is_there = has(window, range);
    if (is_there) {
        copy_from_guest(buf, window_at(window, range.start), range.size);
    }
    (void)pthread_rwlock_unlock(&window->copying);
    return is_there ? 0 : -EFAULT;
}

int window_write(struct window *window, struct range range, const void *buf)
{
    bool is_there;

    (void)pthread_rwlock_rdlock(&window->copying);
    is_there = has(window, range);
    if (is_there) {
        copy_to_guest(window_at(window, range.start), buf, range.size);
    }
    (void)pthread_rwlock_unlock(&window->copying);
    return is_there ? 0 : -EFAULT;
}

/* --- capabilities --- */

static bool shows(const struct window *window, const void *pointer)
{
    struct range span = {(uintptr_t)window_at(window, window->first), window->size - window->first};

    return window->is_reserved && range_has(span, (uintptr_t)pointer);
}

seL4_CPtr window_find_cap(struct env *env, const void *pointer)
{
    seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa) = NULL;
    const struct window *window;
    void *cookie = NULL;
    uint64_t gpa = 0;

    env_lock(env);
    for (window = env->windows; window != NULL && get_cap == NULL; window = window->next) {
        if (shows(window, pointer)) {
            get_cap = window->get_cap;
            cookie = window->cookie;
            gpa = (uintptr_t)pointer - (uintptr_t)window->base;
        }
    }
    env_unlock(env);
    return get_cap == NULL ? seL4_CapNull : get_cap(cookie, gpa);
}
