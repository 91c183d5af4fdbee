/* Counting threads. */
#include "support/threads.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* KVM may have given the process a worker of its own, with a name of its own. */
static bool has_our_name(const char *task)
{
    char path[300];
    char name[32] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
    file = fopen(path, "re");
    if (file != NULL) {
        (void)!fgets(name, sizeof(name), file); /* a task that ends meanwhile has none */
        assert_int_equal(fclose(file), 0);
    }
    return strncmp(name, program_invocation_short_name, strcspn(name, "\n")) == 0 &&
           name[0] != '\0';
}

unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        n += e->d_name[0] != '.' && has_our_name(e->d_name);
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(n > 0);
    return n;
}

/* One that was joined is listed until the kernel has let go of it: gives it some turns. */
void assert_threads(unsigned nr)
{
    for (int i = 0; i < 100000 && count_threads() > nr; i++) {
        (void)sched_yield();
    }
    assert_int_equal(count_threads(), nr);
}
