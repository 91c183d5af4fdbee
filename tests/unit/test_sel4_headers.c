/* What the environment headers do by themselves: rights, masks, dispatch, missing operations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <platsupport/io.h>
#include <platsupport/plat/acpi/acpi.h>
#include <sel4/sel4.h>
#include <sel4platsupport/io.h>
#include <sel4utils/sel4_zf_logif.h>
#include <simple/simple.h>
#include <utils/util.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/* Usable where the language wants a constant. */
compile_time_assert(mask_is_constant, MASK_UNSAFE(12) == 0xfff);
compile_time_assert(page_size_is_constant, PAGE_SIZE_4K == 4096);
compile_time_assert(round_up_is_constant, ROUND_UP_UNSAFE(5, 4) == 8);
compile_time_assert(config_set_is_constant, config_set(CONFIG_PRINTING) == 1);

/* Layouts that others read: sizes from ACPI 6.5, 5.2, and VBE 3.0. */
compile_time_assert(rsdp_size, sizeof(acpi_rsdp_t) == 36);
compile_time_assert(header_size, sizeof(acpi_header_t) == 36);
compile_time_assert(fadt_size, sizeof(acpi_fadt_t) == 244);
compile_time_assert(fadt_x_dsdt, offsetof(acpi_fadt_t, x_dsdt_address) == 140);
compile_time_assert(madt_size, sizeof(acpi_madt_t) == 44);
compile_time_assert(local_apic_size, sizeof(acpi_madt_local_apic_t) == 8);
compile_time_assert(ioapic_size, sizeof(acpi_madt_ioapic_t) == 12);
compile_time_assert(hpet_size, sizeof(acpi_hpet_t) == 56);
#if defined(CONFIG_ARCH_X86_64)
compile_time_assert(vbe_info_size, sizeof(seL4_VBEInfoBlock_t) == 512);
compile_time_assert(vbe_mode_size, sizeof(seL4_VBEModeInfoBlock_t) == 256);
compile_time_assert(vcpu_context_size, sizeof(seL4_VCPUContext) == 15 * sizeof(seL4_Word));
compile_time_assert(user_context_size, sizeof(seL4_UserContext) == 20 * sizeof(seL4_Word));
#elif defined(CONFIG_ARCH_AARCH64)
compile_time_assert(user_context_size, sizeof(seL4_UserContext) == 36 * sizeof(seL4_Word));
compile_time_assert(user_context_x9, offsetof(seL4_UserContext, x9) == 17 * sizeof(seL4_Word));
compile_time_assert(vcpu_regs, seL4_VCPUReg_Num == 24);
#endif

/* The order that clients' initialisers and saved members rely on. */
compile_time_assert(vka_first, offsetof(vka_t, cspace_alloc) == sizeof(void *));
compile_time_assert(vka_last, offsetof(vka_t, utspace_paddr) == 8 * sizeof(void *));
compile_time_assert(vspace_deferred,
                    offsetof(vspace_t, deferred_rights_map_pages_at_vaddr) == 5 * sizeof(void *));
compile_time_assert(vspace_last,
                    offsetof(vspace_t, allocated_object_cookie) == 18 * sizeof(void *));
compile_time_assert(simple_arch, offsetof(simple_t, arch_simple) == 18 * sizeof(void *));

static void test_rights_keep_their_bits(void **state)
{
    (void)state;
    assert_int_equal(seL4_CapRights_new(1, 0, 0, 0).words[0], 8);
    assert_int_equal(seL4_CapRights_new(0, 1, 0, 0).words[0], 4);
    assert_int_equal(seL4_CanRead.words[0], 2);
    assert_int_equal(seL4_CanWrite.words[0], 1);
    assert_int_equal(seL4_ReadWrite.words[0], 3);
    assert_int_equal(seL4_AllRights.words[0], 15);
    assert_int_equal(seL4_NoWrite.words[0], 14);
    assert_int_equal(seL4_NoRead.words[0], 13);
    assert_int_equal(seL4_CapRights_get_capAllowRead(seL4_CanRead), 1);
    assert_int_equal(seL4_CapRights_get_capAllowWrite(seL4_CanRead), 0);
    assert_int_equal(seL4_CapRights_get_capAllowGrant(seL4_CanGrant), 1);
    assert_int_equal(seL4_CapRights_get_capAllowGrantReply(seL4_CanGrantReply), 1);
}

