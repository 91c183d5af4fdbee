/* The private halves of a VM and of a vcpu, and what each architecture supplies for them. */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hostvm/chipset.h>
#include <hostvm/vm.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vm.h>

#include "arch_state.h"
#include "base/lock.h"
#include "base/range.h"
#include "base/reason.h"
#include "env/env.h"
#include "env/space.h"
#include "env/window.h"
#include "kvm/kvm.h"

/* What an exit leads to. */
enum run_verdict {
    RUN_CONTINUE, /* back into the guest */
    RUN_HALTED,   /* the vcpu sleeps until something happens */
    RUN_STOPPED,  /* hostvm_vm_stop */
    RUN_POWEROFF,
    RUN_RESET,
    RUN_REFUSED,     /* a callback reported failure */
    RUN_CRASHED,     /* the guest cannot go on */
    RUN_HOST_FAILED, /* the host cannot go on */
    RUN_MORE_VCPUS,  /* a second vcpu came online: the caller's thread alone no longer does */
    RUN_UNKNOWN,     /* an exit that the architecture does not know */
};

/* Who says that an access cannot be handled: what the reason of a crash is made of. */
enum fault_refuser {
    REFUSED_BY_CALLBACK,           /* the reservation's */
    REFUSED_BY_UNHANDLED_CALLBACK, /* the VM's */
    REFUSED_BY_LIBRARY,            /* and the thread's last reason is why */
};

/* The access that a fault callback is called for. */
struct fault {
    uint64_t addr; /* guest-physical */
    uint64_t data; /* written by the guest, or to be read by it; in the low bits */
    uint8_t size;  /* bytes, 1 to 8 */
    bool is_write;
    bool is_active;             /* a callback is being asked */
    bool is_advanced;           /* the callback declared the access complete */
    bool is_restarted;          /* the callback wants it done again */
    enum fault_refuser refuser; /* of no meaning unless it is refused */
};

/* One entry of a vcpu's memory of its last exits. */
struct exit_record {
    uint32_t reason; /* KVM_EXIT_* */
    uint8_t size;
    bool is_write;
    uint64_t addr; /* guest-physical address or port */
    uint64_t data;
};

enum { EXIT_RECORDS = 16 }; /* a power of two */

struct hosted_vcpu {
    vm_vcpu_t *vcpu;
    struct kvm_vcpu kvm;
    bool is_open; /* KVM has the vcpu, as its first registers are: from the first start on */
    bool waits_for_startup; /* another vcpu of the guest starts it */
    struct fault fault;
    bool has_pending_io;      /* KVM finishes an access at the next entry */
    bool has_unseen_exit;     /* the run page holds an exit that was not dispatched yet */
    atomic_uint request_mask; /* requests that keep this vcpu out of the guest */
    bool is_halted;           /* executed HLT and nobody but us can wake it */
    struct exit_record records[EXIT_RECORDS]; /* ring */
    unsigned nr_exits;                        /* ever, wraps: the next entry of the ring */
    struct arch_vcpu arch;

    pthread_t thread;        /* who runs it; valid while nr_kickers may be raised for it */
    bool has_thread;         /* one of its own, to be joined */
    atomic_bool is_in_guest; /* between the last look at requests and KVM_RUN's return */
};

/* Who is told that the guest acknowledged an interrupt line. */
struct irq_ack {
    irq_ack_fn_t fn; /* NULL: nobody */
    void *cookie;
    int resample_fd; /* readable after each acknowledgement; -1: not tied yet */
    int trigger_fd;  /* the other half of KVM's interface, never signalled */
    bool is_registered;
};

struct irq_source;
struct event;

/* Descriptors that the event loop watches. Guarded by the VM's lock. */
struct event_set {
    int epoll_fd;     /* -1 until the first one */
    bool has_wake_fd; /* it watches wake_fd, too: hostvm_vm_fd was asked for */
    struct event *list;
};

/* Waits for events on behalf of a thread that is busy running a vcpu. */
struct poller {
    pthread_t thread;
    bool is_started;
    int ack_fd; /* eventfd: what was found has been served, or: end */
    atomic_bool is_ending;
};

