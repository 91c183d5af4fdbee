/* The boot processor's registers at a guest's first instruction. */
#include "machine/entry.h"

#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>

/* Control registers and EFER: Intel SDM 3A, 2.5 and 2.2.1. */
#define CR0_PE   (1ul << 0)
#define CR0_ET   (1ul << 4)
#define CR0_PG   (1ul << 31)
#define CR4_PAE  (1ul << 5)
#define EFER_LME (1ul << 8)
#define EFER_LMA (1ul << 10)

#define RFLAGS_FIXED 2ul

/* Selectors of the boot protocols (Linux: __BOOT_CS and __BOOT_DS; multiboot and PVH do not care).
 */
enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_TSS = 0x20 };

/* What a multiboot loader leaves in EAX (specification 0.6.96, 3.2). */
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002ul

struct segment {
    uint16_t selector;
    uint64_t base;
    uint32_t limit;
    uint32_t rights; /* as in the VMCS */
};

#define RIGHTS_CODE (AR(P) | AR(S) | 0xb)
#define RIGHTS_DATA (AR(P) | AR(S) | 0x3)

static void set(vm_vcpu_t *vcpu, seL4_Word field, seL4_Word value)
{
    (void)vm_set_vmcs_field(vcpu, field,
                            value); /* only remembered: KVM judges at the first entry */
}

/* index: ES 0, CS 1, SS 2, DS 3, FS 4, GS 5, LDTR 6, TR 7; fields of a family lie two apart. */
static void set_segment(vm_vcpu_t *vcpu, unsigned index, struct segment segment)
{
    set(vcpu, VMX_GUEST_ES_SELECTOR + 2 * index, segment.selector);
    set(vcpu, VMX_GUEST_ES_BASE + 2 * index, segment.base);
    set(vcpu, VMX_GUEST_ES_LIMIT + 2 * index, segment.limit);
    set(vcpu, VMX_GUEST_ES_ACCESS_RIGHTS + 2 * index, segment.rights);
}

static void set_segments(vm_vcpu_t *vcpu, struct segment code, struct segment data)
{
    enum { ES, CS, SS, DS, FS, GS, NR_DATA_AND_CODE };

    for (unsigned i = ES; i < NR_DATA_AND_CODE; i++) {
        set_segment(vcpu, i, i == CS ? code : data);
    }
}

static void enter_long(vm_vcpu_t *vcpu, const struct entry_state *state)
{
    const struct segment code = {BOOT_CS, 0, UINT32_MAX, RIGHTS_CODE | AR(G) | AR(L)};
    const struct segment data = {BOOT_DS, 0, UINT32_MAX, RIGHTS_DATA | AR(G) | AR(DB)};

    set_segments(vcpu, code, data);
    set(vcpu, VMX_GUEST_CR0, CR0_PG | CR0_ET | CR0_PE);
    set(vcpu, VMX_GUEST_CR3, state->page_tables);
    set(vcpu, VMX_GUEST_CR4, CR4_PAE);
    set(vcpu, VMX_GUEST_EFER, EFER_LME | EFER_LMA);
}

static void enter_protected(vm_vcpu_t *vcpu)
{
    const struct segment code = {BOOT_CS, 0, UINT32_MAX, RIGHTS_CODE | AR(G) | AR(DB)};
    const struct segment data = {BOOT_DS, 0, UINT32_MAX, RIGHTS_DATA | AR(G) | AR(DB)};
    const struct segment task = {BOOT_TSS, 0, 0x67, AR(P) | AR_T(BUSY_TSS)};

    set_segments(vcpu, code, data);
    set_segment(vcpu, 7, task);
    set(vcpu, VMX_GUEST_CR0, CR0_ET | CR0_PE);
    set(vcpu, VMX_GUEST_CR3, 0);
    set(vcpu, VMX_GUEST_CR4, 0);
    set(vcpu, VMX_GUEST_EFER, 0);
}

static void enter_real(vm_vcpu_t *vcpu)
{
    const struct segment code = {0, 0, 0xffff, RIGHTS_CODE};
    const struct segment data = {0, 0, 0xffff, RIGHTS_DATA};

    set_segments(vcpu, code, data);
    set(vcpu, VMX_GUEST_CR0, CR0_ET);
    set(vcpu, VMX_GUEST_CR3, 0);
    set(vcpu, VMX_GUEST_CR4, 0);
    set(vcpu, VMX_GUEST_EFER, 0);
    set(vcpu, VMX_GUEST_IDTR_LIMIT, 0x3ff); /* the real-mode vectors; SDM 3A, 20.1.4 */
}

void entry_set(vm_vcpu_t *vcpu, const struct entry_state *state)
{
    seL4_VCPUContext regs = {0};

    switch (state->mode) {
    case ENTRY_LONG64:
        enter_long(vcpu, state);
        regs.esi = state->info;
        break;
    case ENTRY_PVH32:
        enter_protected(vcpu);
        regs.ebx = state->info;
        break;
    case ENTRY_LINUX32:
        enter_protected(vcpu);
        regs.esi = state->info;
        break;
    case ENTRY_MULTIBOOT32:
        enter_protected(vcpu);
        regs.eax = MULTIBOOT_BOOTLOADER_MAGIC;
        regs.ebx = state->info;
        break;
    case ENTRY_PROTECTED32:
        enter_protected(vcpu);
        break;
    case ENTRY_REAL16:
        enter_real(vcpu);
        break;
    case ENTRY_ARM64:
        break;
    }
    if (state->mode != ENTRY_REAL16) {
        set(vcpu, VMX_GUEST_GDTR_BASE, state->gdt);
        set(vcpu, VMX_GUEST_GDTR_LIMIT, state->gdt_limit);
    }
    set(vcpu, VMX_GUEST_RFLAGS, RFLAGS_FIXED);
    set(vcpu, VMX_GUEST_RSP, 0);
    set(vcpu, VMX_GUEST_RIP, state->entry);
    (void)vm_set_thread_context(vcpu, regs);
}
