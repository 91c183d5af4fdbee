/*
 * Address spaces of a guest's kind: what the owner's backend is asked for, and that failing leaves
 * no trace.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "env/env.h"
#include "env/space.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

/* A backend that keeps what it is told, page by page. */
enum { NR_PAGES = 4096 };

struct owner {
    hostvm_env_t env;
    struct space *space;
    vspace_t vspace;
    int depth; /* of the lock */
    unsigned nr_map_calls;
    size_t nr_runs; /* of the last map */
    struct space_run last_run;
    bool map_fails;
    bool unmap_fails;
    bool is_mapped[NR_PAGES];
    uint64_t offsets[NR_PAGES];
    seL4_CapRights_t rights[NR_PAGES];
};

static void owner_enter(void *cookie)
{
    ((struct owner *)cookie)->depth++;
}

static void owner_leave(void *cookie)
{
    struct owner *owner = cookie;

    assert_true(owner->depth > 0);
    owner->depth--;
}

static int owner_map(void *cookie, const struct space_run *runs, size_t nr_runs)
{
    struct owner *owner = cookie;

    assert_true(owner->depth > 0);
    if (owner->map_fails) {
        return (fail)(-EIO, "the owner refuses to map");
    }
    owner->nr_map_calls++;
    owner->nr_runs = nr_runs;
    owner->last_run = runs[nr_runs - 1];
    for (size_t i = 0; i < nr_runs; i++) {
        for (uint64_t page = 0; page < runs[i].range.size >> 12; page++) {
            size_t index = (runs[i].range.start >> 12) + page;

            assert_true(index < NR_PAGES);
            assert_false(owner->is_mapped[index]);
            owner->is_mapped[index] = true;
            owner->offsets[index] = runs[i].offset + (page << 12);
            owner->rights[index] = runs[i].rights;
        }
    }
    return 0;
}

static int owner_unmap(void *cookie, struct range range)
{
    struct owner *owner = cookie;

    assert_true(owner->depth > 0);
    if (owner->unmap_fails) {
        return (fail)(-EIO, "the owner refuses to unmap");
    }
    for (uint64_t addr = range.start; addr < range_end(range); addr += 4096) {
        assert_true(owner->is_mapped[addr >> 12]);
        owner->is_mapped[addr >> 12] = false;
    }
    return 0;
}

static const struct space_backend backend = {
    .enter = owner_enter,
    .leave = owner_leave,
    .map = owner_map,
    .unmap = owner_unmap,
};

static struct owner owner;

static int set_up(void **state)
{
    (void)state;
    owner = (struct owner){.env = envs_create()};
    assert_int_equal(space_create(&owner.env.priv->env, &backend, &owner, &owner.space), 0);
    owner.vspace = space_interface(owner.space);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    owner.unmap_fails = false;
    space_destroy(owner.space);
    for (size_t i = 0; i < NR_PAGES; i++) {
        assert_false(owner.is_mapped[i]);
    }
    assert_int_equal(owner.depth, 0);
    hostvm_env_destroy(&owner.env);
    return 0;
}

static size_t nr_mapped(void)
{
    size_t nr = 0;

    for (size_t i = 0; i < NR_PAGES; i++) {
        nr += owner.is_mapped[i];
    }
    return nr;
}

static reservation_t reserve(uint64_t start, size_t size)
{
    reservation_t res =
        vspace_reserve_range_at(&owner.vspace, (void *)start, size, seL4_AllRights, 1);

    assert_non_null(res.res);
    return res;
}

static int map_at(seL4_CPtr *caps, size_t nr, uint64_t addr, size_t bits, reservation_t res)
{
    return vspace_map_pages_at_vaddr(&owner.vspace, caps, NULL, (void *)addr, nr, bits, res);
}

static void new_frames(seL4_CPtr *caps, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        caps[i] = envs_frame(&owner.env, 12);
    }
}

/* --- reservations --- */

static void test_a_reservation_covers_every_page_it_touches(void **state)
{
    (void)state;
    (void)reserve(0x5000, 0x400);
    assert_null(
        vspace_reserve_range_at(&owner.vspace, (void *)0x5800, 0x400, seL4_AllRights, 1).res);
    assert_reason("cannot reserve [0x5000..0x6000): [0x5000..0x6000) is reserved");
    (void)reserve(0x6000, 0x1000);
    (void)reserve(0, 1);
}

