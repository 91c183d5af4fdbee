/* What is said when a guest cannot go on: the reason, registers, last exits, nearest reservations.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "vm/vm.h"

static const char *exit_name(uint32_t reason)
{
    static const char *const names[] = {
        [KVM_EXIT_UNKNOWN] = "unknown",
        [KVM_EXIT_EXCEPTION] = "exception",
        [KVM_EXIT_IO] = "port",
        [KVM_EXIT_DEBUG] = "debug",
        [KVM_EXIT_HLT] = "halt",
        [KVM_EXIT_MMIO] = "memory",
        [KVM_EXIT_IRQ_WINDOW_OPEN] = "interrupt window",
        [KVM_EXIT_SHUTDOWN] = "shutdown",
        [KVM_EXIT_FAIL_ENTRY] = "failed entry",
        [KVM_EXIT_INTR] = "signal",
        [KVM_EXIT_INTERNAL_ERROR] = "internal error",
        [KVM_EXIT_SYSTEM_EVENT] = "system event",
    };

    return reason < sizeof(names) / sizeof(names[0]) && names[reason] != NULL ? names[reason]
                                                                              : "other";
}

static void report_exit(const struct log *log, unsigned age, const struct exit_record *record)
{
    if (record->reason == KVM_EXIT_HYPERCALL) {
        log_at(log, HOSTVM_LOG_ERROR, "  exit -%u: hypercall 0x%llx", age,
               (unsigned long long)record->data);
        return;
    }
    if (record->reason == KVM_EXIT_ARM_NISV) {
        log_at(log, HOSTVM_LOG_ERROR, "  exit -%u: memory %s at 0x%llx, of a width nobody told",
               age, record->is_write ? "write" : "read", (unsigned long long)record->addr);
        return;
    }
    if (record->size == 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  exit -%u: %s", age, exit_name(record->reason));
        return;
    }
    log_at(log, HOSTVM_LOG_ERROR, "  exit -%u: %s %s of %u bytes at 0x%llx, data 0x%llx", age,
           exit_name(record->reason), record->is_write ? "write" : "read", record->size,
           (unsigned long long)record->addr, (unsigned long long)record->data);
}

static void report_exits(const struct hosted_vcpu *hv, const struct log *log)
{
    unsigned nr = hv->nr_exits < EXIT_RECORDS ? hv->nr_exits : EXIT_RECORDS;

    for (unsigned age = nr; age > 0; age--) {
        report_exit(log, age - 1, &hv->records[(hv->nr_exits - age) % EXIT_RECORDS]);
    }
}

/* The reservations around the last access: what the guest may have meant. */
static void report_neighbourhood(vm_vcpu_t *vcpu, const struct log *log)
{
    const struct rangemap *map = &vcpu->vm->mem.reservation_cookie->reservations;
    uint64_t addr = vcpu->hosted->fault.addr;
    const struct rangemap_entry *after = rangemap_at_or_after(map, addr);
    const struct rangemap_entry *before = after == NULL ? map->entries + map->nr_entries : after;

    if (!vcpu->hosted->fault.is_active) {
        return;
    }
    if (before > map->entries) {
        before--;
        log_at(log, HOSTVM_LOG_ERROR, "  reserved below: [0x%llx..0x%llx)",
               (unsigned long long)before->range.start,
               (unsigned long long)range_end(before->range));
    }
    if (after != NULL) {
        log_at(log, HOSTVM_LOG_ERROR, "  reserved %s: [0x%llx..0x%llx)",
               range_has(after->range, addr) ? "here" : "above",
               (unsigned long long)after->range.start, (unsigned long long)range_end(after->range));
    }
}

enum run_verdict crash(vm_vcpu_t *vcpu, const char *fmt, ...)
{
    const struct log *log = vcpu->vm->hosted->log;
    char what[REASON_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    log_at(log, HOSTVM_LOG_ERROR, "%s: vcpu %u cannot go on: %s", vcpu->vm->vm_name, vcpu->vcpu_id,
           what);
    arch_report(vcpu);
    report_exits(vcpu->hosted, log);
    report_neighbourhood(vcpu, log);
    vcpu->vcpu_online = false;
    (void)fail(
        -EFAULT, "%s",
        what); /* for hostvm_last_error: after all that the report itself may have recorded */
    return RUN_CRASHED;
}
