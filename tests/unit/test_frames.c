/*
 * Frames, blocks, untyped memory and physical ranges: where memory comes from, and that it goes
 * back.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "env/env.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

static struct frame look_up(hostvm_env_t *env, seL4_CPtr cptr)
{
    struct frame frame;

    assert_int_equal(frame_lookup(&env->priv->env, cptr, &frame), 0);
    return frame;
}

/* Bytes of the memory file that the host really holds. */
static uint64_t file_bytes(hostvm_env_t *env)
{
    struct stat status;

    assert_int_equal(fstat(env->priv->env.frames.fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void write_frame(hostvm_env_t *env, seL4_CPtr cptr, char byte)
{
    struct frame frame = look_up(env, cptr);
    char bytes[64];

    memset(bytes, byte, sizeof(bytes));
    assert_int_equal(pwrite(frame.fd, bytes, sizeof(bytes), (off_t)frame.offset), sizeof(bytes));
}

static char read_frame(hostvm_env_t *env, seL4_CPtr cptr)
{
    struct frame frame = look_up(env, cptr);
    char byte;

    assert_int_equal(pread(frame.fd, &byte, 1, (off_t)frame.offset), 1);
    return byte;
}

static void test_frames_follow_each_other_in_the_file(void **state)
{
    hostvm_env_t env = envs_create();
    struct frame first = look_up(&env, envs_frame(&env, 12));

    (void)state;
    for (uint64_t i = 1; i < 1000; i++) {
        struct frame next = look_up(&env, envs_frame(&env, 12));

        assert_int_equal(next.offset, first.offset + i * 4096);
        assert_int_equal(next.fd, first.fd);
    }
    hostvm_env_destroy(&env);
}

static void test_every_size_is_aligned_to_itself(void **state)
{
    static const unsigned bits[] = {12, 21, 12, 30, 21, 12};
    hostvm_env_t env = envs_create();

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct frame frame = look_up(&env, envs_frame(&env, bits[i]));

        assert_int_equal(frame.bits, bits[i]);
        assert_int_equal(frame.offset % (UINT64_C(1) << bits[i]), 0);
    }
    hostvm_env_destroy(&env);
}

static void test_other_sizes_are_refused(void **state)
{
    hostvm_env_t env = envs_create();
    vka_object_t object;
    seL4_CPtr slot;

    (void)state;
    memset(&object, 0xff, sizeof(object));
    assert_int_equal(vka_alloc_frame(&env.vka, 13, &object), -1);
    assert_int_equal(object.cptr, 0);
    assert_int_equal(object.ut, 0);
    assert_int_equal(vka_cspace_alloc(&env.vka, &slot), 0);
    assert_int_equal(frame_create(&env.priv->env, 0, slot), -EINVAL);
    assert_int_equal(frame_create(&env.priv->env, 64, slot), -EINVAL);
    assert_reason("cannot make a frame of 2^64 bytes: only 2^12, 2^21 and 2^30");
    hostvm_env_destroy(&env);
}

static void test_freed_memory_returns_to_the_host_and_comes_back_zero(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    uint64_t offset = look_up(&env, frame).offset;

    (void)state;
    write_frame(&env, frame, 'x');
    assert_int_equal(file_bytes(&env), 4096);
    envs_delete(&env, frame);
    assert_int_equal(file_bytes(&env), 0);
    frame = envs_frame(&env, 12);
    assert_int_equal(look_up(&env, frame).offset, offset);
    assert_int_equal(read_frame(&env, frame), 0);
    hostvm_env_destroy(&env);
}

static void test_memory_lives_until_the_last_capability_goes(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    seL4_CPtr copy = envs_copy(&env, frame, seL4_CanRead);

    (void)state;
    write_frame(&env, frame, 'x');
    envs_delete(&env, frame);
    assert_int_equal(read_frame(&env, copy), 'x');
    envs_delete(&env, copy);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    assert_int_equal(file_bytes(&env), 0);
    hostvm_env_destroy(&env);
}

static void test_holes_join_again_in_any_order(void **state)
{
    enum { NR = 64 };
    hostvm_env_t env = envs_create();
    seL4_CPtr frames[NR];
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < NR; i++) {
            frames[i] = envs_frame(&env, 12);
        }
        for (int i = NR; i > 0; i--) {
            int j = (int)((seed = seed * 1103515245 + 12345) >> 16) % i;

            envs_delete(&env, frames[j]);
            frames[j] = frames[i - 1];
        }
        assert_int_equal(env.priv->env.frames.holes.nr_entries, 1);
    }
    hostvm_env_destroy(&env);
}

