/* Here lives the shape of the hosted environment's headers: each name's type, value and place, as
 * clients are compiled against; and what replacing single members of its structures does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <autoconf.h>
#include <platsupport/io.h>
#include <platsupport/irq.h>
#include <sel4/arch/bootinfo_types.h>
#include <sel4/sel4.h>
#include <sel4platsupport/io.h>
#include <sel4utils/sel4_zf_logif.h>
#include <simple/simple.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/cspacepath_t.h>
#include <vka/kobject_t.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/page.h>
#include <vspace/vspace.h>

#include "support/envs.h"
#include "support/shape.h"

/* sel4/sel4.h: words and capabilities */

SAME_TYPE(seL4_Word, unsigned long);
SAME_TYPE(seL4_CPtr, seL4_Word);
SAME_TYPE(seL4_CNode, seL4_CPtr);
VALUE(sizeof(seL4_Word), 8);
VALUE(sizeof(seL4_Int8), 1);
VALUE(sizeof(seL4_Int16), 2);
VALUE(sizeof(seL4_Int32), 4);
VALUE(sizeof(seL4_Int64), 8);
VALUE(sizeof(seL4_Uint8), 1);
VALUE(sizeof(seL4_Uint16), 2);
VALUE(sizeof(seL4_Uint32), 4);
VALUE(sizeof(seL4_Uint64), 8);
VALUE((seL4_Int64)-1 < 0, 1);
VALUE((seL4_Uint64)-1 > 0, 1);
VALUE(sizeof(seL4_Bool), 1);
VALUE(seL4_CapNull, 0);
VALUE(seL4_CapInitThreadPD, 3);
VALUE(seL4_CapInitThreadVSpace, 3);
VALUE(seL4_PageBits, 12);
VALUE(seL4_LargePageBits, 21);
VALUE(seL4_HugePageBits, 30);
VALUE(seL4_WordBits, 64);
VALUE(seL4_SlotBits, 5);
VALUE(seL4_BadgeBits, 64);
VALUE(sizeof("%" SEL4_PRIx_word SEL4_PRId_word SEL4_PRIu_word), sizeof("%lxldlu"));

MEMBER_TYPE(seL4_CapRights_t, words, seL4_Uint64[1]);
VALUE(sizeof(seL4_CapRights_t), 8);
FUNCTION(seL4_CapRights_new,
         seL4_CapRights_t (*)(seL4_Uint64, seL4_Uint64, seL4_Uint64, seL4_Uint64));
FUNCTION(seL4_CapRights_get_capAllowRead, seL4_Uint64 (*)(seL4_CapRights_t));
FUNCTION(seL4_CapRights_get_capAllowWrite, seL4_Uint64 (*)(seL4_CapRights_t));
MEMBER_TYPE(seL4_MessageInfo_t, words, seL4_Uint64[1]);
VALUE(sizeof(seL4_MessageInfo_t), 8);
FUNCTION(seL4_MessageInfo_new,
         seL4_MessageInfo_t (*)(seL4_Uint64, seL4_Uint64, seL4_Uint64, seL4_Uint64));
FUNCTION(seL4_MessageInfo_get_label, seL4_Uint64 (*)(seL4_MessageInfo_t));
FUNCTION(seL4_MessageInfo_get_length, seL4_Uint64 (*)(seL4_MessageInfo_t));
FUNCTION(seL4_MessageInfo_get_extraCaps, seL4_Uint64 (*)(seL4_MessageInfo_t));

VALUE(seL4_NoError, 0);
VALUE(seL4_InvalidArgument, 1);
VALUE(seL4_InvalidCapability, 2);
VALUE(seL4_IllegalOperation, 3);
VALUE(seL4_RangeError, 4);
VALUE(seL4_AlignmentError, 5);
VALUE(seL4_FailedLookup, 6);
VALUE(seL4_TruncatedMessage, 7);
VALUE(seL4_DeleteFirst, 8);
VALUE(seL4_RevokeFirst, 9);
VALUE(seL4_NotEnoughMemory, 10);
VALUE(seL4_NumErrors, 11);

VALUE(seL4_UntypedObject, 0);
VALUE(seL4_TCBObject, 1);
VALUE(seL4_EndpointObject, 2);
VALUE(seL4_NotificationObject, 3);
VALUE(seL4_CapTableObject, 4);

