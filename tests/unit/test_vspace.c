/* The address space of this process through the vspace interface: real memory at real addresses. */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "env/env.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

static hostvm_env_t env;

static int set_up(void **state)
{
    (void)state;
    env = envs_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hostvm_env_destroy(&env);
    return 0;
}

/* Whether the kernel would let us read, or write, one byte there. */
static bool can_read(const void *pointer)
{
    int fds[2];
    bool result;

    assert_int_equal(pipe(fds), 0);
    result = write(fds[1], pointer, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return result;
}

static bool can_write(void *pointer)
{
    int fds[2];
    bool result;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "w", 1), 1);
    result = read(fds[0], pointer, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return result;
}

static char *map_frame(seL4_CPtr frame, seL4_CapRights_t rights)
{
    return vspace_map_pages(&env.vspace, &frame, NULL, rights, 1, 12, 1);
}

/* --- pages --- */

static void test_new_pages_are_zero_contiguous_and_known(void **state)
{
    char *pages = vspace_new_pages(&env.vspace, seL4_AllRights, 8, 12);

    (void)state;
    assert_non_null(pages);
    for (size_t i = 0; i < 8 * 4096; i += 512) {
        assert_int_equal(pages[i], 0);
    }
    memset(pages, 'x', 8 * 4096);
    assert_int_not_equal(vspace_get_cap(&env.vspace, pages + 5000), seL4_CapNull);
    assert_int_not_equal(vspace_get_cookie(&env.vspace, pages), 0);
    vspace_unmap_pages(&env.vspace, pages, 8, 12, VSPACE_FREE);
    assert_false(can_read(pages));
    assert_int_equal(vspace_get_cap(&env.vspace, pages), seL4_CapNull);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    assert_null(vspace_new_pages(&env.vspace, seL4_AllRights, 0, 12));
    assert_null(vspace_new_pages(&env.vspace, seL4_AllRights, 1, 14));
}

static void test_large_pages_are_aligned(void **state)
{
    char *pages = vspace_new_pages(&env.vspace, seL4_AllRights, 2, 21);
    seL4_CPtr first;

    (void)state;
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % (2 << 20), 0);
    first = vspace_get_cap(&env.vspace, pages);
    assert_int_equal(vspace_get_cap(&env.vspace, pages + (2 << 20) - 1), first);
    assert_int_not_equal(vspace_get_cap(&env.vspace, pages + (2 << 20)), first);
    vspace_unmap_pages(&env.vspace, pages, 2, 21, VSPACE_FREE);
}

static void test_frames_allocated_one_by_one_are_mapped_side_by_side(void **state)
{
    seL4_CPtr caps[16];
    char *pages;

    (void)state;
    for (int i = 0; i < 16; i++) {
        caps[i] = envs_frame(&env, 12);
    }
    pages = vspace_map_pages(&env.vspace, caps, NULL, seL4_AllRights, 16, 12, 1);
    assert_non_null(pages);
    for (int i = 0; i < 16; i++) {
        pages[i * 4096] = (char)('a' + i);
        assert_int_equal(vspace_get_cap(&env.vspace, pages + i * 4096), caps[i]);
    }
}

static void test_copies_of_a_capability_show_the_same_memory(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    char *writer = map_frame(frame, seL4_AllRights);
    char *reader = map_frame(envs_copy(&env, frame, seL4_CanRead), seL4_AllRights);

    (void)state;
    writer[100] = 'w';
    assert_int_equal(reader[100], 'w');
    assert_true(can_write(writer));
    assert_false(can_write(reader));
    assert_null(map_frame(frame, seL4_AllRights));
}

static void test_rights_are_those_asked_for_within_the_capabilitys(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    char *readable = map_frame(envs_copy(&env, frame, seL4_AllRights), seL4_CanRead);
    char *hidden = map_frame(envs_copy(&env, frame, seL4_AllRights), seL4_NoRights);
    char *barred = map_frame(envs_copy(&env, frame, seL4_NoRights), seL4_AllRights);

    (void)state;
    assert_true(can_read(readable));
    assert_false(can_write(readable));
    assert_false(can_read(hidden));
    assert_false(can_read(barred));
}

