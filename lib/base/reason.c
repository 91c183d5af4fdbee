/* Reasons and the log. */
#include "base/reason.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread char last_reason[REASON_SIZE];

int fail_text(int err, const char *text)
{
    size_t length = strnlen(text, sizeof(last_reason) - 1);

    /* the text may be the thread's last reason itself */
    memmove(last_reason, text, length);
    last_reason[length] = '\0';
    return err;
}

int fail(int err, const char *fmt, ...)
{
    char text[REASON_SIZE]; /* the arguments may point into the last reason */
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return fail_text(err, text);
}

const char *reason_last(void)
{
    return last_reason;
}

const char *hostvm_last_error(void)
{
    return reason_last();
}

bool log_wants(const struct log *log, int level)
{
    int lowest = log == NULL || log->level == HOSTVM_LOG_DEFAULT ? HOSTVM_LOG_WARN : log->level;

    return level >= lowest;
}

static void log_valist(const struct log *log, int level, const char *tail, const char *fmt,
                       va_list args)
{
    char text[REASON_SIZE];
    int saved_errno = errno;
    size_t length;

    vsnprintf(text, sizeof(text), fmt, args);
    length = strlen(text);
    snprintf(text + length, sizeof(text) - length, "%s", tail);
    if (log != NULL && log->fn != NULL) {
        log->fn(log->cookie, (enum hostvm_log_level)level, text);
    } else {
        fprintf(stderr, "hostvm: %s\n", text);
    }
    errno = saved_errno;
}

void log_at(const struct log *log, int level, const char *fmt, ...)
{
    va_list args;

    if (!log_wants(log, level)) {
        return;
    }
    va_start(args, fmt);
    log_valist(log, level, "", fmt, args);
    va_end(args);
}

/* Counts one more; the count stands still at its maximum. Returns how many came before. */
static unsigned count_one(struct rate_limit *limit)
{
    unsigned seen = atomic_load_explicit(&limit->nr_seen, memory_order_relaxed);

    while (seen < UINT_MAX &&
           !atomic_compare_exchange_weak_explicit(&limit->nr_seen, &seen, seen + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return seen;
}

void log_limited(const struct log *log, struct rate_limit *limit, int level, const char *fmt, ...)
{
    unsigned seen = count_one(limit);
    bool is_last = seen + 1 == limit->burst;
    va_list args;

    if (seen >= limit->burst || !log_wants(log, level)) {
        return;
    }
    va_start(args, fmt);
    log_valist(log, level, is_last ? " (more of these are counted, not shown)" : "", fmt, args);
    va_end(args);
}

bool rate_limit_pass(struct rate_limit *limit)
{
    return count_one(limit) < limit->burst;
}

unsigned rate_limit_suppressed(const struct rate_limit *limit)
{
    unsigned seen = atomic_load_explicit(&limit->nr_seen, memory_order_relaxed);

    return seen > limit->burst ? seen - limit->burst : 0;
}

void rate_limit_flush(const struct log *log, struct rate_limit *limit, int level, const char *what)
{
    unsigned nr_suppressed = rate_limit_suppressed(limit);

    if (nr_suppressed > 0) {
        log_at(log, level, "%u more not shown: %s", nr_suppressed, what);
    }
    atomic_store_explicit(&limit->nr_seen, 0, memory_order_relaxed);
}