static void test_rights_count_only_the_lowest_bit_of_each_flag(void **state)
{
    (void)state;
    assert_int_equal(seL4_CapRights_new(2, 4, 6, 3).words[0], 1);
}

static void test_rights_initialise_a_structure_member(void **state)
{
    struct {
        seL4_CPtr cptr;
        seL4_CapRights_t rights;
        uintptr_t vaddr;
    } frame = {seL4_CapNull, seL4_NoRights, 0};

    (void)state;
    assert_int_equal(frame.rights.words[0], 0);
}

static void test_message_header_keeps_its_fields(void **state)
{
    const seL4_MessageInfo_t info = seL4_MessageInfo_new(0xabcde12345ul, 5, 2, 120);

    (void)state;
    assert_int_equal(seL4_MessageInfo_get_label(info), 0xabcde12345ul);
    assert_int_equal(seL4_MessageInfo_get_capsUnwrapped(info), 5);
    assert_int_equal(seL4_MessageInfo_get_extraCaps(info), 2);
    assert_int_equal(seL4_MessageInfo_get_length(info), 120);
    assert_int_equal(info.words[0], 0xabcde12345ul << 12 | 5 << 9 | 2 << 7 | 120);
}

static void test_message_header_cuts_what_does_not_fit(void **state)
{
    const seL4_MessageInfo_t info = seL4_MessageInfo_new(0, 8, 4, 128);

    (void)state;
    assert_int_equal(info.words[0], 0);
}

static void test_mask_covers_one_to_all_bits(void **state)
{
    (void)state;
    assert_int_equal(MASK(1), 1);
    assert_int_equal(MASK(12), 0xfff);
    assert_int_equal(MASK(64), ~0ul);
}

static void test_rounding(void **state)
{
    (void)state;
    assert_int_equal(ROUND_UP(0, 3), 0);
    assert_int_equal(ROUND_UP(7, 3), 9);
    assert_int_equal(ROUND_UP(9, 3), 9);
    assert_int_equal(ROUND_DOWN(8, 3), 6);
    assert_int_equal(DIV_ROUND_UP(8, 3), 3);
    assert_int_equal(DIV_ROUND_UP(9, 3), 3);
    assert_int_equal(DIV_ROUND_UP(UINT64_MAX, 2), UINT64_MAX / 2 + 1);
    assert_int_equal(ALIGN_UP(0x1001, 0x1000), 0x2000);
    assert_int_equal(ALIGN_DOWN(0x1fff, 0x1000), 0x1000);
    assert_int_equal(PAGE_ALIGN_4K(0x1fff), 0x1000);
    assert_int_equal(BYTES_TO_4K_PAGES(4097), 2);
    assert_int_equal(BYTES_TO_4K_PAGES(4096), 1);
    assert_true(IS_ALIGNED(0x2000, 12));
    assert_false(IS_ALIGNED(0x2001, 12));
    assert_true(IS_ALIGNED(1, 0));
}

static void test_rounding_keeps_the_type(void **state)
{
    const uint8_t byte = 250;

    (void)state;
    assert_int_equal(sizeof(ROUND_UP(byte, 4)), sizeof(byte));
    assert_int_equal(ROUND_DOWN(byte, 100), 200);
}

static void test_macros_evaluate_once_and_nest(void **state)
{
    int n = 0;

    (void)state;
    assert_int_equal(MIN(++n, 10), 1);
    assert_int_equal(MAX(++n, 1), 2);
    assert_int_equal(ROUND_UP(++n, 4), 4);
    assert_int_equal(n, 3);
    assert_int_equal(MIN(5, MIN(4, MAX(3, ROUND_UP(1, 2)))), 3);
}

static void test_sizes_and_their_logarithms(void **state)
{
    (void)state;
    assert_int_equal(BYTES_TO_SIZE_BITS(1ul), 0);
    assert_int_equal(BYTES_TO_SIZE_BITS(4096ul), 12);
    assert_int_equal(BYTES_TO_SIZE_BITS(8191ul), 12);
    assert_int_equal(SIZE_BITS_TO_BYTES(21), 2097152);
    assert_int_equal(MiB_TO_BYTES(4096), 4294967296ul);
    assert_int_equal(muldivu64(UINT64_MAX, 6, 12), UINT64_MAX / 2);
}

static void test_config_set_is_1_only_for_1(void **state)
{
    (void)state;
    assert_int_equal(config_set(CONFIG_PRINTING), 1);
    assert_int_equal(config_set(CONFIG_IOMMU), 0);
    assert_int_equal(config_set(CONFIG_WORD_SIZE), 0);
}

