/* KVMs that hand hypercalls to user space. */
#include "support/x86_64/hypercalls.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "support/inject.h"

enum {
    MAX_FDS = 256,
    PAGE = 4096,
    STAND_IN_PORT = 0xe0,
    STAND_IN_OUT_SIZE = 2,          /* of its three bytes, those of the OUT */
    INSTRUCTION_SIZE = 3,           /* of vmcall and vmmcall */
    MAP_GPA_RANGE = 12,             /* linux/kvm_para.h: KVM_HC_MAP_GPA_RANGE, */
    NOT_KNOWN = 1000,               /* KVM_ENOSYS, */
    NOT_VALID = 22,                 /* and KVM_EINVAL */
    SYNTHETIC_MSRS = 0x40000000,    /* what KVM_XEN_HVM_CONFIG takes: */
    SYNTHETIC_MSRS_END = 0x50000000 /* those below */
};

struct fake_vm {
    bool is_intercepted;
    uint64_t passed; /* a bit per number */
};

struct fake_vcpu {
    int vm_fd;
    bool is_pending; /* user space has a hypercall to answer */
    uint64_t rip;    /* of that */
};

static enum hypercalls_kvm kind;
static int refusal;
static unsigned nr_requests;
static struct fake_vm vms[MAX_FDS];
static struct fake_vcpu vcpus[MAX_FDS];

/* --- capabilities --- */

static int check_extension(unsigned long cap)
{
    if (cap == KVM_CAP_XEN_HVM) {
        return kind >= HYPERCALLS_XEN
                   ? KVM_XEN_HVM_CONFIG_HYPERCALL_MSR | KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL
                   : 0;
    }
    return kind == HYPERCALLS_ANSWERED ? 0 : 1 << MAP_GPA_RANGE;
}

static int configure_xen(int fd, const struct kvm_xen_hvm_config *config)
{
    struct kvm_xen_hvm_config expected = {.flags = config->flags, .msr = config->msr};

    nr_requests++;
    if (kind == HYPERCALLS_REFUSED) {
        errno = refusal;
        return -1;
    }
    if (config->flags != KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL ||
        memcmp(config, &expected, sizeof(expected)) != 0 ||
        (config->msr != 0 && (config->msr < SYNTHETIC_MSRS || config->msr >= SYNTHETIC_MSRS_END))) {
        errno = EINVAL;
        return -1;
    }
    vms[fd].is_intercepted = config->msr != 0; /* without one nothing is intercepted */
    return 0;
}

static int enable_passing(int fd, const struct kvm_enable_cap *cap)
{
    nr_requests++;
    if (kind == HYPERCALLS_ANSWERED || (cap->args[0] & ~(1ull << MAP_GPA_RANGE)) != 0) {
        errno = EINVAL;
        return -1;
    }
    vms[fd].passed = cap->args[0];
    return 0;
}

/* --- hypercalls --- */

static struct kvm_run *map_run_page(int fd)
{
    /* Not by mmap: that is made to fail, too, and would count. */
    return (struct kvm_run *)syscall(SYS_mmap, NULL, (size_t)PAGE, PROT_READ | PROT_WRITE,
                                     MAP_SHARED, fd, 0);
}

static void get_regs(int fd, struct kvm_regs *regs)
{
    (void)inject_kernel_ioctl(fd, KVM_GET_REGS, regs); /* cannot fail: the vcpu is ours */
}

static void set_regs(int fd, struct kvm_regs *regs)
{
    (void)inject_kernel_ioctl(fd, KVM_SET_REGS, regs); /* neither can this */
}

static void complete(int fd, const struct kvm_run *page)
{
    struct fake_vcpu *vcpu = &vcpus[fd];
    struct kvm_regs regs;

    if (!vcpu->is_pending) {
        return;
    }
    vcpu->is_pending = false;
    get_regs(fd, &regs);
    if (regs.rip == vcpu->rip) {
        regs.rax = page->exit_reason == KVM_EXIT_HYPERCALL ? page->hypercall.ret
                                                           : page->xen.u.hcall.result;
        regs.rip += INSTRUCTION_SIZE;
        set_regs(fd, &regs);
    }
}

/* The registers as they are at the instruction. The OUT in its place is finished first. */
static void rewind_to_instruction(int fd, struct kvm_run *page, struct kvm_regs *regs)
{
    uint8_t immediate_exit = page->immediate_exit;

    page->immediate_exit = 1;
    (void)inject_kernel_ioctl(fd, KVM_RUN, NULL); /* EINTR, as is wanted */
    page->immediate_exit = immediate_exit;
    get_regs(fd, regs);
    regs->rip -= STAND_IN_OUT_SIZE;
}

