/* x86 I/O ports: who answers them. */
#pragma once

#if defined(__x86_64__)

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sel4vm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Verdict of a port callback.
 */
typedef enum ioport_fault_result {
    IO_FAULT_HANDLED,   /* done */
    IO_FAULT_UNHANDLED, /* as if nobody were there: reads return all ones, writes are dropped */
    IO_FAULT_ERROR      /* vm_run shall return -1 */
} ioport_fault_result_t;

/**
 * Called for a port that no handler is registered for. Runs as the handlers do.
 *
 * @param vcpu     the vcpu whose access it is
 * @param port_no  absolute port number
 * @param is_in    the guest reads
 * @param value    points at what is written, zero extended, or at what shall be read: 0 on entry,
 * and its low size bytes count
 * @param size     1, 2 or 4 bytes
 * @param cookie   as registered
 */
typedef ioport_fault_result_t (*unhandled_ioport_callback_fn)(vm_vcpu_t *vcpu, unsigned int port_no,
                                                              bool is_in, unsigned int *value,
                                                              size_t size, void *cookie);

/**
 * Called for IN. String instructions call it once per element, in order.
 *
 * Runs on the vcpu's thread (vm_run's, when the VM has one vcpu), never together with another
 * callback of the VM. May call every function of the API except vm_run and hostvm_vm_destroy.
 *
 * Differs from libsel4vm: string instructions work, and bits of the result that the guest does not
 * read are dropped.
 *
 * @param vcpu     the vcpu that reads
 * @param cookie   the interface's
 * @param port_no  absolute port number
 * @param size     1, 2 or 4 bytes
 * @param result   0 on entry; its low size bytes are what the guest reads
 */
typedef ioport_fault_result_t (*vm_ioport_in_fn)(vm_vcpu_t *vcpu, void *cookie,
                                                 unsigned int port_no, unsigned int size,
                                                 unsigned int *result);

/**
 * Called for OUT. String instructions call it once per element, in order. Otherwise as
 * vm_ioport_in_fn.
 *
 * @param value  what the guest wrote, zero extended
 */
typedef ioport_fault_result_t (*vm_ioport_out_fn)(vm_vcpu_t *vcpu, void *cookie,
                                                  unsigned int port_no, unsigned int size,
                                                  unsigned int value);

/** Ports start to end, both included. */
typedef struct vm_ioport_range {
    uint16_t start;
    uint16_t end;
} vm_ioport_range_t;

/** Who answers a range of ports. A NULL function answers as IO_FAULT_UNHANDLED; libsel4vm crashes.
 */
typedef struct vm_ioport_interface {
    void *cookie;
    vm_ioport_in_fn port_in;
    vm_ioport_out_fn port_out;
    const char *desc; /* kept by pointer: lives as long as the VM; may be NULL */
} vm_ioport_interface_t;

typedef struct vm_ioport_entry {
    vm_ioport_range_t range;
    vm_ioport_interface_t interface;
} vm_ioport_entry_t;

typedef struct vm_io_list {
    int num_ioports;
    vm_ioport_entry_t *ioports; /* sorted by start, not overlapping; moves when it grows */
} vm_io_port_list_t;

/**
 * Registers who answers a range of ports. An access belongs to whoever owns its first port. Before
 * or while the VM runs, from any thread and from callbacks. Cannot be undone.
 *
 * Differs from libsel4vm: ranges that share one port are refused, too.
 *
 * @return 0; -1 when vm is NULL, start is above end, a port has a handler already, or memory runs
 * out
 */
int vm_io_port_add_handler(vm_t *vm, vm_ioport_range_t ioport_range,
                           vm_ioport_interface_t ioport_interface);

/**
 * Registers the callback for ports without handler; replaces the one before. Without one they read
 * as all ones, and writes are dropped. Before or while the VM runs, from any thread and from
 * callbacks.
 *
 * @return 0; -1 when vm or ioport_callback is NULL
 */
int vm_register_unhandled_ioport_callback(vm_t *vm, unhandled_ioport_callback_fn ioport_callback,
                                          void *cookie);

/**
 * Gives the guest the host's real ports start to end, both included. Only where the environment
 * allows it (hostvm_env_config_t.allow_ioport_passthrough) and the process may use them
 * (ioperm(2)).
 *
 * Differs from libsel4vm, which returns a positive error code.
 *
 * @param vcpu  any vcpu of the VM
 * @return 0; -1 with errno EPERM when it is not allowed; -1 when vcpu is NULL or a port has a
 * handler already; nothing is registered then
 */
int vm_enable_passthrough_ioport(vm_vcpu_t *vcpu, uint16_t port_start, uint16_t port_end);

#ifdef __cplusplus
}
#endif

#endif
