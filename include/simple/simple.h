/* The start-up environment of a task: its capabilities, memory and boot information. */
#pragma once

#include <simple/arch/simple.h>
#include <sys/types.h>
#include <utils/util.h>
#include <vka/cspacepath_t.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Every operation is given the environment's data first; the inline functions below say what each
 * one does.
 */
typedef seL4_Error (*simple_get_frame_cap_fn)(void *data, void *paddr, int size_bits,
                                              cspacepath_t *path);
typedef void *(*simple_get_frame_mapping_fn)(void *data, void *paddr, int size_bits);
typedef void *(*simple_get_frame_info_fn)(void *data, void *paddr, int size_bits, seL4_CPtr *cap,
                                          seL4_Word *ut_offset);
typedef seL4_Error (*simple_ASIDPool_assign_fn)(void *data, seL4_CPtr vspace);
typedef int (*simple_get_cap_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_cap_fn)(void *data, int n);
typedef seL4_CPtr (*simple_get_init_cap_fn)(void *data, seL4_CPtr cap);
typedef uint8_t (*simple_get_cnode_size_fn)(void *data);
typedef int (*simple_get_untyped_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_untyped_fn)(void *data, int n, size_t *size_bits,
                                               uintptr_t *paddr, bool *device);
typedef int (*simple_get_userimage_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_userimage_fn)(void *data, int n);
typedef int (*simple_get_core_count_fn)(void *data);
typedef void (*simple_print_fn)(void *data);
typedef seL4_CPtr (*simple_get_sched_ctrl_fn)(void *data, int core);
typedef ssize_t (*simple_get_extended_bootinfo_len_fn)(void *data, seL4_Word type);
typedef ssize_t (*simple_get_extended_bootinfo_fn)(void *data, seL4_Word type, void *dest,
                                                   ssize_t max_len);

/**
 * The environment. A client may replace single members and call the ones it saved; members that
 * are NULL are not offered.
 */
typedef struct simple {
    void *data;
    simple_get_frame_cap_fn frame_cap;
    simple_get_frame_mapping_fn frame_mapping;
    simple_get_frame_info_fn frame_info;
    simple_ASIDPool_assign_fn ASID_assign;
    simple_get_cap_count_fn cap_count;
    simple_get_nth_cap_fn nth_cap;
    simple_get_init_cap_fn init_cap;
    simple_get_cnode_size_fn cnode_size;
    simple_get_untyped_count_fn untyped_count;
    simple_get_nth_untyped_fn nth_untyped;
    simple_get_userimage_count_fn userimage_count;
    simple_get_nth_userimage_fn nth_userimage;
    simple_get_core_count_fn core_count;
    simple_print_fn print;
    simple_get_sched_ctrl_fn sched_ctrl;
    simple_get_extended_bootinfo_len_fn extended_bootinfo_len;
    simple_get_extended_bootinfo_fn extended_bootinfo;
    arch_simple_t arch_simple;
} simple_t;

/*
 * Without an environment, or when it does not offer the operation, each function logs that and
 * returns: NULL for a pointer, seL4_CapNull for a capability, -1 for a count or length,
 * seL4_InvalidArgument for an error code.
 */

/**
 * Puts the capability of the frame at a physical address into a slot. In a hosted environment
 * only what hostvm_env_add_phys registered has a physical address.
 *
 * @param path  an empty slot
 * @return seL4_NoError, or what is wrong
 */
static inline seL4_Error simple_get_frame_cap(simple_t *simple, void *paddr, int size_bits,
                                              cspacepath_t *path)
{
    if (simple == NULL || simple->frame_cap == NULL) {
        ZF_LOGE("simple_get_frame_cap: no environment, or not offered");
        return seL4_InvalidArgument;
    }
    return simple->frame_cap(simple->data, paddr, size_bits, path);
}

/**
 * Where the frame at a physical address is mapped in this process; NULL when it is not.
 */
