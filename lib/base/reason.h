/*
 * Why something failed, and the log: reasons per thread, levels, the sink, a limit for what guests
 * provoke.
 */
#ifndef BASE_REASON_H
#define BASE_REASON_H

#include <stdatomic.h>
#include <stdbool.h>

#include "hostvm/error.h"

/* Longer reasons and messages are cut. */
enum { REASON_SIZE = 512 };

/* Where messages go. fn NULL: stderr, as one line "hostvm: ...". */
struct log {
    hostvm_log_fn fn;
    void *cookie;
    int level; /* of enum hostvm_log_level: lower ones are dropped; DEFAULT stands for WARN */
};

/* Lets a burst through and counts the rest. Needs no clock; any thread may use it. */
struct rate_limit {
    unsigned burst;
    atomic_uint nr_seen;
};

#define RATE_LIMIT_INIT(burst)                                                                     \
    {                                                                                              \
        (burst), 0                                                                                 \
    }

/*
 * Records why on behalf of the calling thread and returns err, a negative errno:
 * return fail(-EINVAL, "cannot do this: that is wrong; this would help").
 * In parentheses, because cmocka has a macro of that name.
 */
int(fail)(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with a finished text; may be called where a signal handler runs. */
int fail_text(int err, const char *text);

/* The thread's last reason, "" when there is none yet. */
const char *reason_last(void);

/* One message. log NULL: stderr, from WARN upwards. Never changes errno. */
void log_at(const struct log *log, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The message would be let through: lets callers skip work for one that would not. */
bool log_wants(const struct log *log, int level);

/*
 * The same for what a guest can provoke: the last message of the burst says that silence follows.
 */
void log_limited(const struct log *log, struct rate_limit *limit, int level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* True for the first burst calls. */
bool rate_limit_pass(struct rate_limit *limit);

/* How many calls were not let through. */
unsigned rate_limit_suppressed(const struct rate_limit *limit);

/* The final count: says how many of what were not shown, if any, and starts anew. */
void rate_limit_flush(const struct log *log, struct rate_limit *limit, int level, const char *what);

#endif
