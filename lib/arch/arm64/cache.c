/* Caches: bringing a frame's bytes to memory, for guests that run without them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "env/captable.h"
#include "env/frames.h"

/* CTR_EL0.DminLine: words of the smallest line, as a power of two (Arm ARM, D17.2.34). */
static size_t line_size(void)
{
    uint64_t ctr;

    __asm__("mrs %0, ctr_el0" : "=r"(ctr));
    return (size_t)4 << (ctr >> 16 & 0xf);
}

static void clean(const uint8_t *bytes, size_t size)
{
    size_t line = line_size();

    for (size_t i = 0; i < size; i += line) {
        __asm__ volatile("dc civac, %0" : : "r"(bytes + i) : "memory");
    }
    __asm__ volatile("dsb sy" : : : "memory");
}

/* Lines are those of memory, whichever mapping they are reached by: one of our own is enough. */
static int clean_frame(const struct frame *frame, uint64_t start, uint64_t end)
{
    enum { PAGE = 4096 };
    uint64_t first = start & ~(uint64_t)(PAGE - 1);
    size_t size = ((end + PAGE - 1) & ~(uint64_t)(PAGE - 1)) - first;
    uint8_t *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, frame->fd,
                          (off_t)(frame->offset + first));

    if (bytes == MAP_FAILED) {
        int r = -errno;
        return fail(r, "cannot map a frame to write its cached bytes back: %s", strerror(-r));
    }
    clean(bytes, size);
    (void)munmap(bytes, size); /* cannot fail: a mapping of ours */
    return 0;
}

seL4_Error seL4_ARM_Page_CleanInvalidate_Data(seL4_ARM_Page page, seL4_Word start, seL4_Word end)
{
    struct env *env = captable_env(page);
    struct frame frame;

    if (env == NULL || frame_lookup(env, page, &frame) < 0) {
        return seL4_InvalidCapability;
    }
    if (start >= end || end > UINT64_C(1) << frame.bits) {
        return seL4_RangeError;
    }
    return clean_frame(&frame, start, end) < 0 ? seL4_NotEnoughMemory : seL4_NoError;
}