VALUE(SEL4_BOOTINFO_HEADER_PADDING, 0);
VALUE(SEL4_BOOTINFO_HEADER_X86_VBE, 1);
VALUE(SEL4_BOOTINFO_HEADER_X86_MBMMAP, 2);
VALUE(SEL4_BOOTINFO_HEADER_X86_ACPI_RSDP, 3);
VALUE(SEL4_BOOTINFO_HEADER_X86_FRAMEBUFFER, 4);
VALUE(SEL4_BOOTINFO_HEADER_X86_TSC_FREQ, 5);
VALUE(SEL4_BOOTINFO_HEADER_FDT, 6);

FUNCTION(seL4_Signal, void (*)(seL4_CPtr));
FUNCTION(seL4_Wait, void (*)(seL4_CPtr, seL4_Word *));
FUNCTION(seL4_Poll, seL4_MessageInfo_t (*)(seL4_CPtr, seL4_Word *));
FUNCTION(seL4_Send, void (*)(seL4_CPtr, seL4_MessageInfo_t));
FUNCTION(seL4_Recv, seL4_MessageInfo_t (*)(seL4_CPtr, seL4_Word *));
FUNCTION(seL4_Reply, void (*)(seL4_MessageInfo_t));
FUNCTION(seL4_GetMR, seL4_Word (*)(int));
FUNCTION(seL4_SetMR, void (*)(int, seL4_Word));
FUNCTION(seL4_CNode_Copy, seL4_Error (*)(seL4_CNode, seL4_Word, seL4_Uint8, seL4_CNode, seL4_Word,
                                         seL4_Uint8, seL4_CapRights_t));
FUNCTION(seL4_CNode_Delete, seL4_Error (*)(seL4_CNode, seL4_Word, seL4_Uint8));
FUNCTION(seL4_CNode_Revoke, seL4_Error (*)(seL4_CNode, seL4_Word, seL4_Uint8));
FUNCTION(seL4_DebugHalt, void (*)(void));

#if defined(CONFIG_ARCH_X86_64)

FIRST(seL4_VCPUContext, eax, seL4_Word);
NEXT(seL4_VCPUContext, eax, ebx, seL4_Word);
NEXT(seL4_VCPUContext, ebx, ecx, seL4_Word);
NEXT(seL4_VCPUContext, ecx, edx, seL4_Word);
NEXT(seL4_VCPUContext, edx, esi, seL4_Word);
NEXT(seL4_VCPUContext, esi, edi, seL4_Word);
NEXT(seL4_VCPUContext, edi, ebp, seL4_Word);
NEXT(seL4_VCPUContext, ebp, r8, seL4_Word);
NEXT(seL4_VCPUContext, r8, r9, seL4_Word);
NEXT(seL4_VCPUContext, r9, r10, seL4_Word);
NEXT(seL4_VCPUContext, r10, r11, seL4_Word);
NEXT(seL4_VCPUContext, r11, r12, seL4_Word);
NEXT(seL4_VCPUContext, r12, r13, seL4_Word);
NEXT(seL4_VCPUContext, r13, r14, seL4_Word);
NEXT(seL4_VCPUContext, r14, r15, seL4_Word);
LAST(seL4_VCPUContext, r15);

FIRST(seL4_UserContext, rip, seL4_Word);
NEXT(seL4_UserContext, rip, rsp, seL4_Word);
NEXT(seL4_UserContext, rsp, rflags, seL4_Word);
NEXT(seL4_UserContext, rflags, rax, seL4_Word);
NEXT(seL4_UserContext, rax, rbx, seL4_Word);
NEXT(seL4_UserContext, rbx, rcx, seL4_Word);
NEXT(seL4_UserContext, rcx, rdx, seL4_Word);
NEXT(seL4_UserContext, rdx, rsi, seL4_Word);
NEXT(seL4_UserContext, rsi, rdi, seL4_Word);
NEXT(seL4_UserContext, rdi, rbp, seL4_Word);
NEXT(seL4_UserContext, rbp, r8, seL4_Word);
NEXT(seL4_UserContext, r8, r9, seL4_Word);
NEXT(seL4_UserContext, r9, r10, seL4_Word);
NEXT(seL4_UserContext, r10, r11, seL4_Word);
NEXT(seL4_UserContext, r11, r12, seL4_Word);
NEXT(seL4_UserContext, r12, r13, seL4_Word);
NEXT(seL4_UserContext, r13, r14, seL4_Word);
NEXT(seL4_UserContext, r14, r15, seL4_Word);
NEXT(seL4_UserContext, r15, fs_base, seL4_Word);
NEXT(seL4_UserContext, fs_base, gs_base, seL4_Word);
LAST(seL4_UserContext, gs_base);

#endif

/* vka/ */

