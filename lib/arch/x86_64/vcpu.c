/* An x86 vcpu's first state: registers, the page tables it starts with, and handing it all to KVM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hostvm/chipset.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory_helpers.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

/* Control registers (Intel SDM 3A, 2.5) and EFER (2.2.1). */
#define CR0_PE   (1ull << 0)
#define CR0_ET   (1ull << 4)
#define CR0_PG   (1ull << 31)
#define CR4_PAE  (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

/* Values after reset: page attribute table (SDM 3A, 11.12.4), DR7 (SDM 3B, 17.2.4), RFLAGS' fixed
 * bit (SDM 1, 3.4.3). */
#define PAT_RESET    0x0007040600070406ull
#define DR7_RESET    0x400ull
#define RFLAGS_FIXED 0x2ull

/* Where seL4's VMM puts the first page tables, and the stack pointer of a guest whose VMM chose
 * none. */
#define BOOT_TABLES_GPA 0x10000000ull
#define DEFAULT_RSP     0x96000ull

/* Page-table entries (SDM 3A, 4.5): present, writable, user; a large page is accessed or dirty by
 * no means yet. */
#define PTE_TABLE 0x07ull
#define PTE_LARGE 0x87ull

enum { PAGE = 4096, PAGE_BITS = 12, LARGE_BITS = 21, ENTRIES = 512 };

/* --- registers --- */

static void init_segments(struct kvm_sregs *sregs, bool is_long)
{
    const struct kvm_segment data = {
        .selector = 0x10,
        .limit = 0xffffffff,
        .type = 0x3,
        .s = 1,
        .present = 1,
        .db = 1,
        .g = 1,
    };
    const struct kvm_segment code = {
        .selector = 0x8,
        .limit = 0xffffffff,
        .type = 0xb,
        .s = 1,
        .present = 1,
        .l = is_long,
        .db = !is_long,
        .g = 1,
    };

    sregs->cs = code;
    sregs->ds = sregs->es = sregs->ss = data;
    sregs->fs = sregs->gs = data;
    sregs->fs.selector = sregs->gs.selector = 0;
    sregs->tr =
        (struct kvm_segment){.limit = 0xff, .type = ACCESS_RIGHTS_TYPE_BUSY_TSS, .present = 1};
    sregs->ldt = (struct kvm_segment){.type = ACCESS_RIGHTS_TYPE_LDT, .present = 1};
}

static void init_registers(struct arch_vcpu *arch, bool is_long)
{
    arch->regs.rflags = RFLAGS_FIXED;
    init_segments(&arch->sregs, is_long);
    arch->sregs.cr0 = CR0_PE | CR0_ET;
    if (is_long) {
        arch->sregs.cr0 |= CR0_PG;
        arch->sregs.cr3 = BOOT_TABLES_GPA;
        arch->sregs.cr4 = CR4_PAE;
        arch->sregs.efer = EFER_LME | EFER_LMA;
    }
    arch->slow[SLOW_PAT] = PAT_RESET;
    arch->slow[SLOW_DR7] = DR7_RESET;
    arch->has_regs = true;
    arch->has_sregs = true;
}

/* --- page tables: the first GiB as it is, in pages of 2 MiB --- */

static int place_boot_table(vm_t *vm, struct block *block, unsigned i,
                            vm_memory_reservation_t **ret_reservation)
{
    seL4_CPtr *cptr = &vm->hosted->arch.boot_tables[i];
    int r = frame_cap_create(vm->hosted->env, block, i * (uint64_t)PAGE, PAGE_BITS, cptr);

    if (r < 0) {
        return r;
    }
    *ret_reservation = vm_reserve_memory_at(vm, BOOT_TABLES_GPA + i * (uint64_t)PAGE, PAGE,
                                            default_error_fault_callback, NULL);
    if (*ret_reservation == NULL ||
        vm_map_reservation_frames(vm, *ret_reservation, cptr, 1, PAGE_BITS) != 0) {
        return -ENOMEM; /* the reason is there */
    }
    return 0;
}

/* They need not be neighbours in this process: a window that is bound to the VM may end between. */
static uint64_t *boot_table(vm_t *vm, unsigned i)
{
    return hostvm_vm_pointer(vm, BOOT_TABLES_GPA + i * (uint64_t)PAGE, PAGE);
}