static void test_one_handle_can_be_used_again_and_again(void **state)
{
    char *pages = vspace_new_pages(&env.vspace, seL4_AllRights, 4, 12);
    cspacepath_t from;
    cspacepath_t to;

    (void)state;
    assert_int_equal(vka_cspace_alloc_path(&env.vka, &to), 0);
    for (int i = 0; i < 100; i++) {
        char *alias;

        vka_cspace_make_path(&env.vka, vspace_get_cap(&env.vspace, pages + i % 4 * 4096), &from);
        assert_int_equal(vka_cnode_copy(&to, &from, seL4_AllRights), 0);
        alias = vspace_map_pages(&env.vspace, &to.capPtr, NULL, seL4_AllRights, 1, 12, 1);
        assert_non_null(alias);
        alias[i] = 'z';
        assert_int_equal(pages[i % 4 * 4096 + i], 'z');
        vspace_unmap_pages(&env.vspace, alias, 1, 12, NULL);
        assert_int_equal(vka_cnode_delete(&to), 0);
    }
}

static void test_deleting_a_capability_takes_its_page_away(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    char *page = map_frame(frame, seL4_AllRights);

    (void)state;
    assert_true(can_read(page));
    envs_delete(&env, frame);
    assert_false(can_read(page));
    assert_int_equal(vspace_get_cap(&env.vspace, page), seL4_CapNull);
}

/* --- reservations --- */

static void test_a_reserved_address_is_taken_and_given_back(void **state)
{
    struct leak_state before;
    reservation_t res;
    void *vaddr = NULL;

    (void)state;
    res = vspace_reserve_range(&env.vspace, 1, seL4_AllRights, 1, &vaddr);
    vspace_free_reservation(&env.vspace, res);
    leak_begin(&before);
    res = vspace_reserve_range_aligned(&env.vspace, 0x5001, 21, seL4_AllRights, 1, &vaddr);
    assert_non_null(res.res);
    assert_int_equal((uintptr_t)vaddr % (2 << 20), 0);
    assert_false(can_read(vaddr));
    assert_int_equal(vspace_get_cap(&env.vspace, vaddr), seL4_CapNull);
    assert_null(vspace_reserve_range_at(&env.vspace, vaddr, 1, seL4_AllRights, 1).res);
    vspace_free_reservation(&env.vspace, res);
    leak_check(&before);
    res = vspace_reserve_range_at(&env.vspace, vaddr, 0x6000, seL4_AllRights, 1);
    assert_non_null(res.res);
    vspace_free_reservation(&env.vspace, res);
    leak_check(&before);
}

static void test_what_others_mapped_is_never_replaced(void **state)
{
    char *stranger = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    stranger[0x1000] = 's';
    assert_null(
        vspace_reserve_range_at(&env.vspace, stranger + 0x1000, 0x1000, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_range_at(&env.vspace, NULL, 0x1000, seL4_AllRights, 1).res);
    assert_reason("cannot reserve the page at address 0 of this process");
    assert_int_equal(stranger[0x1000], 's');
    vspace_unmap_pages(&env.vspace, stranger, 3, 12, VSPACE_PRESERVE);
    assert_int_equal(stranger[0x1000], 's');
    munmap(stranger, 0x3000);
}

static void test_unmapped_pages_of_a_reservation_stay_reserved(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    void *vaddr;
    reservation_t res = vspace_reserve_range(&env.vspace, 0x3000, seL4_AllRights, 1, &vaddr);
    char *page = (char *)vaddr + 0x1000;

    (void)state;
    assert_int_equal(vspace_map_pages_at_vaddr(&env.vspace, &frame, NULL, page, 1, 12, res), 0);
    page[0] = 'p';
    vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_PRESERVE);
    assert_false(can_read(page));
    assert_null(vspace_reserve_range_at(&env.vspace, page, 1, seL4_AllRights, 1).res);
    assert_int_equal(vspace_map_pages_at_vaddr(&env.vspace, &frame, NULL, page, 1, 12, res), 0);
    assert_int_equal(page[0], 'p');
}

