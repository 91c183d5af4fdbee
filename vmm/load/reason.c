/* Why an image could not be loaded: the wording that all loaders share. */
#include "load/reason.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_NAME = 80 };

const char *short_name(const char *name)
{
    size_t length = strlen(name);

    return length > SHOWN_NAME ? name + length - SHOWN_NAME : name;
}

int load_fail(struct load_error *err, int code, const char *fmt, ...)
{
    va_list args;

    if (err != NULL) {
        va_start(args, fmt);
        (void)vsnprintf(err->text, sizeof(err->text), fmt, args); /* a longer line is cut */
        va_end(args);
    }
    return code;
}

int kernel_fail(struct load_error *err, int code, const char *name, const char *fmt, ...)
{
    char reason[sizeof(err->text)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args); /* a longer line is cut */
    va_end(args);
    return load_fail(err, code, "cannot load kernel '%s': %s", short_name(name), reason);
}
