/* Finding, starting and ending virtiofsd: with programs in its place that say what they were given,
 * or end, and with itself where it is installed. And the text of --share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "back/vhost_user.h"
#include "back/virtiofsd.h"
#include "options/share.h"
#include "support/leak.h"

struct bench {
    struct leak_state before;
    char dir[64];
    char share[96]; /* a folder in it */
    char out[96];   /* where programs write to */
    char *path;     /* as it was */
};

static int set_up(void **state)
{
    static struct bench bench;

    (void)snprintf(bench.dir, sizeof(bench.dir), "/tmp/test_virtiofsd.XXXXXX");
    assert_non_null(mkdtemp(bench.dir));
    assert_int_equal(chmod(bench.dir, 0755), 0);
    (void)snprintf(bench.share, sizeof(bench.share), "%s/share", bench.dir);
    (void)snprintf(bench.out, sizeof(bench.out), "%s/out", bench.dir);
    assert_int_equal(mkdir(bench.share, 0755), 0);
    bench.path = strdup(getenv("PATH"));
    leak_begin(&bench.before);
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    char command[128];

    leak_check(&bench->before);
    assert_int_equal(setenv("PATH", bench->path, 1), 0);
    free(bench->path);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->dir);
    return system(command);
}

/* A script in the place of virtiofsd. */
static void put_program(const struct bench *bench, const char *text)
{
    char name[128];
    FILE *file;

    (void)snprintf(name, sizeof(name), "%s/virtiofsd", bench->dir);
    file = fopen(name, "we");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\n%s\n", text);
    (void)fclose(file);
    assert_int_equal(chmod(name, 0755), 0);
    (void)snprintf(name, sizeof(name), "%s:/usr/bin:/bin", bench->dir);
    assert_int_equal(setenv("PATH", name, 1), 0);
}

/* Waits until the other end has hung up. */
static void await_end(const struct virtiofsd *server)
{
    struct pollfd fd = {.fd = server->socket};

    assert_int_equal(poll(&fd, 1, 10000), 1);
}

static void read_out(const struct bench *bench, char *text, size_t size)
{
    FILE *file = fopen(bench->out, "re");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    (void)fclose(file);
}

static void test_program_is_given_folder_socket_and_sandbox(void **state)
{
    struct bench *bench = *state;
    struct virtiofsd server;
    char script[256], text[512], how[64], why[256];
    const char *rest;

    (void)snprintf(script, sizeof(script),
                   "echo \"$@\" > %s; [ -S /proc/self/fd/3 ] || exit 9; exit 7", bench->out);
    put_program(bench, script);
    assert_int_equal(virtiofsd_start(&server, bench->share, false, why, sizeof(why)), 0);
    await_end(&server);
    virtiofsd_end(&server, how, sizeof(how));
    assert_string_equal(how, "exit status 7");
    read_out(bench, text, sizeof(text));
    assert_memory_equal(text, "-f --fd=3 ", 10);
    (void)snprintf(script, sizeof(script),
                   " -o log_level=err -o source=%s -o sandbox=", bench->share);
    rest = strstr(text, script);
    assert_non_null(rest);
    rest += strlen(script);
    assert_true(strcmp(rest, "namespace\n") == 0 || strcmp(rest, "chroot\n") == 0);
    assert_int_equal(server.pid, 0);
    assert_int_equal(server.socket, -1);
    virtiofsd_end(&server, how, sizeof(how)); /* again is fine */
    assert_string_equal(how, "");
}

