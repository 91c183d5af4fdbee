/* Here lives the shape of libsel4vm's headers: each name's type, value and place, as clients are
 * compiled against. Nearly all of it is checked by the compiler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sel4vm/arch/guest_memory_arch.h>
#include <sel4vm/arch/guest_vm_arch.h>
#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/ioports.h>
#include <sel4vm/arch/vmcall.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/arch/vmexit_reasons.h>
#include <sel4vm/boot.h>
#include <sel4vm/gen_config.h>
#include <sel4vm/guest_iospace.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_vm_exits.h>
#include <sel4vm/guest_vm_util.h>

#include "support/shape.h"

/* Configuration */

VALUE(CONFIG_WORD_SIZE, 64);
VALUE(CONFIG_PRINTING, 1);
_Static_assert(CONFIG_MAX_NUM_NODES >= 4, "a VM can have several vcpus");
#if defined(CONFIG_ARCH_X86_64)
VALUE(CONFIG_ARCH_X86, 1);
VALUE(CONFIG_VTX, 1);
VALUE(CONFIG_X86_64_VTX_64BIT_GUESTS, 1);
#endif
#if defined(CONFIG_IOMMU) || defined(CONFIG_TK1_SMMU) || defined(CONFIG_ARM_SMMU) ||               \
    defined(CONFIG_KERNEL_MCS) || defined(CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP) ||                   \
    defined(CONFIG_VMM_PLATSUPPORT_VESA_FRAMEBUFFER)
#error "a process has none of these"
#endif

/* boot.h */

VALUE(BOOT_VCPU, 0);
FUNCTION(vm_init,
         int (*)(vm_t *, vka_t *, simple_t *, vspace_t, ps_io_ops_t *, seL4_CPtr, const char *));
FUNCTION(vm_create_vcpu, vm_vcpu_t *(*)(vm_t *, int));
FUNCTION(vm_assign_vcpu_target, int (*)(vm_vcpu_t *, int));

/* guest_vm.h */

SAME_TYPE(vm_t, struct vm);
SAME_TYPE(vm_vcpu_t, struct vm_vcpu);
SAME_TYPE(vm_mem_t, struct vm_mem);
SAME_TYPE(vm_ram_region_t, struct vm_ram_region);
SAME_TYPE(vm_run_t, struct vm_run);
SAME_TYPE(vm_arch_t, struct vm_arch);
SAME_TYPE(unhandled_mem_fault_callback_fn,
          memory_fault_result_t (*)(vm_t *, vm_vcpu_t *, uintptr_t, size_t, void *));
SAME_TYPE(notification_callback_fn, int (*)(vm_t *, seL4_Word, seL4_MessageInfo_t, void *));

FIRST(struct vm_ram_region, start, uintptr_t);
NEXT(struct vm_ram_region, start, size, size_t);
NEXT(struct vm_ram_region, size, allocated, int);
LAST(struct vm_ram_region, allocated);

FIRST(struct vm_mem, vm_vspace, vspace_t);
NEXT(struct vm_mem, vm_vspace, vm_vspace_root, vka_object_t);
NEXT(struct vm_mem, vm_vspace_root, vmm_vspace, vspace_t);
NEXT(struct vm_mem, vmm_vspace, num_ram_regions, int);
NEXT(struct vm_mem, num_ram_regions, ram_regions, struct vm_ram_region *);
NEXT(struct vm_mem, ram_regions, reservation_cookie, vm_memory_reservation_cookie_t *);
NEXT(struct vm_mem, reservation_cookie, unhandled_mem_fault_handler,
     unhandled_mem_fault_callback_fn);
NEXT(struct vm_mem, unhandled_mem_fault_handler, unhandled_mem_fault_cookie, void *);
NEXT(struct vm_mem, unhandled_mem_fault_cookie, clean_cache, int);
NEXT(struct vm_mem, clean_cache, map_one_to_one, int);
LAST(struct vm_mem, map_one_to_one);

FIRST(struct vm_tcb, tcb, vka_object_t);
NEXT(struct vm_tcb, tcb, sc, vka_object_t);
NEXT(struct vm_tcb, sc, sched_ctrl, vka_object_t);
NEXT(struct vm_tcb, sched_ctrl, priority, int);
LAST(struct vm_tcb, priority);

