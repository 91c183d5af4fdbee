/* What guest_memory.h adds per architecture: on x86, nothing. */
#pragma once

#if defined(__aarch64__)

#include <stddef.h>
#include <stdint.h>

typedef struct vm vm_t;

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The machine's physical address of guest memory. A process does not know such addresses.
 *
 * @return 0: none
 */
uintptr_t vm_arm_ipa_to_pa(vm_t *vm, uintptr_t ipa_base, size_t size);

#ifdef __cplusplus
}
#endif

#endif