FIRST(cspacepath_t, capPtr, seL4_CPtr);
NEXT(cspacepath_t, capPtr, capDepth, seL4_Word);
NEXT(cspacepath_t, capDepth, root, seL4_CNode);
NEXT(cspacepath_t, root, dest, seL4_Word);
NEXT(cspacepath_t, dest, destDepth, seL4_Word);
NEXT(cspacepath_t, destDepth, offset, seL4_Word);
NEXT(cspacepath_t, offset, window, seL4_Word);
LAST(cspacepath_t, window);

FIRST(vka_object_t, cptr, seL4_CPtr);
NEXT(vka_object_t, cptr, ut, seL4_Word);
NEXT(vka_object_t, ut, type, seL4_Word);
NEXT(vka_object_t, type, size_bits, seL4_Word);
LAST(vka_object_t, size_bits);

SAME_TYPE(vka_cspace_alloc_fn, int (*)(void *, seL4_CPtr *));
SAME_TYPE(vka_cspace_make_path_fn, void (*)(void *, seL4_CPtr, cspacepath_t *));
SAME_TYPE(vka_utspace_alloc_fn,
          int (*)(void *, const cspacepath_t *, seL4_Word, seL4_Word, seL4_Word *));
SAME_TYPE(vka_utspace_alloc_maybe_device_fn,
          int (*)(void *, const cspacepath_t *, seL4_Word, seL4_Word, bool, seL4_Word *));
SAME_TYPE(vka_utspace_alloc_at_fn,
          int (*)(void *, const cspacepath_t *, seL4_Word, seL4_Word, uintptr_t, seL4_Word *));
SAME_TYPE(vka_cspace_free_fn, void (*)(void *, seL4_CPtr));
SAME_TYPE(vka_utspace_free_fn, void (*)(void *, seL4_Word, seL4_Word, seL4_Word));
SAME_TYPE(vka_utspace_paddr_fn, uintptr_t (*)(void *, seL4_Word, seL4_Word, seL4_Word));
FIRST(vka_t, data, void *);
NEXT(vka_t, data, cspace_alloc, vka_cspace_alloc_fn);
NEXT(vka_t, cspace_alloc, cspace_make_path, vka_cspace_make_path_fn);
NEXT(vka_t, cspace_make_path, utspace_alloc, vka_utspace_alloc_fn);
NEXT(vka_t, utspace_alloc, utspace_alloc_maybe_device, vka_utspace_alloc_maybe_device_fn);
NEXT(vka_t, utspace_alloc_maybe_device, utspace_alloc_at, vka_utspace_alloc_at_fn);
NEXT(vka_t, utspace_alloc_at, cspace_free, vka_cspace_free_fn);
NEXT(vka_t, cspace_free, utspace_free, vka_utspace_free_fn);
NEXT(vka_t, utspace_free, utspace_paddr, vka_utspace_paddr_fn);
LAST(vka_t, utspace_paddr);

FUNCTION(vka_cspace_alloc, int (*)(vka_t *, seL4_CPtr *));
FUNCTION(vka_cspace_alloc_path, int (*)(vka_t *, cspacepath_t *));
FUNCTION(vka_cspace_make_path, void (*)(vka_t *, seL4_CPtr, cspacepath_t *));
FUNCTION(vka_cspace_free, void (*)(vka_t *, seL4_CPtr));
FUNCTION(vka_cspace_free_path, void (*)(vka_t *, cspacepath_t));
FUNCTION(vka_alloc_frame, int (*)(vka_t *, uint32_t, vka_object_t *));
FUNCTION(vka_alloc_frame_maybe_device, int (*)(vka_t *, uint32_t, bool, vka_object_t *));
FUNCTION(vka_free_object, void (*)(vka_t *, vka_object_t *));
FUNCTION(vka_alloc_endpoint, int (*)(vka_t *, vka_object_t *));
FUNCTION(vka_alloc_notification, int (*)(vka_t *, vka_object_t *));
FUNCTION(vka_alloc_frame_leaky, seL4_CPtr (*)(vka_t *, uint32_t));
FUNCTION(vka_alloc_page_table_leaky, seL4_CPtr (*)(vka_t *));
FUNCTION(vka_cnode_copy, int (*)(const cspacepath_t *, const cspacepath_t *, seL4_CapRights_t));
FUNCTION(vka_cnode_mint,
         int (*)(const cspacepath_t *, const cspacepath_t *, seL4_CapRights_t, seL4_Word));
FUNCTION(vka_cnode_delete, int (*)(const cspacepath_t *));
FUNCTION(vka_utspace_alloc_at,
         int (*)(vka_t *, const cspacepath_t *, seL4_Word, seL4_Word, uintptr_t, seL4_Word *));
