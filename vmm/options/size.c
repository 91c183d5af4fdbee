/* Reading numbers and sizes. */
#include "options/size.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool options_number_parse(const char *text, uint64_t *ret, const char **ret_end)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *ret = strtoull(text, &end, 0);
    *ret_end = end;
    return errno == 0;
}

static uint64_t unit_of(const char *suffix)
{
    static const struct {
        const char *suffix;
        uint64_t unit;
    } units[] = {{"", MIB},  {"K", KIB}, {"k", KIB}, {"M", MIB}, {"m", MIB},
                 {"G", GIB}, {"g", GIB}, {"T", TIB}, {"t", TIB}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].suffix, suffix) == 0) {
            return units[i].unit;
        }
    }
    return 0;
}

bool options_size_parse(const char *text, uint64_t *ret)
{
    const char *suffix = "";
    uint64_t number = 0;
    uint64_t unit = 0;

    if (options_number_parse(text, &number, &suffix)) {
        unit = unit_of(suffix);
    }
    if (unit == 0) {
        return false;
    }
    *ret = number > UINT64_MAX / unit ? UINT64_MAX : number * unit;
    return true;
}
