/*
 * Environments: built and taken down without a trace, whatever fails and whatever is left in them.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "env/env.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

static void test_all_members_are_ready(void **state)
{
    hostvm_env_t env;

    (void)state;
    assert_int_equal(hostvm_env_create(&env, NULL), 0);
    assert_non_null(env.vka.utspace_paddr);
    assert_non_null(env.io_ops.malloc_ops.calloc);
    assert_int_not_equal(env.endpoint, seL4_CapNull);
    assert_int_not_equal(vspace_get_root(&env.vspace), seL4_CapNull);
    assert_ptr_equal(env_of_vka(&env.vka), &env.priv->env);
    assert_non_null(env_log(&env.priv->env));
    assert_int_equal(env_config(&env.priv->env)->max_frame_memory, 0);
    hostvm_env_destroy(&env);
    assert_null(env.priv);
}

static void test_destroying_nothing_is_fine(void **state)
{
    hostvm_env_t env;

    (void)state;
    memset(&env, 0, sizeof(env));
    hostvm_env_destroy(&env);
    hostvm_env_destroy(NULL);
}

static void test_bad_arguments_are_refused(void **state)
{
    hostvm_env_config_t config = {.flags = 4, .log_fn = envs_ignore_log};
    hostvm_env_t env;

    (void)state;
    memset(&env, 0xff, sizeof(env));
    assert_int_equal(hostvm_env_create(&env, &config), -EINVAL);
    assert_reason("cannot create an environment: there are no flags 0x4");
    assert_null(env.priv);
    config.flags = 0;
    assert_int_equal(hostvm_env_create(NULL, &config), -EINVAL);
    assert_reason("hostvm_env_create: no environment given");
}

/* Something of every kind. */
static void use_everything(hostvm_env_t *env)
{
    int fd = io_memfd("device", 0x1000);
    vka_object_t object;
    struct ntfn *ntfn;
    void *block;
    void *vaddr;

    (void)envs_copy(env, envs_frame(env, 12), seL4_CanRead);
    assert_int_equal(vka_alloc_untyped(&env->vka, 13, &object), 0);
    assert_int_equal(vka_alloc_endpoint(&env->vka, &object), 0);
    assert_int_equal(ntfn_get(&env->priv->env, object.cptr, &ntfn, NULL), 0);
    assert_true(ntfn_fd(ntfn) >= 0);
    ntfn_put(ntfn);
    assert_non_null(vspace_new_pages(&env->vspace, seL4_AllRights, 3, 12));
    assert_non_null(vspace_reserve_range(&env->vspace, 0x5000, seL4_AllRights, 1, &vaddr).res);
    assert_int_equal(ps_calloc(&env->io_ops.malloc_ops, 3, 100, &block), 0);
    assert_non_null(ps_dma_alloc(&env->io_ops.dma_manager, 100, 256, 1, PS_MEM_NORMAL));
    assert_int_equal(hostvm_env_add_phys(env, 0x1000, fd, 0, 0x1000), 0);
    assert_non_null(ps_io_map(&env->io_ops.io_mapper, 0x1800, 0x100, 0, PS_MEM_NORMAL));
    close(fd);
}

static void test_a_hundred_environments_come_and_go_without_a_trace(void **state)
{
    struct leak_state before;

    (void)state;
    leak_begin(&before);
    for (int i = 0; i < 100; i++) {
        hostvm_env_t env = envs_create();

        use_everything(&env);
        hostvm_env_destroy(&env);
    }
    leak_check(&before);
}

static void test_environments_live_side_by_side(void **state)
{
    enum { NR = 20 };
    hostvm_env_t envs[NR];
    struct leak_state before;

    (void)state;
    leak_begin(&before);
    for (int i = 0; i < NR; i++) {
        envs[i] = envs_create();
        use_everything(&envs[i]);
        assert_ptr_equal(env_of_vka(&envs[i].vka), &envs[i].priv->env);
    }
    for (int i = 0; i < NR; i++) {
        hostvm_env_destroy(&envs[i]);
    }
    leak_check(&before);
}

static void test_whatever_fails_nothing_is_left(void **state)
{
    const hostvm_env_config_t config = {.log_fn = envs_ignore_log};
    bool has_failed = true;
    unsigned nr_failures = 0;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct leak_state before;
        hostvm_env_t env;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = hostvm_env_create(&env, &config);
        has_failed = inject_disarm();
        nr_failures += has_failed;
        assert_int_equal(r < 0, has_failed);
        if (has_failed) {
            assert_true(r == -ENOMEM || r == -EMFILE);
            assert_string_not_equal(hostvm_last_error(), "");
            assert_null(env.priv);
        }
        hostvm_env_destroy(&env);
        leak_check(&before);
    }
    assert_true(nr_failures >= 6);
}

