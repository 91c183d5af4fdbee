/* Environments for tests: quiet ones, and what they said. */
#ifndef SUPPORT_ENVS_H
#define SUPPORT_ENVS_H

#include <hostvm/env.h>

/* An environment whose messages go nowhere; fails the test if there is none to be had. */
hostvm_env_t envs_create(void);
hostvm_env_t envs_create_with(hostvm_env_config_t config);

/* A log_fn that drops everything. */
void envs_ignore_log(void *cookie, enum hostvm_log_level level, const char *message);

/* A new frame's capability. */
seL4_CPtr envs_frame(hostvm_env_t *env, unsigned bits);

/* Another capability to the same object. */
seL4_CPtr envs_copy(hostvm_env_t *env, seL4_CPtr src, seL4_CapRights_t rights);

/* Deletes a capability and frees its slot. */
void envs_delete(hostvm_env_t *env, seL4_CPtr cptr);

/* Fails the test unless the thread's last reason is this. */
#define assert_reason(text) assert_string_equal(hostvm_last_error(), (text))

#endif
