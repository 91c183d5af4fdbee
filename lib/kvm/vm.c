/* KVM's virtual machines: creation, capabilities. */
#include "kvm/kvm.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/io.h"
#include "base/reason.h"
#include "base/thread.h"

/* A descriptor, or a negative errno. */
static int create(const struct kvm_host *host)
{
    int fd;

    do {
        fd = ioctl(host->fd, KVM_CREATE_VM, kvm_host_vm_type(host));
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int set_created(struct kvm_vm *vm, int fd)
{
    if (fd < 0) {
        return fail(fd, "cannot create a KVM virtual machine: %s", strerror(-fd));
    }
    vm->fd = fd;
    return 0;
}

int kvm_vm_open(struct kvm_vm *vm, struct kvm_host *host)
{
    *vm = (struct kvm_vm){.host = host, .fd = -1};
    return set_created(vm, create(host));
}

static void *create_in_thread(void *arg)
{
    const struct kvm_host *host = arg;

    return (void *)(intptr_t)create(host);
}

/* On the only processor a thread costs what it saves. */
static bool has_processor_to_spare(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

/* Linux waits for a grace period of RCU in there, some ten milliseconds: time that others can use.
 */
void kvm_vm_open_begin(struct kvm_vm *vm, struct kvm_host *host)
{
    *vm = (struct kvm_vm){.host = host, .fd = -1};
    vm->is_opening = has_processor_to_spare() &&
                     thread_start(&vm->opener, THREAD_STACK_OURS, create_in_thread, host) == 0;
}

static int join_opener(struct kvm_vm *vm)
{
    void *result;

    (void)pthread_join(vm->opener, &result); /* it is there, and only we wait for it */
    vm->is_opening = false;
    return (int)(intptr_t)result;
}

/* What failed in the thread, or for want of one, is tried anew by whoever asks again. */
int kvm_vm_await(struct kvm_vm *vm)
{
    if (vm->fd >= 0) {
        return 0;
    }
    return set_created(vm, vm->is_opening ? join_opener(vm) : create(vm->host));
}

void kvm_vm_close(struct kvm_vm *vm)
{
    if (vm->is_opening) {
        vm->fd = join_opener(vm);
    }
    kvm_slots_fini(&vm->slots);
    io_close(&vm->fd);
    vm->is_closed = true;
}

int kvm_vm_enable_cap(struct kvm_vm *vm, uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap enable = {.cap = cap, .args = {arg}};

    if (ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0) {
        int r = -errno;
        return fail(r, "cannot enable KVM capability %u: %s", cap, strerror(-r));
    }
    return 0;
}

int kvm_vm_check_cap(struct kvm_vm *vm, uint32_t cap)
{
    int r = ioctl(vm->fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

    return r < 0 ? 0 : r;
}
