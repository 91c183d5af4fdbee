/* Capabilities: handles, slots, copies, and every handle that is not one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "env/captable.h"
#include "env/env.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

static cspacepath_t path_of(hostvm_env_t *env, seL4_CPtr cptr)
{
    cspacepath_t path;

    vka_cspace_make_path(&env->vka, cptr, &path);
    return path;
}

static seL4_CPtr empty_slot(hostvm_env_t *env)
{
    seL4_CPtr slot;

    assert_int_equal(vka_cspace_alloc(&env->vka, &slot), 0);
    return slot;
}

static seL4_Error copy(hostvm_env_t *env, seL4_CPtr dest, seL4_CPtr src)
{
    cspacepath_t to = path_of(env, dest);
    cspacepath_t from = path_of(env, src);

    return (seL4_Error)vka_cnode_copy(&to, &from, seL4_AllRights);
}

static seL4_Error delete (hostvm_env_t *env, seL4_CPtr cptr)
{
    cspacepath_t path = path_of(env, cptr);

    return (seL4_Error)vka_cnode_delete(&path);
}

static void test_a_path_names_its_slot(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    cspacepath_t path = path_of(&env, slot);

    (void)state;
    assert_int_equal(path.capPtr, slot);
    assert_int_equal(path.capDepth, 64);
    assert_int_equal(path.root, seL4_CapInitThreadCNode);
    assert_int_equal(path.offset, slot);
    assert_int_equal(path.window, 1);
    hostvm_env_destroy(&env);
}

static void test_copying_needs_a_source_and_an_empty_destination(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    seL4_CPtr slot = empty_slot(&env);
    char text[128];

    (void)state;
    assert_int_equal(copy(&env, frame, slot), seL4_FailedLookup);
    snprintf(text, sizeof(text), "cannot copy or move from slot 0x%lx: it is empty", slot);
    assert_reason(text);
    assert_int_equal(copy(&env, slot, frame), seL4_NoError);
    assert_int_equal(copy(&env, slot, frame), seL4_DeleteFirst);
    snprintf(text, sizeof(text), "slot 0x%lx is occupied (frame): delete that first", slot);
    assert_reason(text);
    assert_int_equal(copy(&env, frame, frame), seL4_DeleteFirst);
    assert_int_equal(delete (&env, slot), seL4_NoError);
    assert_int_equal(delete (&env, slot), seL4_NoError);
    assert_int_equal(copy(&env, slot, frame), seL4_NoError);
    hostvm_env_destroy(&env);
}

static void test_copies_narrow_rights_and_never_widen_them(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    seL4_CPtr readable = envs_copy(&env, frame, seL4_CanRead);
    seL4_CPtr again = envs_copy(&env, readable, seL4_AllRights);
    struct frame found;

    (void)state;
    assert_int_equal(frame_lookup(&env.priv->env, again, &found), 0);
    assert_int_equal(found.rights.words[0], seL4_CanRead.words[0]);
    assert_int_equal(frame_lookup(&env.priv->env, frame, &found), 0);
    assert_int_equal(found.rights.words[0], seL4_AllRights.words[0]);
    hostvm_env_destroy(&env);
}

static void test_a_moved_capability_leaves_its_slot_empty(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    seL4_CPtr slot = empty_slot(&env);
    cspacepath_t to = path_of(&env, slot);
    cspacepath_t from = path_of(&env, frame);

    (void)state;
    assert_int_equal(vka_cnode_move(&to, &from), seL4_NoError);
    assert_int_equal(cap_type(&env.priv->env, slot), CAP_FRAME);
    assert_int_equal(cap_type(&env.priv->env, frame), CAP_EMPTY);
    assert_int_equal(vka_cnode_move(&to, &from), seL4_FailedLookup);
    hostvm_env_destroy(&env);
}

static void test_a_mapped_capability_does_not_move(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    cspacepath_t to = path_of(&env, empty_slot(&env));
    cspacepath_t from = path_of(&env, frame);

    (void)state;
    assert_non_null(vspace_map_pages(&env.vspace, &frame, NULL, seL4_AllRights, 1, 12, 1));
    assert_int_equal(vka_cnode_move(&to, &from), seL4_RevokeFirst);
    assert_int_equal(cap_type(&env.priv->env, frame), CAP_FRAME);
    hostvm_env_destroy(&env);
}

static void test_badges_are_for_what_can_be_signalled(void **state)
{
    hostvm_env_t env = envs_create();
    cspacepath_t frame = path_of(&env, envs_frame(&env, 12));
    cspacepath_t endpoint = path_of(&env, env.endpoint);
    cspacepath_t slot = path_of(&env, empty_slot(&env));

    (void)state;
    assert_int_equal(vka_cnode_mint(&slot, &frame, seL4_AllRights, 5), seL4_InvalidArgument);
    assert_int_equal(vka_cnode_mint(&slot, &endpoint, seL4_AllRights, 5), seL4_NoError);
    assert_int_equal(vka_cnode_delete(&slot), seL4_NoError);
    assert_int_equal(vka_cnode_mint(&slot, &frame, seL4_AllRights, 0), seL4_NoError);
    hostvm_env_destroy(&env);
}

static void test_a_freed_slot_makes_its_handle_stale(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    char text[128];

    (void)state;
    vka_cspace_free(&env.vka, slot);
    assert_int_equal(cap_type(&env.priv->env, slot), -ENOENT);
    snprintf(text, sizeof(text), "capability 0x%lx is stale: its slot was freed", slot);
    assert_reason(text);
    assert_int_equal(delete (&env, slot), seL4_FailedLookup);
    hostvm_env_destroy(&env);
}

static void test_a_recycled_slot_has_another_handle(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr first = empty_slot(&env);
    unsigned nr_seen = 0;

    (void)state;
    vka_cspace_free(&env.vka, first);
    for (int i = 0; i < 10000; i++) {
        seL4_CPtr slot = empty_slot(&env);

        assert_int_not_equal(slot, first);
        nr_seen += slot >> 12 == first >> 12;
        vka_cspace_free(&env.vka, slot);
    }
    assert_true(nr_seen > 0);
    hostvm_env_destroy(&env);
}

static void test_freeing_an_occupied_slot_deletes_with_a_warning(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);

    (void)state;
    assert_int_equal(env.priv->env.frames.bytes_in_use, 4096);
    vka_cspace_free(&env.vka, frame);
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    assert_int_equal(cap_type(&env.priv->env, frame), -ENOENT);
    hostvm_env_destroy(&env);
}

static void test_what_is_no_handle_is_an_error_everywhere(void **state)
{
    hostvm_env_t env = envs_create();
    hostvm_env_t other = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    const seL4_CPtr wrong[] = {
        0,
        1,
        2,
        4096,
        ~0ul,
        0x123456789abcdef0ul,
        env.endpoint ^ 1,
        env.endpoint ^ 1ul << 35,
        (seL4_CPtr)(uintptr_t)&env,
        other.endpoint,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(copy(&env, slot, wrong[i]), seL4_FailedLookup);
        assert_int_equal(copy(&env, wrong[i], env.endpoint) == seL4_NoError, 0);
        assert_int_equal(cap_type(&env.priv->env, wrong[i]), -ENOENT);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) - 1; i++) {
        seL4_Word badge = 77;

        assert_int_equal(delete (&env, wrong[i]), seL4_FailedLookup);
        seL4_Signal(wrong[i]);
        seL4_Wait(wrong[i], &badge);
        assert_int_equal(badge, 0);
    }
    assert_int_equal(cap_type(&other.priv->env, other.endpoint), CAP_NOTIFICATION);
    hostvm_env_destroy(&other);
    hostvm_env_destroy(&env);
}

static void test_a_handle_outlives_its_environment_as_an_error(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = env.endpoint;

    (void)state;
    hostvm_env_destroy(&env);
    seL4_Signal(endpoint);
    assert_reason("cannot signal: the capability names no notification or endpoint");
    assert_int_equal(seL4_CNode_Delete(seL4_CapInitThreadCNode, endpoint, 64), seL4_FailedLookup);
}

static void test_wrong_roots_and_depths_are_refused(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = empty_slot(&env);
    const seL4_CNode root = seL4_CapInitThreadCNode;

    (void)state;
    assert_int_equal(seL4_CNode_Copy(root, slot, 32, root, env.endpoint, 64, seL4_AllRights),
                     seL4_InvalidArgument);
    assert_reason("no capability space 0x2 of depth 32: fill paths in with vka_cspace_make_path");
    assert_int_equal(seL4_CNode_Copy(root, slot, 64, 3, env.endpoint, 64, seL4_AllRights),
                     seL4_InvalidArgument);
    assert_int_equal(seL4_CNode_Mint(7, slot, 64, root, env.endpoint, 64, seL4_AllRights, 1),
                     seL4_InvalidArgument);
    assert_int_equal(seL4_CNode_Move(root, slot, 0, root, env.endpoint, 64), seL4_InvalidArgument);
    assert_int_equal(seL4_CNode_Delete(0, slot, 64), seL4_InvalidArgument);
    assert_int_equal(seL4_CNode_Revoke(root, slot, 64), seL4_IllegalOperation);
    hostvm_env_destroy(&env);
}

static void test_the_wrong_type_is_named(void **state)
{
    hostvm_env_t env = envs_create();
    struct frame frame;
    char text[128];

    (void)state;
    assert_int_equal(frame_lookup(&env.priv->env, env.endpoint, &frame), -EBADF);
    snprintf(text, sizeof(text), "capability 0x%lx is a notification: a frame is wanted",
             env.endpoint);
    assert_reason(text);
    assert_int_equal(frame_lookup(&env.priv->env, empty_slot(&env), &frame), -ENOENT);
    hostvm_env_destroy(&env);
}

static void test_tokens_stand_for_objects_without_a_body(void **state)
{
    hostvm_env_t env = envs_create();
    vka_object_t objects[4];

    (void)state;
    assert_int_equal(vka_alloc_tcb(&env.vka, &objects[0]), 0);
    assert_int_equal(vka_alloc_vcpu(&env.vka, &objects[1]), 0);
    assert_int_equal(vka_alloc_vspace_root(&env.vka, &objects[2]), 0);
    assert_int_equal(vka_alloc_cnode_object(&env.vka, 4, &objects[3]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cap_type(&env.priv->env, objects[i].cptr), CAP_TOKEN);
        assert_int_not_equal(objects[i].ut, 0);
        vka_free_object(&env.vka, &objects[i]);
    }
    assert_int_not_equal(vka_alloc_page_table_leaky(&env.vka), seL4_CapNull);
    hostvm_env_destroy(&env);
}

static void test_many_slots_have_distinct_handles(void **state)
{
    enum { NR = 20000 };
    static seL4_CPtr slots[NR];
    hostvm_env_t env = envs_create();

    (void)state;
    for (int i = 0; i < NR; i++) {
        slots[i] = empty_slot(&env);
        assert_true(i == 0 || slots[i] > slots[i - 1]);
    }
    for (int i = 0; i < NR; i++) {
        assert_int_equal(cap_type(&env.priv->env, slots[i]), CAP_EMPTY);
    }
    hostvm_env_destroy(&env);
}

static void test_no_memory_for_slots_is_an_error(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr slot = 0;
    int r = 0;

    (void)state;
    for (int i = 0; r == 0 && i < 5000; i++) {
        inject_fail_nth(1);
        r = vka_cspace_alloc(&env.vka, &slot);
    }
    inject_disarm();
    assert_int_equal(r, -1);
    assert_reason("cannot allocate a capability slot: out of memory");
    assert_int_equal(vka_cspace_alloc(&env.vka, &slot), 0);
    hostvm_env_destroy(&env);
}

/* --- objects of every kind --- */