static void test_empty_and_impossible_reservations_are_refused(void **state)
{
    struct space_reservation *reservation;

    (void)state;
    assert_null(vspace_reserve_range_at(&owner.vspace, (void *)0x5000, 0, seL4_AllRights, 1).res);
    assert_null(
        vspace_reserve_range_at(&owner.vspace, (void *)~0xffful, 0x1001, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_range_at(&owner.vspace, (void *)~0ul, 1, seL4_AllRights, 1).res);
    assert_reason("cannot reserve 0x1 bytes at 0xffffffffffffffff: that is past the last address");
    assert_null(vspace_reserve_range_at(NULL, (void *)0x5000, 1, seL4_AllRights, 1).res);
    assert_int_equal(space_reserve(owner.space, (struct range){0, UINT64_MAX}, false, seL4_NoRights,
                                   &reservation),
                     -EINVAL);
}

static void test_an_address_is_chosen_from_0x10000000_upwards(void **state)
{
    void *vaddr;

    (void)state;
    assert_non_null(vspace_reserve_range(&owner.vspace, 0x3000, seL4_AllRights, 1, &vaddr).res);
    assert_ptr_equal(vaddr, (void *)0x10000000);
    assert_non_null(vspace_reserve_range(&owner.vspace, 1, seL4_AllRights, 1, &vaddr).res);
    assert_ptr_equal(vaddr, (void *)0x10003000);
    assert_non_null(
        vspace_reserve_range_aligned(&owner.vspace, 1, 21, seL4_AllRights, 1, &vaddr).res);
    assert_ptr_equal(vaddr, (void *)0x10200000);
    assert_null(vspace_reserve_range(&owner.vspace, 0, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range(&owner.vspace, 1, seL4_AllRights, 1, NULL).res);
    assert_null(vspace_reserve_range_aligned(&owner.vspace, 1, 13, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range(&owner.vspace, ~0ul, seL4_AllRights, 1, &vaddr).res);
    assert_null(vspace_reserve_range(&owner.vspace, ~0xffful, seL4_AllRights, 1, &vaddr).res);
    assert_reason("cannot reserve 0xfffffffffffff000 bytes: no free range is that large");
}

static void test_freeing_keeps_what_is_mapped_and_empties_the_rest(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    seL4_CPtr frame = envs_frame(&owner.env, 12);

    (void)state;
    assert_int_equal(map_at(&frame, 1, 0x11000, 12, res), 0);
    vspace_free_reservation(&owner.vspace, res);
    assert_int_equal(nr_mapped(), 1);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x11000), frame);
    assert_null(vspace_reserve_range_at(&owner.vspace, (void *)0x11000, 1, seL4_AllRights, 1).res);
    assert_reason("cannot reserve [0x11000..0x12000): [0x11000..0x12000) is mapped");
    (void)reserve(0x10000, 0x1000);
    (void)reserve(0x12000, 0x2000);
    vspace_unmap_pages(&owner.vspace, (void *)0x11000, 1, 12, VSPACE_PRESERVE);
    (void)reserve(0x11000, 0x1000);
}

static void test_a_reservation_is_freed_by_any_of_its_addresses(void **state)
{
    (void)state;
    (void)reserve(0x10000, 0x4000);
    vspace_free_reservation_by_vaddr(&owner.vspace, (void *)0x13fff);
    vspace_free_reservation_by_vaddr(&owner.vspace, (void *)0x13fff);
    assert_reason("nothing is reserved at 0x13fff");
    (void)reserve(0x10000, 0x4000);
}

static void test_what_is_no_reservation_is_refused(void **state)
{
    reservation_t res = reserve(0x10000, 0x1000);
    seL4_CPtr frame = envs_frame(&owner.env, 12);
    const reservation_t wrong[] = {{NULL}, {&owner}, {(void *)1}, res};

    (void)state;
    vspace_free_reservation(&owner.vspace, res);
    for (size_t i = 0; i < 4; i++) {
        vspace_free_reservation(&owner.vspace, wrong[i]);
        assert_int_equal(map_at(&frame, 1, 0x10000, 12, wrong[i]), -1);
    }
    assert_int_equal(nr_mapped(), 0);
}

/* --- mapping --- */

static void test_frames_in_a_row_are_one_run(void **state)
{
    reservation_t res = reserve(0x10000, 0x40000);
    seL4_CPtr caps[64];

    (void)state;
    new_frames(caps, 64);
    assert_int_equal(map_at(caps, 64, 0x10000, 12, res), 0);
    assert_int_equal(owner.nr_map_calls, 1);
    assert_int_equal(owner.nr_runs, 1);
    assert_int_equal(owner.last_run.range.start, 0x10000);
    assert_int_equal(owner.last_run.range.size, 0x40000);
    for (uint64_t i = 0; i < 64; i++) {
        assert_int_equal(vspace_get_cap(&owner.vspace, (void *)(0x10123 + i * 4096)), caps[i]);
    }
}

static void test_runs_end_where_memory_or_rights_change(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    seL4_CPtr caps[6];
    struct space_run run;

    (void)state;
    new_frames(caps, 5);
    caps[5] = envs_frame(&owner.env, 12);
    /* 0 1 | 3 | 2 (read-only) | 4 5 */
    caps[2] = envs_copy(&owner.env, caps[2], seL4_CanRead);
    seL4_CPtr order[] = {caps[0], caps[1], caps[3], caps[2], caps[4], caps[5]};

    assert_int_equal(map_at(order, 6, 0x10000, 12, res), 0);
    assert_int_equal(owner.nr_map_calls, 1);
    assert_int_equal(owner.nr_runs, 4);
    assert_true(space_find_mapping(owner.space, 0x11fff, &run));
    assert_int_equal(run.range.start, 0x10000);
    assert_int_equal(run.range.size, 0x2000);
    assert_true(space_find_mapping(owner.space, 0x13000, &run));
    assert_int_equal(run.rights.words[0], seL4_CanRead.words[0]);
    assert_false(space_find_mapping(owner.space, 0x16000, &run));
    assert_false(space_find_mapping(owner.space, 0xffff, &run));
}

static void test_a_mapping_must_fit_its_reservation(void **state)
{
    reservation_t res = reserve(0x10000, 0x2000);
    seL4_CPtr caps[3];

    (void)state;
    new_frames(caps, 3);
    assert_int_equal(map_at(caps, 3, 0x10000, 12, res), -1);
    assert_reason("cannot map 0x3000 bytes at 0x10000: that is outside the reservation "
                  "[0x10000..0x12000)");
    assert_int_equal(map_at(caps, 1, 0xf000, 12, res), -1);
    assert_int_equal(map_at(caps, 0, 0x10000, 12, res), -1);
    assert_int_equal(map_at(caps, 1, 0x10000, 13, res), -1);
    assert_int_equal(map_at(caps, 1, 0x10000, 21, res), -1);
    assert_int_equal(map_at(caps, 1, 0x10800, 12, res), -1);
    assert_int_equal(map_at(caps, ~0ul >> 3, 0x10000, 12, res), -1);
    assert_int_equal(map_at(NULL, 1, 0x10000, 12, res), -1);
    assert_int_equal(nr_mapped(), 0);
    assert_int_equal(map_at(caps, 2, 0x10000, 12, res), 0);
    assert_int_equal(map_at(&caps[2], 1, 0x11000, 12, res), -1);
    assert_reason("cannot map [0x11000..0x12000): [0x10000..0x12000) is mapped; unmap that first");
}

static void test_a_capability_is_mapped_once(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    seL4_CPtr frame = envs_frame(&owner.env, 12);
    seL4_CPtr twice[2] = {frame, frame};
    char text[160];

    (void)state;
    assert_int_equal(map_at(twice, 2, 0x10000, 12, res), -1);
    assert_int_equal(nr_mapped(), 0);
    assert_int_equal(map_at(twice, 1, 0x10000, 12, res), 0);
    assert_int_equal(map_at(twice, 1, 0x11000, 12, res), -1);
    snprintf(text, sizeof(text),
             "capability 0x%lx is mapped at 0x10000 already: copy it to map its "
             "frame once more",
             frame);
    assert_reason(text);
    twice[0] = envs_copy(&owner.env, frame, seL4_AllRights);
    assert_int_equal(map_at(twice, 1, 0x11000, 12, res), 0);
    assert_int_equal(owner.offsets[0x10], owner.offsets[0x11]);
}

static void test_only_live_frames_of_the_right_size_are_mapped(void **state)
{
    reservation_t res = reserve(0x200000, 0x400000);
    seL4_CPtr large = envs_frame(&owner.env, 21);
    seL4_CPtr caps[3] = {envs_frame(&owner.env, 12), 0, envs_frame(&owner.env, 12)};
    seL4_CPtr deleted = envs_frame(&owner.env, 12);

    (void)state;
    envs_delete(&owner.env, deleted);
    assert_int_equal(map_at(&deleted, 1, 0x200000, 12, res), -1);
    assert_int_equal(map_at(&owner.env.endpoint, 1, 0x200000, 12, res), -1);
    assert_int_equal(map_at(&large, 1, 0x200000, 12, res), -1);
    assert_int_equal(map_at(caps, 3, 0x200000, 12, res), -1);
    assert_int_equal(nr_mapped(), 0);
    assert_int_equal(map_at(&large, 1, 0x201000, 21, res), -1);
    assert_int_equal(map_at(&large, 1, 0x200000, 21, res), 0);
    assert_int_equal(nr_mapped(), 512);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x3fffff), large);
    caps[1] = envs_frame(&owner.env, 12);
    assert_int_equal(map_at(caps, 3, 0x400000, 12, res), 0);
}

