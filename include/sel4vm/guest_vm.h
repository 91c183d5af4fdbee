/* The VM, its vcpus, and running them. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <autoconf.h>
#include <sel4vm/gen_config.h>

#include <platsupport/io.h>
#include <sel4/sel4.h>
#include <sel4vm/types.h>
#include <simple/simple.h>
#include <utils/util.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

typedef struct vm_mem vm_mem_t;
typedef struct vm_ram_region vm_ram_region_t;
typedef struct vm_run vm_run_t;
typedef struct vm_arch vm_arch_t;

#include <sel4vm/arch/guest_vm_arch.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm_exits.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called for a memory fault that no reservation took, or whose callback answered FAULT_UNHANDLED.
 *
 * Runs on the faulting vcpu's thread (vm_run's, when the VM has one vcpu); callbacks of one VM
 * never overlap. May call every function of the API except vm_run and hostvm_vm_destroy.
 *
 * @param vm      the VM
 * @param vcpu    the vcpu whose access it is; the functions of guest_vcpu_fault.h describe the
 * access
 * @param paddr   guest-physical address of the access, in full width (libsel4vm on x86 passes 32
 * bits of it)
 * @param len     bytes accessed
 * @param cookie  as registered
 * @return as a reservation's callback: FAULT_HANDLED, FAULT_IGNORE, FAULT_RESTART; FAULT_UNHANDLED
 * and FAULT_ERROR end vm_run with -1
 */
typedef memory_fault_result_t (*unhandled_mem_fault_callback_fn)(vm_t *vm, vm_vcpu_t *vcpu,
                                                                 uintptr_t paddr, size_t len,
                                                                 void *cookie);

/**
 * Called when the VM's endpoint was signalled. Runs on vm_run's thread, never together with another
 * callback.
 *
 * @param vm      the VM
 * @param badge   the badges of all signals since the last call, OR-ed; may be 0
 * @param tag     message information; all zero for signals
 * @param cookie  as registered
 * @return 0 to go on; -1 (Arm: anything else) ends vm_run with -1
 */
typedef int (*notification_callback_fn)(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag,
                                        void *cookie);

/**
 * A piece of guest RAM. vm->mem.ram_regions is sorted by start; neighbours with equal flags are one
 * entry.
 */
struct vm_ram_region {
    uintptr_t start; /* guest-physical, as registered: need not be page aligned */
    size_t size;     /* bytes */
    int allocated;   /* taken by vm_ram_allocate or vm_ram_mark_allocated */
};

/**
 * A VM's memory. To be read by clients; clean_cache and map_one_to_one are theirs to write.
 */
struct vm_mem {
    vspace_t vm_vspace;          /* the guest's address space: addresses are guest-physical */
    vka_object_t vm_vspace_root; /* its root object */
    vspace_t vmm_vspace;         /* the VMM's address space, as given to vm_init */
    int num_ram_regions;
    struct vm_ram_region *ram_regions; /* may move with every change of RAM */
    vm_memory_reservation_cookie_t *reservation_cookie;
    unhandled_mem_fault_callback_fn unhandled_mem_fault_handler;
    void *unhandled_mem_fault_cookie;
    int clean_cache;    /* carried for platform code, without effect here */
    int map_one_to_one; /* carried for platform code, without effect here */
};

/**
 * What seL4 schedules a vcpu with. Carried for clients; hosted vcpus have no TCB objects.
 */
struct vm_tcb {
    vka_object_t tcb;
    vka_object_t sc;
    vka_object_t sched_ctrl;
    int priority;
};

struct hosted_vcpu;

/**
 * A vcpu. To be read by clients.
 */
struct vm_vcpu {
    struct vm *vm;
    vka_object_t vcpu; /* a handle that names the vcpu; nonzero */
    struct vm_tcb tcb;
    unsigned int vcpu_id; /* index in vm->vcpus */
    int target_cpu;       /* the guest's number for it; -1: unassigned */
    bool vcpu_online;     /* started, and not ended by an error */
    struct vm_vcpu_arch vcpu_arch;
    struct hosted_vcpu *hosted; /* private */
};