static int alloc_untyped(vka_t *vka, vka_object_t *object)
{
    return vka_alloc_untyped(vka, 16, object);
}

static int alloc_cnode(vka_t *vka, vka_object_t *object)
{
    return vka_alloc_cnode_object(vka, 4, object);
}

static int alloc_small_frame(vka_t *vka, vka_object_t *object)
{
    return vka_alloc_frame(vka, 12, object);
}

static int alloc_large_frame(vka_t *vka, vka_object_t *object)
{
    return vka_alloc_frame_maybe_device(vka, 21, true, object);
}

static const struct {
    const char *name;
    int (*alloc)(vka_t *vka, vka_object_t *object);
} kinds[] = {
    {"untyped", alloc_untyped},
    {"endpoint", vka_alloc_endpoint},
    {"notification", vka_alloc_notification},
    {"tcb", vka_alloc_tcb},
    {"cnode", alloc_cnode},
    {"vcpu", vka_alloc_vcpu},
    {"vspace root", vka_alloc_vspace_root},
    {"4 KiB frame", alloc_small_frame},
    {"2 MiB frame", alloc_large_frame},
};

/* In an environment without anything, so that every table that can grow has to. */
static bool fail_nth_of_object(size_t kind, unsigned n)
{
    static const vka_object_t none;
    hostvm_env_t env = envs_create();
    uint64_t in_use = env.priv->env.frames.bytes_in_use;
    vka_object_t object;
    bool has_failed;
    int r;

    inject_fail_nth(n);
    r = kinds[kind].alloc(&env.vka, &object);
    has_failed = inject_disarm();
    if (r != 0) {
        if (!has_failed || r != -1) {
            fail_msg("%s: %s", kinds[kind].name, hostvm_last_error());
        }
        assert_memory_equal(&object, &none, sizeof(none));
        assert_int_equal(env.priv->env.frames.bytes_in_use, in_use);
        assert_int_equal(kinds[kind].alloc(&env.vka, &object), 0);
    }
    assert_int_not_equal(object.cptr, seL4_CapNull);
    vka_free_object(&env.vka, &object);
    assert_int_equal(cap_type(&env.priv->env, object.cptr), -ENOENT);
    assert_int_equal(env.priv->env.frames.bytes_in_use, in_use);
    hostvm_env_destroy(&env);
    return has_failed;
}