static void test_deferred_rights_come_with_each_mapping(void **state)
{
    reservation_t deferred =
        vspace_reserve_deferred_rights_range_at(&owner.vspace, (void *)0x10000, 0x4000, 1);
    reservation_t plain = reserve(0x20000, 0x1000);
    seL4_CPtr caps[3];

    (void)state;
    new_frames(caps, 3);
    assert_int_equal(map_at(caps, 1, 0x10000, 12, deferred), -1);
    assert_reason("the reservation has no rights: map with deferred rights");
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(
                         &owner.vspace, caps, NULL, (void *)0x20000, 1, 12, seL4_AllRights, plain),
                     -1);
    assert_reason("the reservation has rights: they do not come with the mapping");
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(
                         &owner.vspace, caps, NULL, (void *)0x10000, 1, 12, seL4_CanRead, deferred),
                     0);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, &caps[1], NULL,
                                                               (void *)0x11000, 1, 12,
                                                               seL4_AllRights, deferred),
                     0);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, &caps[2], NULL,
                                                               (void *)0x11000, 1, 12,
                                                               seL4_AllRights, deferred),
                     -1);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, &caps[2], NULL,
                                                               (void *)0x12000, 0, 12,
                                                               seL4_AllRights, deferred),
                     -1);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, &caps[2], NULL,
                                                               (void *)0x14000, 1, 12,
                                                               seL4_AllRights, deferred),
                     -1);
    assert_reason("cannot map 0x1000 bytes at 0x14000: that is outside the reservation "
                  "[0x10000..0x14000)");
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, &caps[2], NULL,
                                                               (void *)0xf000, 1, 12,
                                                               seL4_AllRights, deferred),
                     -1);
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(&owner.vspace, caps, NULL,
                                                               (void *)0x12000, 3, 12,
                                                               seL4_AllRights, deferred),
                     -1);
    assert_int_equal(nr_mapped(), 2);
    assert_int_equal(owner.rights[0x10].words[0], seL4_CanRead.words[0]);
    assert_int_equal(owner.rights[0x11].words[0], seL4_AllRights.words[0]);
}