FUNCTION(vka_utspace_free, void (*)(vka_t *, seL4_Word, seL4_Word, seL4_Word));
FUNCTION(kobject_get_type, seL4_Word (*)(kobject_t, seL4_Word));

/* vspace/ */

SAME_TYPE(vspace_t, struct vspace);
SAME_TYPE(reservation_t, struct reservation);
FIRST(reservation_t, res, void *);
LAST(reservation_t, res);
FUNCTION(VSPACE_FREE, vka_t *);
FUNCTION(VSPACE_PRESERVE, vka_t *);

FIRST(vspace_new_pages_config_t, vaddr, void *);
NEXT(vspace_new_pages_config_t, vaddr, num_pages, size_t);
NEXT(vspace_new_pages_config_t, num_pages, size_bits, size_t);
NEXT(vspace_new_pages_config_t, size_bits, can_use_dev, bool);
LAST(vspace_new_pages_config_t, can_use_dev);
FUNCTION(default_vspace_new_pages_config, int (*)(size_t, size_t, vspace_new_pages_config_t *));
FUNCTION(vspace_new_pages_config_set_vaddr, int (*)(void *, vspace_new_pages_config_t *));
FUNCTION(vspace_new_pages_config_use_device_ut, int (*)(bool, vspace_new_pages_config_t *));

SAME_TYPE(vspace_new_pages_fn, void *(*)(vspace_t *, seL4_CapRights_t, size_t, size_t));
SAME_TYPE(vspace_map_pages_fn,
          void *(*)(vspace_t *, seL4_CPtr *, uintptr_t *, seL4_CapRights_t, size_t, size_t, int));
SAME_TYPE(vspace_new_pages_at_vaddr_fn,
          int (*)(vspace_t *, void *, size_t, size_t, reservation_t, bool));
SAME_TYPE(vspace_map_pages_at_vaddr_fn,
          int (*)(vspace_t *, seL4_CPtr *, uintptr_t *, void *, size_t, size_t, reservation_t));
SAME_TYPE(vspace_deferred_rights_map_pages_at_vaddr_fn,
          int (*)(vspace_t *, seL4_CPtr *, uintptr_t *, void *, size_t, size_t, seL4_CapRights_t,
                  reservation_t));
SAME_TYPE(vspace_unmap_pages_fn, void (*)(vspace_t *, void *, size_t, size_t, vka_t *));
SAME_TYPE(vspace_tear_down_fn, void (*)(vspace_t *, vka_t *));
SAME_TYPE(vspace_reserve_range_aligned_fn,
          reservation_t (*)(vspace_t *, size_t, size_t, seL4_CapRights_t, int, void **));
SAME_TYPE(vspace_reserve_range_at_fn,
          reservation_t (*)(vspace_t *, void *, size_t, seL4_CapRights_t, int));
SAME_TYPE(vspace_reserve_deferred_rights_range_at_fn,
          reservation_t (*)(vspace_t *, void *, size_t, int));
SAME_TYPE(vspace_free_reservation_fn, void (*)(vspace_t *, reservation_t));
SAME_TYPE(vspace_free_reservation_by_vaddr_fn, void (*)(vspace_t *, void *));
SAME_TYPE(vspace_get_cap_fn, seL4_CPtr (*)(vspace_t *, void *));
SAME_TYPE(vspace_get_root_fn, seL4_CPtr (*)(vspace_t *));
SAME_TYPE(vspace_get_cookie_fn, uintptr_t (*)(vspace_t *, void *));
SAME_TYPE(vspace_share_mem_at_vaddr_fn,
          int (*)(vspace_t *, vspace_t *, void *, int, size_t, void *, reservation_t));
SAME_TYPE(vspace_allocated_object_fn, void (*)(void *, vka_object_t));

FIRST(vspace_t, data, void *);
NEXT(vspace_t, data, new_pages, vspace_new_pages_fn);
NEXT(vspace_t, new_pages, map_pages, vspace_map_pages_fn);
NEXT(vspace_t, map_pages, new_pages_at_vaddr, vspace_new_pages_at_vaddr_fn);
NEXT(vspace_t, new_pages_at_vaddr, map_pages_at_vaddr, vspace_map_pages_at_vaddr_fn);
NEXT(vspace_t, map_pages_at_vaddr, deferred_rights_map_pages_at_vaddr,
     vspace_deferred_rights_map_pages_at_vaddr_fn);
