/* Reading --net. */
#include "options/net.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int refuse(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, NET_OPTIONS_REASON, fmt, args); /* a longer line is cut */
    va_end(args);
    return -1;
}

/* One of the parts between commas. */
struct part {
    const char *text;
    size_t size;
};

static struct part next_part(const char **text)
{
    struct part part = {*text, strcspn(*text, ",")};

    *text += part.size;
    *text += **text == ',';
    return part;
}

static bool is_word(const struct part *part, const char *word)
{
    return part->size == strlen(word) && memcmp(part->text, word, part->size) == 0;
}

/* Takes the name before the value away. */
static bool take_name(struct part *part, const char *name)
{
    size_t size = strlen(name);

    if (part->size < size || memcmp(part->text, name, size) != 0) {
        return false;
    }
    part->text += size;
    part->size -= size;
    return true;
}

#define SHOWN(part) (int)((part).size < 80 ? (part).size : 80), (part).text

/* --- addresses of network cards --- */

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int parse_mac(const struct part *part, uint8_t mac[6])
{
    if (part->size != 17) {
        return -1;
    }
    for (unsigned i = 0; i < 6; i++) {
        const char *text = part->text + i * 3;

        if (digit_of(text[0]) < 0 || digit_of(text[1]) < 0 || (i < 5 && text[2] != ':')) {
            return -1;
        }
        mac[i] = (uint8_t)(digit_of(text[0]) << 4 | digit_of(text[1]));
    }
    return 0;
}

static int set_mac(const struct part *part, struct options_net *options, char *why)
{
    static const uint8_t none[6];

    if (parse_mac(part, options->mac) != 0) {
        return refuse(why, "mac= wants an address such as 52:54:00:12:34:56, not '%.*s'",
                      SHOWN(*part));
    }
    if ((options->mac[0] & 1) != 0 || memcmp(options->mac, none, sizeof(none)) == 0) {
        return refuse(why, "mac=%.*s is no address that a network card has", SHOWN(*part));
    }
    return 0;
}

/* The same each time, for DHCP servers and interface names; another one for each tap of each host,
 * for they may meet on a bridge. (FNV-1a; the bit for addresses that nobody has given out.) */
static void make_mac(struct options_net *options, unsigned place)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char text[256 + NET_TAP_NAME] = "";

    (void)gethostname(text, 256);
    text[255] = '\0';
    (void)strcat(text, options->tap);
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    }
    hash ^= place * UINT64_C(0x10000); /* two user networks have the same name */
    options->mac[0] = 0x02;
    for (unsigned i = 1; i < 6; i++) {
        options->mac[i] = (uint8_t)(hash >> (8 * i));
    }
}

/* --- the parts --- */

static int add_forward(const struct part *part, struct options_net *options, char *why)
{
    if (options->nr_forwards == NET_MAX_FORWARDS) {
        return refuse(why, "there are more than %d hostfwd=", NET_MAX_FORWARDS);
    }
    if (net_forward_parse(part->text, part->size, &options->forwards[options->nr_forwards]) != 0) {
        return refuse(why, "hostfwd= wants " NET_FORWARD_SHAPE ", not '%.*s'", SHOWN(*part));
    }
    options->nr_forwards++;
    return 0;
}

static int set_queues(const struct part *part, struct options_net *options, char *why)
{
    unsigned number = 0;
    size_t i = 0;

    for (; i < part->size && number <= NET_MAX_QUEUES; i++) {
        if (part->text[i] < '0' || part->text[i] > '9') {
            break;
        }
        number = number * 10 + (unsigned)(part->text[i] - '0');
    }
    if (i < part->size || number < 1 || number > NET_MAX_QUEUES) {
        return refuse(why, "queues= wants a number from 1 to %d, not '%.*s'", NET_MAX_QUEUES,
                      SHOWN(*part));
    }
    options->queues = number;
    return 0;
}

static int set_tap(const struct part *part, struct options_net *options, char *why)
{
    if (part->size == 0 || part->size >= sizeof(options->tap) ||
        memchr(part->text, '/', part->size) != NULL) {
        return refuse(why, "tap= wants the name of a tap, of 1 to %zu characters, not '%.*s'",
                      sizeof(options->tap) - 1, SHOWN(*part));
    }
    options->kind = NET_TAP;
    options->queues = 1;
    memcpy(options->tap, part->text, part->size);
    return 0;
}

static int set_kind(struct part *part, struct options_net *options, char *why)
{
    if (is_word(part, "none")) {
        return 0;
    }
    if (is_word(part, "user")) {
        options->kind = NET_USER;
        return 0;
    }
    if (take_name(part, "tap=")) {
        return set_tap(part, options, why);
    }
    return refuse(why, "--net wants user, tap=NAME or none, not '%.*s'", SHOWN(*part));
}

static int set_detail(struct part *part, struct options_net *options, char *why)
{
    if (options->kind != NET_NONE && take_name(part, "mac=")) {
        return set_mac(part, options, why);
    }
    if (options->kind == NET_USER && take_name(part, "hostfwd=")) {
        return add_forward(part, options, why);
    }
    if (options->kind == NET_TAP && take_name(part, "queues=")) {
        return set_queues(part, options, why);
    }
    return refuse(why, "--net %s does not know '%.*s'",
                  options->kind == NET_USER  ? "user"
                  : options->kind == NET_TAP ? "tap="
                                             : "none",
                  SHOWN(*part));
}

int options_net_parse(const char *text, unsigned place, struct options_net *ret,
                      char why[NET_OPTIONS_REASON])
{
    struct options_net options = {.kind = NET_NONE};
    struct part part = next_part(&text);
    int r = set_kind(&part, &options, why);

    make_mac(&options, place);
    while (r == 0 && (*text != '\0' || text[-1] == ',')) {
        part = next_part(&text);
        r = set_detail(&part, &options, why);
    }
    if (r == 0) {
        *ret = options;
    }
    return r;
}
