/* Reading the text of --balloon. */
#include "options/balloon.h"

#include <stdio.h>
#include <string.h>

#include "options/size.h"

int options_balloon_parse(const char *text, struct options_balloon *ret, char *why, size_t why_size)
{
    *ret = (struct options_balloon){.is_there = strcmp(text, "none") != 0};
    if (ret->is_there && !options_size_parse(text, &ret->target)) {
        (void)snprintf(why, why_size, "--balloon wants a size such as 256M, or none, not '%s'",
                       text);
        return -1;
    }
    return 0;
}

int options_balloon_check(const struct options_balloon *balloon, uint64_t mem, char *why,
                          size_t why_size)
{
    if (balloon->target < mem) {
        return 0;
    }
    (void)snprintf(why, why_size, "--balloon leaves the guest nothing of its %llu MiB",
                   (unsigned long long)(mem / MIB));
    return -1;
}