NEXT(vspace_t, deferred_rights_map_pages_at_vaddr, unmap_pages, vspace_unmap_pages_fn);
NEXT(vspace_t, unmap_pages, tear_down, vspace_tear_down_fn);
NEXT(vspace_t, tear_down, reserve_range_aligned, vspace_reserve_range_aligned_fn);
NEXT(vspace_t, reserve_range_aligned, reserve_range_at, vspace_reserve_range_at_fn);
NEXT(vspace_t, reserve_range_at, reserve_deferred_rights_range_at,
     vspace_reserve_deferred_rights_range_at_fn);
NEXT(vspace_t, reserve_deferred_rights_range_at, free_reservation, vspace_free_reservation_fn);
NEXT(vspace_t, free_reservation, free_reservation_by_vaddr, vspace_free_reservation_by_vaddr_fn);
NEXT(vspace_t, free_reservation_by_vaddr, get_cap, vspace_get_cap_fn);
NEXT(vspace_t, get_cap, get_root, vspace_get_root_fn);
NEXT(vspace_t, get_root, get_cookie, vspace_get_cookie_fn);
NEXT(vspace_t, get_cookie, share_mem_at_vaddr, vspace_share_mem_at_vaddr_fn);
NEXT(vspace_t, share_mem_at_vaddr, allocated_object, vspace_allocated_object_fn);
NEXT(vspace_t, allocated_object, allocated_object_cookie, void *);
LAST(vspace_t, allocated_object_cookie);

FUNCTION(vspace_reserve_range_at, vspace_reserve_range_at_fn);
FUNCTION(vspace_reserve_deferred_rights_range_at, vspace_reserve_deferred_rights_range_at_fn);
FUNCTION(vspace_reserve_range_aligned, vspace_reserve_range_aligned_fn);
FUNCTION(vspace_reserve_range,
         reservation_t (*)(vspace_t *, size_t, seL4_CapRights_t, int, void **));
FUNCTION(vspace_map_pages_at_vaddr, vspace_map_pages_at_vaddr_fn);
FUNCTION(vspace_deferred_rights_map_pages_at_vaddr, vspace_deferred_rights_map_pages_at_vaddr_fn);
FUNCTION(vspace_new_pages_at_vaddr, int (*)(vspace_t *, void *, size_t, size_t, reservation_t));
FUNCTION(vspace_new_pages_at_vaddr_with_config,
         int (*)(vspace_t *, vspace_new_pages_config_t *, reservation_t));
FUNCTION(vspace_new_pages, vspace_new_pages_fn);
FUNCTION(vspace_new_pages_with_config,
         void *(*)(vspace_t *, vspace_new_pages_config_t *, seL4_CapRights_t));
FUNCTION(vspace_map_pages, vspace_map_pages_fn);
FUNCTION(vspace_unmap_pages, vspace_unmap_pages_fn);
FUNCTION(vspace_free_reservation, vspace_free_reservation_fn);
FUNCTION(vspace_free_reservation_by_vaddr, vspace_free_reservation_by_vaddr_fn);
FUNCTION(vspace_get_cap, vspace_get_cap_fn);
FUNCTION(vspace_get_cookie, vspace_get_cookie_fn);
FUNCTION(vspace_get_root, vspace_get_root_fn);
FUNCTION(vspace_share_mem_at_vaddr, vspace_share_mem_at_vaddr_fn);
FUNCTION(vspace_share_mem,
         void *(*)(vspace_t *, vspace_t *, void *, int, size_t, seL4_CapRights_t, int));
SAME_TYPE(vspace_access_callback_fn, int (*)(void *, void *, void *));
FUNCTION(vspace_access_page_with_callback,
         int (*)(vspace_t *, vspace_t *, void *, size_t, seL4_CapRights_t, int,
                 vspace_access_callback_fn, void *));
FUNCTION(vspace_tear_down, vspace_tear_down_fn);
FUNCTION(vspace_maybe_call_allocated_object, void (*)(vspace_t *, vka_object_t));
FUNCTION(vspace_new_sized_stack, void *(*)(vspace_t *, size_t));
FUNCTION(vspace_new_stack, void *(*)(vspace_t *));
FUNCTION(vspace_free_sized_stack, void (*)(vspace_t *, void *, size_t));
FUNCTION(vspace_free_stack, void (*)(vspace_t *, void *));
FUNCTION(vspace_new_ipc_buffer, void *(*)(vspace_t *, seL4_CPtr *));
FUNCTION(vspace_free_ipc_buffer, void (*)(vspace_t *, void *));
VALUE(SEL4_NUM_PAGE_SIZES, 3);
VALUE(sizeof(sel4_page_sizes), 3 * sizeof(size_t));
FUNCTION(sel4_valid_size_bits, bool (*)(size_t));
FUNCTION(sel4_page_size_bits_for_memory_region, size_t (*)(size_t));