static void test_error_names(void **state)
{
    (void)state;
    assert_string_equal(sel4_strerror(seL4_NoError), "seL4_NoError");
    assert_string_equal(sel4_strerror(seL4_NotEnoughMemory), "seL4_NotEnoughMemory");
    assert_string_equal(sel4_strerror(seL4_NumErrors), "unknown error");
    assert_string_equal(sel4_strerror(-1), "unknown error");
}

static void test_frame_types_exist_for_three_sizes(void **state)
{
    (void)state;
    assert_int_equal(kobject_get_type(KOBJECT_FRAME, 12), HOSTVM_FRAME_4K_OBJECT);
    assert_int_equal(kobject_get_type(KOBJECT_FRAME, 21), HOSTVM_FRAME_2M_OBJECT);
    assert_int_equal(kobject_get_type(KOBJECT_FRAME, 30), HOSTVM_FRAME_1G_OBJECT);
    assert_int_equal(kobject_get_type(KOBJECT_FRAME, 13), (seL4_Word)-1);
    assert_int_equal(kobject_get_type(KOBJECT_NOTIFICATION, 0), seL4_NotificationObject);
    assert_int_equal(kobject_get_type(NUM_KOBJECT_TYPES, 12), (seL4_Word)-1);
}

static void test_valid_size_bits(void **state)
{
    size_t bits;

    (void)state;
    for (bits = 0; bits < 64; bits++) {
        assert_int_equal(sel4_valid_size_bits(bits), bits == 12 || bits == 21 || bits == 30);
    }
    assert_int_equal(ARRAY_SIZE(sel4_page_sizes), SEL4_NUM_PAGE_SIZES);
}

static void test_page_size_for_region_is_the_largest_that_divides_it(void **state)
{
    (void)state;
    assert_int_equal(sel4_page_size_bits_for_memory_region(0), 12);
    assert_int_equal(sel4_page_size_bits_for_memory_region(4096), 12);
    assert_int_equal(sel4_page_size_bits_for_memory_region(BIT(21)), 21);
    assert_int_equal(sel4_page_size_bits_for_memory_region(BIT(21) + 4096), 12);
    assert_int_equal(sel4_page_size_bits_for_memory_region(3 * BIT(30)), 30);
}

/* Heap dispatch. */