static void test_a_refusing_owner_leaves_everything_as_it_was(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    struct leak_state before;
    seL4_CPtr caps[4];

    (void)state;
    new_frames(caps, 4);
    assert_int_equal(map_at(caps, 4, 0x10000, 12, res), 0); /* makes room that is kept */
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 4, 12, VSPACE_PRESERVE);
    leak_begin(&before);
    owner.map_fails = true;
    assert_int_equal(map_at(caps, 4, 0x10000, 12, res), -1);
    assert_reason("the owner refuses to map");
    leak_check(&before);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x10000), seL4_CapNull);
    owner.map_fails = false;
    assert_int_equal(map_at(caps, 4, 0x10000, 12, res), 0);
    owner.unmap_fails = true;
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 4, 12, VSPACE_FREE);
    assert_reason("the owner refuses to unmap");
    assert_int_equal(nr_mapped(), 4);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x13000), caps[3]);
}

static void test_mapping_without_memory_leaves_no_trace(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    uintptr_t cookies[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct leak_state before;
    bool has_failed = true;
    seL4_CPtr caps[8];

    (void)state;
    new_frames(caps, 8);
    seL4_CPtr scattered[8] = {caps[0], caps[2], caps[4], caps[6],
                              caps[1], caps[3], caps[5], caps[7]};

    for (unsigned n = 1; has_failed; n++) {
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = vspace_map_pages_at_vaddr(&owner.vspace, scattered, cookies, (void *)0x10000, 8, 12,
                                      res);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
        if (has_failed) {
            assert_int_equal(nr_mapped(), 0);
            leak_check(&before);
        }
    }
    assert_int_equal(vspace_get_cookie(&owner.vspace, (void *)0x11fff), 2);
    assert_int_equal(vspace_get_cookie(&owner.vspace, (void *)0x18000), 0);
    assert_int_equal(owner.nr_runs, 8);
}

/* --- unmapping --- */

static void test_a_hole_splits_a_run_and_leaves_both_sides(void **state)
{
    reservation_t res = reserve(0x10000, 0x8000);
    seL4_CPtr caps[8];

    (void)state;
    new_frames(caps, 8);
    assert_int_equal(map_at(caps, 8, 0x10000, 12, res), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x13000, 2, 12, VSPACE_PRESERVE);
    assert_int_equal(nr_mapped(), 6);
    for (uint64_t i = 0; i < 8; i++) {
        bool is_hole = i == 3 || i == 4;
        struct space_run run;

        assert_int_equal(vspace_get_cap(&owner.vspace, (void *)(0x10000 + i * 4096)),
                         is_hole ? seL4_CapNull : caps[i]);
        assert_int_equal(space_find_mapping(owner.space, 0x10000 + i * 4096, &run), !is_hole);
    }
    assert_int_equal(map_at(&caps[3], 2, 0x13000, 12, res), 0);
    assert_int_equal(nr_mapped(), 8);
    assert_int_equal(owner.offsets[0x14], owner.offsets[0x15] - 4096);
}

static void test_unmapping_page_by_page_unmaps_all(void **state)
{
    reservation_t res = reserve(0x10000, 0x100000);
    seL4_CPtr caps[256];
    struct leak_state before;

    (void)state;
    new_frames(caps, 256);
    leak_begin(&before);
    assert_int_equal(map_at(caps, 256, 0x10000, 12, res), 0);
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t page = (i * 37) % 256;

        vspace_unmap_pages(&owner.vspace, (void *)(0x10000 + page * 4096), 1, 12, VSPACE_PRESERVE);
        assert_int_equal(nr_mapped(), 255 - i);
    }
    assert_int_equal(map_at(caps, 256, 0x10000, 12, res), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 256, 12, VSPACE_PRESERVE);
    assert_int_equal(inject_live_blocks() - before.nr_blocks <= 1, 1);
}

