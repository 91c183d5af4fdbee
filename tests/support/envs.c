/* Environments for tests. */
#include "support/envs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void envs_ignore_log(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)cookie;
    (void)level;
    (void)message;
}

hostvm_env_t envs_create_with(hostvm_env_config_t config)
{
    hostvm_env_t env;

    if (config.log_fn == NULL) {
        config.log_fn = envs_ignore_log;
    }
    assert_int_equal(hostvm_env_create(&env, &config), 0);
    return env;
}

hostvm_env_t envs_create(void)
{
    return envs_create_with((hostvm_env_config_t){.max_frame_memory = 0});
}

seL4_CPtr envs_frame(hostvm_env_t *env, unsigned bits)
{
    vka_object_t object;

    assert_int_equal(vka_alloc_frame(&env->vka, bits, &object), 0);
    return object.cptr;
}

seL4_CPtr envs_copy(hostvm_env_t *env, seL4_CPtr src, seL4_CapRights_t rights)
{
    cspacepath_t from;
    cspacepath_t to;

    vka_cspace_make_path(&env->vka, src, &from);
    assert_int_equal(vka_cspace_alloc_path(&env->vka, &to), 0);
    assert_int_equal(vka_cnode_copy(&to, &from, rights), 0);
    return to.capPtr;
}

void envs_delete(hostvm_env_t *env, seL4_CPtr cptr)
{
    cspacepath_t path;

    vka_cspace_make_path(&env->vka, cptr, &path);
    assert_int_equal(vka_cnode_delete(&path), 0);
    vka_cspace_free(&env->vka, cptr);
}