/* What is the library's own comes after the members of the original. */
FIRST(struct vm_vcpu, vm, struct vm *);
NEXT(struct vm_vcpu, vm, vcpu, vka_object_t);
NEXT(struct vm_vcpu, vcpu, tcb, struct vm_tcb);
NEXT(struct vm_vcpu, tcb, vcpu_id, unsigned int);
NEXT(struct vm_vcpu, vcpu_id, target_cpu, int);
NEXT(struct vm_vcpu, target_cpu, vcpu_online, bool);
NEXT(struct vm_vcpu, vcpu_online, vcpu_arch, struct vm_vcpu_arch);

FIRST(struct vm_run, exit_reason, int);
NEXT(struct vm_run, exit_reason, notification_callback, notification_callback_fn);
NEXT(struct vm_run, notification_callback, notification_callback_cookie, void *);
LAST(struct vm_run, notification_callback_cookie);

FIRST(struct vm_cspace, cspace_obj, vka_object_t);
NEXT(struct vm_cspace, cspace_obj, cspace_root_data, seL4_Word);
LAST(struct vm_cspace, cspace_root_data);

FIRST(struct vm, arch, struct vm_arch);
NEXT(struct vm, arch, num_vcpus, unsigned int);
NEXT(struct vm, num_vcpus, vcpus, struct vm_vcpu *[CONFIG_MAX_NUM_NODES]);
NEXT(struct vm, vcpus, mem, struct vm_mem);
NEXT(struct vm, mem, run, struct vm_run);
NEXT(struct vm, run, cspace, struct vm_cspace);
NEXT(struct vm, cspace, host_endpoint, seL4_CPtr);
NEXT(struct vm, host_endpoint, vka, vka_t *);
NEXT(struct vm, vka, io_ops, ps_io_ops_t *);
NEXT(struct vm, io_ops, simple, simple_t *);
NEXT(struct vm, simple, entry, seL4_Word);
NEXT(struct vm, entry, vm_name, char *);
NEXT(struct vm, vm_name, vm_id, unsigned int);
NEXT(struct vm, vm_id, vm_initialised, bool);

FUNCTION(vm_run, int (*)(vm_t *));
FUNCTION(vcpu_start, int (*)(vm_vcpu_t *));
FUNCTION(vm_register_unhandled_mem_fault_callback,
         int (*)(vm_t *, unhandled_mem_fault_callback_fn, void *));
FUNCTION(vm_register_notification_callback, int (*)(vm_t *, notification_callback_fn, void *));

/* guest_vm_exits.h */

SAME_TYPE(vm_exit_codes_t, enum vm_exit_codes);
VALUE(VM_GUEST_MMIO_EXIT, 0);
VALUE(VM_GUEST_IO_EXIT, 1);
VALUE(VM_GUEST_NOTIFICATION_EXIT, 2);
VALUE(VM_GUEST_UNKNOWN_EXIT, 3);
VALUE(VM_GUEST_ERROR_EXIT, -1);

/* guest_vm_util.h, guest_iospace.h, guest_memory_helpers.h */

FUNCTION(vm_get_vcpu_tcb, seL4_CPtr (*)(vm_vcpu_t *));
FUNCTION(vm_get_vcpu, seL4_CPtr (*)(vm_t *, int));
FUNCTION(vm_vcpu_for_target_cpu, vm_vcpu_t *(*)(vm_t *, int));
FUNCTION(vm_find_free_unassigned_vcpu, vm_vcpu_t *(*)(vm_t *));
FUNCTION(is_vcpu_online, bool (*)(vm_vcpu_t *));
FUNCTION(vm_get_vspace, vspace_t *(*)(vm_t *));
FUNCTION(vm_get_vmm_vspace, vspace_t *(*)(vm_t *));
FUNCTION(vm_guest_add_iospace, int (*)(vm_t *, vspace_t *, seL4_CPtr));
FUNCTION(default_error_fault_callback, memory_fault_callback_fn);

/* guest_memory.h */

SAME_TYPE(vm_frame_t, struct vm_frame);
FIRST(vm_frame_t, cptr, seL4_CPtr);
NEXT(vm_frame_t, cptr, rights, seL4_CapRights_t);
NEXT(vm_frame_t, rights, vaddr, uintptr_t);
NEXT(vm_frame_t, vaddr, size_bits, size_t);
LAST(vm_frame_t, size_bits);

