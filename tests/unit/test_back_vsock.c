/* The host's side of a guest's sockets: the line CONNECT, listening, connecting, and the text of
 * --vsock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "back/vsock_connect.h"
#include "back/vsock_unix.h"
#include "options/vsock.h"
#include "support/leak.h"

struct dir {
    struct leak_state before;
    char name[64];
    char path[96];
};

static int set_up(void **state)
{
    static struct dir dir;

    (void)snprintf(dir.name, sizeof(dir.name), "/tmp/test_vsock.XXXXXX");
    assert_non_null(mkdtemp(dir.name));
    (void)snprintf(dir.path, sizeof(dir.path), "%s/v", dir.name);
    leak_begin(&dir.before);
    *state = &dir;
    return 0;
}

static int tear_down(void **state)
{
    struct dir *dir = *state;

    leak_check(&dir->before);
    (void)unlink(dir->path);
    assert_int_equal(rmdir(dir->name), 0);
    return 0;
}

/* --- the line --- */

static void test_lines_are_read_to_the_byte(void **state)
{
    static const struct {
        const char *bytes;
        enum vsock_connect expected;
        uint32_t port;
        size_t size;
    } cases[] = {
        {"CONNECT 1\n", VSOCK_CONNECT_LINE, 1, 10},
        {"CONNECT 0\n", VSOCK_CONNECT_LINE, 0, 10},
        {"CONNECT 4294967295\n", VSOCK_CONNECT_LINE, 0xffffffff, 19},
        {"CONNECT 4294967295\r\n", VSOCK_CONNECT_LINE, 0xffffffff, 20},
        {"CONNECT 0000000052\n", VSOCK_CONNECT_LINE, 52, 19},
        {"CONNECT 52\nGET /\n", VSOCK_CONNECT_LINE, 52, 11},
        {"", VSOCK_CONNECT_MORE, 0, 0},
        {"C", VSOCK_CONNECT_MORE, 0, 0},
        {"CONNECT ", VSOCK_CONNECT_MORE, 0, 0},
        {"CONNECT 4294967295", VSOCK_CONNECT_MORE, 0, 0},
        {"CONNECT 5\r", VSOCK_CONNECT_MORE, 0, 0},
        {"CONNECT 4294967296", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT 4294967296\n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT 00000000052\n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT \n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT \r\n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT 5\rx", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT 5 \n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT -5\n", VSOCK_CONNECT_BAD, 0, 0},
        {"CONNECT  5\n", VSOCK_CONNECT_BAD, 0, 0},
        {"connect 5\n", VSOCK_CONNECT_BAD, 0, 0},
        {"X", VSOCK_CONNECT_BAD, 0, 0},
        {"\n", VSOCK_CONNECT_BAD, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = strlen(cases[i].bytes);
        char *bytes = malloc(length + 1); /* of that size, for the sanitizer */
        uint32_t port = 0;
        size_t size = 0;

        memcpy(bytes, cases[i].bytes, length);
        bytes = realloc(bytes, length == 0 ? 1 : length);
        assert_int_equal(vsock_connect_parse(bytes, length, &port, &size), cases[i].expected);
        assert_int_equal(port, cases[i].port);
        assert_int_equal(size, cases[i].size);
        free(bytes);
    }
}

static void test_any_beginning_of_a_line_wants_more(void **state)
{
    static const char line[] = "CONNECT 4294967295\r\n";
    uint32_t port;
    size_t size;

    (void)state;
    assert_int_equal(sizeof(line) - 1, VSOCK_CONNECT_MAX);
    for (size_t n = 0; n < sizeof(line) - 1; n++) {
        assert_int_equal(vsock_connect_parse(line, n, &port, &size), VSOCK_CONNECT_MORE);
    }
}

/* --- listening --- */

static int connect_program(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void test_programs_that_connect_are_accepted_and_the_name_goes_at_the_end(void **state)
{
    struct dir *dir = *state;
    struct vsock_listener listener;
    char why[256];
    int program, fd;

    assert_int_equal(vsock_listener_open(&listener, dir->path, why, sizeof(why)), 0);
    assert_int_equal(vsock_listener_accept(&listener), -EAGAIN);
    program = connect_program(dir->path);
    assert_true(program >= 0);
    fd = vsock_listener_accept(&listener);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    (void)close(fd);
    (void)close(program);
    vsock_listener_close(&listener);
    assert_int_equal(access(dir->path, F_OK), -1);
    vsock_listener_close(&listener); /* again is fine */
}

static void check_refused(const char *path, int expected, const char *text)
{
    struct vsock_listener listener;
    char why[256] = "";

    assert_int_equal(vsock_listener_open(&listener, path, why, sizeof(why)), expected);
    assert_string_equal(why, text);
    assert_int_equal(listener.fd, -1);
    vsock_listener_close(&listener);
}

static void test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(void **state)
{
    struct dir *dir = *state;
    struct vsock_listener listener;
    char why[256], text[256];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", dir->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    (void)close(fd);
    assert_int_equal(access(dir->path, F_OK), 0);
    assert_int_equal(vsock_listener_open(&listener, dir->path, why, sizeof(why)), 0);
    (void)snprintf(text, sizeof(text), "cannot listen on '%s': another program does already",
                   dir->path);
    check_refused(dir->path, -EADDRINUSE, text);
    assert_int_equal(access(dir->path, F_OK), 0);
    vsock_listener_close(&listener);
}

static void test_names_that_cannot_be_are_refused(void **state)
{
    struct dir *dir = *state;
    char text[256], name[VSOCK_PATH_MAX + 2];
    int fd = open(dir->path, O_CREAT | O_WRONLY, 0600);

    (void)close(fd);
    (void)snprintf(text, sizeof(text), "cannot listen on '%s': there is a file of that name",
                   dir->path);
    check_refused(dir->path, -EEXIST, text);
    assert_int_equal(unlink(dir->path), 0);
    check_refused("/nonexistent/v", -ENOENT,
                  "cannot listen on '/nonexistent/v': No such file or directory");
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "cannot listen on '%s': the name is too long", name);
    check_refused(name, -ENAMETOOLONG, text);
}

static void test_where_descriptors_run_out_a_program_is_turned_away(void **state)
{
    struct dir *dir = *state;
    struct vsock_listener listener;
    struct rlimit limit, tight;
    char why[256], byte;
    int program;

    assert_int_equal(vsock_listener_open(&listener, dir->path, why, sizeof(why)), 0);
    program = connect_program(dir->path);
    assert_true(program >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)program + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(vsock_listener_accept(&listener), -EMFILE);
    assert_int_equal(vsock_listener_accept(&listener), -EMFILE); /* nobody waits any more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(read(program, &byte, 1), 0);
    assert_int_equal(vsock_listener_accept(&listener), -EAGAIN);
    (void)close(program);
    vsock_listener_close(&listener);
}

static void test_a_port_is_a_name_of_its_own(void **state)
{
    struct dir *dir = *state;
    struct vsock_listener listener;
    char why[256], name[128];
    int fd;

    (void)snprintf(name, sizeof(name), "%s_%u", dir->path, 4294967295u);
    assert_int_equal(vsock_unix_connect(dir->path, 0xffffffff), -ENOENT);
    assert_int_equal(vsock_listener_open(&listener, name, why, sizeof(why)), 0);
    fd = vsock_unix_connect(dir->path, 0xffffffff);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    (void)close(fd);
    vsock_listener_close(&listener);
}

/* --- the option --- */

static void test_texts_of_the_option(void **state)
{
    static const struct {
        const char *text;
        const char *path; /* NULL: refused */
        uint32_t cid;
        const char *why;
    } cases[] = {
        {"/run/v", "/run/v", 3, ""},
        {"v,cid=3", "v", 3, ""},
        {"v,cid=4294967294", "v", 0xfffffffe, ""},
        {"", NULL, 0, "--vsock wants PATH[,cid=N], not ''"},
        {",cid=3", NULL, 0, "--vsock wants PATH[,cid=N], not ',cid=3'"},
        {"v,", NULL, 0, "--vsock does not know '', only cid=N"},
        {"v,port=3", NULL, 0, "--vsock does not know 'port=3', only cid=N"},
        {"v,cid=", NULL, 0, "--vsock wants a cid from 3 to 4294967294, not ''"},
        {"v,cid=2", NULL, 0, "--vsock wants a cid from 3 to 4294967294, not '2'"},
        {"v,cid=4294967295", NULL, 0, "--vsock wants a cid from 3 to 4294967294, not '4294967295'"},
        {"v,cid=99999999999999999999", NULL, 0,
         "--vsock wants a cid from 3 to 4294967294, not '99999999999999999999'"},
        {"v,cid=-3", NULL, 0, "--vsock wants a cid from 3 to 4294967294, not '-3'"},
        {"v,cid=3,cid=4", NULL, 0, "--vsock wants a cid from 3 to 4294967294, not '3,cid=4'"},
    };
    char name[VSOCK_PATH_MAX + 2], why[256];
    struct options_vsock options;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why[0] = '\0';
        assert_int_equal(options_vsock_parse(cases[i].text, &options, why, sizeof(why)),
                         cases[i].path == NULL ? -1 : 0);
        assert_string_equal(why, cases[i].why);
        if (cases[i].path != NULL) {
            assert_true(options.is_given);
            assert_string_equal(options.path, cases[i].path);
            assert_int_equal(options.cid, cases[i].cid);
        }
    }
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(options_vsock_parse(name, &options, why, sizeof(why)), -1);
    assert_string_equal(why, "--vsock wants a path of at most 96 characters");
}

int main(void)
{
#define dir_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_read_to_the_byte),
        cmocka_unit_test(test_any_beginning_of_a_line_wants_more),
        dir_test(test_programs_that_connect_are_accepted_and_the_name_goes_at_the_end),
        dir_test(test_a_socket_left_behind_is_replaced_and_one_in_use_is_not),
        dir_test(test_names_that_cannot_be_are_refused),
        dir_test(test_where_descriptors_run_out_a_program_is_turned_away),
        dir_test(test_a_port_is_a_name_of_its_own),
        cmocka_unit_test(test_texts_of_the_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