/* simple/ */

FIRST(simple_t, data, void *);
NEXT(simple_t, data, frame_cap, seL4_Error (*)(void *, void *, int, cspacepath_t *));
NEXT(simple_t, frame_cap, frame_mapping, void *(*)(void *, void *, int));
NEXT(simple_t, frame_mapping, frame_info, void *(*)(void *, void *, int, seL4_CPtr *, seL4_Word *));
NEXT(simple_t, frame_info, ASID_assign, seL4_Error (*)(void *, seL4_CPtr));
NEXT(simple_t, ASID_assign, cap_count, int (*)(void *));
NEXT(simple_t, cap_count, nth_cap, seL4_CPtr (*)(void *, int));
NEXT(simple_t, nth_cap, init_cap, seL4_CPtr (*)(void *, seL4_CPtr));
NEXT(simple_t, init_cap, cnode_size, uint8_t (*)(void *));
NEXT(simple_t, cnode_size, untyped_count, int (*)(void *));
NEXT(simple_t, untyped_count, nth_untyped,
     seL4_CPtr (*)(void *, int, size_t *, uintptr_t *, bool *));
NEXT(simple_t, nth_untyped, userimage_count, int (*)(void *));
NEXT(simple_t, userimage_count, nth_userimage, seL4_CPtr (*)(void *, int));
NEXT(simple_t, nth_userimage, core_count, int (*)(void *));
NEXT(simple_t, core_count, print, void (*)(void *));
NEXT(simple_t, print, sched_ctrl, seL4_CPtr (*)(void *, int));
NEXT(simple_t, sched_ctrl, extended_bootinfo_len, ssize_t (*)(void *, seL4_Word));
NEXT(simple_t, extended_bootinfo_len, extended_bootinfo,
     ssize_t (*)(void *, seL4_Word, void *, ssize_t));
NEXT(simple_t, extended_bootinfo, arch_simple, arch_simple_t);
LAST(simple_t, arch_simple);
SAME_TYPE(simple_get_IRQ_handler_fn, seL4_Error (*)(void *, int, seL4_CNode, seL4_Word, uint8_t));
#if defined(CONFIG_ARCH_X86_64)
FIRST(arch_simple_t, data, void *);
NEXT(arch_simple_t, data, IOPort_cap,
     seL4_Error (*)(void *, uint16_t, uint16_t, seL4_Word, seL4_Word, seL4_Word));
NEXT(arch_simple_t, IOPort_cap, msi,
     seL4_Error (*)(void *, seL4_CNode, seL4_Word, uint8_t, seL4_Word, seL4_Word, seL4_Word,
                    seL4_Word, seL4_Word));
NEXT(arch_simple_t, msi, irq, simple_get_IRQ_handler_fn);
NEXT(arch_simple_t, irq, ioapic,
     seL4_Error (*)(void *, seL4_CNode, seL4_Word, uint8_t, seL4_Word, seL4_Word, seL4_Word,
                    seL4_Word, seL4_Word));
LAST(arch_simple_t, ioapic);
#endif
FUNCTION(simple_get_frame_cap, seL4_Error (*)(simple_t *, void *, int, cspacepath_t *));
FUNCTION(simple_get_extended_bootinfo, ssize_t (*)(simple_t *, seL4_Word, void *, ssize_t));
FUNCTION(simple_get_cnode, seL4_CPtr (*)(simple_t *));
FUNCTION(simple_get_cnode_size_bits, int (*)(simple_t *));
FUNCTION(simple_get_init_cap, seL4_CPtr (*)(simple_t *, seL4_CPtr));
FUNCTION(simple_get_pd, seL4_CPtr (*)(simple_t *));
FUNCTION(simple_last_valid_cap, seL4_CPtr (*)(simple_t *));
FUNCTION(simple_get_untyped_count, int (*)(simple_t *));
FUNCTION(simple_get_nth_untyped, seL4_CPtr (*)(simple_t *, int, size_t *, uintptr_t *, bool *));

/* platsupport/ */

SAME_TYPE(ps_io_ops_t, struct ps_io_ops);
FIRST(ps_io_ops_t, io_mapper, ps_io_mapper_t);
NEXT(ps_io_ops_t, io_mapper, io_port_ops, ps_io_port_ops_t);
NEXT(ps_io_ops_t, io_port_ops, dma_manager, ps_dma_man_t);
NEXT(ps_io_ops_t, dma_manager, io_fdt, ps_io_fdt_t);
#if defined(CONFIG_ARCH_X86_64)
NEXT(ps_io_ops_t, io_fdt, interface_registration_ops, ps_interface_registration_ops_t);
#endif
NEXT(ps_io_ops_t, interface_registration_ops, malloc_ops, ps_malloc_ops_t);
NEXT(ps_io_ops_t, malloc_ops, irq_ops, ps_irq_ops_t);
LAST(ps_io_ops_t, irq_ops);

