/* The simple interface: the little that a process knows of how seL4 starts a task. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sched.h>

#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"

static const seL4_CPtr init_caps[] = {
    seL4_CapInitThreadTCB,
    seL4_CapInitThreadCNode,
    seL4_CapInitThreadVSpace,
};

enum { NR_INIT_CAPS = sizeof(init_caps) / sizeof(init_caps[0]) };

static seL4_Error env_frame_cap(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    int r;

    if (path == NULL) {
        r = fail(-EINVAL, "cannot get the frame at physical address %p: no slot given", paddr);
    } else {
        r = phys_frame_create(data, (uintptr_t)paddr, (unsigned)size_bits, path->capPtr);
    }
    (void)env_report(data, r); /* logs; the number is more than it returns */
    return error_of_errno(r);
}

static int env_cap_count(void *data)
{
    (void)data;
    return NR_INIT_CAPS;
}

static seL4_CPtr env_nth_cap(void *data, int n)
{
    (void)data;
    return n >= 0 && n < NR_INIT_CAPS ? init_caps[n] : seL4_CapNull;
}

/* They are numbers that name nothing; who asks for one passes it on. */
static seL4_CPtr env_init_cap(void *data, seL4_CPtr cap)
{
    (void)data;
    for (int i = 0; i < NR_INIT_CAPS; i++) {
        if (init_caps[i] == cap) {
            return cap;
        }
    }
    return seL4_CapNull;
}

static uint8_t env_cnode_size(void *data)
{
    (void)data;
    return CAP_SLOT_BITS;
}

static int env_untyped_count(void *data)
{
    (void)data;
    return 0;
}

static seL4_CPtr env_nth_untyped(void *data, int n, size_t *size_bits, uintptr_t *paddr,
                                 bool *device)
{
    (void)data;
    (void)n;
    (void)size_bits;
    (void)paddr;
    (void)device;
    return seL4_CapNull;
}

/* Of those that this process may run on. */
static int env_core_count(void *data)
{
    cpu_set_t set;

    (void)data;
    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
}

static void env_print(void *data)
{
    struct env *env = data;

    env_lock(env);
    log_at(env_log(env), HOSTVM_LOG_INFO, "environment: %zu blocks of memory, %llu KiB in use",
           env->frames.nr_blocks, (unsigned long long)(env->frames.bytes_in_use >> 10));
    env_unlock(env);
}

static ssize_t env_extended_bootinfo_len(void *data, seL4_Word type)
{
    (void)data;
    (void)type;
    return -1;
}

static ssize_t env_extended_bootinfo(void *data, seL4_Word type, void *dest, ssize_t max_len)
{
    (void)data;
    (void)type;
    (void)dest;
    (void)max_len;
    return -1;
}

void env_make_simple(struct env *env, simple_t *ret)
{
    *ret = (simple_t){
        .data = env,
        .frame_cap = env_frame_cap,
        .cap_count = env_cap_count,
        .nth_cap = env_nth_cap,
        .init_cap = env_init_cap,
        .cnode_size = env_cnode_size,
        .untyped_count = env_untyped_count,
        .nth_untyped = env_nth_untyped,
        .core_count = env_core_count,
        .print = env_print,
        .extended_bootinfo_len = env_extended_bootinfo_len,
        .extended_bootinfo = env_extended_bootinfo,
    };
}