SAME_TYPE(memory_fault_result_t, enum memory_fault_result);
VALUE(FAULT_HANDLED, 0);
VALUE(FAULT_UNHANDLED, 1);
VALUE(FAULT_RESTART, 2);
VALUE(FAULT_IGNORE, 3);
VALUE(FAULT_ERROR, 4);
SAME_TYPE(memory_fault_callback_fn,
          memory_fault_result_t (*)(vm_t *, vm_vcpu_t *, uintptr_t, size_t, void *));
SAME_TYPE(memory_map_iterator_fn, vm_frame_t (*)(uintptr_t, void *));

FUNCTION(vm_reserve_memory_at,
         vm_memory_reservation_t *(*)(vm_t *, uintptr_t, size_t, memory_fault_callback_fn, void *));
FUNCTION(vm_reserve_anon_memory,
         vm_memory_reservation_t *(*)(vm_t *, size_t, size_t, memory_fault_callback_fn, void *,
                                      uintptr_t *));
FUNCTION(&vm_reserve_anon_memory,
         vm_memory_reservation_t *(*)(vm_t *, size_t, size_t, memory_fault_callback_fn, void *,
                                      uintptr_t *));
FUNCTION(vm_memory_make_anon, int (*)(vm_t *, uintptr_t, size_t));
FUNCTION(vm_free_reserved_memory, int (*)(vm_t *, vm_memory_reservation_t *));
FUNCTION(vm_map_reservation,
         int (*)(vm_t *, vm_memory_reservation_t *, memory_map_iterator_fn, void *));
FUNCTION(vm_map_reservation_frames,
         int (*)(vm_t *, vm_memory_reservation_t *, seL4_CPtr *, size_t, size_t));
FUNCTION(vm_get_reservation_memory_region,
         void (*)(vm_memory_reservation_t *, uintptr_t *, size_t *));
FUNCTION(vm_memory_init, int (*)(vm_t *));

/* guest_ram.h */

SAME_TYPE(ram_touch_callback_fn, int (*)(vm_t *, uintptr_t, void *, size_t, size_t, void *));
FUNCTION(vm_ram_touch, int (*)(vm_t *, uintptr_t, size_t, ram_touch_callback_fn, void *));
FUNCTION(vm_guest_ram_read_callback, ram_touch_callback_fn);
FUNCTION(vm_guest_ram_write_callback, ram_touch_callback_fn);
FUNCTION(vm_ram_find_largest_free_region, int (*)(vm_t *, uintptr_t *, size_t *));
FUNCTION(vm_ram_register, uintptr_t (*)(vm_t *, size_t));
FUNCTION(vm_ram_register_at, int (*)(vm_t *, uintptr_t, size_t, bool));
FUNCTION(vm_ram_register_at_custom_iterator,
         int (*)(vm_t *, uintptr_t, size_t, memory_map_iterator_fn, void *));
FUNCTION(vm_ram_mark_allocated, void (*)(vm_t *, uintptr_t, size_t));
FUNCTION(vm_ram_allocate, uintptr_t (*)(vm_t *, size_t));
FUNCTION(vm_ram_free, void (*)(vm_t *, uintptr_t, size_t));

/* guest_vcpu_fault.h */

FUNCTION(get_vcpu_fault_address, seL4_Word (*)(vm_vcpu_t *));
FUNCTION(get_vcpu_fault_ip, seL4_Word (*)(vm_vcpu_t *));
FUNCTION(get_vcpu_fault_data, seL4_Word (*)(vm_vcpu_t *));
FUNCTION(get_vcpu_fault_data_mask, seL4_Word (*)(vm_vcpu_t *));
FUNCTION(get_vcpu_fault_size, size_t (*)(vm_vcpu_t *));
FUNCTION(is_vcpu_read_fault, bool (*)(vm_vcpu_t *));
FUNCTION(set_vcpu_fault_data, int (*)(vm_vcpu_t *, seL4_Word));
FUNCTION(emulate_vcpu_fault, seL4_Word (*)(vm_vcpu_t *, seL4_Word));
FUNCTION(advance_vcpu_fault, void (*)(vm_vcpu_t *));
FUNCTION(restart_vcpu_fault, void (*)(vm_vcpu_t *));

/* guest_irq_controller.h */

SAME_TYPE(irq_ack_fn_t, void (*)(vm_vcpu_t *, int, void *));
FUNCTION(vm_create_default_irq_controller, int (*)(vm_t *));
FUNCTION(vm_inject_irq, int (*)(vm_vcpu_t *, int));
FUNCTION(vm_set_irq_level, int (*)(vm_vcpu_t *, int, int));
FUNCTION(vm_register_irq, int (*)(vm_vcpu_t *, int, irq_ack_fn_t, void *));