static void test_freeing_a_reservation_keeps_mapped_pages_accessible(void **state)
{
    void *vaddr;
    reservation_t res = vspace_reserve_range(&env.vspace, 0x3000, seL4_AllRights, 1, &vaddr);
    char *page = (char *)vaddr + 0x1000;

    (void)state;
    assert_int_equal(vspace_new_pages_at_vaddr(&env.vspace, page, 1, 12, res), 0);
    page[0] = 'p';
    vspace_free_reservation(&env.vspace, res);
    assert_int_equal(page[0], 'p');
    assert_non_null(vspace_reserve_range_at(&env.vspace, vaddr, 0x1000, seL4_AllRights, 1).res);
    assert_non_null(
        vspace_reserve_range_at(&env.vspace, page + 0x1000, 0x1000, seL4_AllRights, 1).res);
    vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_FREE);
    assert_non_null(vspace_reserve_range_at(&env.vspace, page, 0x1000, seL4_AllRights, 1).res);
}

static void test_a_deferred_reservation_takes_rights_with_each_mapping(void **state)
{
    seL4_CPtr caps[2] = {envs_frame(&env, 12), envs_frame(&env, 12)};
    void *vaddr;
    reservation_t plain = vspace_reserve_range(&env.vspace, 0x2000, seL4_AllRights, 1, &vaddr);
    reservation_t deferred;
    char *page = vaddr;

    (void)state;
    vspace_free_reservation(&env.vspace, plain);
    deferred = vspace_reserve_deferred_rights_range_at(&env.vspace, vaddr, 0x2000, 1);
    assert_non_null(deferred.res);
    assert_int_equal(vspace_map_pages_at_vaddr(&env.vspace, caps, NULL, page, 1, 12, deferred), -1);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&env.vspace, caps, NULL, page, 1, 12,
                                                               seL4_CanRead, deferred),
                     0);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(
                         &env.vspace, &caps[1], NULL, page + 4096, 1, 12, seL4_AllRights, deferred),
                     0);
    assert_false(can_write(page));
    assert_true(can_write(page + 4096));
}

static void test_the_process_is_not_torn_down(void **state)
{
    char *page = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 12);

    (void)state;
    vspace_tear_down(&env.vspace, VSPACE_FREE);
    assert_true(can_write(page));
}

static void test_bad_calls_return_their_failure(void **state)
{
    vspace_t none = {.data = NULL};
    seL4_CPtr frame = envs_frame(&env, 12);
    void *vaddr;

    (void)state;
    assert_null(vspace_map_pages(NULL, &frame, NULL, seL4_AllRights, 1, 12, 1));
    assert_null(vspace_map_pages(&none, &frame, NULL, seL4_AllRights, 1, 12, 1));
    assert_null(vspace_map_pages(&env.vspace, &frame, NULL, seL4_AllRights, ~0ul, 12, 1));
    assert_null(env.vspace.map_pages(&env.vspace, &frame, NULL, seL4_AllRights, 1, 13, 1));
    assert_null(env.vspace.new_pages(&env.vspace, seL4_AllRights, 1, 13));
    assert_null(
        env.vspace.reserve_range_aligned(&env.vspace, 1, 13, seL4_AllRights, 1, &vaddr).res);
    assert_null(env.vspace.reserve_range_aligned(&env.vspace, 1, 12, seL4_AllRights, 1, NULL).res);
    assert_null(vspace_reserve_range(&env.vspace, ~0xffful, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range(&env.vspace, 1ul << 60, seL4_AllRights, 1, &vaddr).res);
    assert_int_equal(vspace_get_cap(NULL, &frame), seL4_CapNull);
}

/* --- sharing --- */

static void test_scattered_frames_are_shared_as_one_piece(void **state)
{
    seL4_CPtr caps[6];
    char *pages;
    char *alias;

    (void)state;
    for (int i = 0; i < 6; i++) {
        caps[i] = envs_frame(&env, 12);
    }
    seL4_CPtr scattered[3] = {caps[4], caps[0], caps[2]};

    pages = vspace_map_pages(&env.vspace, scattered, NULL, seL4_AllRights, 3, 12, 1);
    alias = vspace_share_mem(&env.vspace, &env.vspace, pages, 3, 12, seL4_AllRights, 1);
    assert_non_null(alias);
    for (int i = 0; i < 3; i++) {
        alias[i * 4096] = (char)('a' + i);
        assert_int_equal(pages[i * 4096], 'a' + i);
    }
    vspace_unmap_pages(&env.vspace, alias, 3, 12, VSPACE_FREE);
    assert_false(can_read(alias));
    assert_int_equal(pages[0], 'a');
    assert_int_equal(cap_type(&env.priv->env, caps[4]), CAP_FRAME);
}

static void test_sharing_over_a_hole_leaves_nothing(void **state)
{
    void *vaddr;
    reservation_t res = vspace_reserve_range(&env.vspace, 0x3000, seL4_AllRights, 1, &vaddr);
    struct leak_state before;
    char *page = vaddr;

    (void)state;
    assert_int_equal(vspace_new_pages_at_vaddr(&env.vspace, page, 1, 12, res), 0);
    assert_int_equal(vspace_new_pages_at_vaddr(&env.vspace, page + 0x2000, 1, 12, res), 0);
    leak_begin(&before);
    assert_null(vspace_share_mem(&env.vspace, &env.vspace, page, 3, 12, seL4_AllRights, 1));
    leak_check(&before);
    assert_int_equal(vspace_share_mem_at_vaddr(&env.vspace, &env.vspace, page, 0, 12, page, res),
                     -1);
    assert_int_not_equal(
        vspace_share_mem_at_vaddr(&env.vspace, &env.vspace, page, 1, 13, page, res), 0);
    assert_int_not_equal(
        vspace_share_mem_at_vaddr(&env.vspace, &env.vspace, page, 1, 12, page + 0x2000, res), 0);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 8192);
}

