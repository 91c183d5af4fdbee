/* Operations built on address spaces: what they ask of one, what they give back on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <hostvm/error.h>
#include <vspace/vspace.h>

/* Where the fake address space puts what it is asked for; never touched. */
#define FAKE_BASE 0x40000000ul

/* An address space of which a test decides what fails; it counts what is held. */
struct fake {
    vspace_t vspace;
    bool reserving_fails;
    bool making_fails;
    bool sharing_fails;
    int nr_reservations;
    int nr_mappings;
    size_t reserved_bytes;
    size_t reserved_bits;
    seL4_CapRights_t rights;
    void *mapped_at;
    void *shared_from;
    vka_t *unmapped_with;
};

static reservation_t fake_reserve(struct fake *fake, size_t bytes, seL4_CapRights_t rights)
{
    reservation_t reservation = {fake};

    if (fake->reserving_fails) {
        return vspace_no_reservation();
    }
    fake->nr_reservations++;
    fake->reserved_bytes = bytes;
    fake->rights = rights;
    return reservation;
}

static reservation_t fake_reserve_aligned(vspace_t *vspace, size_t bytes, size_t size_bits,
                                          seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    struct fake *fake = vspace->data;

    (void)cacheable;
    fake->reserved_bits = size_bits;
    *vaddr = (void *)FAKE_BASE;
    return fake_reserve(fake, bytes, rights);
}

static reservation_t fake_reserve_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                     seL4_CapRights_t rights, int cacheable)
{
    (void)vaddr;
    (void)cacheable;
    return fake_reserve(vspace->data, bytes, rights);
}

static void fake_free_reservation(vspace_t *vspace, reservation_t reservation)
{
    struct fake *fake = vspace->data;

    assert_ptr_equal(reservation.res, fake);
    fake->nr_reservations--;
}

static void fake_free_reservation_by_vaddr(vspace_t *vspace, void *vaddr)
{
    struct fake *fake = vspace->data;

    assert_ptr_equal(vaddr, (void *)FAKE_BASE);
    fake->nr_reservations--;
}

static int fake_new_pages_at(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                             reservation_t reservation, bool can_use_dev)
{
    struct fake *fake = vspace->data;

    (void)num_pages;
    (void)size_bits;
    (void)can_use_dev;
    assert_ptr_equal(reservation.res, fake);
    if (fake->making_fails) {
        return -1;
    }
    fake->mapped_at = vaddr;
    fake->nr_mappings++;
    return 0;
}

static void *fake_new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                            size_t size_bits)
{
    struct fake *fake = vspace->data;

    (void)rights;
    assert_int_equal(num_pages, 1);
    assert_int_equal(size_bits, 12);
    if (fake->making_fails) {
        return NULL;
    }
    fake->nr_mappings++;
    return (void *)FAKE_BASE;
}

static void fake_unmap(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                       vka_t *vka)
{
    struct fake *fake = vspace->data;

    (void)num_pages;
    (void)size_bits;
    fake->mapped_at = vaddr;
    fake->unmapped_with = vka;
    fake->nr_mappings--;
}

static int fake_share(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                      void *vaddr, reservation_t res)
{
    struct fake *fake = to->data;

    (void)from;
    (void)num_pages;
    (void)size_bits;
    assert_ptr_equal(res.res, fake);
    if (fake->sharing_fails) {
        return -1;
    }
    fake->shared_from = start;
    fake->mapped_at = vaddr;
    fake->nr_mappings++;
    return 0;
}

static seL4_CPtr fake_get_cap(vspace_t *vspace, void *vaddr)
{
    (void)vspace;
    assert_ptr_equal(vaddr, (void *)FAKE_BASE);
    return 33;
}

