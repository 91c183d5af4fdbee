/* Finding and starting virtiofsd, in namespaces of its own. */
#include "back/virtiofsd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER_FD = 3, ARGS_MAX = 16, END_MS = 1000, STEP_MS = 10 };

/* What the child needs, made before there is one: it allocates nothing. */
struct plan {
    char program[PATH_MAX];
    char source[PATH_MAX + 16];
    const char *dir;
    char *args[ARGS_MAX];
    char uid_map[48], gid_map[48];
    bool is_root, is_readonly;
    bool is_at_boot; /* the root is what the kernel unpacked at boot: it cannot be exchanged */
    int listener;
    int report; /* a pipe that is closed by exec */
    pid_t parent;
};

/* What the child says when it does not come to be virtiofsd. */
struct report {
    char what[32];
    int error;
};

static int refuse(int r, char *why, size_t why_size, const char *what)
{
    (void)snprintf(why, why_size, "%s: %s", what, strerror(-r));
    return r;
}

/* --- finding it --- */

static bool is_program(const char *dir, size_t length, char program[PATH_MAX])
{
    int n = snprintf(program, PATH_MAX, "%.*s/virtiofsd", (int)length, dir);

    return length > 0 && n > 0 && n < PATH_MAX && access(program, X_OK) == 0;
}

int virtiofsd_find(const char *path, const char *others, char program[PATH_MAX], char *why,
                   size_t why_size)
{
    const char *lists[] = {path != NULL ? path : "", others};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const char *dir = lists[i];

        while (*dir != '\0') {
            size_t length = strcspn(dir, ":");

            if (is_program(dir, length, program)) {
                return 0;
            }
            dir += length + (dir[length] == ':');
        }
    }
    (void)snprintf(why, why_size,
                   "there is no virtiofsd in PATH, /usr/libexec or /usr/lib/qemu: install it "
                   "(Debian 12: qemu-system-common, later: virtiofsd)");
    return -ENOENT;
}

/* --- the socket: connected before anybody else can --- */

static int connect_pair(const struct sockaddr_un *addr, int *ret_listener, int *ret_socket)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = 0;

    if (listener < 0 || fd < 0 ||
        bind(listener, (const struct sockaddr *)addr, sizeof(*addr)) != 0 ||
        listen(listener, 1) != 0 ||
        connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0) {
        r = -errno;
    }
    (void)unlink(addr->sun_path);
    if (r < 0 && listener >= 0) {
        (void)close(listener);
    }
    if (r < 0 && fd >= 0) {
        (void)close(fd);
    }
    if (r == 0) {
        *ret_listener = listener;
        *ret_socket = fd;
    }
    return r;
}

/* virtiofsd wants to accept a connection: it gets a socket on which one waits. */
static int make_sockets(int *ret_listener, int *ret_socket)
{
    char dir[] = "/tmp/hostvm-share.XXXXXX"; /* nobody else's */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int r;

    if (mkdtemp(dir) == NULL) {
        return -errno;
    }
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
    r = connect_pair(&addr, ret_listener, ret_socket);
    (void)rmdir(dir);
    return r;
}

/* --- the child, until it is virtiofsd --- */

static void give_up(const struct plan *plan, const char *what) __attribute__((noreturn));

static void give_up(const struct plan *plan, const char *what)
{
    struct report report = {.error = errno};

    for (size_t i = 0; i + 1 < sizeof(report.what) && what[i] != '\0'; i++) {
        report.what[i] = what[i];
    }
    (void)!write(plan->report, &report, sizeof(report));
    _exit(127);
}

static bool write_file(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0) {
        (void)close(fd);
    }
    return is_done;
}

/*
 * QEMU's virtiofsd gives up its further groups, which in a user namespace without helpers the
 * kernel allows nobody to. They are the user's own, and do no harm: the call succeeds, and does
 * nothing.
 */
static bool overlook_setgroups(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setgroups, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void become_root_of_a_namespace(const struct plan *plan)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) {
        give_up(plan, "cannot make a user namespace");
    }
    if (!write_file("/proc/self/setgroups", "deny") ||
        !write_file("/proc/self/uid_map", plan->uid_map) ||
        !write_file("/proc/self/gid_map", plan->gid_map)) {
        give_up(plan, "cannot map the user");
    }
    if (!overlook_setgroups()) {
        give_up(plan, "cannot filter setgroups");
    }
}