static void test_unmapping_frees_frames_that_came_with_a_cookie(void **state)
{
    reservation_t res = reserve(0x10000, 0x2000);
    vka_object_t objects[2];
    seL4_CPtr caps[2];
    uintptr_t cookies[2];
    seL4_CPtr copy;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vka_alloc_frame(&owner.env.vka, 12, &objects[i]), 0);
        caps[i] = objects[i].cptr;
        cookies[i] = objects[i].ut;
    }
    copy = envs_copy(&owner.env, caps[1], seL4_AllRights);
    assert_int_equal(
        vspace_map_pages_at_vaddr(&owner.vspace, caps, cookies, (void *)0x10000, 2, 12, res), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 2, 12, VSPACE_FREE);
    assert_int_equal(cap_type(&owner.env.priv->env, caps[0]), -ENOENT);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 4096);
    envs_delete(&owner.env, copy);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
}

static void test_pages_that_are_not_mapped_are_passed_over(void **state)
{
    reservation_t res = reserve(0x10000, 0x8000);
    seL4_CPtr caps[2];

    (void)state;
    new_frames(caps, 2);
    assert_int_equal(map_at(&caps[0], 1, 0x11000, 12, res), 0);
    assert_int_equal(map_at(&caps[1], 1, 0x14000, 12, res), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 8, 12, VSPACE_PRESERVE);
    assert_int_equal(nr_mapped(), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 8, 12, VSPACE_PRESERVE);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 0, 12, VSPACE_PRESERVE);
}

