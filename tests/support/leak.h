/* What the process holds: descriptors, mappings and heap, to be compared before and after. */
#ifndef SUPPORT_LEAK_H
#define SUPPORT_LEAK_H

#include <stdint.h>

struct leak_state {
    unsigned nr_fds;
    uint64_t mapped_kib; /* without the heap's and the stacks' */
    long nr_blocks;      /* of heap, as inject.h counts them */
};

void leak_begin(struct leak_state *state);

/* Fails the test if anything is held that was not held at leak_begin, or the other way round. */
void leak_check_at(const struct leak_state *state, const char *file, int line);
#define leak_check(state) leak_check_at((state), __FILE__, __LINE__)

#endif
