/* The VM's log, for who builds on the library. */
#include <hostvm/vm.h>

#include <stdarg.h>
#include <stdio.h>

#include "vm/vm.h"

void hostvm_vm_log(vm_t *vm, enum hostvm_log_level level, const char *fmt, ...)
{
    char text[REASON_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_at(vm_is_usable(vm) ? vm->hosted->log : NULL, level, "%s", text);
}

void hostvm_vm_log_guest(vm_t *vm, const char *fmt, ...)
{
    char text[REASON_SIZE];
    va_list args;

    if (!vm_is_usable(vm)) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_limited(vm->hosted->log, &vm->hosted->guest_noise, HOSTVM_LOG_WARN, "%s", text);
}