static void make_readonly(const struct plan *plan)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(plan->dir, plan->dir, NULL, MS_BIND | MS_REC, NULL) != 0 ||
        mount_setattr(AT_FDCWD, plan->dir, AT_RECURSIVE, &attr, sizeof(attr)) != 0) {
        give_up(plan, "cannot make it read-only");
    }
}

/* Where there is no mount namespace to be had, virtiofsd has to do with chroot. */
static bool enter_namespaces(const struct plan *plan)
{
    bool has_mounts = true;

    if (!plan->is_root) {
        become_root_of_a_namespace(plan);
    } else {
        has_mounts = unshare(CLONE_NEWNS) == 0;
    }
    if (plan->is_readonly && !has_mounts) {
        give_up(plan, "cannot make it read-only");
    }
    if (plan->is_readonly) {
        make_readonly(plan);
    }
    return has_mounts;
}

static void be_virtiofsd(struct plan *plan) __attribute__((noreturn));

static void be_virtiofsd(struct plan *plan)
{
    static char chroot_option[] = "sandbox=chroot";
    sigset_t none;
    bool has_mounts;
    unsigned int i = 0;

    (void)setpgid(0, 0); /* what a terminal sends to this program is not for it */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan->parent) {
        _exit(127);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    has_mounts = enter_namespaces(plan);
    if (!has_mounts || plan->is_at_boot || !plan->is_root) {
        while (plan->args[i] != NULL) {
            i++;
        }
        plan->args[i - 1] = chroot_option; /* the last one says which */
    }
    if ((plan->listener == SERVER_FD ? fcntl(SERVER_FD, F_SETFD, 0)
                                     : dup2(plan->listener, SERVER_FD)) < 0) {
        give_up(plan, "cannot pass the socket");
    }
    (void)execv(plan->program, plan->args);
    give_up(plan, "cannot run virtiofsd");
}

/* --- this process --- */

/* /proc/self/mountinfo: ... MOUNT-POINT OPTIONS ... - TYPE ... */
static bool root_is_that_of_boot(void)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[1024];
    bool is_rootfs = false;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char point[8] = "", type[8] = "";
        const char *dash = strstr(line, " - ");

        if (dash != NULL && sscanf(line, "%*s %*s %*s %*s %7s", point) == 1 &&
            sscanf(dash, " - %7s", type) == 1 && strcmp(point, "/") == 0) {
            is_rootfs = strcmp(type, "rootfs") == 0; /* the last one lies on top */
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_rootfs;
}

static void make_args(struct plan *plan)
{
    static char name[] = "virtiofsd", foreground[] = "-f", fd[] = "--fd=3", option[] = "-o",
                quiet[] = "log_level=err", limit[] = "--rlimit-nofile=0",
                sandbox[] = "sandbox=namespace";
    unsigned int n = 0;

    plan->args[n++] = name;
    plan->args[n++] = foreground;
    plan->args[n++] = fd;
    if (!plan->is_root) {
        plan->args[n++] = limit; /* the user's own limit stays */
    }
    plan->args[n++] = option;
    plan->args[n++] = quiet;
    plan->args[n++] = option;
    plan->args[n++] = plan->source;
    plan->args[n++] = option;
    plan->args[n++] = sandbox;
}

static int make_plan(struct plan *plan, const char *dir, bool is_readonly, char *why,
                     size_t why_size)
{
    char full[PATH_MAX];
    struct stat st;
    int r =
        virtiofsd_find(getenv("PATH"), "/usr/libexec:/usr/lib/qemu", plan->program, why, why_size);

    if (r < 0) {
        return r;
    }
    if (realpath(dir, full) == NULL || stat(full, &st) != 0) {
        return refuse(-errno, why, why_size, "cannot find the folder");
    }
    if (!S_ISDIR(st.st_mode)) {
        return refuse(-ENOTDIR, why, why_size, "cannot share it");
    }
    /* virtiofsd's options end at a comma. */
    if (strchr(full, ',') != NULL) {
        (void)snprintf(why, why_size, "its name has a comma in it");
        return -EINVAL;
    }
    (void)snprintf(plan->source, sizeof(plan->source), "source=%s", full);
    plan->dir = plan->source + strlen("source=");
    plan->is_root = geteuid() == 0;
    plan->is_readonly = is_readonly;
    plan->is_at_boot = root_is_that_of_boot();
    plan->parent = getpid();
    (void)snprintf(plan->uid_map, sizeof(plan->uid_map), "0 %u 1", (unsigned)geteuid());
    (void)snprintf(plan->gid_map, sizeof(plan->gid_map), "0 %u 1", (unsigned)getegid());
    make_args(plan);
    return 0;
}