FIRST(ps_malloc_ops_t, malloc, int (*)(void *, size_t, void **));
NEXT(ps_malloc_ops_t, malloc, calloc, int (*)(void *, size_t, size_t, void **));
NEXT(ps_malloc_ops_t, calloc, free, int (*)(void *, size_t, void *));
NEXT(ps_malloc_ops_t, free, cookie, void *);
LAST(ps_malloc_ops_t, cookie);
FUNCTION(ps_malloc, int (*)(const ps_malloc_ops_t *, size_t, void **));
FUNCTION(ps_calloc, int (*)(const ps_malloc_ops_t *, size_t, size_t, void **));
FUNCTION(ps_free, int (*)(const ps_malloc_ops_t *, size_t, void *));
FUNCTION(ps_new_stdlib_malloc_ops, int (*)(ps_malloc_ops_t *));
FUNCTION(sel4platsupport_new_malloc_ops, int (*)(ps_malloc_ops_t *));

VALUE(PS_MEM_NORMAL, 0);
VALUE(PS_MEM_HR, 1);
VALUE(PS_MEM_HW, 2);
FIRST(ps_io_mapper_t, cookie, void *);
NEXT(ps_io_mapper_t, cookie, io_map_fn, void *(*)(void *, uintptr_t, size_t, int, ps_mem_flags_t));
NEXT(ps_io_mapper_t, io_map_fn, io_unmap_fn, void (*)(void *, void *, size_t));
LAST(ps_io_mapper_t, io_unmap_fn);
FUNCTION(ps_io_map, void *(*)(const ps_io_mapper_t *, uintptr_t, size_t, int, ps_mem_flags_t));

VALUE(DMA_CACHE_OP_CLEAN, 0);
VALUE(DMA_CACHE_OP_INVALIDATE, 1);
VALUE(DMA_CACHE_OP_CLEAN_INVALIDATE, 2);
FIRST(ps_dma_man_t, cookie, void *);
NEXT(ps_dma_man_t, cookie, dma_alloc_fn, void *(*)(void *, size_t, int, int, ps_mem_flags_t));
NEXT(ps_dma_man_t, dma_alloc_fn, dma_free_fn, void (*)(void *, void *, size_t));
NEXT(ps_dma_man_t, dma_free_fn, dma_pin_fn, uintptr_t (*)(void *, void *, size_t));
NEXT(ps_dma_man_t, dma_pin_fn, dma_unpin_fn, void (*)(void *, void *, size_t));
NEXT(ps_dma_man_t, dma_unpin_fn, dma_cache_op_fn, void (*)(void *, void *, size_t, dma_cache_op_t));
LAST(ps_dma_man_t, dma_cache_op_fn);
FUNCTION(ps_dma_alloc, void *(*)(const ps_dma_man_t *, size_t, int, int, ps_mem_flags_t));
FUNCTION(ps_dma_free, void (*)(const ps_dma_man_t *, void *, size_t));
FUNCTION(ps_dma_pin, uintptr_t (*)(const ps_dma_man_t *, void *, size_t));
FUNCTION(ps_dma_unpin, void (*)(const ps_dma_man_t *, void *, size_t));

VALUE(PS_INTERRUPT, 3);
SAME_TYPE(irq_id_t, int);
SAME_TYPE(ps_irq_acknowledge_fn_t, int (*)(void *));
SAME_TYPE(irq_callback_fn_t, void (*)(void *, ps_irq_acknowledge_fn_t, void *));

/* utils/, sel4utils/ */

