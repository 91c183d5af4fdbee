/* Building an environment, and taking it down. */
#include "env/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "env/captable.h"
#include "env/process.h"
#include "env/space.h"
#include "env/untyped.h"
#include "env/window.h"

void env_lock(struct env *env)
{
    pthread_mutex_lock(&env->lock);
}

void env_unlock(struct env *env)
{
    pthread_mutex_unlock(&env->lock);
}

const struct log *env_log(struct env *env)
{
    return &env->log;
}

const hostvm_env_config_t *env_config(struct env *env)
{
    return &env->config;
}

int env_report(struct env *env, int r)
{
    if (r >= 0) {
        return 0;
    }
    log_at(&env->log, HOSTVM_LOG_ERROR, "%s", reason_last());
    return -1;
}

static void env_fini(struct env *env)
{
    env->magic = 0;
    while (env->windows != NULL) {
        window_destroy(env->windows);
    }
    process_space_destroy(env->process);
    env_io_ops_fini(env);
    env_lock(env);
    env->frames.is_ending = true;
    captable_destroy(env->caps);
    frame_pool_fini(&env->frames);
    env_unlock(env);
    ntfn_pool_fini(&env->ntfns);
    pthread_cond_destroy(&env->visits_over);
    pthread_mutex_destroy(&env->lock);
}

static int env_init(struct env *env, const hostvm_env_config_t *cfg)
{
    int r;

    env->config = *cfg;
    env->log = (struct log){cfg->log_fn, cfg->log_cookie, (int)cfg->log_level};
    pthread_mutex_init(&env->lock, NULL);
    pthread_cond_init(&env->visits_over, NULL);
    env->magic = ENV_MAGIC;
    r = frame_pool_init(&env->frames);
    if (r == 0) {
        r = captable_create(env, &env->caps);
    }
    if (r == 0) {
        r = process_space_create(env, &env->process);
    }
    if (r < 0) {
        env_fini(env);
    }
    return r;
}

/* A notification of the environment's own, which goes when the environment does. */
static int make_endpoint(struct env *env, seL4_CPtr *ret)
{
    seL4_CPtr slot;
    int r;

    r = cap_slot_alloc(env, &slot);
    if (r == 0) {
        r = ntfn_create(env, CAP_NOTIFICATION, slot);
    }
    if (r == 0) {
        *ret = slot;
    }
    return r;
}

/* The same before there is an environment. */
static int report(const hostvm_env_config_t *cfg, int r)
{
    struct log log = {cfg->log_fn, cfg->log_cookie, (int)cfg->log_level};

    if (r < 0) {
        log_at(&log, HOSTVM_LOG_ERROR, "%s", reason_last());
    }
    return r;
}

static int create(hostvm_env_t *ret, const hostvm_env_config_t *cfg)
{
    struct hostvm_env_private *priv;
    int r;

    if (cfg->flags != 0) {
        return fail(-EINVAL, "cannot create an environment: there are no flags 0x%x", cfg->flags);
    }
    priv = calloc(1, sizeof(*priv));
    if (priv == NULL) {
        return fail(-ENOMEM, "cannot create an environment: out of memory");
    }
    r = env_init(&priv->env, cfg);
    if (r < 0) {
        goto free_priv;
    }
    r = make_endpoint(&priv->env, &ret->endpoint);
    if (r < 0) {
        goto fini_env;
    }
    env_make_vka(&priv->env, &ret->vka);
    env_make_simple(&priv->env, &ret->simple);
    env_make_io_ops(&priv->env, &ret->io_ops);
    ret->vspace = space_interface(process_space_of(priv->env.process));
    ret->priv = priv;
    return 0;

fini_env:
    env_fini(&priv->env);
free_priv:
    free(priv);
    return r;
}

int hostvm_env_create(hostvm_env_t *env, const hostvm_env_config_t *cfg)
{
    static const hostvm_env_config_t defaults;

    cfg = cfg == NULL ? &defaults : cfg;
    if (env == NULL) {
        return report(cfg, fail(-EINVAL, "hostvm_env_create: no environment given"));
    }
    memset(env, 0, sizeof(*env));
    return report(cfg, create(env, cfg));
}

void hostvm_env_destroy(hostvm_env_t *env)
{
    if (env == NULL || env->priv == NULL) {
        return;
    }
    env_fini(&env->priv->env);
    free(env->priv);
    memset(env, 0, sizeof(*env));
}

int hostvm_env_add_phys(hostvm_env_t *env, uintptr_t paddr, int fd, off_t off, size_t len)
{
    static const hostvm_env_config_t defaults;

    int r;

    if (env == NULL || env->priv == NULL) {
        return report(&defaults, fail(-EINVAL, "hostvm_env_add_phys: no environment given"));
    }
    r = phys_add(&env->priv->env, paddr, fd, (uint64_t)off, len);
    (void)env_report(&env->priv->env, r); /* logs; the number is more than it returns */
    return r;
}
