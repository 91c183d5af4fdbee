/* Counting what the process holds. */
#include "support/leak.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/inject.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MAPS_ARE_OURS = 0 }; /* the sanitizer maps as it goes */
#else
enum { MAPS_ARE_OURS = 1 };
#endif

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned nr = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        nr++;
    }
    closedir(dir);
    return nr;
}

static bool is_counted(const char *line)
{
    return strstr(line, "[heap]") == NULL && strstr(line, "[stack]") == NULL;
}

static uint64_t sum_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t kib = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start;
        unsigned long end;

        if (sscanf(line, "%lx-%lx", &start, &end) == 2 && is_counted(line)) {
            kib += (end - start) >> 10;
        }
    }
    fclose(maps);
    return kib;
}

void leak_begin(struct leak_state *state)
{
    state->nr_blocks = inject_live_blocks();
    state->nr_fds = count_fds();
    state->mapped_kib = MAPS_ARE_OURS ? sum_mappings() : 0;
}

void leak_check_at(const struct leak_state *state, const char *file, int line)
{
    struct leak_state now;

    leak_begin(&now);
    _assert_int_equal(now.nr_blocks, state->nr_blocks, file, line);
    _assert_int_equal(now.nr_fds, state->nr_fds, file, line);
    _assert_int_equal(now.mapped_kib, state->mapped_kib, file, line);
}