#if defined(CONFIG_ARCH_X86_64)

/* arch/guest_vm_arch.h */

VALUE(IO_APIC_DEFAULT_PHYS_BASE, 0xfec00000);
VALUE(APIC_DEFAULT_PHYS_BASE, 0xfee00000);
SAME_TYPE(vmexit_handler_ptr, int (*)(vm_vcpu_t *));
SAME_TYPE(vmcall_handler, int (*)(vm_vcpu_t *));
SAME_TYPE(vmcall_handler_t, struct vmcall_handler);
FIRST(vmcall_handler_t, token, int);
NEXT(vmcall_handler_t, token, func, vmcall_handler);
LAST(vmcall_handler_t, func);

FIRST(struct vm_arch, vmexit_handlers, vmexit_handler_ptr[VM_EXIT_REASON_NUM]);
NEXT(struct vm_arch, vmexit_handlers, vmcall_handlers, vmcall_handler_t *);
NEXT(struct vm_arch, vmcall_handlers, vmcall_num_handlers, unsigned int);
NEXT(struct vm_arch, vmcall_num_handlers, guest_pd, uintptr_t);
NEXT(struct vm_arch, guest_pd, unhandled_ioport_callback, unhandled_ioport_callback_fn);
NEXT(struct vm_arch, unhandled_ioport_callback, unhandled_ioport_callback_cookie, void *);
NEXT(struct vm_arch, unhandled_ioport_callback_cookie, ioport_list, vm_io_port_list_t);
NEXT(struct vm_arch, ioport_list, i8259_gs, i8259_t *);
LAST(struct vm_arch, i8259_gs);

FIRST(struct vm_vcpu_arch, guest_state, guest_state_t *);
NEXT(struct vm_vcpu_arch, guest_state, lapic, vm_lapic_t *);
LAST(struct vm_vcpu_arch, lapic);

/* arch/guest_x86_context.h */

SAME_TYPE(vcpu_context_reg_t, enum vcpu_context_reg);
VALUE(VCPU_CONTEXT_EAX, 0);
VALUE(VCPU_CONTEXT_EBX, 1);
VALUE(VCPU_CONTEXT_ECX, 2);
VALUE(VCPU_CONTEXT_EDX, 3);
VALUE(VCPU_CONTEXT_ESI, 4);
VALUE(VCPU_CONTEXT_EDI, 5);
VALUE(VCPU_CONTEXT_EBP, 6);
VALUE(VCPU_CONTEXT_R8, 7);
VALUE(VCPU_CONTEXT_R9, 8);
VALUE(VCPU_CONTEXT_R10, 9);
VALUE(VCPU_CONTEXT_R11, 10);
VALUE(VCPU_CONTEXT_R12, 11);
VALUE(VCPU_CONTEXT_R13, 12);
VALUE(VCPU_CONTEXT_R14, 13);
VALUE(VCPU_CONTEXT_R15, 14);
FUNCTION(vm_set_thread_context, int (*)(vm_vcpu_t *, seL4_VCPUContext));
FUNCTION(vm_set_thread_context_reg, int (*)(vm_vcpu_t *, vcpu_context_reg_t, seL4_Word));
FUNCTION(vm_get_thread_context, int (*)(vm_vcpu_t *, seL4_VCPUContext *));
FUNCTION(vm_get_thread_context_reg, int (*)(vm_vcpu_t *, vcpu_context_reg_t, seL4_Word *));
FUNCTION(vm_set_vmcs_field, int (*)(vm_vcpu_t *, seL4_Word, seL4_Word));
FUNCTION(vm_get_vmcs_field, int (*)(vm_vcpu_t *, seL4_Word, seL4_Word *));

/* arch/ioports.h, arch/vmcall.h */

