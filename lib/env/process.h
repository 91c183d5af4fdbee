/* The address space of this process, as far as an environment uses it. */
#ifndef ENV_PROCESS_H
#define ENV_PROCESS_H

struct env;
struct process_space;
struct space;

int process_space_create(struct env *env, struct process_space **ret);
void process_space_destroy(struct process_space *process); /* NULL is fine */
struct space *process_space_of(struct process_space *process);

#endif
