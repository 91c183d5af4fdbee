/* What this host offers to VMs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A host's ability to run VMs, as hostvm_host_check found it.
 */
typedef struct hostvm_host {
    bool usable;               /* VMs can run here; otherwise reason and help say why not */
    int api_version;           /* KVM_GET_API_VERSION; 12 is the only one there is */
    unsigned int max_vcpus;    /* per VM */
    unsigned int max_memslots; /* per VM */
    bool has_irqchip;          /* in-kernel interrupt controllers */
    bool has_readonly_memory;  /* read-only memory whose writes exit */
    bool has_sync_regs;        /* registers come with the run page */
    int error; /* errno of what is wrong; 0 when usable. ENOENT, EACCES, ENODEV: KVM; EMFILE: us */
    char reason[160]; /* what is wrong; empty when usable */
    char help[240];   /* what would help; empty when usable */
} hostvm_host_t;

/**
 * Opens /dev/kvm, asks what it can do and closes it again. From any thread, without an environment.
 *
 * @param ret_host  filled in every case
 * @return 0 when the host is usable, -1 otherwise
 */
int hostvm_host_check(hostvm_host_t *ret_host);

#ifdef __cplusplus
}
#endif