/* The address sanitizer would otherwise end the program where malloc fails. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static int failing_malloc(void *cookie, size_t size, void **ptr)
{
    (void)size;
    (void)ptr;
    return *(int *)cookie;
}

static void test_malloc_dispatch_codes(void **state)
{
    static const ps_malloc_ops_t empty;
    ps_malloc_ops_t ops = {0};
    int code = ENOMEM;
    void *ptr = &code;

    (void)state;
    assert_int_equal(ps_malloc(NULL, 8, &ptr), EINVAL);
    assert_int_equal(ps_calloc(NULL, 1, 8, &ptr), EINVAL);
    assert_int_equal(ps_free(NULL, 8, ptr), EINVAL);
    assert_int_equal(ps_malloc(&empty, 8, &ptr), ENOSYS);
    assert_int_equal(ps_calloc(&empty, 1, 8, &ptr), ENOSYS);
    assert_int_equal(ps_free(&empty, 8, ptr), ENOSYS);
    ops.malloc = failing_malloc;
    ops.cookie = &code;
    assert_int_equal(ps_malloc(&ops, 8, NULL), EINVAL);
    assert_int_equal(ps_malloc(&ops, 8, &ptr), ENOMEM);
    assert_int_equal(ps_malloc(&ops, 0, &ptr), 0);
    assert_ptr_equal(ptr, &code);
}

static void test_stdlib_malloc_ops_allocate_zero_and_free(void **state)
{
    ps_malloc_ops_t ops;
    void *ptr = NULL;

    (void)state;
    assert_int_equal(ps_new_stdlib_malloc_ops(NULL), EINVAL);
    assert_int_equal(sel4platsupport_new_malloc_ops(&ops), 0);
    assert_int_equal(ps_malloc(&ops, 16, &ptr), 0);
    memset(ptr, 0xff, 16);
    assert_int_equal(ps_free(&ops, 16, ptr), 0);
    assert_int_equal(ps_calloc(&ops, 4, 4, &ptr), 0);
    assert_int_equal(*(uint32_t *)ptr, 0);
    assert_int_equal(ps_free(&ops, 16, ptr), 0);
    assert_int_equal(ps_free(&ops, 16, NULL), EINVAL);
    ptr = &ops;
    assert_int_equal(ps_calloc(&ops, SIZE_MAX, SIZE_MAX, &ptr), ENOMEM);
    assert_ptr_equal(ptr, &ops);
    assert_int_equal(ps_calloc(&ops, 0, 4, &ptr), 0);
    assert_int_equal(ps_calloc(&ops, 4, 0, &ptr), 0);
    assert_ptr_equal(ptr, &ops);
}

static void test_missing_driver_operations_have_answers(void **state)
{
    static const ps_io_ops_t none;
    const ps_irq_t irq = {.type = PS_INTERRUPT};
    uint32_t result = 7;
    char byte;

    (void)state;
    assert_null(ps_io_map(NULL, 0, 4096, 0, PS_MEM_NORMAL));
    assert_null(ps_io_map(&none.io_mapper, 0, 4096, 0, PS_MEM_NORMAL));
    ps_io_unmap(&none.io_mapper, &byte, 1);
    assert_null(ps_dma_alloc(&none.dma_manager, 8, 8, 1, PS_MEM_NORMAL));
    assert_int_equal(ps_dma_pin(&none.dma_manager, &byte, 1), 0);
    ps_dma_unpin(&none.dma_manager, &byte, 1);
    ps_dma_free(&none.dma_manager, &byte, 1);
    ps_dma_cache_op(NULL, &byte, 1, DMA_CACHE_OP_CLEAN);
    assert_null(ps_io_fdt_get(&none.io_fdt));
    assert_null(ps_io_fdt_get(NULL));
    assert_int_equal(ps_io_port_in(NULL, 0x70, 1, &result), EINVAL);
    assert_int_equal(ps_io_port_in(&none.io_port_ops, 0x70, 1, &result), ENOSYS);
    assert_int_equal(ps_io_port_out(NULL, 0x70, 1, 0), EINVAL);
    assert_int_equal(ps_io_port_out(&none.io_port_ops, 0x70, 1, 0), ENOSYS);
    assert_int_equal(result, 7);
    assert_int_equal(ps_irq_register(NULL, irq, NULL, NULL), -EINVAL);
    assert_int_equal(ps_irq_register(&none.irq_ops, irq, NULL, NULL), -ENOSYS);
    assert_int_equal(ps_irq_unregister(NULL, 0), -EINVAL);
    assert_int_equal(ps_irq_unregister(&none.irq_ops, 0), -ENOSYS);
}

/* Address spaces that are missing or offer nothing. */

static void check_lacking_vspace(vspace_t *vspace)
{
    vspace_new_pages_config_t config;
    const reservation_t reservation = {&config};
    seL4_CPtr cap = 1;
    void *vaddr = &config;
    void *const page = vaddr;

    assert_int_equal(default_vspace_new_pages_config(1, 12, &config), 0);
    assert_null(vspace_new_pages(vspace, seL4_AllRights, 1, 12));
    assert_null(vspace_map_pages(vspace, &cap, NULL, seL4_AllRights, 1, 12, 1));
    assert_int_equal(vspace_new_pages_at_vaddr(vspace, page, 1, 12, reservation), -1);
    assert_int_equal(vspace_new_pages_at_vaddr_with_config(vspace, &config, reservation), -1);
    assert_int_equal(vspace_map_pages_at_vaddr(vspace, &cap, NULL, page, 1, 12, reservation), -1);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(vspace, &cap, NULL, page, 1, 12,
                                                               seL4_AllRights, reservation),
                     -1);
    vspace_unmap_pages(vspace, page, 1, 12, NULL);
    vspace_tear_down(vspace, NULL);
    assert_null(vspace_reserve_range(vspace, 4096, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range_at(vspace, page, 4096, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_deferred_rights_range_at(vspace, page, 4096, 1).res);
    vspace_free_reservation(vspace, reservation);
    vspace_free_reservation_by_vaddr(vspace, page);
    assert_int_equal(vspace_get_cap(vspace, page), seL4_CapNull);
    assert_int_equal(vspace_get_root(vspace), seL4_CapNull);
    assert_int_equal(vspace_get_cookie(vspace, page), 0);
    assert_int_equal(vspace_share_mem_at_vaddr(vspace, vspace, page, 1, 12, page, reservation), -1);
    assert_ptr_equal(vaddr, &config);
}

static void test_missing_vspace_is_refused_everywhere(void **state)
{
    (void)state;
    check_lacking_vspace(NULL);
    vspace_maybe_call_allocated_object(NULL, (vka_object_t){0});
}

static void test_vspace_without_operations_is_refused_everywhere(void **state)
{
    vspace_t empty = {0};

    (void)state;
    check_lacking_vspace(&empty);
    vspace_maybe_call_allocated_object(&empty, (vka_object_t){0});
}

/* Every operation that must not be reached. */

static reservation_t never_reserve_aligned(vspace_t *vspace, size_t bytes, size_t size_bits,
                                           seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    (void)vspace, (void)bytes, (void)size_bits, (void)rights, (void)cacheable, (void)vaddr;
    fail();
    return vspace_no_reservation();
}

static reservation_t never_reserve_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                      seL4_CapRights_t rights, int cacheable)
{
    (void)vspace, (void)vaddr, (void)bytes, (void)rights, (void)cacheable;
    fail();
    return vspace_no_reservation();
}