static void exit_by_xen(struct kvm_run *page, const struct kvm_regs *regs)
{
    page->exit_reason = KVM_EXIT_XEN;
    memset(&page->xen, 0, sizeof(page->xen));
    page->xen.type = kind == HYPERCALLS_STRANGE ? KVM_EXIT_XEN_HCALL + 1 : KVM_EXIT_XEN_HCALL;
    page->xen.u.hcall.longmode = 1;
    page->xen.u.hcall.input = regs->rax;
    page->xen.u.hcall.params[0] = regs->rdi;
    page->xen.u.hcall.params[1] = regs->rsi;
    page->xen.u.hcall.params[2] = regs->rdx;
}

static void exit_by_number(struct kvm_run *page, const struct kvm_regs *regs)
{
    page->exit_reason = KVM_EXIT_HYPERCALL;
    memset(&page->hypercall, 0, sizeof(page->hypercall));
    page->hypercall.nr = regs->rax;
    page->hypercall.args[0] = regs->rbx;
    page->hypercall.args[1] = regs->rcx;
    page->hypercall.args[2] = regs->rdx;
}

/* KVM's own answer to what it does not pass on. */
static int64_t answer(const struct fake_vm *vm, const struct kvm_regs *regs)
{
    return regs->rax == MAP_GPA_RANGE && vm->passed != 0 ? -NOT_VALID : -NOT_KNOWN;
}

/* Whether user space is to see the hypercall. */
static bool leaves_kernel(int fd, struct kvm_run *page, struct kvm_regs *regs)
{
    const struct fake_vm *vm = &vms[vcpus[fd].vm_fd];

    if (vm->is_intercepted) {
        exit_by_xen(page, regs);
        return true;
    }
    if (regs->rax == MAP_GPA_RANGE && vm->passed != 0 && regs->rbx % PAGE == 0 && regs->rcx != 0) {
        exit_by_number(page, regs);
        return true;
    }
    regs->rax = (uint64_t)answer(vm, regs);
    regs->rip += INSTRUCTION_SIZE;
    return false;
}

static bool is_stand_in(const struct kvm_run *page)
{
    return page->exit_reason == KVM_EXIT_IO && page->io.direction == KVM_EXIT_IO_OUT &&
           page->io.port == STAND_IN_PORT;
}

static bool begin_hypercall(int fd, struct kvm_run *page)
{
    struct kvm_regs regs;
    bool leaves;

    rewind_to_instruction(fd, page, &regs);
    leaves = leaves_kernel(fd, page, &regs);
    set_regs(fd, &regs);
    if ((page->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0) {
        page->s.regs.regs = regs;
    }
    vcpus[fd].is_pending = leaves;
    vcpus[fd].rip = regs.rip;
    return leaves;
}

static int run(int fd)
{
    struct kvm_run *page = map_run_page(fd);
    int result;
    int err;

    if (page == MAP_FAILED) {
        return -1;
    }
    complete(fd, page);
    do {
        result = inject_kernel_ioctl(fd, KVM_RUN, NULL);
        err = errno;
    } while (result == 0 && is_stand_in(page) && !begin_hypercall(fd, page));
    (void)munmap(page, PAGE);
    errno = err;
    return result;
}

/* --- the ioctls --- */

static int create_vm(int fd, unsigned long request, void *arg)
{
    int result = inject_kernel_ioctl(fd, request, arg);

    if (result >= 0 && result < MAX_FDS) {
        vms[result] = (struct fake_vm){.passed = 0};
    }
    return result;
}

static int create_vcpu(int fd, unsigned long request, void *arg)
{
    int result = inject_kernel_ioctl(fd, request, arg);

    if (result >= 0 && result < MAX_FDS) {
        vcpus[result] = (struct fake_vcpu){.vm_fd = fd};
    }
    return result;
}

static bool answer_ioctl(int fd, unsigned long request, void *arg, int *ret_result)
{
    unsigned long cap = (unsigned long)arg;

    switch (request) {
    case KVM_CREATE_VM:
        *ret_result = create_vm(fd, request, arg);
        return true;
    case KVM_CREATE_VCPU:
        *ret_result = create_vcpu(fd, request, arg);
        return true;
    case KVM_CHECK_EXTENSION:
        if (cap != KVM_CAP_XEN_HVM && cap != KVM_CAP_EXIT_HYPERCALL) {
            return false;
        }
        *ret_result = check_extension(cap);
        return true;
    case KVM_XEN_HVM_CONFIG:
        *ret_result = configure_xen(fd, arg);
        return true;
    case KVM_ENABLE_CAP:
        if (((const struct kvm_enable_cap *)arg)->cap != KVM_CAP_EXIT_HYPERCALL) {
            return false;
        }
        *ret_result = enable_passing(fd, arg);
        return true;
    case KVM_RUN:
        *ret_result = run(fd);
        return true;
    default:
        return false;
    }
}

void hypercalls_begin(enum hypercalls_kvm kvm)
{
    kind = kvm;
    refusal = EINVAL;
    nr_requests = 0;
    inject_answer_ioctls(answer_ioctl);
}

void hypercalls_end(void)
{
    inject_answer_ioctls(NULL);
}

void hypercalls_set_errno(int err)
{
    refusal = err;
}

unsigned hypercalls_nr_requests(void)
{
    return nr_requests;
}
