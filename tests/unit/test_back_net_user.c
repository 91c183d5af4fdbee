/* User networks: the program that they are, started, outlived, and (where it was built) itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "back/net_user.h"
#include "back/net_user_protocol.h"
#include "support/inject.h"
#include "support/leak.h"

/* --- this program in hostvm-net-user's place: what it does is the first forward's guest port ---
 */

enum { READY = 1, REFUSE, EXIT_EARLY, EXIT_7, DIE, LIST_DESCRIPTORS };

static void say(const char *text)
{
    (void)!write(NET_USER_FD, text, strlen(text));
}

/* A character for each of the first 64 descriptors. */
static void list_descriptors(void)
{
    char open_ones[65] = "";

    for (int fd = 0; fd < 64; fd++) {
        open_ones[fd] = fcntl(fd, F_GETFD) >= 0 ? 'x' : '-';
    }
    say(open_ones);
}

static int stand_in(const char *text)
{
    struct pollfd fd = {.fd = NET_USER_FD, .events = POLLIN};
    char message[64];
    struct net_forward forward;

    if (net_forward_parse(text, strlen(text), &forward) != 0 || forward.guest_port == EXIT_EARLY) {
        return 3;
    }
    if (forward.guest_port == REFUSE) {
        say("it does not want to");
        return 1;
    }
    say(NET_USER_READY);
    if (forward.guest_port == LIST_DESCRIPTORS) {
        list_descriptors();
    }
    while (poll(&fd, 1, -1) == 1 && read(NET_USER_FD, message, sizeof(message)) > 0) {
        if (forward.guest_port == EXIT_7) {
            return 7;
        }
        if (forward.guest_port == DIE) {
            (void)raise(SIGKILL);
        }
        say("an answer");
    }
    return 0;
}

/* --- starting it --- */

static struct net_user *create(const char *program, unsigned short port, char why[256])
{
    const struct net_forward forward = {.guest_port = port, .host_port = 1};
    const struct net_user_config config = {
        .program = program, .forwards = &forward, .nr_forwards = 1};

    why[0] = '\0';
    return net_user_create(&config, why, 256);
}

static struct net_user *create_stand_in(unsigned short port)
{
    char why[256];
    struct net_user *user = create("/proc/self/exe", port, why);

    assert_string_equal(why, "");
    assert_non_null(user);
    return user;
}

/* Waits for one message. */
static ssize_t receive(struct net_user *user, void *bytes, size_t size)
{
    struct pollfd fd = {.fd = net_user_host(user)->fds[0], .events = POLLIN};

    assert_int_equal(poll(&fd, 1, -1), 1);
    return recv(fd.fd, bytes, size, 0);
}