static reservation_t never_reserve_deferred(vspace_t *vspace, void *vaddr, size_t bytes,
                                            int cacheable)
{
    (void)vspace, (void)vaddr, (void)bytes, (void)cacheable;
    fail();
    return vspace_no_reservation();
}

static void *never_new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                             size_t size_bits)
{
    (void)vspace, (void)rights, (void)num_pages, (void)size_bits;
    fail();
    return NULL;
}

static void *never_map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                             seL4_CapRights_t rights, size_t num_pages, size_t size_bits,
                             int cacheable)
{
    (void)vspace, (void)caps, (void)cookies, (void)rights, (void)num_pages, (void)size_bits;
    (void)cacheable;
    fail();
    return NULL;
}

static int never_new_at(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                        reservation_t reservation, bool can_use_dev)
{
    (void)vspace, (void)vaddr, (void)num_pages, (void)size_bits, (void)reservation;
    (void)can_use_dev;
    fail();
    return 0;
}

static int never_map_at(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                        size_t num_pages, size_t size_bits, reservation_t reservation)
{
    (void)vspace, (void)caps, (void)cookies, (void)vaddr, (void)num_pages, (void)size_bits;
    (void)reservation;
    fail();
    return 0;
}

static int never_share(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                       void *vaddr, reservation_t res)
{
    (void)from, (void)to, (void)start, (void)num_pages, (void)size_bits, (void)vaddr, (void)res;
    fail();
    return 0;
}

static void never_unmap(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                        vka_t *vka)
{
    (void)vspace, (void)vaddr, (void)num_pages, (void)size_bits, (void)vka;
    fail();
}

static void test_senseless_vspace_requests_stop_at_the_wrapper(void **state)
{
    vspace_t vspace = {
        .new_pages = never_new_pages,
        .map_pages = never_map_pages,
        .new_pages_at_vaddr = never_new_at,
        .map_pages_at_vaddr = never_map_at,
        .unmap_pages = never_unmap,
        .reserve_range_aligned = never_reserve_aligned,
        .reserve_range_at = never_reserve_at,
        .reserve_deferred_rights_range_at = never_reserve_deferred,
        .share_mem_at_vaddr = never_share,
    };
    const reservation_t some = {&vspace};
    seL4_CPtr cap = 1;
    void *vaddr;

    (void)state;
    assert_null(vspace_new_pages(&vspace, seL4_AllRights, 0, 12));
    assert_null(vspace_new_pages(&vspace, seL4_AllRights, 1, 13));
    assert_null(vspace_map_pages(&vspace, NULL, NULL, seL4_AllRights, 1, 12, 1));
    assert_null(vspace_map_pages(&vspace, &cap, NULL, seL4_AllRights, 0, 12, 1));
    assert_null(vspace_map_pages(&vspace, &cap, NULL, seL4_AllRights, 1, 20, 1));
    assert_int_equal(vspace_new_pages_at_vaddr(&vspace, &vspace, 0, 12, some), -1);
    assert_int_equal(vspace_new_pages_at_vaddr(&vspace, &vspace, 1, 12, vspace_no_reservation()),
                     -1);
    assert_int_equal(vspace_new_pages_at_vaddr_with_config(&vspace, NULL, some), -1);
    assert_int_equal(vspace_map_pages_at_vaddr(&vspace, &cap, NULL, &vspace, 0, 12, some), -1);
    assert_null(vspace_reserve_range(&vspace, 0, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range(&vspace, 4096, seL4_AllRights, 1, NULL).res);
    assert_null(vspace_reserve_range_aligned(&vspace, 1, 11, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range_at(&vspace, &vspace, 0, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_deferred_rights_range_at(&vspace, &vspace, 0, 1).res);
    assert_int_equal(vspace_share_mem_at_vaddr(&vspace, &vspace, &cap, 0, 12, &cap, some), -1);
    assert_int_equal(vspace_share_mem_at_vaddr(&vspace, &vspace, &cap, -1, 12, &cap, some), -1);
    assert_int_equal(vspace_share_mem_at_vaddr(&vspace, NULL, &cap, 1, 12, &cap, some), -1);
    vspace_unmap_pages(&vspace, &cap, 0, 12, NULL);
}

static int map_deferred_here(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                             size_t num_pages, size_t size_bits, seL4_CapRights_t rights,
                             reservation_t reservation)
{
    assert_int_equal(caps[0], 5);
    assert_null(cookies);
    assert_null(vaddr);
    assert_int_equal(num_pages, 1);
    assert_int_equal(size_bits, 12);
    assert_int_equal(rights.words[0], seL4_CanRead.words[0]);
    assert_ptr_equal(reservation.res, vspace);
    return 42;
}

static void test_deferred_mapping_hands_everything_on_even_for_address_0(void **state)
{
    vspace_t vspace = {.deferred_rights_map_pages_at_vaddr = map_deferred_here};
    const reservation_t reservation = {&vspace};
    seL4_CPtr cap = 5;

    (void)state;
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&vspace, &cap, NULL, NULL, 1, 12,
                                                               seL4_CanRead, reservation),
                     42);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&vspace, &cap, NULL, NULL, 0, 12,
                                                               seL4_CanRead, reservation),
                     -1);
}