static void fill_boot_tables(vm_t *vm)
{
    uint64_t *directory = boot_table(vm, 2);

    boot_table(vm, 0)[0] = (BOOT_TABLES_GPA + PAGE) | PTE_TABLE;
    boot_table(vm, 1)[0] = (BOOT_TABLES_GPA + 2 * PAGE) | PTE_TABLE;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        directory[i] = i << LARGE_BITS | PTE_LARGE;
    }
}

static void take_boot_tables_back(vm_t *vm, vm_memory_reservation_t *const *reservations)
{
    delete_boot_tables(vm); /* which empties the reservations: freeing them cannot fail */
    for (unsigned i = 0; i < ARCH_NR_BOOT_TABLES; i++) {
        if (reservations[i] != NULL) {
            (void)vm_free_reserved_memory(vm, reservations[i]);
        }
    }
}

static int create_boot_tables(vm_t *vm)
{
    struct range range = {BOOT_TABLES_GPA, ARCH_NR_BOOT_TABLES * (uint64_t)PAGE};
    vm_memory_reservation_t *reservations[ARCH_NR_BOOT_TABLES] = {NULL};
    struct block *block;
    int r = block_create(vm->hosted->env, range.size, &block);

    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; r == 0 && i < ARCH_NR_BOOT_TABLES; i++) {
        r = place_boot_table(vm, block, i, &reservations[i]);
    }
    if (r == 0) {
        fill_boot_tables(vm);
        vm->arch.guest_pd = BOOT_TABLES_GPA;
    } else {
        take_boot_tables_back(vm, reservations);
    }
    block_put(block); /* its capabilities count */
    return r;
}

/* -EEXIST: the client has something there. */
static int check_boot_range(vm_t *vm)
{
    struct range range = {BOOT_TABLES_GPA, ARCH_NR_BOOT_TABLES * (uint64_t)PAGE};
    struct space_reservation *claim;
    int r = space_reserve(vm->hosted->space, range, false, seL4_NoRights, &claim);

    if (r == 0) {
        (void)space_unreserve(vm->hosted->space, claim); /* it is there: we have just made it */
    }
    return r;
}

int arch_vcpu_init(vm_vcpu_t *vcpu)
{
    vm_t *vm = vcpu->vm;
    bool is_long = !env_config(vm->hosted->env)->guest32;
    int r;

    init_registers(&vcpu->hosted->arch, is_long);
    if (!is_long || vm->num_vcpus > 0) {
        return 0;
    }
    r = check_boot_range(vm);
    if (r == -EEXIST) {
        log_at(vm->hosted->log, HOSTVM_LOG_INFO,
               "no initial page tables at 0x%llx: the range is taken; CR3 is the client's",
               BOOT_TABLES_GPA);
        return 0;
    }
    return r < 0 ? r : create_boot_tables(vm);
}

/* --- handing it to KVM --- */

int arch_vcpu_create(vm_vcpu_t *vcpu)
{
    return kvm_vcpu_open(&vcpu->hosted->kvm, &vcpu->vm->hosted->kvm, vcpu_cpu_number(vcpu));
}

int arch_vcpu_open(vm_vcpu_t *vcpu)
{
    struct hosted_vcpu *hv = vcpu->hosted;
    struct arch_vcpu *arch = &hv->arch;
    struct kvm_sregs fresh;
    int r = cpuid_setup(vcpu);

    if (r == 0) {
        r = kvm_vcpu_get_sregs(&hv->kvm, &fresh);
    }
    if (r == 0 && vcpu->vm->hosted->kvm.has_irqchip && vcpu->vcpu_id != BOOT_VCPU &&
        !vcpu->hosted->waits_for_startup) {
        r = kvm_vcpu_set_mp_state(&hv->kvm, KVM_MP_STATE_RUNNABLE);
    }
    if (r < 0) {
        return r;
    }
    if (!arch->has_set_rsp && (arch->sregs.efer & EFER_LMA) != 0) {
        arch->regs.rsp = DEFAULT_RSP;
    }
    if (vcpu->hosted->waits_for_startup) { /* the start-up interrupt says where it begins; until
                                      then reset's state holds */
        arch->has_regs = false;
        arch->has_sregs = false;
        return 0;
    }
    arch->sregs.apic_base = fresh.apic_base; /* says whether it is the boot processor */
    arch->sregs_dirty = true;
    arch->regs_dirty = WORDS_ALL;
    arch->is_dirty = true;
    arch->slow_dirty |= 1u << SLOW_PAT | 1u << SLOW_DR7;
    return 0;
}