static void test_sharing_never_widens_rights(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    char *reader = map_frame(envs_copy(&env, frame, seL4_CanRead), seL4_AllRights);
    char *alias = vspace_share_mem(&env.vspace, &env.vspace, reader, 1, 12, seL4_AllRights, 1);

    (void)state;
    assert_non_null(alias);
    assert_true(can_read(alias));
    assert_false(can_write(alias));
}

static void test_pages_of_a_large_frame_are_shared_singly(void **state)
{
    char *large = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 21);
    char *alias =
        vspace_share_mem(&env.vspace, &env.vspace, large + 0x5000, 2, 12, seL4_AllRights, 1);
    char *small;

    (void)state;
    assert_non_null(alias);
    alias[0x1000] = 'l';
    assert_int_equal(large[0x6000], 'l');
    small = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 12);
    assert_null(vspace_share_mem(&env.vspace, &env.vspace, small, 1, 21, seL4_AllRights, 1));
}

static int look(void *access_addr, void *vaddr, void *cookie)
{
    void **seen = cookie;

    seen[0] = access_addr;
    seen[1] = vaddr;
    ((char *)vaddr)[7] = 'c';
    return 42;
}

static void test_a_callback_sees_the_page_and_its_result_is_returned(void **state)
{
    char *page = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 12);
    void *seen[2] = {NULL, NULL};

    (void)state;
    assert_int_equal(vspace_access_page_with_callback(&env.vspace, &env.vspace, page + 9, 12,
                                                      seL4_AllRights, 1, look, seen),
                     42);
    assert_ptr_equal(seen[0], page + 9);
    assert_int_equal((uintptr_t)seen[1] % 4096, 0);
    assert_int_equal(page[7], 'c');
    assert_false(can_read(seen[1]));
    vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_FREE);
    seen[0] = NULL;
    assert_int_equal(vspace_access_page_with_callback(&env.vspace, &env.vspace, page, 12,
                                                      seL4_AllRights, 1, look, seen),
                     -1);
    assert_null(seen[0]);
}

/* --- failing --- */

static void test_failing_to_map_leaves_no_trace(void **state)
{
    seL4_CPtr caps[4];
    bool has_failed = true;

    (void)state;
    for (int i = 0; i < 4; i++) {
        caps[i] = envs_frame(&env, 12);
    }
    seL4_CPtr scattered[4] = {caps[0], caps[2], caps[1], caps[3]};

    /* makes room that is kept */
    char *warm_up = vspace_map_pages(&env.vspace, scattered, NULL, seL4_AllRights, 4, 12, 1);

    vspace_unmap_pages(&env.vspace, warm_up, 4, 12, VSPACE_PRESERVE);
    for (unsigned n = 1; has_failed; n++) {
        struct leak_state before;
        char *pages;

        leak_begin(&before);
        inject_fail_nth(n);
        pages = vspace_map_pages(&env.vspace, scattered, NULL, seL4_AllRights, 4, 12, 1);
        has_failed = inject_disarm();
        assert_int_equal(pages == NULL, has_failed);
        if (has_failed) {
            leak_check(&before);
        }
    }
}