FUNCTION(sel4_strerror, const char *(*)(int));
VALUE(ZF_LOG_VERBOSE, 1);
VALUE(ZF_LOG_DEBUG, 2);
VALUE(ZF_LOG_INFO, 3);
VALUE(ZF_LOG_WARN, 4);
VALUE(ZF_LOG_ERROR, 5);
VALUE(ZF_LOG_FATAL, 0xffff);
VALUE(ZF_LOG_LEVEL, 4);
VALUE(BIT(63), 1ul << 63);
VALUE(LLBIT(40), 1ull << 40);
VALUE(MASK_UNSAFE(64), ~0ul);
VALUE(ROUND_UP_UNSAFE(9, 4), 12);
VALUE(ROUND_DOWN_UNSAFE(9, 4), 8);
VALUE(DIV_ROUND_UP_UNSAFE(9, 4), 3);
VALUE(ALIGN_UP(0x1001, 0x1000), 0x2000);
VALUE(ALIGN_DOWN(0x1fff, 0x1000), 0x1000);
VALUE(IS_ALIGNED(0x3000, 12), 1);
VALUE(PAGE_SIZE_4K, 4096);
FUNCTION(PAGE_SIZE_4K, unsigned long);
VALUE(PAGE_BITS_4K, 12);
VALUE(PAGE_BITS_2M, 21);
VALUE(PAGE_BITS_4M, 22);
VALUE(PAGE_BITS_1G, 30);
VALUE(PAGE_MASK_4K, 0xfff);
VALUE(PAGE_ALIGN(0x12345678, 0x1000), 0x12345000);
VALUE(PAGE_ALIGN_4K(0x12345678ul), 0x12345000ul);
VALUE(SIZE_BITS_TO_BYTES(21), 0x200000);
VALUE(MiB_TO_BYTES(4096), 1ul << 32);
VALUE(BYTES_TO_4K_PAGES(4097), 2);
VALUE(NS_IN_S, 1000000000);
VALUE(NS_IN_MS, 1000000);
FUNCTION(muldivu64, uint64_t (*)(uint64_t, uint64_t, uint64_t));
VALUE(config_set(CONFIG_ARCH_X86_64) + config_set(CONFIG_ARCH_AARCH64), 1);

/* Attributes, where client sources put them. */
typedef struct packed_pair {
    uint8_t first;
    uint32_t second;
} PACKED packed_pair_t;
VALUE(sizeof(packed_pair_t), 5);

typedef struct aligned_byte {
    uint8_t byte;
} ALIGN(64) aligned_byte_t;
VALUE(sizeof(aligned_byte_t), 64);

static int in_a_section SECTION("hostvm_test") USED = 3;

int weak_here(void) WEAK;
int weak_here(void)
{
    return in_a_section;
}

static NORETURN void leave_for_good(void) UNUSED;
static void leave_for_good(void)
{
    ZF_LOGF("never reached: this is compiled, not called");
}

static int must_look(void) WARN_UNUSED_RESULT;
static int must_look(void)
{
    return weak_here();
}

static void test_attributes_stand_where_clients_put_them(void **state)
{
    (void)state;
    assert_int_equal(must_look(), 3);
    assert_true(likely(must_look() == 3));
    assert_false(unlikely(must_look() != 3));
}

static void test_a_conditional_fatal_message_that_does_not_hold_may_have_an_else(void **state)
{
    int way = 0;

    (void)state;
    /* clang-format off */
    ZF_LOGF_IF(way != 0, "never")
    else {
        way = 1;
    }
    /* clang-format on */
    assert_int_equal(way, 1);
}

/* Clients save a member, put their own there and call the one they saved. */
static struct {
    seL4_Error (*frame_cap)(void *, void *, int, cspacepath_t *);
    simple_get_IRQ_handler_fn irq;
    int nr_calls;
} saved;

static seL4_Error own_frame_cap(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    saved.nr_calls++;
    return saved.frame_cap(data, paddr, size_bits, path);
}

static seL4_Error own_irq(void *data, int irq, seL4_CNode cnode, seL4_Word index, uint8_t depth)
{
    saved.nr_calls++;
    return saved.irq == NULL ? seL4_IllegalOperation : saved.irq(data, irq, cnode, index, depth);
}

static void test_single_members_of_the_start_up_environment_can_be_replaced(void **state)
{
    hostvm_env_t env = envs_create();
    cspacepath_t path;

    (void)state;
    saved.nr_calls = 0;
    saved.frame_cap = env.simple.frame_cap;
    saved.irq = env.simple.arch_simple.irq;
    env.simple.frame_cap = own_frame_cap;
    env.simple.arch_simple.irq = own_irq;
    assert_int_equal(vka_cspace_alloc_path(&env.vka, &path), 0);
    assert_int_not_equal(simple_get_frame_cap(&env.simple, (void *)0xfed00000, 12, &path), 0);
    assert_int_not_equal(simple_get_IRQ_handler(&env.simple, 4, path), 0);
    assert_int_equal(saved.nr_calls, 2);
    vka_cspace_free_path(&env.vka, path);
    hostvm_env_destroy(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_stand_where_clients_put_them),
        cmocka_unit_test(test_a_conditional_fatal_message_that_does_not_hold_may_have_an_else),
        cmocka_unit_test(test_single_members_of_the_start_up_environment_can_be_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