static void test_a_huge_block_costs_nothing_until_touched(void **state)
{
    hostvm_env_t env = envs_create();
    struct block *block;

    (void)state;
    assert_int_equal(block_create(&env.priv->env, UINT64_C(64) << 30, &block), 0);
    assert_int_equal(block->offset % (2 << 20), 0);
    assert_int_equal(block->size, UINT64_C(64) << 30);
    assert_int_equal(file_bytes(&env), 0);
    block_get(block);
    block_put(block);
    block_put(block);
    block_put(NULL);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    hostvm_env_destroy(&env);
}

static void test_blocks_of_no_or_impossible_size_are_refused(void **state)
{
    hostvm_env_t env = envs_create();
    struct block *block;

    (void)state;
    assert_int_equal(block_create(&env.priv->env, 0, &block), -EINVAL);
    assert_reason("cannot allocate 0x0 bytes of memory: it would be empty");
    assert_int_equal(block_create(&env.priv->env, UINT64_MAX, &block), -EINVAL);
    assert_int_equal(block_create(&env.priv->env, (UINT64_C(1) << 62) - 4096, &block), 0);
    assert_int_equal(block_create(&env.priv->env, 4097, &(struct block *){NULL}), -ENOMEM);
    block_put(block);
    hostvm_env_destroy(&env);
}

static void test_the_budget_counts_every_kind_of_memory(void **state)
{
    hostvm_env_t env = envs_create_with((hostvm_env_config_t){.max_frame_memory = 16384});
    struct block *block;
    vka_object_t object;
    seL4_CPtr frame;

    (void)state;
    frame = envs_frame(&env, 12);
    assert_int_equal(block_create(&env.priv->env, 5000, &block), 0);
    assert_int_equal(vka_alloc_untyped(&env.vka, 12, &object), 0);
    assert_int_equal(vka_alloc_frame(&env.vka, 12, &object), -1);
    assert_int_equal(object.cptr, 0);
    assert_reason("cannot allocate 4 KiB of memory: 16 of 16 KiB are taken; free some or raise "
                  "max_frame_memory");
    envs_delete(&env, frame);
    (void)envs_frame(&env, 12);
    block_put(block);
    hostvm_env_destroy(&env);
}

static void test_capabilities_name_pieces_of_a_block(void **state)
{
    hostvm_env_t env = envs_create();
    struct env *inner = &env.priv->env;
    struct block *block;
    seL4_CPtr cptr;

    (void)state;
    assert_int_equal(block_create(inner, 4 << 20, &block), 0);
    assert_int_equal(frame_cap_create(inner, block, 0x5000, 12, &cptr), 0);
    assert_int_equal(look_up(&env, cptr).offset, block->offset + 0x5000);
    assert_int_equal(frame_cap_create(inner, block, 2 << 20, 21, &cptr), 0);
    assert_int_equal(frame_cap_create(inner, block, 0x5001, 12, &cptr), -EINVAL);
    assert_int_equal(frame_cap_create(inner, block, 4 << 20, 12, &cptr), -EINVAL);
    assert_int_equal(frame_cap_create(inner, block, 0, 30, &cptr), -EINVAL);
    assert_reason("cannot make a frame of 2^30 bytes at 0x0 of a block of 0x400000 bytes");
    block_put(block);
    assert_int_equal(inner->frames.bytes_in_use, 4 << 20);
    hostvm_env_destroy(&env);
}

static void test_a_range_that_cannot_be_cleared_is_never_reused(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    uint64_t offset = look_up(&env, frame).offset;

    (void)state;
    inject_fail_nth_fallocate(1);
    envs_delete(&env, frame);
    inject_disarm();
    for (int i = 0; i < 10; i++) {
        assert_int_not_equal(look_up(&env, envs_frame(&env, 12)).offset, offset);
    }
    hostvm_env_destroy(&env);
}

