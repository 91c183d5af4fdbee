/* Reading the text of --share. */
#include "options/share.h"

#include <stdio.h>
#include <string.h>

static int parse_tag(const char *text, size_t length, char ret[SHARE_TAG_MAX + 1], char *why,
                     size_t why_size)
{
    if (length == 0 || length > SHARE_TAG_MAX) {
        (void)snprintf(why, why_size, "--share wants a tag of 1 to %d bytes, not '%.*s'",
                       SHARE_TAG_MAX, (int)length, text);
        return -1;
    }
    memcpy(ret, text, length);
    ret[length] = '\0';
    return 0;
}

static int parse_word(const char *text, size_t length, struct options_share *ret, char *why,
                      size_t why_size)
{
    static const char tag[] = "tag=";
    const size_t tag_length = sizeof(tag) - 1;

    if (length == 2 && memcmp(text, "ro", 2) == 0) {
        ret->is_readonly = true;
        return 0;
    }
    if (length >= tag_length && memcmp(text, tag, tag_length) == 0) {
        return parse_tag(text + tag_length, length - tag_length, ret->tag, why, why_size);
    }
    (void)snprintf(why, why_size, "--share does not know '%.*s', only tag=NAME and ro", (int)length,
                   text);
    return -1;
}

int options_share_parse(const char *text, struct options_share *ret, char *why, size_t why_size)
{
    size_t length = strcspn(text, ",");

    *ret = (struct options_share){.tag = "share"};
    if (length == 0 || length >= sizeof(ret->dir)) {
        (void)snprintf(why, why_size, "--share wants DIR[,tag=NAME][,ro], not '%.80s'", text);
        return -1;
    }
    memcpy(ret->dir, text, length);
    while (text[length] == ',') {
        text += length + 1;
        length = strcspn(text, ",");
        if (parse_word(text, length, ret, why, why_size) != 0) {
            return -1;
        }
    }
    return 0;
}