static void count_object(void *cookie, vka_object_t object)
{
    *(seL4_CPtr *)cookie += object.cptr;
}

static void test_allocated_object_reaches_the_hook(void **state)
{
    seL4_CPtr sum = 0;
    vspace_t vspace = {.allocated_object = count_object, .allocated_object_cookie = &sum};

    (void)state;
    vspace_maybe_call_allocated_object(&vspace, (vka_object_t){.cptr = 9});
    assert_int_equal(sum, 9);
}

static void test_new_pages_config_is_filled_in_and_changed(void **state)
{
    vspace_new_pages_config_t config = {&config, 9, 9, true};

    (void)state;
    assert_int_equal(default_vspace_new_pages_config(0, 12, &config), -1);
    assert_int_equal(config.num_pages, 9);
    assert_int_equal(default_vspace_new_pages_config(3, 21, &config), 0);
    assert_null(config.vaddr);
    assert_int_equal(config.num_pages, 3);
    assert_int_equal(config.size_bits, 21);
    assert_false(config.can_use_dev);
    assert_int_equal(vspace_new_pages_config_set_vaddr(&config, &config), 0);
    assert_ptr_equal(config.vaddr, &config);
    assert_int_equal(vspace_new_pages_config_use_device_ut(true, &config), 0);
    assert_true(config.can_use_dev);
}

static void test_missing_new_pages_config_is_refused(void **state)
{
    (void)state;
    assert_int_equal(default_vspace_new_pages_config(1, 12, NULL), -1);
    assert_int_equal(vspace_new_pages_config_set_vaddr(NULL, NULL), -1);
    assert_int_equal(vspace_new_pages_config_use_device_ut(true, NULL), -1);
}

/* An allocator that counts slots and fails on request. */

struct counting_vka {
    int nr_slots;
    int alloc_result;
    seL4_Word last_type;
};

static int counting_cspace_alloc(void *data, seL4_CPtr *res)
{
    struct counting_vka *counting = data;

    counting->nr_slots++;
    *res = 77;
    return 0;
}

static void counting_make_path(void *data, seL4_CPtr slot, cspacepath_t *res)
{
    (void)data;
    memset(res, 0, sizeof(*res));
    res->capPtr = slot;
}

static int counting_utspace_alloc(void *data, const cspacepath_t *dest, seL4_Word type,
                                  seL4_Word size_bits, seL4_Word *res)
{
    struct counting_vka *counting = data;

    (void)size_bits;
    assert_int_equal(dest->capPtr, 77);
    counting->last_type = type;
    *res = 5;
    return counting->alloc_result;
}

static void counting_cspace_free(void *data, seL4_CPtr slot)
{
    struct counting_vka *counting = data;

    assert_int_equal(slot, 77);
    counting->nr_slots--;
}

