/* Counting a guest's exits, and timing those after a warm-up. */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <hostvm/vm.h>

#include "bench/bare.h"

enum { NR_EXITS = 20000, NR_WARM_UP = 1000 };

struct count {
    int nr_exits;
    uint64_t start;
    uint64_t end;
};

/* Of a callback: the last one stops the VM. */
static inline void count_exit(struct count *count, vm_t *vm)
{
    count->nr_exits++;
    if (count->nr_exits == NR_WARM_UP) {
        count->start = now();
    } else if (count->nr_exits == NR_WARM_UP + NR_EXITS) {
        count->end = now();
        (void)hostvm_vm_stop(vm);
    }
}

#endif
