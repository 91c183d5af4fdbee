/*
 * The hosted seL4 environment: what vm_init and its companions are given instead of a running seL4.
 */
#pragma once

#include <platsupport/io.h>
#include <sel4/sel4.h>
#include <simple/simple.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hostvm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How an environment shall be. All zeros is a good environment; hostvm_env_create copies it.
 *
 * creates_vm_in_background: Linux takes some ten milliseconds to create a VM, most of them asleep.
 * With this set, where the process may use several processors, vm_init starts a thread for that and
 * returns; RAM is registered, memory reserved and kernels are loaded meanwhile. The first call that
 * needs KVM waits for the thread, which is gone when that call returns:
 * vm_create_default_irq_controller, vcpu_start, vm_reg_new_vmcall_handler or hostvm_vm_destroy. So
 * these, not vm_init, report that KVM refused (that /dev/kvm is missing or unusable still is
 * vm_init's to report).
 */
typedef struct hostvm_env_config {
    bool defer_memory_map;         /* vm_map_reservation maps at the first fault, not at once */
    bool allow_ioport_passthrough; /* guests may be given ports that the process has */
    bool guest32;                  /* x86: vcpus start in 32-bit mode */
    unsigned int flags;            /* 0: none are defined yet, others are refused */
    int kick_signal;         /* a signal of which hostvm may set the handler; 0: none; see vm_run */
    size_t max_frame_memory; /* bytes of frames, untyped memory and RAM together; 0: no limit */
    size_t window_size;      /* bytes that each VM's window mirrors; 0: chosen by hostvm */
    hostvm_log_fn log_fn;    /* receives messages; NULL = standard error */
    void *log_cookie;        /* given to log_fn */
    enum hostvm_log_level log_level; /* lowest level that is heard; 0 = HOSTVM_LOG_WARN */
    bool creates_vm_in_background;   /* see above */
} hostvm_env_config_t;

/**
 * An environment. Its members are ready for vm_init and may be copied; single function pointers in
 * a copy, or in place, may be replaced by the client's own.
 */
typedef struct hostvm_env {
    vka_t vka;          /* the allocator of capabilities, frames and objects */
    simple_t simple;    /* what the process was started with */
    vspace_t vspace;    /* the address space of this process */
    ps_io_ops_t io_ops; /* memory for drivers, and physical ranges given with hostvm_env_add_phys */
    seL4_CPtr endpoint; /* a notification for the host_endpoint of one VM */
    struct hostvm_env_private *priv;
} hostvm_env_t;

/**
 * Builds an environment. Any number of them may exist; they share nothing. Needs no KVM.
 *
 * @param env  filled in; zeroed when the call fails. It may be moved or copied afterwards: nothing
 *             points at it
 * @param cfg  how it shall be; NULL as all zeros
 * @return 0; -EINVAL for a NULL env or an unknown flag; -ENOMEM, -EMFILE, -ENFILE when the host
 *         refuses
 */
int hostvm_env_create(hostvm_env_t *env, const hostvm_env_config_t *cfg);

/**
 * Takes an environment down, and with it every capability, frame, mapping, descriptor and block of
 * driver memory that is left in it. First destroy its VMs (hostvm_vm_destroy) and let no thread use
 * it any more. *env is zeroed; NULL and an env that is all zeros are fine.
 */
void hostvm_env_destroy(hostvm_env_t *env);

/**
 * Registers part of a file as the memory at a physical address: what vka_utspace_alloc_at,
 * simple_get_frame_cap and ps_io_map then find there. It stays until the environment is destroyed.
 *
 * @param env    the environment
 * @param paddr  physical address of its first byte; a multiple of 4 KiB
 * @param fd     a file that can be mapped shared and writable; duplicated, so the caller's may be
 *               closed afterwards
 * @param off    where in the file it begins; a multiple of 4 KiB
 * @param len    bytes; a multiple of 4 KiB, not 0
 * @return 0; -EINVAL for what is unaligned, empty or wraps; -EEXIST when it overlaps a registered
 *         range; -EBADF, -ENOMEM, -EMFILE
 */
int hostvm_env_add_phys(hostvm_env_t *env, uintptr_t paddr, int fd, off_t off, size_t len);

#ifdef __cplusplus
}
#endif