static void test_an_object_of_any_kind_is_allocated_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct leak_state before;
        unsigned n = 1;

        leak_begin(&before);
        while (fail_nth_of_object(kind, n)) {
            n++;
        }
        leak_check(&before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_names_its_slot),
        cmocka_unit_test(test_copying_needs_a_source_and_an_empty_destination),
        cmocka_unit_test(test_copies_narrow_rights_and_never_widen_them),
        cmocka_unit_test(test_a_moved_capability_leaves_its_slot_empty),
        cmocka_unit_test(test_a_mapped_capability_does_not_move),
        cmocka_unit_test(test_badges_are_for_what_can_be_signalled),
        cmocka_unit_test(test_a_freed_slot_makes_its_handle_stale),
        cmocka_unit_test(test_a_recycled_slot_has_another_handle),
        cmocka_unit_test(test_freeing_an_occupied_slot_deletes_with_a_warning),
        cmocka_unit_test(test_what_is_no_handle_is_an_error_everywhere),
        cmocka_unit_test(test_a_handle_outlives_its_environment_as_an_error),
        cmocka_unit_test(test_wrong_roots_and_depths_are_refused),
        cmocka_unit_test(test_the_wrong_type_is_named),
        cmocka_unit_test(test_tokens_stand_for_objects_without_a_body),
        cmocka_unit_test(test_many_slots_have_distinct_handles),
        cmocka_unit_test(test_no_memory_for_slots_is_an_error),
        cmocka_unit_test(test_an_object_of_any_kind_is_allocated_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