static void fake_init(struct fake *fake)
{
    memset(fake, 0, sizeof(*fake));
    fake->vspace.data = fake;
    fake->vspace.new_pages = fake_new_pages;
    fake->vspace.new_pages_at_vaddr = fake_new_pages_at;
    fake->vspace.unmap_pages = fake_unmap;
    fake->vspace.reserve_range_aligned = fake_reserve_aligned;
    fake->vspace.reserve_range_at = fake_reserve_at;
    fake->vspace.free_reservation = fake_free_reservation;
    fake->vspace.free_reservation_by_vaddr = fake_free_reservation_by_vaddr;
    fake->vspace.share_mem_at_vaddr = fake_share;
    fake->vspace.get_cap = fake_get_cap;
}

static void check_nothing_held(const struct fake *fake)
{
    assert_int_equal(fake->nr_reservations, 0);
    assert_int_equal(fake->nr_mappings, 0);
}

static void test_configured_pages_come_anywhere_and_say_where(void **state)
{
    struct fake fake;
    vspace_new_pages_config_t config = {NULL, 3, 21, false};

    (void)state;
    fake_init(&fake);
    assert_ptr_equal(vspace_new_pages_with_config(&fake.vspace, &config, seL4_CanRead),
                     (void *)FAKE_BASE);
    assert_ptr_equal(config.vaddr, (void *)FAKE_BASE);
    assert_int_equal(fake.reserved_bytes, 3 << 21);
    assert_int_equal(fake.reserved_bits, 21);
    assert_int_equal(fake.rights.words[0], seL4_CanRead.words[0]);
    assert_int_equal(fake.nr_reservations, 0);
    assert_int_equal(fake.nr_mappings, 1);
}

static void test_configured_pages_come_where_asked(void **state)
{
    struct fake fake;
    void *const where = (void *)0x7000;
    vspace_new_pages_config_t config = {where, 1, 12, false};

    (void)state;
    fake_init(&fake);
    assert_ptr_equal(vspace_new_pages_with_config(&fake.vspace, &config, seL4_AllRights), where);
    assert_ptr_equal(fake.mapped_at, where);
    assert_int_equal(fake.nr_reservations, 0);
}

static void test_configured_pages_leave_nothing_behind_on_failure(void **state)
{
    struct fake fake;
    vspace_new_pages_config_t config = {NULL, 1, 12, false};

    (void)state;
    fake_init(&fake);
    fake.reserving_fails = true;
    assert_null(vspace_new_pages_with_config(&fake.vspace, &config, seL4_AllRights));
    fake.reserving_fails = false;
    fake.making_fails = true;
    assert_null(vspace_new_pages_with_config(&fake.vspace, &config, seL4_AllRights));
    assert_null(config.vaddr);
    check_nothing_held(&fake);
}

static void test_senseless_configurations_are_refused_with_a_reason(void **state)
{
    vspace_new_pages_config_t cases[] = {
        {NULL, 0, 12, false},
        {NULL, 1, 13, false},
        {NULL, SIZE_MAX, 12, false},
    };
    struct fake fake;
    size_t i;

    (void)state;
    fake_init(&fake);
    assert_null(vspace_new_pages_with_config(&fake.vspace, NULL, seL4_AllRights));
    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_null(vspace_new_pages_with_config(&fake.vspace, &cases[i], seL4_AllRights));
    }
    assert_string_equal(hostvm_last_error(),
                        "cannot make pages: no configuration, no pages in it, or a size there is "
                        "not; sizes are 2^12, 2^21 and 2^30");
    check_nothing_held(&fake);
}

static void test_shared_memory_stays_when_its_reservation_goes(void **state)
{
    struct fake fake;

    (void)state;
    fake_init(&fake);
    assert_ptr_equal(vspace_share_mem(&fake.vspace, &fake.vspace, (void *)0x5000, 3, 12,
                                      seL4_AllRights, 1),
                     (void *)FAKE_BASE);
    assert_ptr_equal(fake.shared_from, (void *)0x5000);
    assert_int_equal(fake.reserved_bytes, 3 * 4096);
    assert_int_equal(fake.nr_reservations, 0);
    assert_int_equal(fake.nr_mappings, 1);
}

