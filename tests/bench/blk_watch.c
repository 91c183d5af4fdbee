/*
 * Starts a VMM whose guest is blk_guest, and prints for each of its series what a request takes in
 * nanoseconds, in the deterministic box: in instructions: all in all, and of it outside of the
 * threads that run the guest.
 *
 *   blk_watch LABEL COMMAND ARGUMENT...
 */
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TASKS = 100 };

struct task {
    int id;
    uint64_t runtime; /* ns */
};

struct sample {
    struct task tasks[MAX_TASKS];
    unsigned nr_tasks;
};

static FILE *open_of(int pid, int task, const char *name)
{
    char path[100];

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, task, name);
    return fopen(path, "re");
}

static void take(int pid, struct sample *ret)
{
    char path[40];
    struct dirent *entry;
    DIR *dir;

    ret->nr_tasks = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL && ret->nr_tasks < MAX_TASKS) {
        struct task *task = &ret->tasks[ret->nr_tasks];
        unsigned long long runtime;
        FILE *file;

        task->id = atoi(entry->d_name);
        file = task->id > 0 ? open_of(pid, task->id, "schedstat") : NULL;
        if (file == NULL) {
            continue;
        }
        if (fscanf(file, "%llu", &runtime) == 1) {
            task->runtime = runtime;
            ret->nr_tasks++;
        }
        (void)fclose(file);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* It has spent time in a guest: field 43 of proc(5)'s stat; names in parentheses come second. */
static bool runs_the_guest(int pid, int task)
{
    unsigned long long ticks = 0;
    char line[1000] = "";
    FILE *file = open_of(pid, task, "stat");
    char *at;

    if (file == NULL) {
        return false;
    }
    (void)!fgets(line, sizeof(line), file);
    (void)fclose(file);
    at = strrchr(line, ')');
    for (unsigned field = 3; at != NULL && field <= 43; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at != NULL) {
        ticks = strtoull(at, NULL, 10);
    }
    return ticks > 0;
}

static uint64_t runtime_before(const struct sample *sample, int id)
{
    for (unsigned i = 0; i < sample->nr_tasks; i++) {
        if (sample->tasks[i].id == id) {
            return sample->tasks[i].runtime;
        }
    }
    return 0;
}

static uint64_t runtime_beside_guest(int pid, const struct sample *before)
{
    static struct sample after;
    uint64_t runtime = 0;

    take(pid, &after);
    for (unsigned i = 0; i < after.nr_tasks; i++) {
        if (!runs_the_guest(pid, after.tasks[i].id)) {
            runtime += after.tasks[i].runtime - runtime_before(before, after.tasks[i].id);
        }
    }
    return runtime;
}

static pid_t start(char **command, int *ret_in, int *ret_out)
{
    int in[2], out[2];
    pid_t pid;

    if (pipe(in) < 0 || pipe(out) < 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)close(in[1]);
        (void)close(out[0]);
        (void)execvp(command[0], command);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *ret_in = in[1];
    *ret_out = out[0];
    return pid;
}

static void watch(const char *label, int pid, int in, FILE *out)
{
    static struct sample before;
    char line[200];

    while (fgets(line, sizeof(line), out) != NULL) {
        unsigned long long ns;
        char name[20];
        unsigned n;

        if (strncmp(line, "begin ", 6) == 0) {
            take(pid, &before);
            (void)!write(in, "\n", 1);
        } else if (sscanf(line, "end %19s %u %llu", name, &n, &ns) == 3) {
            (void)printf("%s %s %llu %llu\n", label, name, ns / n,
                         (unsigned long long)(runtime_beside_guest(pid, &before) / n));
            (void)fflush(stdout);
            (void)!write(in, "\n", 1);
        } else if (strncmp(line, "done", 4) == 0) {
            return;
        } else if (isprint((unsigned char)line[0])) {
            (void)fprintf(stderr, "%s: %s", label, line);
        }
    }
    (void)fprintf(stderr, "%s ended too early\n", label);
}

int main(int argc, char **argv)
{
    int in, out;
    pid_t pid;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: blk_watch LABEL COMMAND ARGUMENT...\n");
        return 64;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    pid = start(argv + 2, &in, &out);
    if (pid < 0) {
        perror("blk_watch");
        return 71;
    }
    watch(argv[1], pid, in, fdopen(out, "r"));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return 0;
}