static void test_failing_to_share_leaves_no_trace(void **state)
{
    char *pages = vspace_new_pages(&env.vspace, seL4_AllRights, 2, 12);
    char *warm_up = vspace_share_mem(&env.vspace, &env.vspace, pages, 2, 12, seL4_AllRights, 1);
    bool has_failed = true;

    (void)state;
    vspace_unmap_pages(&env.vspace, warm_up, 2, 12, VSPACE_FREE);
    for (unsigned n = 1; has_failed; n++) {
        struct leak_state before;
        char *alias;

        leak_begin(&before);
        inject_fail_nth(n);
        alias = vspace_share_mem(&env.vspace, &env.vspace, pages, 2, 12, seL4_AllRights, 1);
        has_failed = inject_disarm();
        assert_int_equal(alias == NULL, has_failed);
        if (has_failed) {
            leak_check(&before);
        }
    }
}

/* Calls that make something, or return false, and what takes it away again. */
static void *made;
static reservation_t made_reservation;

static bool make_pages(void)
{
    made = vspace_new_pages(&env.vspace, seL4_AllRights, 5, 12);
    return made != NULL;
}

static void free_pages(void)
{
    memset(made, 1, 5 * 4096);
    vspace_unmap_pages(&env.vspace, made, 5, 12, VSPACE_FREE);
}

static bool reserve_aligned(void)
{
    made = NULL;
    made_reservation =
        vspace_reserve_range_aligned(&env.vspace, 0x5000, 21, seL4_AllRights, 1, &made);
    assert_int_equal(made == NULL, made_reservation.res == NULL);
    return made != NULL;
}

static void free_reserved(void)
{
    vspace_free_reservation(&env.vspace, made_reservation);
}

static bool make_stack(void)
{
    made = vspace_new_sized_stack(&env.vspace, 4);
    return made != NULL;
}

static void free_stack(void)
{
    ((char *)made)[-1] = 1;
    vspace_free_sized_stack(&env.vspace, made, 4);
}

static bool make_ipc_buffer(void)
{
    seL4_CPtr page = 0;

    made = vspace_new_ipc_buffer(&env.vspace, &page);
    assert_int_equal(made == NULL, page == 0);
    return made != NULL;
}

static void free_ipc_buffer(void)
{
    vspace_free_ipc_buffer(&env.vspace, made);
}

static void test_what_cannot_be_made_leaves_nothing(void **state)
{
    static const struct {
        const char *name;
        bool (*make)(void);
        void (*undo)(void);
    } calls[] = {
        {"pages", make_pages, free_pages},
        {"aligned range", reserve_aligned, free_reserved},
        {"stack", make_stack, free_stack},
        {"IPC buffer", make_ipc_buffer, free_ipc_buffer},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct leak_state before;
        bool has_failed = true;

        assert_true(calls[i].make()); /* makes room that is kept */
        calls[i].undo();
        leak_begin(&before);
        for (unsigned n = 1; has_failed; n++) {
            bool is_made;

            inject_fail_nth(n);
            is_made = calls[i].make();
            has_failed = inject_disarm();
            if (is_made) {
                calls[i].undo();
            } else if (!has_failed) {
                fail_msg("%s: %s", calls[i].name, hostvm_last_error());
            }
            leak_check(&before);
            assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
        }
    }
}