static void test_program_that_goes_on_is_ended_with_all_that_it_started(void **state)
{
    struct bench *bench = *state;
    struct virtiofsd server;
    char how[64], why[256];
    pid_t pid;

    put_program(bench, "exec sleep 1000");
    assert_int_equal(virtiofsd_start(&server, bench->share, false, why, sizeof(why)), 0);
    pid = server.pid;
    assert_int_equal(getpgid(pid), pid);
    virtiofsd_end(&server, how, sizeof(how));
    assert_string_equal(how, "");
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void test_end_by_a_signal_is_told(void **state)
{
    struct bench *bench = *state;
    struct virtiofsd server;
    char how[64], why[256];

    put_program(bench, "kill -9 $$");
    assert_int_equal(virtiofsd_start(&server, bench->share, false, why, sizeof(why)), 0);
    await_end(&server);
    virtiofsd_end(&server, how, sizeof(how));
    assert_string_equal(how, "signal 9");
}

static void test_read_only_folder_cannot_be_written_by_the_program(void **state)
{
    struct bench *bench = *state;
    struct virtiofsd server;
    char script[512], text[256], how[64], why[256];
    int r;

    (void)snprintf(script, sizeof(script),
                   "{ touch %s/new 2> /dev/null && echo written || echo refused; } > %s",
                   bench->share, bench->out);
    put_program(bench, script);
    r = virtiofsd_start(&server, bench->share, true, why, sizeof(why));
    if (r < 0) { /* without the right to mount */
        assert_int_equal(r, -EPERM);
        assert_string_equal(why, "cannot make it read-only: Operation not permitted");
        skip();
    }
    await_end(&server);
    virtiofsd_end(&server, how, sizeof(how));
    read_out(bench, text, sizeof(text));
    assert_string_equal(text, "refused\n");
    assert_int_equal(virtiofsd_start(&server, bench->share, false, why, sizeof(why)), 0);
    await_end(&server);
    virtiofsd_end(&server, how, sizeof(how));
    read_out(bench, text, sizeof(text));
    assert_string_equal(text, "written\n");
}

static void check_refused(const char *dir, int expected, const char *text)
{
    struct virtiofsd server;
    char how[64], why[256] = "";

    assert_int_equal(virtiofsd_start(&server, dir, false, why, sizeof(why)), expected);
    assert_string_equal(why, text);
    assert_int_equal(server.socket, -1);
    assert_int_equal(server.pid, 0);
    virtiofsd_end(&server, how, sizeof(how));
}

static void test_folders_that_are_none_are_refused(void **state)
{
    struct bench *bench = *state;
    char name[128];

    put_program(bench, "exit 0");
    check_refused("/nonexistent/folder", -ENOENT,
                  "cannot find the folder: No such file or directory");
    (void)snprintf(name, sizeof(name), "%s/virtiofsd", bench->dir);
    check_refused(name, -ENOTDIR, "cannot share it: Not a directory");
    (void)snprintf(name, sizeof(name), "%s/a,b", bench->dir);
    assert_int_equal(mkdir(name, 0755), 0);
    check_refused(name, -EINVAL, "its name has a comma in it");
}

static void test_program_is_found_in_either_list_or_it_is_said_what_to_install(void **state)
{
    struct bench *bench = *state;
    char lists[256], program[PATH_MAX], expected[128], why[256] = "";

    put_program(bench, "exit 0");
    (void)snprintf(expected, sizeof(expected), "%s/virtiofsd", bench->dir);
    (void)snprintf(lists, sizeof(lists), ":/nonexistent::%s:/usr/bin", bench->dir);
    assert_int_equal(virtiofsd_find(lists, "/nonexistent", program, why, sizeof(why)), 0);
    assert_string_equal(program, expected);
    assert_int_equal(virtiofsd_find("/nonexistent", lists, program, why, sizeof(why)), 0);
    assert_string_equal(program, expected);
    assert_int_equal(chmod(expected, 0), 0);
    (void)snprintf(lists, sizeof(lists), "%s", bench->share);
    assert_int_equal(virtiofsd_find(NULL, lists, program, why, sizeof(why)), -ENOENT);
    assert_string_equal(why,
                        "there is no virtiofsd in PATH, /usr/libexec or /usr/lib/qemu: install it "
                        "(Debian 12: qemu-system-common, later: virtiofsd)");
}

static void test_program_that_cannot_be_run_is_told(void **state)
{
    struct bench *bench = *state;
    char name[128];

    put_program(bench, "exit 0");
    (void)snprintf(name, sizeof(name), "%s/virtiofsd", bench->dir);
    assert_int_equal(truncate(name, 0), 0);
    {
        FILE *file = fopen(name, "we");

        (void)fputs("#!/nonexistent/interpreter\n", file);
        (void)fclose(file);
    }
    check_refused(bench->share, -ENOENT, "cannot run virtiofsd: No such file or directory");
}

static void test_where_descriptors_run_out_that_is_told(void **state)
{
    struct bench *bench = *state;
    struct rlimit limit, tight;
    bool has_failed = true;
    int first = dup(0);

    put_program(bench, "exit 0");
    (void)close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int n = 0; has_failed; n++) {
        struct virtiofsd server;
        char how[64], why[256] = "";

        assert_true(n < 20);
        tight = limit;
        tight.rlim_cur = (rlim_t)(first + n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        has_failed = virtiofsd_start(&server, bench->share, false, why, sizeof(why)) < 0;
        if (has_failed) { /* here, or in the child, which takes some, too */
            assert_non_null(strstr(why, ": Too many open files"));
        }
        virtiofsd_end(&server, how, sizeof(how));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

/* The real one, where it is installed. */
static void test_virtiofsd_itself_answers(void **state)
{
    struct bench *bench = *state;
    struct virtiofsd server;
    struct vhost_user vu;
    char how[64], why[256];

    if (access("/usr/lib/qemu/virtiofsd", X_OK) != 0 &&
        access("/usr/libexec/virtiofsd", X_OK) != 0) {
        skip();
    }
    assert_int_equal(setenv("PATH", "", 1), 0);
    if (virtiofsd_start(&server, bench->share, true, why, sizeof(why)) < 0) {
        assert_string_equal(why, "cannot make it read-only: Operation not permitted");
        skip();
    }
    assert_int_equal(vhost_user_open(&vu, server.socket, 2, 10000), 0);
    assert_true((vu.features & (1ull << 32)) != 0);
    assert_int_equal(vhost_user_set_features(&vu, 1ull << 32), 0);
    virtiofsd_end(&server, how, sizeof(how));
    assert_string_equal(how, "");
}

static void test_texts_of_the_option(void **state)
{
    static const struct {
        const char *text;
        const char *dir; /* NULL: refused */
        const char *tag;
        bool is_readonly;
        const char *why;
    } cases[] = {
        {"/srv", "/srv", "share", false, ""},
        {".,ro", ".", "share", true, ""},
        {"/srv,tag=data", "/srv", "data", false, ""},
        {"/srv,ro,tag=data", "/srv", "data", true, ""},
        {"/srv,tag=123456789012345678901234567890123456", "/srv",
         "123456789012345678901234567890123456", false, ""},
        {"", NULL, NULL, false, "--share wants DIR[,tag=NAME][,ro], not ''"},
        {",ro", NULL, NULL, false, "--share wants DIR[,tag=NAME][,ro], not ',ro'"},
        {"/srv,", NULL, NULL, false, "--share does not know '', only tag=NAME and ro"},
        {"/srv,rw", NULL, NULL, false, "--share does not know 'rw', only tag=NAME and ro"},
        {"/srv,ro,x=1,ro", NULL, NULL, false, "--share does not know 'x=1', only tag=NAME and ro"},
        {"/srv,tag=", NULL, NULL, false, "--share wants a tag of 1 to 36 bytes, not ''"},
        {"/srv,tag=1234567890123456789012345678901234567,ro", NULL, NULL, false,
         "--share wants a tag of 1 to 36 bytes, not '1234567890123456789012345678901234567'"},
    };
    static struct options_share options;
    static char name[PATH_MAX + 1];
    char why[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why[0] = '\0';
        assert_int_equal(options_share_parse(cases[i].text, &options, why, sizeof(why)),
                         cases[i].dir == NULL ? -1 : 0);
        assert_string_equal(why, cases[i].why);
        if (cases[i].dir != NULL) {
            assert_string_equal(options.dir, cases[i].dir);
            assert_string_equal(options.tag, cases[i].tag);
            assert_int_equal(options.is_readonly, cases[i].is_readonly);
        }
    }
    memset(name, 'a', PATH_MAX);
    assert_int_equal(options_share_parse(name, &options, why, sizeof(why)), -1);
}

int main(void)
{
#define bench_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        bench_test(test_program_is_given_folder_socket_and_sandbox),
        bench_test(test_program_that_goes_on_is_ended_with_all_that_it_started),
        bench_test(test_end_by_a_signal_is_told),
        bench_test(test_read_only_folder_cannot_be_written_by_the_program),
        bench_test(test_folders_that_are_none_are_refused),
        bench_test(test_program_is_found_in_either_list_or_it_is_said_what_to_install),
        bench_test(test_program_that_cannot_be_run_is_told),
        bench_test(test_where_descriptors_run_out_that_is_told),
        bench_test(test_virtiofsd_itself_answers),
        cmocka_unit_test(test_texts_of_the_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
