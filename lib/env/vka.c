/* The vka interface: slots and objects for who is handed a vka_t. */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "base/reason.h"
#include "env/env.h"
#include "env/untyped.h"

/*
 * What an allocation's cookie tells: the memory itself lives as long as its capabilities. Bit 0
 * stands for a physical address in the other bits; a frame's are 0 where bit 0 is.
 */
static const seL4_Word cookie_plain = 2;
static const seL4_Word cookie_is_physical = 1;

static int env_cspace_alloc(void *data, seL4_CPtr *res)
{
    if (res == NULL) {
        return env_report(
            data, fail(-EINVAL, "cannot allocate a capability slot: no place for its handle"));
    }
    return env_report(data, cap_slot_alloc(data, res));
}

static void env_cspace_make_path(void *data, seL4_CPtr slot, cspacepath_t *res)
{
    (void)data;
    *res = (cspacepath_t){
        .capPtr = slot,
        .capDepth = seL4_WordBits,
        .root = seL4_CapInitThreadCNode,
        .offset = slot,
        .window = 1,
    };
}

static void env_cspace_free(void *data, seL4_CPtr slot)
{
    (void)env_report(data, cap_slot_free(data, slot)); /* the interface has no way to tell */
}

static int env_utspace_alloc(void *data, const cspacepath_t *dest, seL4_Word type,
                             seL4_Word size_bits, seL4_Word *res)
{
    int r;

    if (dest == NULL || res == NULL) {
        return env_report(
            data, fail(-EINVAL, "cannot allocate an object: no slot, or no place for its cookie"));
    }
    r = object_create(data, type, size_bits, dest->capPtr);
    if (r < 0) {
        return env_report(data, r);
    }
    *res = cookie_plain;
    return 0;
}

static int env_utspace_alloc_maybe_device(void *data, const cspacepath_t *dest, seL4_Word type,
                                          seL4_Word size_bits, bool can_use_dev, seL4_Word *res)
{
    (void)can_use_dev; /* there is no device memory to be had */
    return env_utspace_alloc(data, dest, type, size_bits, res);
}

static int env_utspace_alloc_at(void *data, const cspacepath_t *dest, seL4_Word type,
                                seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    unsigned frame_bits;
    int r;

    (void)size_bits; /* the type tells */
    if (dest == NULL || cookie == NULL) {
        return env_report(
            data, fail(-EINVAL, "cannot allocate an object: no slot, or no place for its cookie"));
    }
    if (!object_is_frame(type, &frame_bits)) {
        return env_report(
            data,
            fail(-EINVAL, "only frames have physical addresses, not objects of type %lu", type));
    }
    r = phys_frame_create(data, paddr, frame_bits, dest->capPtr);
    if (r < 0) {
        return env_report(data, r);
    }
    *cookie = paddr | cookie_is_physical;
    return 0;
}

/* The memory went with the last capability. */
static void env_utspace_free(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word target)
{
    (void)data;
    (void)type;
    (void)size_bits;
    (void)target;
}

static uintptr_t env_utspace_paddr(void *data, seL4_Word target, seL4_Word type,
                                   seL4_Word size_bits)
{
    (void)data;
    (void)type;
    (void)size_bits;
    return (target & cookie_is_physical) != 0 ? target & ~cookie_is_physical : VKA_NO_PADDR;
}

void env_make_vka(struct env *env, vka_t *ret)
{
    *ret = (vka_t){
        .data = env,
        .cspace_alloc = env_cspace_alloc,
        .cspace_make_path = env_cspace_make_path,
        .utspace_alloc = env_utspace_alloc,
        .utspace_alloc_maybe_device = env_utspace_alloc_maybe_device,
        .utspace_alloc_at = env_utspace_alloc_at,
        .cspace_free = env_cspace_free,
        .utspace_free = env_utspace_free,
        .utspace_paddr = env_utspace_paddr,
    };
}

struct env *env_of_vka(const vka_t *vka)
{
    if (vka == NULL || !futex_word_is((uintptr_t)vka->data, ENV_MAGIC)) {
        fail(-EINVAL, "the allocator given (vka_t) is not of an environment of hostvm; use that of "
                      "hostvm_env_create");
        return NULL;
    }
    return vka->data;
}
