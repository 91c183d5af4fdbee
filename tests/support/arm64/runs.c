/* KVM_RUN under a test's eyes: which ones run nothing, and knocks that the library never sees. */
#include "support/arm64/runs.h"

#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include <linux/kvm.h>

#include "support/inject.h"

enum { KNOCK_GPA = 0x30000080, PAGE = 4096 };

static struct runs runs;
static runs_knock_fn knock_fn; /* NULL: knocks are the library's */
static void *knock_cookie;
static bool has_knocked;

static bool is_knock(const struct kvm_run *page)
{
    return page->exit_reason == KVM_EXIT_MMIO && page->mmio.phys_addr == KNOCK_GPA;
}

static void forget_kicks(struct kvm_run *page)
{
    static const struct timespec no_time;
    sigset_t pending;

    (void)sigpending(&pending);
    while (sigtimedwait(&pending, NULL, &no_time) > 0) {
    }
    page->immediate_exit = 0;
}

/* True: what the kernel has answered is not for the library. */
static bool hide(struct kvm_run *page, int result)
{
    if (knock_fn == NULL || (result != 0 && !has_knocked)) {
        return false;
    }
    if (result != 0) {
        return true; /* a kick */
    }
    if (!is_knock(page)) {
        return false;
    }
    has_knocked = true;
    if (!knock_fn(knock_cookie)) {
        knock_fn = NULL;
    }
    return knock_fn != NULL;
}

static bool answer(int fd, unsigned long request, void *arg, int *ret_result)
{
    struct kvm_run *page;

    if (request != KVM_RUN) {
        return false;
    }
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        return false;
    }
    runs.nr++;
    runs.nr_dry += page->immediate_exit;
    *ret_result = inject_kernel_ioctl(fd, request, arg);
    while (hide(page, *ret_result)) {
        forget_kicks(page);
        *ret_result = inject_kernel_ioctl(fd, request, arg);
    }
    (void)munmap(page, PAGE);
    return true;
}

void runs_watch(runs_knock_fn fn, void *cookie)
{
    runs = (struct runs){0};
    knock_fn = fn;
    knock_cookie = cookie;
    has_knocked = false;
    inject_answer_ioctls(answer);
}

struct runs runs_end(void)
{
    inject_answer_ioctls(NULL);
    return runs;
}