/* The last call that may fail is the one that takes the page away: then it has been seen. */
static void test_a_page_that_cannot_be_shown_is_not_accessed(void **state)
{
    char *page = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 12);
    bool is_over = false;

    (void)state;
    for (unsigned n = 1; !is_over; n++) {
        void *seen[2] = {NULL, NULL};
        struct leak_state before;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = vspace_access_page_with_callback(&env.vspace, &env.vspace, page, 12, seL4_AllRights, 1,
                                             look, seen);
        (void)inject_disarm();
        is_over = r == 42;
        assert_int_equal(r, is_over ? 42 : -1);
        assert_int_equal(seen[0] == NULL, !is_over);
        if (!is_over) {
            leak_check(&before);
        }
    }
    assert_int_equal(page[7], 'c');
}

static void test_failing_to_unmap_leaves_the_page(void **state)
{
    char *page = vspace_new_pages(&env.vspace, seL4_AllRights, 1, 12);

    (void)state;
    inject_fail_nth(1);
    vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_FREE);
    assert_true(inject_disarm());
    assert_true(can_write(page));
    assert_int_not_equal(vspace_get_cap(&env.vspace, page), seL4_CapNull);
}

/* --- threads --- */

static void *map_and_delete(void *cookie)
{
    seL4_CPtr frame = *(seL4_CPtr *)cookie;

    for (int i = 0; i < 500; i++) {
        seL4_CPtr copy = envs_copy(&env, frame, seL4_AllRights);
        char *page = map_frame(copy, seL4_AllRights);

        assert_non_null(page);
        page[i] = 'm';
        if (i % 2 == 0) {
            vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_PRESERVE);
        }
        envs_delete(&env, copy);
    }
    return NULL;
}

static void test_threads_map_and_delete_at_once(void **state)
{
    seL4_CPtr frame = envs_frame(&env, 12);
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, map_and_delete, &frame), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(env.priv->env.frames.bytes_in_use, 4096);
}

static void *delete_it(void *cookie)
{
    cspacepath_t path;

    vka_cspace_make_path(&env.vka, *(seL4_CPtr *)cookie, &path);
    (void)vka_cnode_delete(&path);
    return NULL;
}

static void test_unmapping_races_with_deletion_harmlessly(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        seL4_CPtr frame = envs_frame(&env, 12);
        char *page = map_frame(frame, seL4_AllRights);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, delete_it, &frame), 0);
        vspace_unmap_pages(&env.vspace, page, 1, 12, VSPACE_PRESERVE);
        pthread_join(thread, NULL);
        assert_false(can_read(page));
        vka_cspace_free(&env.vka, frame);
    }
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
}

int main(void)
{
#define vspace_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        vspace_test(test_new_pages_are_zero_contiguous_and_known),
        vspace_test(test_large_pages_are_aligned),
        vspace_test(test_frames_allocated_one_by_one_are_mapped_side_by_side),
        vspace_test(test_copies_of_a_capability_show_the_same_memory),
        vspace_test(test_rights_are_those_asked_for_within_the_capabilitys),
        vspace_test(test_one_handle_can_be_used_again_and_again),
        vspace_test(test_deleting_a_capability_takes_its_page_away),
        vspace_test(test_a_reserved_address_is_taken_and_given_back),
        vspace_test(test_what_others_mapped_is_never_replaced),
        vspace_test(test_unmapped_pages_of_a_reservation_stay_reserved),
        vspace_test(test_freeing_a_reservation_keeps_mapped_pages_accessible),
        vspace_test(test_a_deferred_reservation_takes_rights_with_each_mapping),
        vspace_test(test_the_process_is_not_torn_down),
        vspace_test(test_bad_calls_return_their_failure),
        vspace_test(test_scattered_frames_are_shared_as_one_piece),
        vspace_test(test_sharing_over_a_hole_leaves_nothing),
        vspace_test(test_sharing_never_widens_rights),
        vspace_test(test_pages_of_a_large_frame_are_shared_singly),
        vspace_test(test_a_callback_sees_the_page_and_its_result_is_returned),
        vspace_test(test_failing_to_map_leaves_no_trace),
        vspace_test(test_failing_to_share_leaves_no_trace),
        vspace_test(test_what_cannot_be_made_leaves_nothing),
        vspace_test(test_a_page_that_cannot_be_shown_is_not_accessed),
        vspace_test(test_failing_to_unmap_leaves_the_page),
        vspace_test(test_threads_map_and_delete_at_once),
        vspace_test(test_unmapping_races_with_deletion_harmlessly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
