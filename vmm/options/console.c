/* Reading the text of --console. */
#include "options/console.h"

#include <stdio.h>
#include <string.h>

int options_console_parse(const char *text, bool *ret_is_virtio, char *why, size_t why_size)
{
    *ret_is_virtio = strcmp(text, "virtio") == 0;
    if (*ret_is_virtio || strcmp(text, "serial") == 0) {
        return 0;
    }
    (void)snprintf(why, why_size, "--console wants serial or virtio, not '%s'", text);
    return -1;
}