static void test_a_failed_allocation_leaves_no_trace(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr first = envs_frame(&env, 12);
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        vka_object_t object;
        int r;

        inject_fail_nth(n);
        r = vka_alloc_frame(&env.vka, 30, &object);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
        if (r == 0) {
            vka_free_object(&env.vka, &object);
        }
        assert_int_equal(env.priv->env.frames.bytes_in_use, 4096);
    }
    leak_check(&before);
    assert_int_equal(look_up(&env, envs_frame(&env, 12)).offset,
                     look_up(&env, first).offset + 4096);
    hostvm_env_destroy(&env);
}

/* --- untyped memory --- */

static seL4_Error retype(seL4_CPtr untyped, seL4_Word type, seL4_Word bits, seL4_CPtr slot)
{
    return seL4_Untyped_Retype(untyped, type, bits, seL4_CapInitThreadCNode, 0, 0, slot, 1);
}

static seL4_CPtr empty_slot(hostvm_env_t *env)
{
    seL4_CPtr slot;

    assert_int_equal(vka_cspace_alloc(&env->vka, &slot), 0);
    return slot;
}

static void test_untyped_memory_is_used_up_and_comes_back_when_all_of_it_is_free(void **state)
{
    hostvm_env_t env = envs_create();
    vka_object_t untyped;
    seL4_CPtr slots[3] = {empty_slot(&env), empty_slot(&env), empty_slot(&env)};

    (void)state;
    assert_int_equal(vka_alloc_untyped(&env.vka, 13, &untyped), 0);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, slots[0]), seL4_NoError);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, slots[1]), seL4_NoError);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, slots[2]),
                     seL4_NotEnoughMemory);
    assert_reason("cannot make an object of 0x1000 bytes: 0x2000 of 0x2000 bytes of the untyped "
                  "memory are used up");
    write_frame(&env, slots[0], 'x');
    assert_int_equal(look_up(&env, slots[1]).offset, look_up(&env, slots[0]).offset + 4096);
    envs_delete(&env, slots[0]);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, slots[2]),
                     seL4_NotEnoughMemory);
    envs_delete(&env, slots[1]);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, slots[2]), seL4_NoError);
    assert_int_equal(read_frame(&env, slots[2]), 0);
    hostvm_env_destroy(&env);
}

static void test_objects_keep_their_untyped_memory_alive(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr inner = empty_slot(&env);
    seL4_CPtr frame = empty_slot(&env);
    vka_object_t untyped;

    (void)state;
    assert_int_equal(vka_alloc_untyped(&env.vka, 14, &untyped), 0);
    assert_int_equal(retype(untyped.cptr, seL4_UntypedObject, 13, inner), seL4_NoError);
    assert_int_equal(retype(inner, HOSTVM_FRAME_4K_OBJECT, 12, frame), seL4_NoError);
    vka_free_object(&env.vka, &untyped);
    envs_delete(&env, inner);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 16384);
    write_frame(&env, frame, 'x');
    envs_delete(&env, frame);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    assert_int_equal(file_bytes(&env), 0);
    hostvm_env_destroy(&env);
}

static void test_notifications_and_tokens_are_made_of_untyped_memory(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slots[4] = {empty_slot(&env), empty_slot(&env), empty_slot(&env), empty_slot(&env)};
    vka_object_t untyped;
    seL4_Word badge = 9;

    (void)state;
    assert_int_equal(vka_alloc_untyped(&env.vka, 6, &untyped), 0);
    assert_int_equal(retype(untyped.cptr, seL4_NotificationObject, 0, slots[0]), seL4_NoError);
    assert_int_equal(retype(untyped.cptr, seL4_EndpointObject, 0, slots[1]), seL4_NoError);
    assert_int_equal(retype(untyped.cptr, seL4_NotificationObject, 0, slots[2]),
                     seL4_NotEnoughMemory);
    assert_int_equal(retype(untyped.cptr, seL4_TCBObject, 0, slots[3]), seL4_NoError);
    seL4_Signal(slots[0]);
    (void)seL4_Poll(slots[0], &badge);
    assert_int_equal(badge, 0);
    envs_delete(&env, slots[0]);
    envs_delete(&env, slots[1]);
    assert_int_equal(retype(untyped.cptr, seL4_NotificationObject, 0, slots[2]), seL4_NoError);
    hostvm_env_destroy(&env);
}