static void test_sharing_leaves_nothing_behind_on_failure(void **state)
{
    struct fake fake;
    vspace_t *vspace = &fake.vspace;

    (void)state;
    fake_init(&fake);
    fake.reserving_fails = true;
    assert_null(vspace_share_mem(vspace, vspace, NULL, 1, 12, seL4_AllRights, 1));
    fake.reserving_fails = false;
    fake.sharing_fails = true;
    assert_null(vspace_share_mem(vspace, vspace, NULL, 1, 12, seL4_AllRights, 1));
    assert_null(vspace_share_mem(NULL, vspace, NULL, 1, 12, seL4_AllRights, 1));
    assert_null(vspace_share_mem(vspace, NULL, NULL, 1, 12, seL4_AllRights, 1));
    assert_null(vspace_share_mem(vspace, vspace, NULL, 0, 12, seL4_AllRights, 1));
    assert_null(vspace_share_mem(vspace, vspace, NULL, -1, 12, seL4_AllRights, 1));
    assert_null(vspace_share_mem(vspace, vspace, NULL, 1, 14, seL4_AllRights, 1));
    assert_string_equal(hostvm_last_error(), "cannot share memory: no pages, or a size there is "
                                             "not; sizes are 2^12, 2^21 and 2^30");
    check_nothing_held(&fake);
}

static int return_what_cookie_says(void *access_addr, void *vaddr, void *cookie)
{
    assert_ptr_equal(access_addr, (void *)0x5123);
    assert_ptr_equal(vaddr, (void *)FAKE_BASE);
    return *(int *)cookie;
}

static void test_accessed_page_is_shared_only_during_the_callback(void **state)
{
    struct fake fake;
    int answer = 7;

    (void)state;
    fake_init(&fake);
    assert_int_equal(vspace_access_page_with_callback(&fake.vspace, &fake.vspace, (void *)0x5123,
                                                      12, seL4_AllRights, 1,
                                                      return_what_cookie_says, &answer),
                     7);
    assert_ptr_equal(fake.shared_from, (void *)0x5000);
    assert_ptr_equal(fake.unmapped_with, VSPACE_FREE);
    check_nothing_held(&fake);
}

static int never_called(void *access_addr, void *vaddr, void *cookie)
{
    (void)access_addr;
    (void)vaddr;
    (void)cookie;
    fail();
    return 0;
}

static void test_page_that_cannot_be_shared_is_not_accessed(void **state)
{
    struct fake fake;
    vspace_t *vspace = &fake.vspace;

    (void)state;
    fake_init(&fake);
    fake.sharing_fails = true;
    assert_int_equal(vspace_access_page_with_callback(vspace, vspace, NULL, 12, seL4_AllRights, 1,
                                                      never_called, NULL),
                     -1);
    assert_int_equal(vspace_access_page_with_callback(vspace, vspace, NULL, 15, seL4_AllRights, 1,
                                                      never_called, NULL),
                     -1);
    assert_int_equal(vspace_access_page_with_callback(vspace, vspace, NULL, 12, seL4_AllRights, 1,
                                                      NULL, NULL),
                     -1);
    assert_string_equal(hostvm_last_error(), "cannot access a page: no callback, or a size there "
                                             "is not; sizes are 2^12, 2^21 and 2^30");
    check_nothing_held(&fake);
}

static void test_stack_has_a_guard_page_below_it(void **state)
{
    struct fake fake;
    void *top;

    (void)state;
    fake_init(&fake);
    top = vspace_new_sized_stack(&fake.vspace, 4);
    assert_ptr_equal(top, (void *)(FAKE_BASE + 5 * 4096));
    assert_ptr_equal(fake.mapped_at, (void *)(FAKE_BASE + 4096));
    assert_int_equal(fake.reserved_bytes, 5 * 4096);
    assert_int_equal(fake.nr_reservations, 1);
    vspace_free_sized_stack(&fake.vspace, top, 4);
    assert_ptr_equal(fake.mapped_at, (void *)(FAKE_BASE + 4096));
    assert_ptr_equal(fake.unmapped_with, VSPACE_FREE);
    check_nothing_held(&fake);
}