static inline void *simple_get_frame_vaddr(simple_t *simple, void *paddr, int size_bits)
{
    if (simple == NULL || simple->frame_mapping == NULL) {
        ZF_LOGE("simple_get_frame_vaddr: no environment, or not offered");
        return NULL;
    }
    return simple->frame_mapping(simple->data, paddr, size_bits);
}

/**
 * Where the frame at a physical address is mapped, and what capability it has.
 */
static inline void *simple_get_frame_info(simple_t *simple, void *paddr, int size_bits,
                                          seL4_CPtr *frame_cap, seL4_Word *ut_offset)
{
    if (simple == NULL || simple->frame_info == NULL) {
        ZF_LOGE("simple_get_frame_info: no environment, or not offered");
        return NULL;
    }
    return simple->frame_info(simple->data, paddr, size_bits, frame_cap, ut_offset);
}

/**
 * Assigns an address space to the environment's pool of identifiers.
 */
static inline seL4_Error simple_ASIDPool_assign(simple_t *simple, seL4_CPtr vspace)
{
    if (simple == NULL || simple->ASID_assign == NULL) {
        ZF_LOGE("simple_ASIDPool_assign: no environment, or not offered");
        return seL4_InvalidArgument;
    }
    return simple->ASID_assign(simple->data, vspace);
}

/**
 * Puts the handler of a host interrupt into the slot of a path.
 */
static inline seL4_Error simple_get_IRQ_handler(simple_t *simple, int irq, cspacepath_t path)
{
    if (simple == NULL || simple->arch_simple.irq == NULL) {
        ZF_LOGE("simple_get_IRQ_handler: no environment, or not offered");
        return seL4_InvalidArgument;
    }
    return simple->arch_simple.irq(simple->data, irq, path.root, path.capPtr,
                                   (uint8_t)path.capDepth);
}

/**
 * How many capabilities the environment started with.
 */
static inline int simple_get_cap_count(simple_t *simple)
{
    if (simple == NULL || simple->cap_count == NULL) {
        ZF_LOGE("simple_get_cap_count: no environment, or not offered");
        return -1;
    }
    return simple->cap_count(simple->data);
}

/**
 * One of the capabilities that the environment started with, counted from 0.
 */
static inline seL4_CPtr simple_get_nth_cap(simple_t *simple, int n)
{
    if (simple == NULL || simple->nth_cap == NULL) {
        ZF_LOGE("simple_get_nth_cap: no environment, or not offered");
        return seL4_CapNull;
    }
    return simple->nth_cap(simple->data, n);
}

/**
 * The last of the capabilities that the environment started with.
 */
static inline seL4_CPtr simple_last_valid_cap(simple_t *simple)
{
    int count = simple_get_cap_count(simple);

    if (count <= 0) {
        return seL4_CapNull;
    }
    return simple_get_nth_cap(simple, count - 1);
}

/**
 * One of the well-known capabilities.
 *
 * @param cap  seL4_CapInitThread...
 */
static inline seL4_CPtr simple_get_init_cap(simple_t *simple, seL4_CPtr cap)
{
    if (simple == NULL || simple->init_cap == NULL) {
        ZF_LOGE("simple_get_init_cap: no environment, or not offered");
        return seL4_CapNull;
    }
    return simple->init_cap(simple->data, cap);
}

/**
 * The capability space.
 */
static inline seL4_CPtr simple_get_cnode(simple_t *simple)
{
    return simple_get_init_cap(simple, seL4_CapInitThreadCNode);
}

/**
 * The address space.
 */
static inline seL4_CPtr simple_get_pd(simple_t *simple)
{
    return simple_get_init_cap(simple, seL4_CapInitThreadPD);
}

/**
 * The thread.
 */
static inline seL4_CPtr simple_get_tcb(simple_t *simple)
{
    return simple_get_init_cap(simple, seL4_CapInitThreadTCB);
}

/**
 * Logarithm of the number of slots of the capability space.
 */
static inline int simple_get_cnode_size_bits(simple_t *simple)
{
    if (simple == NULL || simple->cnode_size == NULL) {
        ZF_LOGE("simple_get_cnode_size_bits: no environment, or not offered");
        return -1;
    }
    return simple->cnode_size(simple->data);
}

