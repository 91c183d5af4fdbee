/* Here lives a check that /dev/kvm works: a guest of one HLT instruction runs to its exit. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum {
    GUEST_SIZE = 4096,
    MEASURED_RUNS = 1000,
};

static int complain(const char *what)
{
    fprintf(stderr, "kvm_probe: %s: %s\n", what, strerror(errno));
    return 1;
}

#ifdef __x86_64__
static const unsigned char guest_code[] = { 0xf4, 0xeb, 0xfd };    /* hlt; jmp to it */

/* Real mode from guest address 0; every run then ends in KVM_EXIT_HLT. */
static int prepare(int vm, int vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rflags = 2 };

    (void)vm;
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) {
        return -1;
    }
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0) {
        return -1;
    }
    return ioctl(vcpu, KVM_SET_REGS, &regs);
}

static const __u32 expected_exit = KVM_EXIT_HLT;
#else
/* A store to address 4096, past the memory: the host handles wfi itself and would not exit. */
static const unsigned char guest_code[] = {
    0x01, 0x00, 0x82, 0xd2,    /* mov x1, #0x1000 */
    0x21, 0x00, 0x00, 0xb9,    /* str w1, [x1, #0] */
    0xff, 0xff, 0xff, 0x17,    /* b to the store */
};

static int prepare(int vm, int vcpu)
{
    struct kvm_vcpu_init init;

    if (ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init) < 0) {
        return -1;
    }
    return ioctl(vcpu, KVM_ARM_VCPU_INIT, &init);    /* pc starts at 0 */
}

static const __u32 expected_exit = KVM_EXIT_MMIO;
#endif

static int run_to_exit(int vcpu, const struct kvm_run *run)
{
    if (ioctl(vcpu, KVM_RUN, 0) < 0) {
        return complain("KVM_RUN");
    }
    if (run->exit_reason != expected_exit) {
        fprintf(stderr, "kvm_probe: exit %u, not %u\n", run->exit_reason, expected_exit);
        return 1;
    }
    return 0;
}

static long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(void)
{
    struct kvm_userspace_memory_region slot = { .memory_size = GUEST_SIZE };
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm, vcpu, i;
    void *memory;
    struct kvm_run *run;
    long start;

    if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        return complain("/dev/kvm");
    }
    memory = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return complain("cannot get memory");
    }
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    memcpy(memory, guest_code, sizeof(guest_code));
    slot.userspace_addr = (__u64)memory;
    if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
        return complain("cannot create a VM with memory");
    }
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
               vcpu, 0);
    if (run == MAP_FAILED || prepare(vm, vcpu) < 0) {
        return complain("cannot create a vcpu");
    }
    if (run_to_exit(vcpu, run) != 0) {
        return 1;
    }
    start = now_ns();
    for (i = 0; i < MEASURED_RUNS; i++) {
        if (run_to_exit(vcpu, run) != 0) {
            return 1;
        }
    }
    printf("kvm works: %ld ns per exit\n", (now_ns() - start) / MEASURED_RUNS);
    return 0;
}