static void test_retyping_checks_its_arguments(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    vka_object_t untyped;

    (void)state;
    assert_int_equal(vka_alloc_untyped(&env.vka, 13, &untyped), 0);
    assert_int_equal(retype(env.endpoint, HOSTVM_FRAME_4K_OBJECT, 12, slot),
                     seL4_InvalidCapability);
    assert_int_equal(retype(0, HOSTVM_FRAME_4K_OBJECT, 12, slot), seL4_FailedLookup);
    assert_int_equal(retype(untyped.cptr, 99, 12, slot), seL4_InvalidArgument);
    assert_int_equal(retype(untyped.cptr, seL4_UntypedObject, 3, slot), seL4_InvalidArgument);
    assert_int_equal(retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, env.endpoint),
                     seL4_DeleteFirst);
    assert_int_equal(seL4_Untyped_Retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12,
                                         seL4_CapInitThreadCNode, 0, 0, slot, 2),
                     seL4_RangeError);
    assert_reason("cannot retype to 2 objects: slots have no neighbours here; call once for each");
    assert_int_equal(
        seL4_Untyped_Retype(untyped.cptr, HOSTVM_FRAME_4K_OBJECT, 12, 9, 0, 0, slot, 1),
        seL4_InvalidArgument);
    assert_int_equal(vka_alloc_untyped(&env.vka, 3, &untyped), -1);
    assert_int_equal(vka_alloc_untyped(&env.vka, 48, &untyped), -1);
    hostvm_env_destroy(&env);
}

static void test_retyping_without_memory_changes_nothing(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    struct leak_state before;
    vka_object_t untyped;
    bool has_failed = true;

    (void)state;
    assert_int_equal(vka_alloc_untyped(&env.vka, 13, &untyped), 0);
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        seL4_Error err;

        inject_fail_nth(n);
        err = retype(untyped.cptr, seL4_NotificationObject, 0, slot);
        has_failed = inject_disarm();
        assert_int_equal(err, has_failed ? seL4_NotEnoughMemory : seL4_NoError);
    }
    envs_delete(&env, slot);
    hostvm_env_destroy(&env);
}

/* --- physical ranges --- */

static hostvm_env_t env_with_phys(int *ret_fd)
{
    hostvm_env_t env = envs_create();

    *ret_fd = io_memfd("device", 0x10000);
    assert_true(*ret_fd >= 0);
    assert_int_equal(hostvm_env_add_phys(&env, 0xfe000000, *ret_fd, 0x1000, 0x4000), 0);
    return env;
}

static void test_frames_at_registered_addresses_show_the_file(void **state)
{
    int fd;
    hostvm_env_t env = env_with_phys(&fd);
    vka_object_t object;
    struct frame frame;

    (void)state;
    assert_int_equal(vka_alloc_frame_at(&env.vka, 12, 0xfe002000, &object), 0);
    frame = look_up(&env, object.cptr);
    assert_int_equal(frame.offset, 0x3000);
    assert_int_equal(vka_utspace_paddr(&env.vka, object.ut, object.type, 12), 0xfe002000);
    write_frame(&env, object.cptr, 'd');
    vka_free_object(&env.vka, &object);
    assert_int_equal(vka_alloc_frame_at(&env.vka, 12, 0xfe002000, &object), 0);
    assert_int_equal(read_frame(&env, object.cptr), 'd');
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    assert_int_equal(vka_alloc_frame(&env.vka, 12, &object), 0);
    assert_int_equal(vka_utspace_paddr(&env.vka, object.ut, object.type, 12), VKA_NO_PADDR);
    close(fd);
    hostvm_env_destroy(&env);
}

