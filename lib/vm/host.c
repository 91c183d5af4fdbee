/* What this host offers, for those who want to know before they create a VM. */
#include <hostvm/host.h>

#include <errno.h>
#include <stdio.h>

#include "base/reason.h"
#include "kvm/kvm.h"

int hostvm_host_check(hostvm_host_t *ret_host)
{
    struct kvm_host host;
    struct kvm_vm vm;
    int r;

    if (ret_host == NULL) {
        (void)fail(-EINVAL, "hostvm_host_check: no result given");
        return -1;
    }
    *ret_host = (hostvm_host_t){.usable = false};
    r = kvm_host_open(&host);
    if (r == 0) {
        ret_host->api_version = host.api_version;
        ret_host->max_vcpus = host.max_vcpus;
        ret_host->max_memslots = host.max_slots;
        ret_host->has_irqchip = host.has_irqchip;
        ret_host->has_readonly_memory = host.has_readonly_mem;
        ret_host->has_sync_regs = host.sync_regs != 0;
        r = kvm_vm_open(&vm, &host);
        if (r == 0) {
            kvm_vm_close(&vm);
        }
        kvm_host_close(&host);
    }
    if (r < 0) {
        ret_host->error = -r;
        (void)snprintf(ret_host->reason, sizeof(ret_host->reason), "%s", reason_last());
        (void)snprintf(ret_host->help, sizeof(ret_host->help), "%s", kvm_host_help(r));
        return -1;
    }
    ret_host->usable = true;
    return 0;
}