VALUE(IO_FAULT_HANDLED, 0);
VALUE(IO_FAULT_UNHANDLED, 1);
VALUE(IO_FAULT_ERROR, 2);
FIRST(vm_ioport_range_t, start, uint16_t);
NEXT(vm_ioport_range_t, start, end, uint16_t);
LAST(vm_ioport_range_t, end);
FIRST(vm_ioport_interface_t, cookie, void *);
NEXT(vm_ioport_interface_t, cookie, port_in, vm_ioport_in_fn);
NEXT(vm_ioport_interface_t, port_in, port_out, vm_ioport_out_fn);
NEXT(vm_ioport_interface_t, port_out, desc, const char *);
LAST(vm_ioport_interface_t, desc);
FIRST(vm_ioport_entry_t, range, vm_ioport_range_t);
NEXT(vm_ioport_entry_t, range, interface, vm_ioport_interface_t);
LAST(vm_ioport_entry_t, interface);
SAME_TYPE(vm_io_port_list_t, struct vm_io_list);
FIRST(vm_io_port_list_t, num_ioports, int);
NEXT(vm_io_port_list_t, num_ioports, ioports, vm_ioport_entry_t *);
LAST(vm_io_port_list_t, ioports);
SAME_TYPE(vm_ioport_in_fn, ioport_fault_result_t (*)(vm_vcpu_t *, void *, unsigned int,
                                                     unsigned int, unsigned int *));
SAME_TYPE(vm_ioport_out_fn,
          ioport_fault_result_t (*)(vm_vcpu_t *, void *, unsigned int, unsigned int, unsigned int));
SAME_TYPE(unhandled_ioport_callback_fn, ioport_fault_result_t (*)(vm_vcpu_t *, unsigned int, bool,
                                                                  unsigned int *, size_t, void *));
FUNCTION(vm_io_port_add_handler, int (*)(vm_t *, vm_ioport_range_t, vm_ioport_interface_t));
FUNCTION(vm_register_unhandled_ioport_callback,
         int (*)(vm_t *, unhandled_ioport_callback_fn, void *));
FUNCTION(vm_enable_passthrough_ioport, int (*)(vm_vcpu_t *, uint16_t, uint16_t));
FUNCTION(vm_reg_new_vmcall_handler, int (*)(vm_t *, vmcall_handler, int));

/* arch/vmcs_fields.h: Intel SDM 3C, appendix B. */

