/* hostvm check: can this machine run VMs, and if not, what would help. */
#include "check.h"

#include <stdio.h>

#include <hostvm/host.h>

#include "status.h"

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

int check_host(void)
{
    hostvm_host_t host;

    if (hostvm_host_check(&host) != 0) {
        (void)fprintf(stderr, "hostvm: no VM can run here: %s\nhostvm: what would help: %s\n",
                      host.reason, host.help);
        return STATUS_NO_KVM;
    }
    (void)printf("VMs can run here.\n"
                 "  KVM interface version    %d\n"
                 "  vcpus per VM             %u\n"
                 "  memory slots per VM      %u\n"
                 "  interrupt controllers    %s\n"
                 "  read-only memory         %s\n"
                 "  registers with exits     %s\n",
                 host.api_version, host.max_vcpus, host.max_memslots, yes_no(host.has_irqchip),
                 yes_no(host.has_readonly_memory), yes_no(host.has_sync_regs));
    return STATUS_OK;
}
