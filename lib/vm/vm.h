/* What the files of the libsel4vm API share with each other. */
#ifndef VM_VM_H
#define VM_VM_H

#include <hostvm/events.h>
#include <signal.h>

#include "arch/arch.h"
#include "base/rangemap.h"
#include "env/guest_window.h"
#include "vm/anon_pool.h"

/* How reasons write a range. */
#define RANGE_FMT     "[0x%llx..0x%llx)"
#define RANGE_ARGS(r) (unsigned long long)(r).start, (unsigned long long)range_end(r)

struct vm_memory_reservation {
    struct range range; /* exact, as asked for */
    memory_fault_callback_fn callback;
    void *cookie;
    memory_map_iterator_fn iterator; /* set: the first fault maps */
    void *iterator_cookie;
    bool is_mapped;
    bool is_being_mapped;   /* its iterator is being asked: it can neither go nor be mapped */
    struct anon_pool *pool; /* NULL: a regular reservation */
    struct space_reservation *claim;          /* its own, or the pool's */
    struct vm_memory_reservation *next_freed; /* of the VM's freed ones; range is empty then */
};

/* A VM's reservations. Guarded by the VM lock. */
struct vm_memory_reservation_cookie {
    struct rangemap reservations; /* exact ranges; they never overlap: each owns its pages */
    struct rangemap pools;
    struct vm_memory_reservation *last_hit; /* asked first; NULL: none */

    /*
     * Freed ones, the oldest first: a client may still have a pointer, which has no VM beside it in
     * vm_get_reservation_memory_region. They are used again only once there are many.
     */
    struct vm_memory_reservation *first_freed;
    struct vm_memory_reservation *last_freed;
    unsigned nr_freed;
};

/* VM lock held for all of these. */

/* An iterator or a touch callback is under way, and it is not vm_run that led to it. */
static inline bool vm_is_in_client(const struct hosted_vm *hosted)
{
    return hosted->nr_callbacks > 0 && (hosted->is_stepped || !hosted->is_in_run);
}

/* guest_memory.c */
void memory_fini(vm_t *vm);
bool memory_owns(vm_t *vm, const struct vm_memory_reservation *reservation);
struct vm_memory_reservation *memory_search(vm_t *vm, uint64_t addr);
int memory_reserve(vm_t *vm, struct range range, memory_fault_callback_fn callback, void *cookie,
                   struct vm_memory_reservation **ret);
int memory_reserve_anon(vm_t *vm, uint64_t size, uint64_t align, memory_fault_callback_fn callback,
                        void *cookie, struct vm_memory_reservation **ret);
int memory_free(vm_t *vm, struct vm_memory_reservation *reservation);

/* Faults come to the same device again and again. */
static inline struct vm_memory_reservation *memory_find(vm_t *vm, uint64_t addr)
{
    struct vm_memory_reservation *hit = vm->mem.reservation_cookie->last_hit;

    return hit != NULL && range_has(hit->range, addr) ? hit : memory_search(vm, addr);
}

/* guest_memory_map.c */
int memory_map(vm_t *vm, struct vm_memory_reservation *reservation, memory_map_iterator_fn iterator,
               void *cookie);
int memory_map_deferred(vm_t *vm, struct vm_memory_reservation *reservation);
int memory_map_zeroed(vm_t *vm, struct vm_memory_reservation *reservation, seL4_CapRights_t rights);

/* guest_vspace.c */
int guest_vspace_create(vm_t *vm);
void guest_vspace_destroy(vm_t *vm); /* without the VM lock */
bool guest_vspace_access(struct hosted_vm *hosted,
                         struct fault *fault); /* false: no memory, or no right */

/* The address of the range's first byte, or NULL; and for how many bytes of it that goes on. */
uint8_t *guest_vspace_piece(struct hosted_vm *hosted, struct range range, uint64_t *ret_size);

/* What a bound window shows, in pieces that lie in one window, becomes the guest's, or no longer
 * is. */
int guest_vspace_show(struct hosted_vm *hosted, struct range range, seL4_CapRights_t rights);
int guest_vspace_hide(struct hosted_vm *hosted, struct range range);

/* guest_window.c */
void guest_window_unbind(struct hosted_vm *hosted); /* the VM is going; without the VM lock */

/* guest_irq_controller.c */
void irq_acks_fini(struct hosted_vm *hosted);
int irq_acks_connect(struct hosted_vm *hosted);
int line_check(unsigned line); /* 0: the controllers have it */

/* irqfd.c */
void irq_sources_fini(struct hosted_vm *hosted);
int irq_sources_connect(struct hosted_vm *hosted);

/* boot.c */
int vm_complete(struct hosted_vm *hosted); /* when it returns 0, KVM has created the VM */

/* kick.c */
void vm_wake(struct hosted_vm *hosted,
             unsigned request); /* any thread, signal handlers; no lock needed */
void vcpus_leave_guest(
    struct hosted_vm *hosted); /* returns when none but the caller's can run guest code */
int kicks_prepare(struct hosted_vm *hosted);
void kicks_signals(const struct hosted_vm *hosted, sigset_t *set); /* the signal that kicks */
void kicks_drain(const struct hosted_vm *hosted); /* takes away what came too late for the guest */
void kicks_await(struct hosted_vm *hosted);       /* until nobody is about to kick */

/* vcpu.c */
int vcpu_open(vm_vcpu_t *vcpu);
void vcpu_close(vm_vcpu_t *vcpu);
int vcpu_attach(vm_vcpu_t *vcpu, unsigned request_mask);
enum run_verdict vcpu_step(vm_vcpu_t *vcpu); /* to the guest's next exit, and what that leads to */
int vcpu_finish_access(struct hosted_vcpu *hv);
bool vcpu_is_rousable(const struct hosted_vcpu *hv);
int vcpu_rouse(vm_vcpu_t *vcpu); /* < 0 after it said why */

/* run.c */
int run_begin(vm_t *vm);                            /* 0; -1 after it said why */
int run_finish(vm_t *vm, enum run_verdict verdict); /* what vm_run returns */
enum run_verdict run_serve_requests(vm_t *vm);

/* threads.c */
void threads_end_run(struct hosted_vm *hosted, enum run_verdict verdict); /* the first one counts */
bool threads_is_own(const vm_t *vm); /* the caller is a thread that runs a vcpu */
void threads_begin(struct hosted_vm *hosted);
void threads_serve(
    vm_t *vm); /* a thread for who came online; what waits to be served; no waiting */
enum run_verdict threads_end(vm_t *vm); /* releases the VM lock meanwhile */

/* step.c */
int step_abandon(vm_t *vm); /* without the VM lock; ends a run by steps; -EBUSY: one is under way */

/* events.c */
int events_add(vm_t *vm, int fd, hostvm_event_fn fn, void *cookie);
void events_fini(struct hosted_vm *hosted);
int events_dispatch(vm_t *vm); /* what is ready now; nonzero: a callback ends the run */
void events_wait(
    struct hosted_vm *hosted); /* until a request or an event; releases the VM lock meanwhile */
int events_fd(struct hosted_vm *hosted); /* readable when events_wait would not wait */
void events_begin_step(struct hosted_vm *hosted);
void events_end_step(struct hosted_vm *hosted); /* from now on requests make it readable */
int poller_ensure(struct hosted_vm *hosted);
void poller_end(struct hosted_vm *hosted); /* releases the VM lock meanwhile */

/* exits.c */
enum run_verdict dispatch_exit(vm_vcpu_t *vcpu);

/* report.c */
enum run_verdict crash(vm_vcpu_t *vcpu, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