#define SEGMENT(name, index)                                                                       \
    VALUE(VMX_GUEST_##name##_SELECTOR, 0x800 + 2 * (index));                                       \
    VALUE(VMX_GUEST_##name##_LIMIT, 0x4800 + 2 * (index));                                         \
    VALUE(VMX_GUEST_##name##_ACCESS_RIGHTS, 0x4814 + 2 * (index));                                 \
    VALUE(VMX_GUEST_##name##_BASE, 0x6806 + 2 * (index))

SEGMENT(ES, 0);
SEGMENT(CS, 1);
SEGMENT(SS, 2);
SEGMENT(DS, 3);
SEGMENT(FS, 4);
SEGMENT(GS, 5);
SEGMENT(LDTR, 6);
SEGMENT(TR, 7);
VALUE(VMX_GUEST_GDTR_LIMIT, 0x4810);
VALUE(VMX_GUEST_IDTR_LIMIT, 0x4812);
VALUE(VMX_GUEST_GDTR_BASE, 0x6816);
VALUE(VMX_GUEST_IDTR_BASE, 0x6818);
VALUE(VMX_GUEST_DEBUGCTRL, 0x2802);
VALUE(VMX_GUEST_PAT, 0x2804);
VALUE(VMX_GUEST_EFER, 0x2806);
VALUE(VMX_GUEST_PERF_GLOBAL_CTRL, 0x2808);
VALUE(VMX_GUEST_INTERRUPTABILITY, 0x4824);
VALUE(VMX_GUEST_ACTIVITY, 0x4826);
VALUE(VMX_GUEST_SMBASE, 0x4828);
VALUE(VMX_GUEST_SYSENTER_CS, 0x482a);
VALUE(VMX_GUEST_SYSENTER_ESP, 0x6824);
VALUE(VMX_GUEST_SYSENTER_EIP, 0x6826);
VALUE(VMX_GUEST_VMX_PREEMPTION_TIMER_VALUE, 0x482e);
VALUE(VMX_GUEST_CR0, 0x6800);
VALUE(VMX_GUEST_CR3, 0x6802);
VALUE(VMX_GUEST_CR4, 0x6804);
VALUE(VMX_GUEST_DR7, 0x681a);
VALUE(VMX_GUEST_RSP, 0x681c);
VALUE(VMX_GUEST_RIP, 0x681e);
VALUE(VMX_GUEST_RFLAGS, 0x6820);
VALUE(VMX_GUEST_PENDING_DEBUG_EXCEPTIONS, 0x6822);
VALUE(VMX_DATA_INSTRUCTION_ERROR, 0x4400);
VALUE(VMX_DATA_EXIT_REASON, 0x4402);
VALUE(VMX_DATA_EXIT_INTERRUPT_INFO, 0x4404);
VALUE(VMX_DATA_EXIT_INTERRUPT_ERROR, 0x4406);
VALUE(VMX_DATA_IDT_VECTOR_INFO, 0x4408);
VALUE(VMX_DATA_IDT_VECTOR_ERROR, 0x440a);
VALUE(VMX_DATA_EXIT_INSTRUCTION_LENGTH, 0x440c);
VALUE(VMX_DATA_EXIT_INSTRUCTION_INFO, 0x440e);
VALUE(VMX_DATA_EXIT_QUALIFICATION, 0x6400);
VALUE(VMX_DATA_IO_RCX, 0x6402);
VALUE(VMX_DATA_IO_RSI, 0x6404);
VALUE(VMX_DATA_IO_RDI, 0x6406);
VALUE(VMX_DATA_IO_RIP, 0x6408);
VALUE(VMX_DATA_GUEST_LINEAR_ADDRESS, 0x640a);
VALUE(VMX_DATA_GUEST_PHYSICAL, 0x2400);
VALUE(VMX_CONTROL_CR0_MASK, 0x6000);
VALUE(VMX_CONTROL_CR4_MASK, 0x6002);
VALUE(VMX_CONTROL_CR0_READ_SHADOW, 0x6004);
VALUE(VMX_CONTROL_CR4_READ_SHADOW, 0x6006);
VALUE(VMX_CONTROL_PIN_EXECUTION_CONTROLS, 0x4000);
VALUE(VMX_CONTROL_PRIMARY_PROCESSOR_CONTROLS, 0x4002);
VALUE(VMX_CONTROL_PPC_HLT_EXITING, 1ul << 7);
VALUE(VMX_CONTROL_PPC_CR3_LOAD_EXITING, 1ul << 15);
VALUE(VMX_CONTROL_PPC_CR3_STORE_EXITING, 1ul << 16);
VALUE(VMX_CONTROL_SECONDARY_PROCESSOR_CONTROLS, 0x401e);
VALUE(VMX_CONTROL_EXCEPTION_BITMAP, 0x4004);
VALUE(VMX_CONTROL_EXIT_CONTROLS, 0x400c);
VALUE(VMX_CONTROL_ENTRY_INTERRUPTION_INFO, 0x4016);
VALUE(VMX_CONTROL_ENTRY_EXCEPTION_ERROR_CODE, 0x4018);
VALUE(AR(S), 1ul << 4);
VALUE(AR(P), 1ul << 7);
VALUE(AR(AVL), 1ul << 12);
VALUE(AR(L), 1ul << 13);
VALUE(AR(DB), 1ul << 14);
VALUE(AR(G), 1ul << 15);
VALUE(AR(UNUSABLE), 1ul << 16);
VALUE(AR_T(BUSY_TSS), 0xb);
VALUE(AR_T(BUSY_16_TSS), 0x3);
VALUE(AR_T(LDT), 0x2);
VALUE(DEFAULT_TR_ACCESS_RIGHTS, 0x8b);
VALUE(DEFAULT_ACCESS_RIGHTS, 0xa093);

/* arch/vmexit_reasons.h: Intel SDM 3C, appendix C. The table is checked at run time, below. */

VALUE(VMX_EXIT_REASONS_FAILED_VMENTRY, 0x80000000);
VALUE(VM_EXIT_REASON_NUM, 59);
VALUE(EXIT_REASON_EXCEPTION_NMI, 0);
VALUE(EXIT_REASON_EXTERNAL_INTERRUPT, 1);
VALUE(EXIT_REASON_TRIPLE_FAULT, 2);
VALUE(EXIT_REASON_PENDING_INTERRUPT, 7);
VALUE(EXIT_REASON_NMI_WINDOW, 8);
VALUE(EXIT_REASON_TASK_SWITCH, 9);
VALUE(EXIT_REASON_CPUID, 10);
VALUE(EXIT_REASON_HLT, 12);
VALUE(EXIT_REASON_INVD, 13);
VALUE(EXIT_REASON_INVLPG, 14);
VALUE(EXIT_REASON_RDPMC, 15);
VALUE(EXIT_REASON_RDTSC, 16);
VALUE(EXIT_REASON_VMCALL, 18);
VALUE(EXIT_REASON_VMCLEAR, 19);
VALUE(EXIT_REASON_VMLAUNCH, 20);
VALUE(EXIT_REASON_VMPTRLD, 21);
VALUE(EXIT_REASON_VMPTRST, 22);
VALUE(EXIT_REASON_VMREAD, 23);
VALUE(EXIT_REASON_VMRESUME, 24);
VALUE(EXIT_REASON_VMWRITE, 25);
VALUE(EXIT_REASON_VMOFF, 26);
VALUE(EXIT_REASON_VMON, 27);
VALUE(EXIT_REASON_CR_ACCESS, 28);
VALUE(EXIT_REASON_DR_ACCESS, 29);
VALUE(EXIT_REASON_IO_INSTRUCTION, 30);
VALUE(EXIT_REASON_MSR_READ, 31);
VALUE(EXIT_REASON_MSR_WRITE, 32);
VALUE(EXIT_REASON_INVALID_STATE, 33);
VALUE(EXIT_REASON_MWAIT_INSTRUCTION, 36);
VALUE(EXIT_REASON_MONITOR_INSTRUCTION, 39);
VALUE(EXIT_REASON_PAUSE_INSTRUCTION, 40);
VALUE(EXIT_REASON_MCE_DURING_VMENTRY, 41);
VALUE(EXIT_REASON_TPR_BELOW_THRESHOLD, 43);
VALUE(EXIT_REASON_APIC_ACCESS, 44);
VALUE(EXIT_REASON_EPT_VIOLATION, 48);
VALUE(EXIT_REASON_EPT_MISCONFIG, 49);
VALUE(EXIT_REASON_VMX_TIMER, 52);
VALUE(EXIT_REASON_WBINVD, 54);
VALUE(EXIT_REASON_XSETBV, 55);
VALUE(EXIT_REASON_INVPCID, 58);

static void test_table_of_exit_reasons_names_each_once(void **state)
{
    static const struct {
        unsigned int number;
        const char *name;
    } reasons[] = {VMX_EXIT_REASONS};
    const char *names[VM_EXIT_REASON_NUM] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        assert_in_range(reasons[i].number, 0, VM_EXIT_REASON_NUM - 1);
        assert_null(names[reasons[i].number]);
        names[reasons[i].number] = reasons[i].name;
    }
    assert_int_equal(ARRAY_SIZE(reasons), 40);
    assert_string_equal(names[EXIT_REASON_EXCEPTION_NMI], "EXCEPTION_NMI");
    assert_string_equal(names[EXIT_REASON_IO_INSTRUCTION], "IO_INSTRUCTION");
    assert_string_equal(names[EXIT_REASON_EPT_VIOLATION], "EPT_VIOLATION");
    assert_string_equal(names[EXIT_REASON_INVPCID], "INVPCID");
}

#endif

static memory_fault_result_t never_called(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                          size_t fault_length, void *cookie)
{
    (void)vm, (void)vcpu, (void)fault_addr, (void)fault_length, (void)cookie;
    return FAULT_ERROR;
}

static int nr_evaluated;

static vm_t *no_vm(void)
{
    nr_evaluated++;
    return NULL;
}

static void test_both_forms_of_anonymous_reservation_evaluate_their_arguments_once(void **state)
{
    uintptr_t addr = 7;

    (void)state;
    nr_evaluated = 0;
    assert_null(vm_reserve_anon_memory(no_vm(), 4096, never_called, NULL, &addr));
    assert_int_equal(nr_evaluated, 1);
    assert_null(vm_reserve_anon_memory(no_vm(), 4096, 4096, never_called, NULL, &addr));
    assert_int_equal(nr_evaluated, 2);
    assert_int_equal(addr, 7);
}

static void test_frame_without_frame_is_an_initialiser(void **state)
{
    const vm_frame_t frame = {seL4_CapNull, seL4_NoRights, 0, 0};

    (void)state;
    assert_int_equal(frame.cptr, 0);
    assert_int_equal(frame.rights.words[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(CONFIG_ARCH_X86_64)
        cmocka_unit_test(test_table_of_exit_reasons_names_each_once),
#endif
        cmocka_unit_test(test_both_forms_of_anonymous_reservation_evaluate_their_arguments_once),
        cmocka_unit_test(test_frame_without_frame_is_an_initialiser),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