static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_program_is_started_and_ended(void **state)
{
    struct leak_state before;
    char text[64] = "";
    struct net_user *user;
    struct net_host *host;

    (void)state;
    leak_begin(&before);
    user = create_stand_in(READY);
    host = net_user_host(user);
    assert_int_equal(host->nr_fds, 1);
    assert_int_equal(host->offloads, 0);
    assert_int_equal(host->mtu, 0);
    host->set_offloads(host, 0);
    assert_int_equal(host->set_active(host, 1), 0);
    assert_true((fcntl(host->fds[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(host->fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(send(host->fds[0], "a frame", 7, 0), 7);
    assert_int_equal(receive(user, text, sizeof(text)), 9);
    assert_string_equal(text, "an answer");
    net_user_destroy(user);
    assert_no_children();
    leak_check(&before);
    net_user_destroy(NULL);
}

static void test_program_gets_nothing_that_is_open_here(void **state)
{
    char text[65] = "";
    int fds[20];
    struct net_user *user;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = dup(STDIN_FILENO); /* not to be closed by exec */
    }
    user = create_stand_in(LIST_DESCRIPTORS);
    assert_int_equal(receive(user, text, sizeof(text)), 64);
    assert_int_equal(strspn(text, "x"), 4);
    assert_int_equal(strspn(text + 4, "-"), 60);
    net_user_destroy(user);
    for (unsigned i = 0; i < 20; i++) {
        (void)close(fds[i]);
    }
}

static void assert_refused(const char *program, unsigned short port, const char *expected)
{
    struct leak_state before;
    char why[256];

    leak_begin(&before);
    assert_null(create(program, port, why));
    assert_string_equal(why, expected);
    assert_no_children();
    leak_check(&before);
}

static void test_what_is_wrong_is_named(void **state)
{
    static struct net_forward forwards[65];
    const struct net_user_config config = {
        .program = "/proc/self/exe", .forwards = forwards, .nr_forwards = 65};
    char why[256];

    (void)state;
    assert_refused("/proc/self/exe", REFUSE, "it does not want to");
    assert_refused("/proc/self/exe", EXIT_EARLY, "hostvm-net-user ended before it was ready");
    assert_refused("/nonexistent", READY, "cannot start /nonexistent: No such file or directory");
    assert_refused("/dev/null", READY, "cannot start /dev/null: Permission denied");
    assert_refused(NULL, READY,
                   "there is no hostvm-net-user beside hostvm or in libexec/hostvm; it is built "
                   "where libslirp-dev is installed");
    assert_null(net_user_create(&config, why, sizeof(why)));
    assert_string_equal(why, "cannot start /proc/self/exe: Argument list too long");
}

/* --- its end --- */

static void read_line(FILE *file, char line[256])
{
    rewind(file);
    assert_non_null(fgets(line, 256, file));
}

static void assert_end_is_told(unsigned short port, const char *expected)
{
    struct net_user *user = create_stand_in(port);
    struct net_host *host = net_user_host(user);
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    char line[256];

    assert_int_equal(send(host->fds[0], "a frame", 7, 0), 7);
    assert_int_equal(receive(user, line, sizeof(line)), 0);
    (void)dup2(fileno(file), STDERR_FILENO);
    host->lost(host);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    assert_no_children();
    read_line(file, line);
    assert_string_equal(line, expected);
    (void)fclose(file);
    net_user_destroy(user);
}

static void test_how_the_program_ended_is_told(void **state)
{
    (void)state;
    assert_end_is_told(EXIT_7,
                       "hostvm: hostvm-net-user ended with status 7: the guest's link is down\n");
    assert_end_is_told(DIE, "hostvm: hostvm-net-user was ended by signal 9 (Killed): the guest's "
                            "link is down\n");
}

static void test_failures_leave_nothing_behind(void **state)
{
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        char why[256];
        struct net_user *user;

        inject_fail_nth(n);
        user = create("/proc/self/exe", READY, why);
        has_failed = inject_disarm();
        assert_int_equal(user == NULL, has_failed);
        assert_int_equal(why[0] != '\0', has_failed);
        net_user_destroy(user);
        assert_no_children();
        leak_check(&before);
    }
}

/* --- the program itself --- */

static char real_program[PATH_MAX];

/* Of the same build, two folders up. */
static bool find_real_program(void)
{
    ssize_t length = readlink("/proc/self/exe", real_program, sizeof(real_program) - 40);

    assert_true(length > 0);
    real_program[length] = '\0';
    *strrchr(real_program, '/') = '\0';
    strcat(real_program, "/../../" NET_USER_PROGRAM);
    return access(real_program, X_OK) == 0;
}

static struct net_user *create_real(void)
{
    const struct net_user_config config = {.program = real_program};
    char why[256] = "";
    struct net_user *user = net_user_create(&config, why, sizeof(why));

    assert_string_equal(why, "");
    return user;
}

/* Who has 10.0.2.2? says 10.0.2.15. */
static const uint8_t arp_request[NET_USER_HEADER + 42] = {
    [12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    1,    2,  3, 0x08, 0x06,
    0,           1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,  1, 2,    3,
    10,          0,    2,    15,   0,    0,    0,    0,    0,    0,    10, 0, 2,    2};

/* Frames of its own may come before: router advertisements. */
static void assert_answers_arp(struct net_user *user)
{
    uint8_t frame[2048];
    ssize_t size;

    assert_int_equal(send(net_user_host(user)->fds[0], arp_request, sizeof(arp_request), 0),
                     sizeof(arp_request));
    do {
        size = receive(user, frame, sizeof(frame));
        assert_in_range(size, NET_USER_HEADER + 14, sizeof(frame));
    } while (frame[24] != 0x08 || frame[25] != 0x06);
    assert_memory_equal(frame + NET_USER_HEADER, arp_request + NET_USER_HEADER + 6, 6);
    assert_int_equal(frame[NET_USER_HEADER + 21], 2); /* a reply */
    assert_memory_equal(frame + NET_USER_HEADER + 28, "\x0a\x00\x02\x02", 4);
    for (unsigned i = 0; i < NET_USER_HEADER; i++) {
        assert_int_equal(frame[i], 0);
    }
}

static void test_network_is_there(void **state)
{
    struct net_user *user;

    (void)state;
    if (!find_real_program()) {
        skip();
    }
    user = create_real();
    assert_answers_arp(user);
    net_user_destroy(user);
    assert_no_children();
}

/* Nonsense of every length and several kinds: it answers as before. */
static void test_network_outlives_nonsense(void **state)
{
    static const uint8_t kinds[][2] = {{0x08, 0x00}, {0x08, 0x06}, {0x86, 0xdd}, {0x12, 0x34}};
    static uint8_t frame[4000];
    uint32_t random = 1;
    struct net_user *user;

    (void)state;
    if (!find_real_program()) {
        skip();
    }
    user = create_real();
    for (unsigned i = 0; i < 4000; i++) {
        size_t size = i % 4 == 0 ? i / 4 : i % 200 + 1;
        struct pollfd fd = {.fd = net_user_host(user)->fds[0], .events = POLLOUT};

        for (size_t j = 0; j < size && j < 200; j++) {
            random = random * 1664525 + 1013904223;
            frame[j] = (uint8_t)(random >> 24);
        }
        memcpy(frame + 24, kinds[i % 4], 2);
        frame[26] = i % 4 == 2 ? 0x60 : 0x45;
        assert_int_equal(poll(&fd, 1, -1), 1);
        assert_int_equal(send(fd.fd, frame, size, 0), size > 0 ? (int)size : 0);
        while (recv(fd.fd, frame + 2000, 2000, 0) > 0) {
        }
    }
    assert_answers_arp(user);
    net_user_destroy(user);
}

static void test_port_in_use_is_named(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    struct net_forward forward = {.guest_port = 22};
    const struct net_user_config config = {
        .program = real_program, .forwards = &forward, .nr_forwards = 1};
    char why[256], expected[256];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    if (!find_real_program()) {
        (void)close(fd);
        skip();
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    forward.host = address.sin_addr;
    forward.host_port = ntohs(address.sin_port);
    (void)snprintf(expected, sizeof(expected),
                   "cannot forward tcp port %u of 127.0.0.1: Address already in use",
                   forward.host_port);
    assert_null(net_user_create(&config, why, sizeof(why)));
    assert_string_equal(why, expected);
    assert_no_children();
    (void)close(fd);
}

static void test_program_that_hostvm_did_not_start_says_so(void **state)
{
    char line[256] = "";
    FILE *file;

    (void)state;
    if (!find_real_program()) {
        skip();
    }
    strcat(real_program, " 2>&1 3<&-");
    file = popen(real_program, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "hostvm-net-user: hostvm run --net user starts this\n");
    assert_int_equal(WEXITSTATUS(pclose(file)), 64);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_is_started_and_ended),
        cmocka_unit_test(test_program_gets_nothing_that_is_open_here),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_how_the_program_ended_is_told),
        cmocka_unit_test(test_failures_leave_nothing_behind),
        cmocka_unit_test(test_network_is_there),
        cmocka_unit_test(test_network_outlives_nonsense),
        cmocka_unit_test(test_port_in_use_is_named),
        cmocka_unit_test(test_program_that_hostvm_did_not_start_says_so),
    };

    if (strcmp(argv[0], NET_USER_PROGRAM) == 0) {
        return stand_in(argc > 1 ? argv[1] : "");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
