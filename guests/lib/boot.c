/* The command line's words. */
#include "lib/boot.h"

#include <stddef.h>

struct boot_info boot_info;

/* What follows prefix, where text begins with it; else NULL. */
static const char *skip_prefix(const char *text, const char *prefix)
{
    while (*prefix != '\0') {
        if (*text++ != *prefix++) {
            return NULL;
        }
    }
    return text;
}

static const char *next_word(const char *text)
{
    while (*text != '\0' && *text != ' ') {
        text++;
    }
    while (*text == ' ') {
        text++;
    }
    return text;
}

bool boot_has_word(const char *word)
{
    for (const char *text = boot_info.cmdline; *text != '\0'; text = next_word(text)) {
        const char *rest = skip_prefix(text, word);

        if (rest != NULL && (*rest == '\0' || *rest == ' ')) {
            return true;
        }
    }
    return false;
}

static unsigned parse_number(const char *digit)
{
    unsigned number = 0;

    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10 + (unsigned)(*digit - '0');
    }
    return number;
}

bool boot_find_number(const char *key, unsigned *ret_number)
{
    for (const char *text = boot_info.cmdline; *text != '\0'; text = next_word(text)) {
        const char *rest = skip_prefix(text, key);

        if (rest != NULL) {
            *ret_number = parse_number(rest);
            return true;
        }
    }
    return false;
}
