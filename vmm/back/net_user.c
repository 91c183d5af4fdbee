/* Starting, and outliving, hostvm-net-user. */
#include "back/net_user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "back/net_user_protocol.h"

enum {
    MAX_FORWARDS = 64,
    SOCKET_ROOM = 1 << 20, /* some hundred frames; what the system allows, if less */
};

struct net_user {
    struct net_host host;
    pid_t pid; /* 0: none, or nobody's business any more */
};

/* --- where the program is --- */

/* Of a directory, and what is below it. Returns whether there is one. */
static int look_in(const char *directory, const char *below, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s%s/" NET_USER_PROGRAM, directory, below);

    return length < PATH_MAX && access(path, X_OK) == 0;
}

static int find_program(char path[PATH_MAX])
{
    char directory[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    char *slash;

    if (length < 0) {
        return -errno;
    }
    directory[length] = '\0';
    slash = strrchr(directory, '/');
    *slash = '\0'; /* the kernel's names begin with one */
    return look_in(directory, "", path) || look_in(directory, "/../libexec/hostvm", path) ? 0
                                                                                          : -ENOENT;
}

/* --- starting it --- */

/* In a session of its own: keys that end or stop this program are not its business. Nothing of ours
 * is open there but the socket and standard error. */
static int spawn(const char *program, char *const argv[], int fd, pid_t *ret_pid)
{
    static char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int err;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -ENOMEM;
    }
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSID);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    if (posix_spawn_file_actions_adddup2(&actions, fd, NET_USER_FD) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, 0, 1) != 0 ||
        posix_spawn_file_actions_addclosefrom_np(&actions, NET_USER_FD + 1) != 0) {
        err = ENOMEM;
    } else {
        err = posix_spawn(ret_pid, program, &actions, &attributes, argv, environment);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -err;
}

static int start(struct net_user *user, const char *program, const struct net_user_config *config,
                 int fd)
{
    char texts[MAX_FORWARDS][NET_FORWARD_TEXT];
    char name[] = NET_USER_PROGRAM;
    char *argv[MAX_FORWARDS + 2] = {name};

    if (config->nr_forwards > MAX_FORWARDS) {
        return -E2BIG;
    }
    for (unsigned i = 0; i < config->nr_forwards; i++) {
        net_forward_print(&config->forwards[i], texts[i]);
        argv[1 + i] = texts[i];
    }
    return spawn(program, argv, fd, &user->pid);
}

/* Its first message: it ends otherwise, so this does. */
static int wait_for_start(const struct net_user *user, char *why, size_t size)
{
    struct pollfd fd = {.fd = user->host.fds[0], .events = POLLIN};
    char text[NET_USER_REASON + 1];
    ssize_t length;

    while (poll(&fd, 1, -1) < 0 && errno == EINTR) {
    }
    length = recv(fd.fd, text, sizeof(text) - 1, 0);
    if (length <= 0) {
        (void)snprintf(why, size, NET_USER_PROGRAM " ended before it was ready");
        return -1;
    }
    text[length] = '\0';
    if (strcmp(text, NET_USER_READY) != 0) {
        (void)snprintf(why, size, "%s", text);
        return -1;
    }
    return 0;
}

/* A frame that is read does not wait for room in a socket of the smallest size. */
static int open_sockets(int fds[2])
{
    const int room = SOCKET_ROOM;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    return 0;
}

/* --- its end --- */

static void set_offloads(struct net_host *host, uint64_t offloads)
{
    (void)host;
    (void)offloads; /* it has none */
}

static int set_active(struct net_host *host, unsigned nr_active)
{
    (void)host;
    (void)nr_active; /* it has one descriptor */
    return 0;
}

/* Its end of the socket is closed: it has ended, or is about to. */
static void lost(struct net_host *host)
{
    struct net_user *user = (struct net_user *)host;
    int status = 0;

    (void)kill(user->pid, SIGKILL);
    (void)waitpid(user->pid, &status, 0);
    user->pid = 0;
    if (WIFSIGNALED(status)) {
        (void)fprintf(stderr,
                      "hostvm: " NET_USER_PROGRAM
                      " was ended by signal %d (%s): the guest's link is down\n",
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        (void)fprintf(
            stderr, "hostvm: " NET_USER_PROGRAM " ended with status %d: the guest's link is down\n",
            WEXITSTATUS(status));
    }
}

/* --- all of it --- */

static int open_user(struct net_user *user, const struct net_user_config *config, char *why,
                     size_t size)
{
    char path[PATH_MAX];
    const char *program = config->program;
    int fds[2];
    int r = 0;

    if (program == NULL) {
        r = find_program(path);
        program = path;
    }
    if (r < 0) {
        (void)snprintf(why, size,
                       "there is no " NET_USER_PROGRAM
                       " beside hostvm or in libexec/hostvm; it is built where libslirp-dev is "
                       "installed");
        return r;
    }
    r = open_sockets(fds);
    if (r < 0) {
        (void)snprintf(why, size, "cannot make a socket: %s", strerror(-r));
        return r;
    }
    user->host.fds[0] = fds[0];
    user->host.nr_fds = 1;
    r = start(user, program, config, fds[1]);
    (void)close(fds[1]);
    if (r < 0) {
        (void)snprintf(why, size, "cannot start %s: %s", program, strerror(-r));
        return r;
    }
    return wait_for_start(user, why, size);
}

struct net_user *net_user_create(const struct net_user_config *config, char *why, size_t size)
{
    struct net_user *user = calloc(1, sizeof(*user));

    if (user == NULL) {
        (void)snprintf(why, size, "no memory for a user network");
        return NULL;
    }
    user->host.set_offloads = set_offloads;
    user->host.set_active = set_active;
    user->host.lost = lost;
    if (open_user(user, config, why, size) < 0) {
        net_user_destroy(user);
        return NULL;
    }
    return user;
}

struct net_host *net_user_host(struct net_user *user)
{
    return &user->host;
}

void net_user_destroy(struct net_user *user)
{
    if (user == NULL) {
        return;
    }
    for (unsigned i = 0; i < user->host.nr_fds; i++) {
        (void)close(user->host.fds[i]);
    }
    if (user->pid > 0) {
        (void)kill(user->pid, SIGKILL); /* it keeps nothing that would have to be put away */
        (void)waitpid(user->pid, NULL, 0);
    }
    free(user);
}
