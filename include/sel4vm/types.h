/* The names of a VM and of a vcpu, for headers that hand them on without looking inside. */
#pragma once

typedef struct vm vm_t;           /* sel4vm/guest_vm.h has the members */
typedef struct vm_vcpu vm_vcpu_t; /* likewise */