static void test_a_large_frame_is_unmapped_as_a_whole(void **state)
{
    reservation_t res = reserve(0x200000, 0x200000);
    seL4_CPtr large = envs_frame(&owner.env, 21);

    (void)state;
    assert_int_equal(map_at(&large, 1, 0x200000, 21, res), 0);
    assert_int_equal(space_unmap(owner.space, (struct range){0x300000, 0x1000}, NULL), -EINVAL);
    assert_reason("cannot unmap a part of the 2^21 byte frame at 0x200000: unmap it as a whole");
    assert_int_equal(space_unmap(owner.space, (struct range){0x200000, 0x1000}, NULL), -EINVAL);
    assert_int_equal(space_unmap(owner.space, (struct range){0x200000, 0x1001}, NULL), -EINVAL);
    assert_int_equal(nr_mapped(), 512);
    owner.depth++;
    assert_int_equal(space_unmap(owner.space, (struct range){0x200000, 0x200000}, NULL), 0);
    owner.depth--;
}

static void test_unmapping_without_memory_changes_nothing(void **state)
{
    reservation_t res = reserve(0x10000, 0x8000);
    seL4_CPtr caps[8];

    (void)state;
    new_frames(caps, 8);
    assert_int_equal(map_at(caps, 8, 0x10000, 12, res), 0);
    owner.depth++;
    inject_fail_nth(1);
    assert_int_equal(space_unmap(owner.space, (struct range){0x13000, 0x1000}, NULL), -ENOMEM);
    assert_true(inject_disarm());
    assert_int_equal(nr_mapped(), 8);
    assert_int_equal(space_get_cap(owner.space, 0x13000), caps[3]);
    owner.depth--;
}

static void test_deleting_a_mapped_capability_unmaps_it(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    seL4_CPtr caps[4];

    (void)state;
    new_frames(caps, 4);
    assert_int_equal(map_at(caps, 4, 0x10000, 12, res), 0);
    envs_delete(&owner.env, caps[2]);
    assert_int_equal(nr_mapped(), 3);
    assert_false(owner.is_mapped[0x12]);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x12000), seL4_CapNull);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 3 * 4096);
    owner.unmap_fails = true;
    assert_int_not_equal(seL4_CNode_Delete(seL4_CapInitThreadCNode, caps[1], 64), seL4_NoError);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x11000), caps[1]);
}

/* --- blocks --- */

static struct block *map_block(reservation_t res, uint64_t addr, uint64_t size,
                               seL4_CapRights_t rights)
{
    struct block *block;

    assert_int_equal(block_create(&owner.env.priv->env, size, &block), 0);
    owner.depth++;
    assert_int_equal(
        space_map_block(owner.space, res.res, (struct range){addr, size}, block, 0, rights), 0);
    owner.depth--;
    return block;
}

static void test_a_block_is_one_run_and_counts(void **state)
{
    reservation_t res = reserve(0x10000, 0x100000);
    struct block *block = map_block(res, 0x10000, 0x100000, seL4_AllRights);

    (void)state;
    assert_int_equal(owner.nr_runs, 1);
    assert_int_equal(nr_mapped(), 256);
    block_put(block);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0x100000);
    vspace_unmap_pages(&owner.vspace, (void *)0x20000, 16, 12, VSPACE_PRESERVE);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0x100000);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 256, 12, VSPACE_PRESERVE);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
}