enum run_request {
    REQUEST_STOP = 1u << 0,
    REQUEST_NOTIFY = 1u << 1,
    REQUEST_EVENTS = 1u << 2,
    REQUEST_VCPUS = 1u << 3, /* a vcpu came online */
    REQUEST_END = 1u << 4,   /* a vcpu's verdict ends the run */
};

struct hosted_vm {
    vm_t *vm;
    struct env *env;
    const struct log *log;
    struct kvm_host host;
    struct kvm_vm kvm;
    bool is_complete; /* KVM has created the VM, and knows what it must before the first vcpu */
    struct space *space;
    unsigned nr_callbacks;   /* iterators and touch callbacks under way */
    int nr_promised_regions; /* entries that RAM being registered will need in ram_regions */

    /*
     * Guest memory in this process: what the bound window mirrors is there, all else in the VM's
     * own. Translation reads nearest and low without a lock; a window that was bound once stays
     * readable, if empty, as long as the VM.
     */
    struct window *window;
    struct hostvm_window *bound;      /* guarded by the VM lock; NULL: none */
    _Atomic(struct window *) nearest; /* asked first: the bound window, or the VM's own */
    _Atomic(struct window *) low;     /* of the bound window, what it leaves out at 0; or NULL */
    struct window *retired;           /* bound once; a list */
    struct cover readonly;            /* of all this, what the guest may only read */

    hostvm_cpu_model_t cpu_model;
    bool has_started_vcpu;
    bool has_irq_controller; /* complete: KVM's, and the client's lines tied to it */
    bool has_pit;

    /*
     * The VM lock, recursive: guards reservations, mappings, RAM, ports and all callbacks. A vcpu's
     * thread holds it except while the guest runs; threads of halted vcpus wait under it. Comes
     * before the locks of lib/env.
     */
    struct lock lock;

    /* run.c, kick.c, threads.c, step.c, events.c */
    bool is_in_run;
    bool is_stepped;        /* the run is the caller's, by steps */
    atomic_bool is_in_step; /* somebody is in one */
    int kick_signal;
    bool has_kick_handler; /* the program gave us the signal: no mask to exchange at every entry */
    hostvm_vm_end_t end;
    enum run_verdict verdict; /* why the run ends, first one wins */
    atomic_uint requests;     /* of enum run_request */
    atomic_uint nr_kickers;   /* threads about to interrupt a vcpu */
    atomic_bool is_waiting;   /* the event loop sleeps, or is about to, until wake_fd is signalled;
                                 between steps it is the caller's that does */
    int wake_fd;
    struct ntfn *ntfn; /* the endpoint, or NULL */
    atomic_bool has_direct_notification;
    _Atomic seL4_Word direct_badges; /* of hostvm_notify */
    struct event_set events;
    struct poller poller;
    struct rate_limit guest_noise; /* messages that a guest can provoke */

    /* Large, and therefore last: what every exit needs is near then. */
    char end_reason[REASON_SIZE]; /* of the thread that gave verdict; empty: it is the caller's own
                                   */
    struct arch_vm arch;
    struct irq_ack irq_acks[ARCH_NR_IRQS];
    struct irq_source *irq_sources; /* eventfds that raise interrupts: irqfd.c's */
};

/* --- for the public functions of lib/vm and lib/arch: the border --- */

static inline bool vm_is_usable(const vm_t *vm)
{
    return vm != NULL && vm->hosted != NULL;
}

static inline bool vcpu_is_usable(const vm_vcpu_t *vcpu)
{
    return vcpu != NULL && vcpu->hosted != NULL;
}

/* The guest's number of the processor, which is KVM's of the vcpu. */
static inline unsigned vcpu_cpu_number(const vm_vcpu_t *vcpu)
{
    return vcpu->target_cpu >= 0 ? (unsigned)vcpu->target_cpu : vcpu->vcpu_id;
}

static inline void vm_enter(vm_t *vm)
{
    lock_enter(&vm->hosted->lock);
}

