/* A KVM that hands calls of the guest to user space, made of one that does not. */
#include "support/arm64/calls.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include "support/inject.h"

enum { SMC_GPA = 0x31000000, HVC_GPA = 0x31000004, INSTRUCTION = 4, BY_SMC = 1 };

static struct call_range ranges[MAX_CALL_RANGES];
static unsigned nr_ranges;
static bool has_filter;
static int filter_errno;

static int add_range(const struct kvm_device_attr *attr)
{
    const uint8_t *filter = (const uint8_t *)(uintptr_t)attr->addr;

    if (filter_errno != 0) {
        errno = filter_errno;
        return -1;
    }
    if (nr_ranges < MAX_CALL_RANGES) {
        memcpy(&ranges[nr_ranges].first, filter, 4);
        memcpy(&ranges[nr_ranges].nr, filter + 4, 4);
        ranges[nr_ranges++].action = filter[8];
    }
    return 0;
}

/* The program counter is behind the instruction, as KVM leaves it. */
static void go_behind(int fd)
{
    uint64_t pc = 0;
    struct kvm_one_reg reg = {
        .id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc),
        .addr = (uintptr_t)&pc,
    };

    (void)inject_kernel_ioctl(fd, KVM_GET_ONE_REG, &reg);
    pc += INSTRUCTION;
    (void)inject_kernel_ioctl(fd, KVM_SET_ONE_REG, &reg);
}

static void convert(int fd)
{
    struct kvm_run *run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint64_t flags;
    uint32_t nr;

    if (run == MAP_FAILED) {
        return;
    }
    if (run->exit_reason == KVM_EXIT_MMIO &&
        (run->mmio.phys_addr == SMC_GPA || run->mmio.phys_addr == HVC_GPA)) {
        flags = run->mmio.phys_addr == SMC_GPA ? BY_SMC : 0;
        memcpy(&nr, run->mmio.data, sizeof(nr));
        go_behind(fd);
        run->exit_reason = KVM_EXIT_HYPERCALL;
        run->hypercall.nr = nr;
        memcpy(&run->hypercall.ret + 1, &flags, sizeof(flags));
    }
    (void)munmap(run, 4096);
}

static bool answer(int fd, unsigned long request, void *arg, int *ret_result)
{
    if (request == KVM_HAS_DEVICE_ATTR && has_filter) {
        *ret_result = 0;
        return true;
    }
    if (request == KVM_SET_DEVICE_ATTR && has_filter) {
        *ret_result = add_range(arg);
        return true;
    }
    if (request != KVM_RUN) {
        return false;
    }
    *ret_result = inject_kernel_ioctl(fd, request, arg);
    if (*ret_result == 0) {
        convert(fd);
    }
    return true;
}

void calls_begin(bool with_filter, int with_errno)
{
    has_filter = with_filter;
    filter_errno = with_errno;
    nr_ranges = 0;
    inject_answer_ioctls(answer);
}

void calls_end(void)
{
    inject_answer_ioctls(NULL);
}

unsigned calls_ranges(struct call_range ret[MAX_CALL_RANGES])
{
    memcpy(ret, ranges, sizeof(ranges));
    return nr_ranges;
}
