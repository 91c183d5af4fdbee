/* Kinds of exits that vm->run.exit_reason may name. */
#pragma once

enum vm_exit_codes {
    VM_GUEST_MMIO_EXIT,
    VM_GUEST_IO_EXIT,
    VM_GUEST_NOTIFICATION_EXIT,
    VM_GUEST_UNKNOWN_EXIT
};
typedef enum vm_exit_codes vm_exit_codes_t;

/* vm_run returned -1. */
#define VM_GUEST_ERROR_EXIT -1