/**
 * How a VM runs.
 */
struct vm_run {
    int exit_reason; /* vm_exit_codes, or VM_GUEST_ERROR_EXIT after vm_run returned -1 */
    notification_callback_fn notification_callback;
    void *notification_callback_cookie;
};

/**
 * The VM's capability space. Carried for clients; without content here.
 */
struct vm_cspace {
    vka_object_t cspace_obj;
    seL4_Word cspace_root_data;
};

struct hosted_vm;

/**
 * A VM. To be read by clients; entry is theirs to write.
 */
struct vm {
    struct vm_arch arch;
    unsigned int num_vcpus;
    struct vm_vcpu *vcpus[CONFIG_MAX_NUM_NODES];
    struct vm_mem mem;
    struct vm_run run;
    struct vm_cspace cspace;
    seL4_CPtr host_endpoint;
    vka_t *vka;
    ps_io_ops_t *io_ops;
    simple_t *simple;
    seL4_Word entry; /* carried for platform code */
    char *vm_name;
    unsigned int vm_id;
    bool vm_initialised;
    struct hosted_vm *hosted; /* private */
};

/**
 * Runs the VM's online vcpus and serves its events until it ends.
 *
 * With one vcpu, the guest and every callback run on the calling thread; with several, each vcpu
 * has a thread of its own, with 1 MiB of stack, and the caller serves notifications and events.
 * While no vcpu is online only notifications and events are served. May be called again after it
 * returned: the guest continues where it was.
 *
 * A signal interrupts a running guest. Unless told otherwise it is SIGRTMIN + 3, which is blocked
 * in threads that run vcpus while they do and needs no handler; the program keeps its own uses of
 * it away from those threads. A program that gives a signal to hostvm for good
 * (hostvm_env_config_t.kick_signal) gets a handler that does nothing set for it, and exits that
 * cost some 200 instructions less, because KVM need not exchange the thread's signal mask.
 *
 * A program that has an event loop of its own runs the VM by steps instead (hostvm/events.h). What
 * these headers say of vm_run's thread then holds for the thread that steps, and every vcpu has a
 * thread of its own, also the only one.
 *
 * Differs from libsel4vm: it goes on after an unhandled-fault callback that handled or skipped an
 * access; badges of every value reach the notification callback, 0 and a vcpu's number, too; the
 * stack pointer is set once, to 0x96000, and not where the client has set it.
 *
 * @return 0 when the VM was stopped (hostvm_vm_stop) or the guest powered off or asked for a reset
 * through its firmware interface; -1 on every error, with vm->run.exit_reason ==
 * VM_GUEST_ERROR_EXIT. hostvm_vm_end (hostvm/vm.h) tells which.
 */
int vm_run(vm_t *vm);

/**
 * Brings a vcpu online. Before vm_run, or from a callback while the VM runs, or between steps. From
 * then on vm_run runs it: at RIP as set, or 0.
 *
 * Differs from libsel4vm on x86, whose result has no meaning.
 *
 * @return 0, also when it is online already; -1 when vcpu is NULL or KVM refuses another vcpu
 */
int vcpu_start(vm_vcpu_t *vcpu);

/**
 * Registers the callback for memory faults that nobody took; replaces the one before. Before or
 * while the VM runs, from any thread and from callbacks. Without one such a fault ends vm_run with
 * -1.
 *
 * @return 0; -1 when vm or fault_handler is NULL
 */
int vm_register_unhandled_mem_fault_callback(vm_t *vm,
                                             unhandled_mem_fault_callback_fn fault_handler,
                                             void *cookie);

/**
 * Registers the callback for notifications; replaces the one before. Before or while the VM runs,
 * from any thread and from callbacks. A notification without a callback ends vm_run with -1.
 *
 * @return 0; -1 when vm or notification_callback is NULL
 */
int vm_register_notification_callback(vm_t *vm, notification_callback_fn notification_callback,
                                      void *cookie);

#ifdef __cplusplus
}
#endif