/* Until it is virtiofsd, or has said why it is not. */
static int await_exec(int fd, char *why, size_t why_size)
{
    struct report report;
    ssize_t n;

    do {
        n = read(fd, &report, sizeof(report));
    } while (n < 0 && errno == EINTR);
    if (n != sizeof(report)) {
        return 0;
    }
    report.what[sizeof(report.what) - 1] = '\0';
    return refuse(-report.error, why, why_size, report.what);
}

static int run(struct plan *plan, struct virtiofsd *server, char *why, size_t why_size)
{
    int ends[2];
    int r;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return refuse(-errno, why, why_size, "cannot start virtiofsd");
    }
    plan->report = ends[1];
    server->pid = fork();
    if (server->pid == 0) {
        be_virtiofsd(plan);
    }
    r = server->pid < 0 ? refuse(-errno, why, why_size, "cannot start virtiofsd") : 0;
    (void)close(ends[1]);
    if (r < 0) {
        server->pid = 0;
    } else {
        r = await_exec(ends[0], why, why_size);
    }
    (void)close(ends[0]);
    return r;
}

int virtiofsd_start(struct virtiofsd *server, const char *dir, bool is_readonly, char *why,
                    size_t why_size)
{
    struct plan plan = {.listener = -1};
    char how[64];
    int r;

    *server = (struct virtiofsd){.socket = -1};
    r = make_plan(&plan, dir, is_readonly, why, why_size);
    if (r < 0) {
        return r;
    }
    r = make_sockets(&plan.listener, &server->socket);
    if (r < 0) {
        return refuse(r, why, why_size, "cannot make a socket for virtiofsd");
    }
    r = run(&plan, server, why, why_size);
    (void)close(plan.listener);
    if (r < 0) {
        virtiofsd_end(server, how, sizeof(how));
    }
    return r;
}

static void describe(int status, char *how, size_t how_size)
{
    if (WIFSIGNALED(status)) {
        (void)snprintf(how, how_size, "signal %d", WTERMSIG(status));
    } else {
        (void)snprintf(how, how_size, "exit status %d", WEXITSTATUS(status));
    }
}

/* Whether the other end of the socket is gone; waits so long for it. A child of virtiofsd's own may
 * outlive it for a moment: the socket is open as long as one of them is there. */
static bool hangs_up(int fd, int ms)
{
    struct pollfd poll_fd = {.fd = fd};

    return poll(&poll_fd, 1, ms) > 0;
}

/* Who has hung up is about to end, and then there is a status to tell. */
static bool has_ended(const struct virtiofsd *server, int *ret_status)
{
    bool is_ending = hangs_up(server->socket, 0);

    for (int ms = 0; ms <= END_MS; ms += STEP_MS) {
        if (waitpid(server->pid, ret_status, WNOHANG) == server->pid) {
            return true;
        }
        if (!is_ending) {
            return false;
        }
        (void)poll(NULL, 0, STEP_MS);
    }
    return false;
}

void virtiofsd_end(struct virtiofsd *server, char *how, size_t how_size)
{
    int status = 0;

    how[0] = '\0';
    if (server->pid > 0) {
        if (has_ended(server, &status)) {
            describe(status, how, how_size);
        } else {
            (void)kill(server->pid, SIGKILL);
            (void)waitpid(server->pid, &status, 0);
        }
        (void)hangs_up(server->socket, END_MS);
    }
    if (server->socket >= 0) {
        (void)close(server->socket);
    }
    *server = (struct virtiofsd){.socket = -1};
}