/**
 * How many pieces of untyped memory the environment started with.
 */
static inline int simple_get_untyped_count(simple_t *simple)
{
    if (simple == NULL || simple->untyped_count == NULL) {
        ZF_LOGE("simple_get_untyped_count: no environment, or not offered");
        return -1;
    }
    return simple->untyped_count(simple->data);
}

/**
 * One of the pieces of untyped memory, counted from 0.
 *
 * @param size_bits, paddr, device  receive its size, its physical address, and whether it is a
 *                                  device's
 */
static inline seL4_CPtr simple_get_nth_untyped(simple_t *simple, int n, size_t *size_bits,
                                               uintptr_t *paddr, bool *device)
{
    if (simple == NULL || simple->nth_untyped == NULL) {
        ZF_LOGE("simple_get_nth_untyped: no environment, or not offered");
        return seL4_CapNull;
    }
    return simple->nth_untyped(simple->data, n, size_bits, paddr, device);
}

/**
 * How many frames hold the program itself.
 */
static inline int simple_get_userimage_count(simple_t *simple)
{
    if (simple == NULL || simple->userimage_count == NULL) {
        ZF_LOGE("simple_get_userimage_count: no environment, or not offered");
        return -1;
    }
    return simple->userimage_count(simple->data);
}

/**
 * One of the frames that hold the program itself, counted from 0.
 */
static inline seL4_CPtr simple_get_nth_userimage(simple_t *simple, int n)
{
    if (simple == NULL || simple->nth_userimage == NULL) {
        ZF_LOGE("simple_get_nth_userimage: no environment, or not offered");
        return seL4_CapNull;
    }
    return simple->nth_userimage(simple->data, n);
}

/**
 * How many processor cores there are.
 */
static inline int simple_get_core_count(simple_t *simple)
{
    if (simple == NULL || simple->core_count == NULL) {
        ZF_LOGE("simple_get_core_count: no environment, or not offered");
        return -1;
    }
    return simple->core_count(simple->data);
}

/**
 * Prints what the environment knows of itself.
 */
static inline void simple_print(simple_t *simple)
{
    if (simple == NULL || simple->print == NULL) {
        ZF_LOGE("simple_print: no environment, or not offered");
        return;
    }
    simple->print(simple->data);
}

/**
 * The control over the scheduling of a core.
 */
static inline seL4_CPtr simple_get_sched_ctrl(simple_t *simple, int core)
{
    if (simple == NULL || simple->sched_ctrl == NULL) {
        ZF_LOGE("simple_get_sched_ctrl: no environment, or not offered");
        return seL4_CapNull;
    }
    return simple->sched_ctrl(simple->data, core);
}

/**
 * The length of a chunk of extended boot information, its header included.
 *
 * @param type  SEL4_BOOTINFO_HEADER_...
 * @return the bytes; -1 when there is no such chunk, as in a hosted environment
 */
static inline ssize_t simple_get_extended_bootinfo_length(simple_t *simple, seL4_Word type)
{
    if (simple == NULL || simple->extended_bootinfo_len == NULL) {
        ZF_LOGE("simple_get_extended_bootinfo_length: no environment, or not offered");
        return -1;
    }
    return simple->extended_bootinfo_len(simple->data, type);
}

/**
 * Copies a chunk of extended boot information, its header included.
 *
 * @param type     SEL4_BOOTINFO_HEADER_...
 * @param max_len  bytes that dest has room for
 * @return the bytes copied; -1 when there is no such chunk, as in a hosted environment
 */
static inline ssize_t simple_get_extended_bootinfo(simple_t *simple, seL4_Word type, void *dest,
                                                   ssize_t max_len)
{
    if (simple == NULL || simple->extended_bootinfo == NULL) {
        ZF_LOGE("simple_get_extended_bootinfo: no environment, or not offered");
        return -1;
    }
    return simple->extended_bootinfo(simple->data, type, dest, max_len);
}

#ifdef __cplusplus
}
#endif