static void test_stack_of_the_usual_size(void **state)
{
    struct fake fake;
    void *top;

    (void)state;
    fake_init(&fake);
    top = vspace_new_stack(&fake.vspace);
    assert_ptr_equal(top, (void *)(FAKE_BASE + 4096 + CONFIG_SEL4UTILS_STACK_SIZE));
    vspace_free_stack(&fake.vspace, top);
    check_nothing_held(&fake);
}

static void test_stack_leaves_nothing_behind_on_failure(void **state)
{
    struct fake fake;

    (void)state;
    fake_init(&fake);
    fake.reserving_fails = true;
    assert_null(vspace_new_sized_stack(&fake.vspace, 4));
    fake.reserving_fails = false;
    fake.making_fails = true;
    assert_null(vspace_new_sized_stack(&fake.vspace, 4));
    assert_null(vspace_new_sized_stack(&fake.vspace, SIZE_MAX));
    assert_null(vspace_new_sized_stack(&fake.vspace, 0));
    assert_string_equal(
        hostvm_last_error(),
        "cannot make a stack: it needs a page or more, and no more than there are");
    vspace_free_sized_stack(&fake.vspace, NULL, 4);
    vspace_free_sized_stack(&fake.vspace, &fake, 0);
    assert_string_equal(hostvm_last_error(), "cannot free a stack: no top, or no pages");
    check_nothing_held(&fake);
}

static void test_ipc_buffer_is_a_page_with_its_capability(void **state)
{
    struct fake fake;
    seL4_CPtr page = 0;
    void *buffer;

    (void)state;
    fake_init(&fake);
    buffer = vspace_new_ipc_buffer(&fake.vspace, &page);
    assert_ptr_equal(buffer, (void *)FAKE_BASE);
    assert_int_equal(page, 33);
    vspace_free_ipc_buffer(&fake.vspace, buffer);
    assert_ptr_equal(fake.unmapped_with, VSPACE_FREE);
    check_nothing_held(&fake);
}

static void test_ipc_buffer_leaves_nothing_behind_on_failure(void **state)
{
    struct fake fake;
    seL4_CPtr page = 44;

    (void)state;
    fake_init(&fake);
    assert_null(vspace_new_ipc_buffer(&fake.vspace, NULL));
    assert_string_equal(hostvm_last_error(),
                        "cannot make an IPC buffer: no place for its capability");
    fake.making_fails = true;
    assert_null(vspace_new_ipc_buffer(&fake.vspace, &page));
    assert_int_equal(page, 44);
    check_nothing_held(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configured_pages_come_anywhere_and_say_where),
        cmocka_unit_test(test_configured_pages_come_where_asked),
        cmocka_unit_test(test_configured_pages_leave_nothing_behind_on_failure),
        cmocka_unit_test(test_senseless_configurations_are_refused_with_a_reason),
        cmocka_unit_test(test_shared_memory_stays_when_its_reservation_goes),
        cmocka_unit_test(test_sharing_leaves_nothing_behind_on_failure),
        cmocka_unit_test(test_accessed_page_is_shared_only_during_the_callback),
        cmocka_unit_test(test_page_that_cannot_be_shared_is_not_accessed),
        cmocka_unit_test(test_stack_has_a_guard_page_below_it),
        cmocka_unit_test(test_stack_of_the_usual_size),
        cmocka_unit_test(test_stack_leaves_nothing_behind_on_failure),
        cmocka_unit_test(test_ipc_buffer_is_a_page_with_its_capability),
        cmocka_unit_test(test_ipc_buffer_leaves_nothing_behind_on_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