static void test_strange_allocators_are_recognised(void **state)
{
    hostvm_env_t env = envs_create();
    vka_t strange = env.vka;
    uint64_t number = 12345;
    void *const wrong[] = {NULL, &number, (char *)&number + 1, (void *)0x1000, (void *)~0ul};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        strange.data = wrong[i];
        assert_null(env_of_vka(&strange));
        assert_reason("the allocator given (vka_t) is not of an environment of hostvm; use that of "
                      "hostvm_env_create");
    }
    assert_null(env_of_vka(NULL));
    strange = env.vka;
    strange.cspace_alloc = NULL;
    assert_ptr_equal(env_of_vka(&strange), &env.priv->env);
    hostvm_env_destroy(&env);
}

static void test_simple_answers_for_a_process(void **state)
{
    hostvm_env_t env = envs_create();
    simple_t *simple = &env.simple;
    size_t bits;

    (void)state;
    assert_int_equal(simple_get_cnode(simple), seL4_CapInitThreadCNode);
    assert_int_equal(simple_get_pd(simple), seL4_CapInitThreadVSpace);
    assert_int_equal(simple_get_tcb(simple), seL4_CapInitThreadTCB);
    assert_int_equal(simple_get_init_cap(simple, 77), seL4_CapNull);
    assert_int_equal(simple_get_cnode_size_bits(simple), 24);
    assert_int_equal(simple_last_valid_cap(simple), seL4_CapInitThreadVSpace);
    assert_int_equal(simple_get_nth_cap(simple, -1), seL4_CapNull);
    assert_int_equal(simple_get_nth_cap(simple, 3), seL4_CapNull);
    assert_int_equal(simple_get_untyped_count(simple), 0);
    assert_int_equal(simple_get_nth_untyped(simple, 0, &bits, NULL, NULL), seL4_CapNull);
    assert_true(simple_get_core_count(simple) >= 1);
    assert_int_equal(simple_get_extended_bootinfo_length(simple, 1), -1);
    assert_int_equal(simple_get_extended_bootinfo(simple, 1, &bits, sizeof(bits)), -1);
    simple_print(simple);
    hostvm_env_destroy(&env);
}

static void test_driver_memory_knows_its_blocks(void **state)
{
    hostvm_env_t env = envs_create();
    const ps_malloc_ops_t *ops = &env.io_ops.malloc_ops;
    unsigned char *block = NULL;
    void *pointer = NULL;

    (void)state;
    assert_int_equal(ps_calloc(ops, 10, 7, (void **)&block), 0);
    for (int i = 0; i < 70; i++) {
        assert_int_equal(block[i], 0);
    }
    assert_int_equal(ps_malloc(ops, 10, &pointer), 0);
    assert_int_equal(ps_free(ops, 70, &block), EINVAL);
    assert_int_equal(ps_free(ops, 70, block + 1), EINVAL);
    assert_int_equal(ps_free(ops, 70, block), 0);
    assert_int_equal(ps_free(ops, 70, block), EINVAL);
    assert_int_equal(ps_free(ops, 10, pointer), 0);
    assert_int_equal(ps_calloc(ops, ~0ul, 2, &pointer), ENOMEM);
    inject_fail_nth(1);
    assert_int_equal(ps_malloc(ops, 10, &pointer), ENOMEM);
    inject_disarm();
    hostvm_env_destroy(&env);
}

static void test_driver_memory_fails_without_a_trace(void **state)
{
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        hostvm_env_t env = envs_create();
        void *pointer = NULL;
        int err;

        inject_fail_nth(n);
        err = ps_malloc(&env.io_ops.malloc_ops, 10, &pointer);
        has_failed = inject_disarm();
        assert_int_equal(err, has_failed ? ENOMEM : 0);
        hostvm_env_destroy(&env);
        leak_check(&before);
    }
}

static void test_device_memory_is_aligned_and_zero(void **state)
{
    hostvm_env_t env = envs_create();
    const ps_dma_man_t *dma = &env.io_ops.dma_manager;
    unsigned char *block = ps_dma_alloc(dma, 100, 4096, 1, PS_MEM_NORMAL);

    (void)state;
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 4096, 0);
    assert_int_equal(block[99], 0);
    assert_int_equal(ps_dma_pin(dma, block, 100), (uintptr_t)block);
    ps_dma_cache_op(dma, block, 100, DMA_CACHE_OP_CLEAN);
    ps_dma_unpin(dma, block, 100);
    ps_dma_free(dma, block, 100);
    ps_dma_free(dma, block, 100);
    assert_null(ps_dma_alloc(dma, 0, 4096, 1, PS_MEM_NORMAL));
    assert_null(ps_dma_alloc(dma, 100, 24, 1, PS_MEM_NORMAL));
    assert_non_null(ps_dma_alloc(dma, 100, 0, 1, PS_MEM_NORMAL));
    hostvm_env_destroy(&env);
}