static vka_t counting_vka_make(struct counting_vka *counting)
{
    const vka_t vka = {
        .data = counting,
        .cspace_alloc = counting_cspace_alloc,
        .cspace_make_path = counting_make_path,
        .utspace_alloc = counting_utspace_alloc,
        .cspace_free = counting_cspace_free,
    };

    return vka;
}

static void test_allocated_frame_is_described(void **state)
{
    struct counting_vka counting = {0};
    vka_t vka = counting_vka_make(&counting);
    vka_object_t object;

    (void)state;
    assert_int_equal(vka_alloc_frame(&vka, 21, &object), 0);
    assert_int_equal(object.cptr, 77);
    assert_int_equal(object.ut, 5);
    assert_int_equal(object.type, HOSTVM_FRAME_2M_OBJECT);
    assert_int_equal(object.size_bits, 21);
    assert_int_equal(counting.nr_slots, 1);
    assert_int_equal(vka_alloc_page_table_leaky(&vka), 77);
    assert_int_equal(counting.last_type, HOSTVM_PAGE_TABLE_OBJECT);
}

static void test_failed_allocation_gives_its_slot_back(void **state)
{
    struct counting_vka counting = {.alloc_result = -1};
    vka_t vka = counting_vka_make(&counting);
    const vka_object_t none = {0};
    vka_object_t object = {1, 2, 3, 4};

    (void)state;
    assert_int_equal(vka_alloc_frame(&vka, 12, &object), -1);
    assert_memory_equal(&object, &none, sizeof(none));
    assert_int_equal(counting.nr_slots, 0);
    assert_int_equal(vka_alloc_frame_leaky(&vka, 12), seL4_CapNull);
    assert_int_equal(vka_alloc_notification_leaky(&vka), seL4_CapNull);
    assert_int_equal(counting.nr_slots, 0);
}

static void test_frame_of_unknown_size_takes_nothing(void **state)
{
    struct counting_vka counting = {0};
    vka_t vka = counting_vka_make(&counting);
    const vka_object_t none = {0};
    vka_object_t object = {1, 2, 3, 4};

    (void)state;
    assert_int_equal(vka_alloc_frame(&vka, 13, &object), -1);
    assert_memory_equal(&object, &none, sizeof(none));
    assert_int_equal(vka_alloc_frame_maybe_device(&vka, 0, true, NULL), -1);
    assert_int_equal(vka_alloc_frame_at(&vka, 64, 0, &object), -1);
    assert_int_equal(vka_alloc_frame(&vka, 12, NULL), -1);
    assert_int_equal(counting.nr_slots, 0);
}

static void test_missing_allocator_operations_are_refused(void **state)
{
    vka_t empty = {0};
    cspacepath_t path = {.capPtr = 3};
    seL4_CPtr slot;
    seL4_Word cookie;

    (void)state;
    assert_int_equal(vka_cspace_alloc(NULL, &slot), -1);
    assert_int_equal(vka_cspace_alloc(&empty, &slot), -1);
    assert_int_equal(vka_cspace_alloc(&empty, NULL), -1);
    assert_int_equal(vka_cspace_alloc_path(&empty, &path), -1);
    assert_int_equal(vka_cspace_alloc_path(&empty, NULL), -1);
    vka_cspace_make_path(&empty, 9, &path);
    assert_int_equal(path.capPtr, 0);
    vka_cspace_make_path(&empty, 9, NULL);
    vka_cspace_free(&empty, 9);
    vka_cspace_free_path(NULL, path);
    assert_int_equal(vka_utspace_alloc(&empty, &path, 0, 12, &cookie), -1);
    assert_int_equal(vka_utspace_alloc_maybe_device(&empty, &path, 0, 12, true, &cookie), -1);
    assert_int_equal(vka_utspace_alloc_at(&empty, &path, 0, 12, 0, &cookie), -1);
    vka_utspace_free(&empty, 0, 12, 5);
    assert_int_equal(vka_utspace_paddr(&empty, 5, 0, 12), VKA_NO_PADDR);
}

static void test_operations_on_missing_paths_are_refused(void **state)
{
    const cspacepath_t path = {0};

    (void)state;
    assert_int_equal(vka_cnode_copy(NULL, &path, seL4_AllRights), seL4_InvalidArgument);
    assert_int_equal(vka_cnode_mint(&path, NULL, seL4_AllRights, 1), seL4_InvalidArgument);
    assert_int_equal(vka_cnode_move(NULL, NULL), seL4_InvalidArgument);
    assert_int_equal(vka_cnode_delete(NULL), seL4_InvalidArgument);
    assert_int_equal(vka_cnode_revoke(NULL), seL4_InvalidArgument);
}

