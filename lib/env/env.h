/* The private half of an environment: all its objects, and the lock that guards them. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <hostvm/env.h>
#include <pthread.h>
#include <stdint.h>

#include "base/rangemap.h"
#include "base/reason.h"
#include "env/caps.h"
#include "env/frames.h"
#include "env/ipc.h"

enum { ENV_MAGIC = 0x656e7621 };

struct process_space;
struct window;

struct env {
    uint32_t magic; /* ENV_MAGIC while it lives */
    hostvm_env_config_t config;
    struct log log;

    /*
     * Guards everything below, and the contents of caps, blocks and notifications. Taken after the
     * lock of a VM or of the process's address space; the locks of notifications' queues and the
     * log's own come after it.
     */
    pthread_mutex_t lock;
    pthread_cond_t visits_over; /* see space.c */
    struct captable *caps;
    struct frame_pool frames;
    struct ntfn_pool ntfns;
    struct window *windows;
    unsigned nr_large_windows;     /* of windows; see window.c */
    struct rangemap driver_blocks; /* malloc_ops: address to block */
    struct rangemap driver_maps;   /* io_map: each mapping, and the address given out for it */

    struct process_space *process; /* has a lock of its own, taken before the env lock */
};

/* What hostvm_env_t.priv points at. */
struct hostvm_env_private {
    struct env env;
};

/* Behind a vka; NULL with a reason when the vka is not of this library. Costs a system call. */
struct env *env_of_vka(const vka_t *vka);

const struct log *env_log(struct env *env);
const hostvm_env_config_t *env_config(struct env *env);

/*
 * For functions at the public border: logs the reason of a failure r < 0. Returns what most of
 * them do, 0 or -1.
 */
int env_report(struct env *env, int r);

void env_lock(struct env *env);
void env_unlock(struct env *env);

/* The interfaces, filled in for env. */
void env_make_vka(struct env *env, vka_t *ret);
void env_make_simple(struct env *env, simple_t *ret);
void env_make_io_ops(struct env *env, ps_io_ops_t *ret);
void env_io_ops_fini(struct env *env);

#endif