static void test_physical_memory_is_mapped_for_drivers(void **state)
{
    hostvm_env_t env = envs_create();
    const ps_io_mapper_t *mapper = &env.io_ops.io_mapper;
    int fd = io_memfd("device", 0x4000);
    struct leak_state before;
    char *registers;
    char byte;

    (void)state;
    assert_int_equal(hostvm_env_add_phys(&env, 0xfe000000, fd, 0x1000, 0x2000), 0);
    assert_null(ps_io_map(mapper, 0xfe001000, 0x1001, 0, PS_MEM_NORMAL));
    assert_null(ps_io_map(mapper, 0xfdfff000, 0x1000, 0, PS_MEM_NORMAL));
    assert_null(ps_io_map(mapper, 0xfe000000, 0, 0, PS_MEM_NORMAL));
    registers = ps_io_map(mapper, 0xfe000000, 1, 0, PS_MEM_NORMAL);
    leak_begin(&before);
    ps_io_unmap(mapper, registers, 1);
    registers = ps_io_map(mapper, 0xfe000804, 0x1000, 0, PS_MEM_NORMAL);
    assert_non_null(registers);
    registers[0] = 'r';
    assert_int_equal(pread(fd, &byte, 1, 0x1804), 1);
    assert_int_equal(byte, 'r');
    ps_io_unmap(mapper, registers, 0x2000);
    ps_io_unmap(mapper, registers + 1, 0xfff);
    ps_io_unmap(mapper, registers + 0x1000, 4);
    ps_io_unmap(mapper, &env, 0x1000);
    registers[0] = 's';
    ps_io_unmap(mapper, registers, 0x1000);
    for (unsigned n = 1; n <= 1; n++) {
        inject_fail_nth(n);
        assert_null(ps_io_map(mapper, 0xfe000000, 0x1000, 0, PS_MEM_NORMAL));
        assert_true(inject_disarm());
    }
    registers = ps_io_map(mapper, 0xfe000000, 1, 0, PS_MEM_NORMAL);
    leak_check(&before);
    close(fd);
    hostvm_env_destroy(&env);
}

static unsigned nr_messages;
static char last_message[512];

static void keep_message(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)cookie;
    (void)level;
    nr_messages++;
    snprintf(last_message, sizeof(last_message), "%s", message);
}

static void test_failures_at_the_border_are_logged_once(void **state)
{
    hostvm_env_t env =
        envs_create_with((hostvm_env_config_t){.log_fn = keep_message, .max_frame_memory = 4096});
    vka_object_t object;

    (void)state;
    nr_messages = 0;
    assert_int_equal(vka_alloc_frame(&env.vka, 21, &object), -1);
    assert_int_equal(nr_messages, 1);
    assert_string_equal(last_message, hostvm_last_error());
    assert_null(vspace_reserve_range_at(&env.vspace, (void *)1, 1, seL4_AllRights, 1).res);
    assert_int_equal(nr_messages, 2);
    assert_string_equal(last_message, "cannot reserve the page at address 0 of this process");
    hostvm_env_destroy(&env);
}

/* --- threads --- */

static void *allocate_and_free(void *cookie)
{
    hostvm_env_t *env = cookie;

    for (int i = 0; i < 300; i++) {
        seL4_CPtr frame = envs_frame(env, 12);
        seL4_CPtr copy = envs_copy(env, frame, seL4_AllRights);
        char *vaddr = vspace_map_pages(&env->vspace, &copy, NULL, seL4_AllRights, 1, 12, 1);

        assert_non_null(vaddr);
        vaddr[0] = (char)i;
        envs_delete(env, frame);
        if (i % 2 == 0) {
            vspace_unmap_pages(&env->vspace, vaddr, 1, 12, VSPACE_FREE);
        } else {
            envs_delete(env, copy);
        }
    }
    return NULL;
}

static void test_threads_share_an_environment(void **state)
{
    hostvm_env_t env = envs_create();
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, &env), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(env.priv->env.frames.bytes_in_use, 0);
    hostvm_env_destroy(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members_are_ready),
        cmocka_unit_test(test_destroying_nothing_is_fine),
        cmocka_unit_test(test_bad_arguments_are_refused),
        cmocka_unit_test(test_a_hundred_environments_come_and_go_without_a_trace),
        cmocka_unit_test(test_environments_live_side_by_side),
        cmocka_unit_test(test_whatever_fails_nothing_is_left),
        cmocka_unit_test(test_strange_allocators_are_recognised),
        cmocka_unit_test(test_simple_answers_for_a_process),
        cmocka_unit_test(test_driver_memory_knows_its_blocks),
        cmocka_unit_test(test_driver_memory_fails_without_a_trace),
        cmocka_unit_test(test_device_memory_is_aligned_and_zero),
        cmocka_unit_test(test_physical_memory_is_mapped_for_drivers),
        cmocka_unit_test(test_failures_at_the_border_are_logged_once),
        cmocka_unit_test(test_threads_share_an_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