static void test_a_page_of_a_block_gets_its_capability_when_asked(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    struct block *block = map_block(res, 0x10000, 0x10000, seL4_CanRead);
    seL4_CPtr cptr = vspace_get_cap(&owner.vspace, (void *)0x15678);
    seL4_CPtr last = vspace_get_cap(&owner.vspace, (void *)0x1f000);
    struct frame frame;

    (void)state;
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x15000), cptr);
    assert_int_equal(frame_lookup(&owner.env.priv->env, cptr, &frame), 0);
    assert_int_equal(frame.offset, block->offset + 0x5000);
    assert_int_equal(frame.bits, 12);
    assert_int_equal(frame.rights.words[0], seL4_AllRights.words[0]);
    assert_int_equal(vspace_get_cookie(&owner.vspace, (void *)0x15000), 0);
    vspace_unmap_pages(&owner.vspace, (void *)0x12000, 2, 12, VSPACE_FREE);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x15000), cptr);
    assert_int_equal(
        frame_lookup(&owner.env.priv->env, vspace_get_cap(&owner.vspace, (void *)0x16000), &frame),
        0);
    assert_int_equal(frame.offset, block->offset + 0x6000);
    vspace_unmap_pages(&owner.vspace, (void *)0x14000, 2, 12, VSPACE_PRESERVE);
    assert_int_equal(cap_type(&owner.env.priv->env, cptr), -ENOENT);
    assert_int_equal(cap_type(&owner.env.priv->env, last), CAP_FRAME);
    block_put(block);
}

static void test_deleting_a_blocks_page_unmaps_that_page_alone(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    struct block *block = map_block(res, 0x10000, 0x10000, seL4_AllRights);
    seL4_CPtr cptr = vspace_get_cap(&owner.vspace, (void *)0x15000);

    (void)state;
    envs_delete(&owner.env, cptr);
    assert_int_equal(nr_mapped(), 15);
    assert_false(owner.is_mapped[0x15]);
    assert_int_not_equal(vspace_get_cap(&owner.vspace, (void *)0x14000), seL4_CapNull);
    block_put(block);
}

static void test_a_block_must_fit(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    struct block *block;

    (void)state;
    assert_int_equal(block_create(&owner.env.priv->env, 0x4000, &block), 0);
    owner.depth++;
    assert_int_equal(space_map_block(owner.space, res.res, (struct range){0x10000, 0x5000}, block,
                                     0, seL4_AllRights),
                     -EINVAL);
    assert_int_equal(
        space_map_block(owner.space, res.res, (struct range){0x10000, 0}, block, 0, seL4_AllRights),
        -EINVAL);
    assert_int_equal(space_map_block(owner.space, res.res, (struct range){0x10000, 0x4000}, block,
                                     0x1000, seL4_AllRights),
                     -EINVAL);
    assert_int_equal(space_map_block(owner.space, res.res, (struct range){0x1f000, 0x2000}, block,
                                     0, seL4_AllRights),
                     -EINVAL);
    assert_int_equal(space_map_block(owner.space, res.res, (struct range){0x10001, 0x1000}, block,
                                     0, seL4_AllRights),
                     -EINVAL);
    for (unsigned n = 1; n <= 4; n++) {
        inject_fail_nth(n);
        assert_int_equal(space_map_block(owner.space, res.res, (struct range){0x10000, 0x4000},
                                         block, 0, seL4_AllRights),
                         -ENOMEM);
        assert_true(inject_disarm());
    }
    assert_int_equal(block->nr_refs, 1);
    owner.depth--;
    block_put(block);
}

static void test_no_memory_for_a_pages_capability_is_none(void **state)
{
    reservation_t res = reserve(0x10000, 0x10000);
    struct block *block = map_block(res, 0x10000, 0x10000, seL4_AllRights);

    (void)state;
    inject_fail_nth(1);
    assert_int_equal(vspace_get_cap(&owner.vspace, (void *)0x15000), seL4_CapNull);
    inject_disarm();
    assert_int_not_equal(vspace_get_cap(&owner.vspace, (void *)0x15000), seL4_CapNull);
    block_put(block);
}

/* --- the rest of the interface --- */

static void test_new_pages_are_made_mapped_and_freed(void **state)
{
    char *vaddr;
    reservation_t res;

    (void)state;
    res = reserve(0x10000, 0x4000);
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x10000, 4, 12, res), 0);
    assert_int_equal(nr_mapped(), 4);
    assert_int_not_equal(vspace_get_cookie(&owner.vspace, (void *)0x13000), 0);
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x10000, 1, 12, res), -1);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 4 * 4096);
    res = vspace_reserve_deferred_rights_range_at(&owner.vspace, (void *)0x20000, 0x1000, 1);
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x20000, 1, 12, res), -1);
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x20000, 1, 13, res), -1);
    vspace_unmap_pages(&owner.vspace, (void *)0x10000, 4, 12, VSPACE_FREE);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
    owner.map_fails = true;
    vaddr = vspace_new_pages(&owner.vspace, seL4_AllRights, 2, 12);
    assert_null(vaddr);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
}