static inline void vm_leave(vm_t *vm)
{
    lock_leave(&vm->hosted->lock);
}

/* Says a failure's reason once, and turns it into what libsel4vm returns: 0 or -1. */
static inline int public_status(const vm_t *vm, int r)
{
    if (r < 0) {
        log_at(vm_is_usable(vm) ? vm->hosted->log : NULL, HOSTVM_LOG_ERROR, "%s", reason_last());
        return -1;
    }
    return 0;
}

/* Where in a callback's data the bytes of a read lie: lowest, or where they lie in the word of 32
 * bits that the access is in. */
static inline unsigned fault_lane_shift(const struct fault *fault)
{
    return ARCH_READS_LANES && fault->size < sizeof(fault->data) ? (fault->addr & 3) * 8 : 0;
}

/* What a callback set, as the guest reads it. */
static inline uint64_t fault_read_value(const struct fault *fault)
{
    return fault->data >> fault_lane_shift(fault);
}

/* The other way round. */
static inline uint64_t fault_data_of(const struct fault *fault, uint64_t value)
{
    return value << fault_lane_shift(fault);
}

/* --- supplied by lib/vm; VM lock held --- */

/* Returns when no thread runs the vcpu's guest code: it stays out until the lock is left. */
void vcpu_leave_guest(vm_vcpu_t *vcpu);

/* To be called when arch.is_dirty has become true: a halted vcpu may have reason to wake. */
void vcpu_was_set(vm_vcpu_t *vcpu);

/* --- supplied by each architecture; VM lock held --- */

int arch_vm_init(vm_t *vm);
void arch_vm_fini(vm_t *vm);

int arch_vcpu_init(vm_vcpu_t *vcpu);   /* first registers; KVM's vcpu does not exist yet */
int arch_vcpu_create(vm_vcpu_t *vcpu); /* KVM's vcpu; others with it, where their order counts */
int arch_vcpu_open(vm_vcpu_t *vcpu);   /* KVM's vcpu exists now */
int arch_vcpu_flush(
    vm_vcpu_t *vcpu); /* before an entry, when arch.is_dirty: what was set goes to KVM */

enum run_verdict arch_handle_exit(vm_vcpu_t *vcpu, const struct kvm_run *run);

uint64_t arch_fault_ip(vm_vcpu_t *vcpu);
int arch_fault_ignore_read(
    vm_vcpu_t *vcpu); /* completes a read without effect on the general registers */

int arch_irq_controller_create(vm_t *vm);
bool arch_irq_controller_is_ready(const vm_t *vm); /* lines may be tied to descriptors */
bool arch_irq_is_acknowledged(unsigned irq); /* false: what KVM signals for it is not the guest's */
int arch_irq_check(const vm_t *vm, int irq); /* 0: a line that acknowledgements may be asked for */
unsigned arch_irq_gsi(unsigned irq);         /* its number where lines are tied to descriptors */

/* KVM's routes of the lines, ARCH_NR_ROUTES, as they are from the start. */
void arch_routes(struct kvm_irq_routing_entry *entries);

/* Without the VM lock, too; there is a controller. A line as arch_irq_check has it; *ret_status as
 * kvm_irq_line. */
int arch_irq_inject(vm_vcpu_t *vcpu, unsigned irq);
int arch_irq_set_level(vm_vcpu_t *vcpu, unsigned irq, int level, int *ret_status);
int arch_irq_ended(vm_t *vm, unsigned irq,
                   uint64_t count);                /* so often, as its callback will hear */
int arch_irq_acknowledged(vm_t *vm, unsigned irq); /* its callback has been called */

/* One of the controllers' input lines, ARCH_FIRST_LINE to ARCH_NR_LINES - 1. */
int arch_line_set_level(vm_t *vm, unsigned line, int level);

bool arch_can_boot_from(struct range ram); /* boot images may be loaded there */
bool arch_is_notification_failure(
    int result); /* what a notification callback returned ends the run */

void arch_report(vm_vcpu_t *vcpu); /* registers, bytes at the instruction pointer: to the log */

#endif
