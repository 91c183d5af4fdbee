/* The bare ioctls of a VM with one vcpu: the floor that the measurements stand on. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bare_vcpu.h"

struct bare {
    int kvm;
    int vm;
    int vcpu;
    uint8_t *ram;
    size_t ram_size;
    struct kvm_run *run;
    size_t run_size;
};

static inline uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void bare_check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

/* RAM at BARE_RAM, code at BARE_CODE, where the vcpu starts. */
static inline struct bare bare_open_vm(const uint8_t *code, size_t code_size, size_t ram_size,
                                       bool has_irqchip)
{
    struct bare bare = {.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), .ram_size = ram_size};
    struct kvm_userspace_memory_region region = {.guest_phys_addr = BARE_RAM,
                                                 .memory_size = ram_size};

    bare_check(bare.kvm, "/dev/kvm");
    bare.vm = ioctl(bare.kvm, KVM_CREATE_VM, 0);
    bare_check(bare.vm, "VM");
    bare.run_size = (size_t)ioctl(bare.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    bare.ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bare_check(bare.ram == MAP_FAILED ? -1 : 0, "RAM");
    memcpy(bare.ram + (BARE_CODE - BARE_RAM), code, code_size);
    region.userspace_addr = (uint64_t)(uintptr_t)bare.ram;
    bare_check(ioctl(bare.vm, KVM_SET_USER_MEMORY_REGION, &region), "memory slot");
    if (has_irqchip) {
        bare_check(ioctl(bare.vm, KVM_CREATE_IRQCHIP, 0), "interrupt controllers");
    }
    bare.vcpu = ioctl(bare.vm, KVM_CREATE_VCPU, 0);
    bare_check(bare.vcpu, "vcpu");
    bare.run = mmap(NULL, bare.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, bare.vcpu, 0);
    bare_check(bare.run == MAP_FAILED ? -1 : 0, "run page");
    bare_check(bare_set_registers(bare.vm, bare.vcpu), "registers");
    return bare;
}

static inline struct bare bare_open(const uint8_t *code, size_t code_size, size_t ram_size)
{
    return bare_open_vm(code, code_size, ram_size, false);
}

/* With KVM's own interrupt controllers: the vcpu sleeps in KVM_RUN where it halts. */
static inline struct bare bare_open_with_irqchip(const uint8_t *code, size_t code_size,
                                                 size_t ram_size)
{
    return bare_open_vm(code, code_size, ram_size, true);
}

static inline void bare_run(const struct bare *bare)
{
    bare_check(ioctl(bare->vcpu, KVM_RUN, 0), "run");
    if (bare->run->exit_reason != KVM_EXIT_IO && bare->run->exit_reason != KVM_EXIT_MMIO) {
        (void)fprintf(stderr, "bare: exit %u\n", bare->run->exit_reason);
        exit(1);
    }
}

static inline void bare_close(const struct bare *bare)
{
    (void)munmap(bare->run, bare->run_size);
    (void)close(bare->vcpu);
    (void)close(bare->vm);
    (void)munmap(bare->ram, bare->ram_size);
    (void)close(bare->kvm);
}

#endif