static void test_new_pages_without_memory_leave_no_trace(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct leak_state before;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x10000, 4, 12, res);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
        if (has_failed) {
            leak_check(&before);
            assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
        }
    }
}

static void count_object(void *cookie, vka_object_t object)
{
    assert_int_equal(object.size_bits, 12);
    (*(int *)cookie)++;
}

static void test_the_hook_hears_of_new_frames(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);
    int nr = 0;

    (void)state;
    owner.vspace.allocated_object = count_object;
    owner.vspace.allocated_object_cookie = &nr;
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x10000, 4, 12, res), 0);
    assert_int_equal(nr, 4);
}

static void test_tearing_down_empties_the_space(void **state)
{
    reservation_t res = reserve(0x10000, 0x4000);

    (void)state;
    assert_int_equal(vspace_new_pages_at_vaddr(&owner.vspace, (void *)0x10000, 4, 12, res), 0);
    vspace_tear_down(&owner.vspace, VSPACE_FREE);
    assert_int_equal(nr_mapped(), 0);
    assert_int_equal(owner.env.priv->env.frames.bytes_in_use, 0);
    (void)reserve(0x10000, 0x4000);
}

static void test_creating_a_space_fails_without_a_trace(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct space *space = NULL;
        struct leak_state before;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = space_create(&owner.env.priv->env, &backend, &owner, &space);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        space_destroy(space);
        leak_check(&before);
    }
}

static void test_a_long_run_is_one_node(void **state)
{
    enum { NR = 3000 };
    static seL4_CPtr caps[NR];
    reservation_t res = reserve(0x10000, NR * 4096);
    long before;

    (void)state;
    new_frames(caps, NR);
    before = inject_live_blocks();
    assert_int_equal(map_at(caps, NR, 0x10000, 12, res), 0);
    assert_int_equal(owner.nr_runs, 1);
    assert_true(inject_live_blocks() - before <= 4);
}

int main(void)
{
#define space_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        space_test(test_a_reservation_covers_every_page_it_touches),
        space_test(test_empty_and_impossible_reservations_are_refused),
        space_test(test_an_address_is_chosen_from_0x10000000_upwards),
        space_test(test_freeing_keeps_what_is_mapped_and_empties_the_rest),
        space_test(test_a_reservation_is_freed_by_any_of_its_addresses),
        space_test(test_what_is_no_reservation_is_refused),
        space_test(test_frames_in_a_row_are_one_run),
        space_test(test_runs_end_where_memory_or_rights_change),
        space_test(test_a_mapping_must_fit_its_reservation),
        space_test(test_a_capability_is_mapped_once),
        space_test(test_only_live_frames_of_the_right_size_are_mapped),
        space_test(test_deferred_rights_come_with_each_mapping),
        space_test(test_a_refusing_owner_leaves_everything_as_it_was),
        space_test(test_mapping_without_memory_leaves_no_trace),
        space_test(test_a_hole_splits_a_run_and_leaves_both_sides),
        space_test(test_unmapping_page_by_page_unmaps_all),
        space_test(test_unmapping_frees_frames_that_came_with_a_cookie),
        space_test(test_pages_that_are_not_mapped_are_passed_over),
        space_test(test_a_large_frame_is_unmapped_as_a_whole),
        space_test(test_unmapping_without_memory_changes_nothing),
        space_test(test_deleting_a_mapped_capability_unmaps_it),
        space_test(test_a_block_is_one_run_and_counts),
        space_test(test_a_page_of_a_block_gets_its_capability_when_asked),
        space_test(test_deleting_a_blocks_page_unmaps_that_page_alone),
        space_test(test_a_block_must_fit),
        space_test(test_no_memory_for_a_pages_capability_is_none),
        space_test(test_new_pages_are_made_mapped_and_freed),
        space_test(test_new_pages_without_memory_leave_no_trace),
        space_test(test_the_hook_hears_of_new_frames),
        space_test(test_tearing_down_empties_the_space),
        space_test(test_creating_a_space_fails_without_a_trace),
        space_test(test_a_long_run_is_one_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
