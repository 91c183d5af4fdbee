/* ZF_LOGx messages of clients and inline functions, on standard error. */
#include "utils/zf_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longer messages are cut. */
enum { MESSAGE_SIZE = 1024 };

static char level_letter(int level)
{
    static const char letters[] = {
        [ZF_LOG_VERBOSE] = 'V', [ZF_LOG_DEBUG] = 'D', [ZF_LOG_INFO] = 'I',
        [ZF_LOG_WARN] = 'W',    [ZF_LOG_ERROR] = 'E',
    };

    if (level < ZF_LOG_VERBOSE) {
        return 'V';
    }
    return level <= ZF_LOG_ERROR ? letters[level] : 'F';
}

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash == NULL ? file : slash + 1;
}

/* Some callers end their messages with a newline, others rely on ours. */
static void strip_newline(char *text)
{
    size_t length = strlen(text);

    if (length > 0 && text[length - 1] == '\n') {
        text[length - 1] = '\0';
    }
}

void hostvm_zf_log(int level, const char *file, unsigned line, const char *fmt, ...)
{
    const int saved_errno = errno;
    char message[MESSAGE_SIZE];
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(message, sizeof(message), fmt, args) < 0) {
        message[0] = '\0';
    }
    va_end(args);
    strip_newline(message);
    /* stderr is unbuffered: one call is one write, and lines of threads do not mix */
    (void)fprintf(stderr, "%c %s:%u: %s\n", level_letter(level), base_name(file), line, message);
    errno = saved_errno;
}