static void check_lacking_simple(simple_t *simple)
{
    const cspacepath_t path = {0};
    cspacepath_t dest = {0};

    assert_int_equal(simple_get_frame_cap(simple, NULL, 12, &dest), seL4_InvalidArgument);
    assert_null(simple_get_frame_vaddr(simple, NULL, 12));
    assert_null(simple_get_frame_info(simple, NULL, 12, NULL, NULL));
    assert_int_equal(simple_ASIDPool_assign(simple, 1), seL4_InvalidArgument);
    assert_int_equal(simple_get_IRQ_handler(simple, 1, path), seL4_InvalidArgument);
    assert_int_equal(simple_get_cap_count(simple), -1);
    assert_int_equal(simple_get_nth_cap(simple, 0), seL4_CapNull);
    assert_int_equal(simple_last_valid_cap(simple), seL4_CapNull);
    assert_int_equal(simple_get_cnode(simple), seL4_CapNull);
    assert_int_equal(simple_get_pd(simple), seL4_CapNull);
    assert_int_equal(simple_get_tcb(simple), seL4_CapNull);
    assert_int_equal(simple_get_cnode_size_bits(simple), -1);
    assert_int_equal(simple_get_untyped_count(simple), -1);
    assert_int_equal(simple_get_nth_untyped(simple, 0, NULL, NULL, NULL), seL4_CapNull);
    assert_int_equal(simple_get_userimage_count(simple), -1);
    assert_int_equal(simple_get_nth_userimage(simple, 0), seL4_CapNull);
    assert_int_equal(simple_get_core_count(simple), -1);
    simple_print(simple);
    assert_int_equal(simple_get_sched_ctrl(simple, 0), seL4_CapNull);
    assert_int_equal(simple_get_extended_bootinfo_length(simple, 1), -1);
    assert_int_equal(simple_get_extended_bootinfo(simple, 1, NULL, 0), -1);
}

static void test_missing_start_up_environment_is_refused_everywhere(void **state)
{
    simple_t empty = {0};

    (void)state;
    check_lacking_simple(NULL);
    check_lacking_simple(&empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rights_keep_their_bits),
        cmocka_unit_test(test_rights_count_only_the_lowest_bit_of_each_flag),
        cmocka_unit_test(test_rights_initialise_a_structure_member),
        cmocka_unit_test(test_message_header_keeps_its_fields),
        cmocka_unit_test(test_message_header_cuts_what_does_not_fit),
        cmocka_unit_test(test_mask_covers_one_to_all_bits),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_rounding_keeps_the_type),
        cmocka_unit_test(test_macros_evaluate_once_and_nest),
        cmocka_unit_test(test_sizes_and_their_logarithms),
        cmocka_unit_test(test_config_set_is_1_only_for_1),
        cmocka_unit_test(test_error_names),
        cmocka_unit_test(test_frame_types_exist_for_three_sizes),
        cmocka_unit_test(test_valid_size_bits),
        cmocka_unit_test(test_page_size_for_region_is_the_largest_that_divides_it),
        cmocka_unit_test(test_malloc_dispatch_codes),
        cmocka_unit_test(test_stdlib_malloc_ops_allocate_zero_and_free),
        cmocka_unit_test(test_missing_driver_operations_have_answers),
        cmocka_unit_test(test_missing_vspace_is_refused_everywhere),
        cmocka_unit_test(test_vspace_without_operations_is_refused_everywhere),
        cmocka_unit_test(test_senseless_vspace_requests_stop_at_the_wrapper),
        cmocka_unit_test(test_deferred_mapping_hands_everything_on_even_for_address_0),
        cmocka_unit_test(test_allocated_object_reaches_the_hook),
        cmocka_unit_test(test_new_pages_config_is_filled_in_and_changed),
        cmocka_unit_test(test_missing_new_pages_config_is_refused),
        cmocka_unit_test(test_allocated_frame_is_described),
        cmocka_unit_test(test_failed_allocation_gives_its_slot_back),
        cmocka_unit_test(test_frame_of_unknown_size_takes_nothing),
        cmocka_unit_test(test_missing_allocator_operations_are_refused),
        cmocka_unit_test(test_operations_on_missing_paths_are_refused),
        cmocka_unit_test(test_missing_start_up_environment_is_refused_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
