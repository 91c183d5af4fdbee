/* /dev/kvm itself: opening it, what it can do, and what would help when it cannot be used. */
#include "kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/io.h"
#include "base/reason.h"

#define KVM_DEVICE "/dev/kvm"

static int check_cap(const struct kvm_host *host, long cap)
{
    int r = ioctl(host->fd, KVM_CHECK_EXTENSION, cap);

    return r < 0 ? 0 : r;
}

static void ask_caps(struct kvm_host *host)
{
    int slots = check_cap(host, KVM_CAP_NR_MEMSLOTS);
    int vcpus = check_cap(host, KVM_CAP_MAX_VCPUS);

    /* Before these questions existed, KVM had 32 slots and 4 vcpus
     * (Documentation/virt/kvm/api.rst). */
    host->max_slots = slots > 0 ? (unsigned)slots : 32;
    host->max_vcpus = vcpus > 0 ? (unsigned)vcpus : 4;
    host->sync_regs = (uint64_t)check_cap(host, KVM_CAP_SYNC_REGS);
    host->has_readonly_mem = check_cap(host, KVM_CAP_READONLY_MEM) > 0;
    host->has_irqchip = check_cap(host, KVM_CAP_IRQCHIP) > 0;
    host->has_irqfd_resample = check_cap(host, KVM_CAP_IRQFD_RESAMPLE) > 0;
}

static int check_required(const struct kvm_host *host)
{
    static const struct {
        long cap;
        const char *name;
    } required[] = {
        {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
        {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    };

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (check_cap(host, required[i].cap) <= 0) {
            return fail(-EOPNOTSUPP,
                        "cannot use " KVM_DEVICE ": it lacks %s; the kernel is too old",
                        required[i].name);
        }
    }
    return 0;
}

const char *kvm_host_help(int err)
{
    switch (err) {
    case -ENOENT:
        return "load the module kvm_intel or kvm_amd, enable virtualisation in the firmware, "
               "or enable nested virtualisation when this machine is itself virtual";
    case -EACCES:
    case -EPERM:
        return "add your user to the group kvm and log in again, or run as root";
    case -ENODEV:
    case -ENXIO:
        return "enable virtualisation in the firmware; no processor extension answers";
    case -EBUSY:
        return "another hypervisor holds the processor's extension; stop it";
    case -EOPNOTSUPP:
        return "use a newer Linux kernel";
    case -ENOTTY:
        return "another device has its name; remove that, then load the module kvm_intel or "
               "kvm_amd";
    case -EMFILE:
        return "allow this process more open files (ulimit -n)";
    case -ENFILE:
        return "allow the system more open files (sysctl fs.file-max)";
    case -ENOMEM:
        return "free some memory";
    default:
        return "see the kernel's log";
    }
}

int kvm_host_open(struct kvm_host *host)
{
    int run_size;
    int r;

    *host = (struct kvm_host){.fd = -1};
    host->fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (host->fd < 0) {
        r = -errno;
        return fail(r, "cannot open " KVM_DEVICE ": %s", strerror(-r));
    }
    host->api_version = ioctl(host->fd, KVM_GET_API_VERSION, 0);
    if (host->api_version < 0) {
        r = fail(-errno, "cannot use " KVM_DEVICE ": it does not answer as KVM: %s",
                 strerror(errno));
        goto close_device;
    }
    if (host->api_version != KVM_API_VERSION) {
        r = fail(-EOPNOTSUPP, "cannot use " KVM_DEVICE ": its interface has version %d, not %d",
                 host->api_version, KVM_API_VERSION);
        goto close_device;
    }
    run_size = ioctl(host->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run)) {
        r = fail(run_size < 0 ? -errno : -EOPNOTSUPP,
                 "cannot use " KVM_DEVICE ": it gives no size for a vcpu's run page");
        goto close_device;
    }
    host->run_size = (size_t)run_size;
    r = check_required(host);
    if (r < 0) {
        goto close_device;
    }
    ask_caps(host);
    return 0;

close_device:
    io_close(&host->fd);
    return r;
}

void kvm_host_close(struct kvm_host *host)
{
    io_close(&host->fd);
}
