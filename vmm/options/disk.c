/* What follows --disk: FILE[,ro][,serial=S]. */
#include "options/disk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SERIAL "serial="

struct parser {
    const char *text; /* all of it */
    char *error;
    size_t error_size;
};

static int complain(const struct parser *parser, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int complain(const struct parser *parser, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(parser->error, parser->error_size, fmt, args);
    va_end(args);
    return -1;
}

/* Up to a single comma, or the end. NULL: the name does not fit. */
static const char *take_path(const char *text, char *path, size_t size)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        if (*text == ',' && *++text != ',') {
            text--;
            break;
        }
        if (n + 1 == size) {
            return NULL;
        }
        path[n++] = *text;
    }
    path[n] = '\0';
    return text;
}

/* Of the guest's view of a disk, so nothing that cannot be seen. */
static bool is_serial(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (word[i] <= ' ' || word[i] > '~') {
            return false;
        }
    }
    return length > 0 && length <= DISK_SERIAL_MAX;
}

static int take_serial(const struct parser *parser, const char *word, size_t length,
                       struct options_disk *ret)
{
    if (ret->serial[0] != '\0') {
        return complain(parser, "--disk '%s' has two serial numbers", parser->text);
    }
    if (!is_serial(word, length)) {
        return complain(parser,
                        "--disk '%s' has a serial number that is not 1 to %d visible characters "
                        "of ASCII",
                        parser->text, DISK_SERIAL_MAX);
    }
    memcpy(ret->serial, word, length);
    ret->serial[length] = '\0';
    return 0;
}

static int take_word(const struct parser *parser, const char *word, size_t length,
                     struct options_disk *ret)
{
    const size_t prefix = strlen(SERIAL);

    if (length == 2 && strncmp(word, "ro", 2) == 0) {
        ret->is_readonly = true;
        return 0;
    }
    if (length >= prefix && strncmp(word, SERIAL, prefix) == 0) {
        return take_serial(parser, word + prefix, length - prefix, ret);
    }
    return complain(parser,
                    "--disk '%s': there is no '%.*s', only ro and serial=S; a comma in a file's "
                    "name is doubled",
                    parser->text, (int)length, word);
}

int options_disk_parse(const char *text, struct options_disk *ret, char *error, size_t error_size)
{
    const struct parser parser = {text, error, error_size};
    const char *rest;

    *ret = (struct options_disk){0};
    rest = take_path(text, ret->path, sizeof(ret->path));
    if (rest == NULL) {
        return complain(&parser, "--disk has the name of a file that is too long");
    }
    if (ret->path[0] == '\0') {
        return complain(&parser, "--disk wants FILE[,ro][,serial=S], not '%s'", text);
    }
    while (*rest == ',') {
        size_t length = strcspn(++rest, ",");

        if (take_word(&parser, rest, length, ret) < 0) {
            return -1;
        }
        rest += length;
    }
    return 0;
}