static void test_unregistered_addresses_have_no_frames(void **state)
{
    int fd;
    hostvm_env_t env = env_with_phys(&fd);
    vka_object_t object;
    cspacepath_t path;

    (void)state;
    assert_int_equal(vka_alloc_frame_at(&env.vka, 12, 0xfe004000, &object), -1);
    assert_reason("no physical memory of 0x1000 bytes at 0xfe004000: register it with "
                  "hostvm_env_add_phys");
    assert_int_equal(vka_alloc_frame_at(&env.vka, 21, 0xfe000000, &object), -1);
    assert_int_equal(vka_alloc_frame_at(&env.vka, 12, 0xfe000800, &object), -1);
    assert_int_equal(vka_alloc_object_at(&env.vka, seL4_TCBObject, 12, 0xfe000000, &object), -1);
    vka_cspace_make_path(&env.vka, empty_slot(&env), &path);
    assert_int_equal(simple_get_frame_cap(&env.simple, (void *)0x1000, 12, &path),
                     seL4_FailedLookup);
    assert_int_equal(simple_get_frame_cap(&env.simple, (void *)0xfe000000, 12, NULL),
                     seL4_InvalidArgument);
    assert_int_equal(simple_get_frame_cap(&env.simple, (void *)0xfe000000, 13, &path) == 0, 0);
    assert_int_equal(simple_get_frame_cap(&env.simple, (void *)0xfe000000, 12, &path),
                     seL4_NoError);
    close(fd);
    hostvm_env_destroy(&env);
}

static void test_registering_checks_its_arguments(void **state)
{
    int fd;
    hostvm_env_t env = env_with_phys(&fd);

    (void)state;
    assert_int_equal(hostvm_env_add_phys(NULL, 0, fd, 0, 4096), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, 0x1000, fd, 0, 0), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, 0x1001, fd, 0, 4096), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, 0x1000, fd, 1, 4096), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, 0x1000, fd, -4096, 4096), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, ~0xffful, fd, 0, 8192), -EINVAL);
    assert_int_equal(hostvm_env_add_phys(&env, 0x1000, -1, 0, 4096), -EBADF);
    assert_int_equal(hostvm_env_add_phys(&env, 0xfe003000, fd, 0, 4096), -EEXIST);
    close(fd);
    hostvm_env_destroy(&env);
}

static void test_registering_fails_without_a_trace(void **state)
{
    int fd;
    hostvm_env_t env = env_with_phys(&fd);
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        inject_fail_nth(n);
        if (hostvm_env_add_phys(&env, 0x1000, fd, 0, 4096) == 0) {
            has_failed = inject_disarm();
            assert_false(has_failed);
        } else {
            assert_true(inject_disarm());
            leak_check(&before);
        }
    }
    close(fd);
    hostvm_env_destroy(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_follow_each_other_in_the_file),
        cmocka_unit_test(test_every_size_is_aligned_to_itself),
        cmocka_unit_test(test_other_sizes_are_refused),
        cmocka_unit_test(test_freed_memory_returns_to_the_host_and_comes_back_zero),
        cmocka_unit_test(test_memory_lives_until_the_last_capability_goes),
        cmocka_unit_test(test_holes_join_again_in_any_order),
        cmocka_unit_test(test_a_huge_block_costs_nothing_until_touched),
        cmocka_unit_test(test_blocks_of_no_or_impossible_size_are_refused),
        cmocka_unit_test(test_the_budget_counts_every_kind_of_memory),
        cmocka_unit_test(test_capabilities_name_pieces_of_a_block),
        cmocka_unit_test(test_a_range_that_cannot_be_cleared_is_never_reused),
        cmocka_unit_test(test_a_failed_allocation_leaves_no_trace),
        cmocka_unit_test(test_untyped_memory_is_used_up_and_comes_back_when_all_of_it_is_free),
        cmocka_unit_test(test_objects_keep_their_untyped_memory_alive),
        cmocka_unit_test(test_notifications_and_tokens_are_made_of_untyped_memory),
        cmocka_unit_test(test_retyping_checks_its_arguments),
        cmocka_unit_test(test_retyping_without_memory_changes_nothing),
        cmocka_unit_test(test_frames_at_registered_addresses_show_the_file),
        cmocka_unit_test(test_unregistered_addresses_have_no_frames),
        cmocka_unit_test(test_registering_checks_its_arguments),
        cmocka_unit_test(test_registering_fails_without_a_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
