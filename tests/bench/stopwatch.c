/*
 * Runs a command and prints how long it took from exec to its first output and to its end, in
 * millions of nanoseconds; in the deterministic box: of instructions. Or how long until its output
 * holds a text, where it is ended; and of that the time in which the processor was not idle: what
 * it slept, or waited for a drive, is no instruction.
 *
 * It reads as soon as there is something to read, where it may: otherwise a command that goes on
 * working keeps the only processor from it, for up to a tick of the clock.
 *
 *   stopwatch [--quiet] [--until TEXT] LABEL COMMAND ARGUMENT...
 *
 * --quiet: the command's output is not shown. Exit status: 1 where TEXT did not come.
 */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bare.h"

enum { TEXT_MAX = 100 };

/* What output is waited for: the last bytes that came are kept, as it may come in pieces. */
struct output {
    const char *text; /* NULL: none */
    char last[TEXT_MAX];
    size_t nr_last;
    uint64_t first; /* when it began; 0: not yet */
    uint64_t until; /* when the text was there; 0: not yet */
};

/* The processor's, where there is one, in ns: idle, and waiting for a drive (proc(5), stat). */
static uint64_t idle_time(void)
{
    unsigned long long idle = 0, io = 0;
    FILE *file = fopen("/proc/stat", "re");

    if (file == NULL || fscanf(file, "cpu %*u %*u %*u %llu %llu", &idle, &io) != 2) {
        (void)fprintf(stderr, "stopwatch: /proc/stat cannot be read\n");
        exit(71);
    }
    (void)fclose(file);
    return (idle + io) * (1000000000u / (unsigned long)sysconf(_SC_CLK_TCK));
}

static pid_t start_command(char **command, int output)
{
    pid_t pid = vfork();

    if (pid == 0) {
        (void)dup2(output, STDOUT_FILENO);
        (void)execvp(command[0], command);
        _exit(127);
    }
    return pid;
}

static void look_for_text(struct output *output, const char *bytes, size_t n)
{
    size_t size = strlen(output->text);

    for (size_t i = 0; i < n && output->until == 0; i++) {
        if (output->nr_last == size) {
            memmove(output->last, output->last + 1, --output->nr_last);
        }
        output->last[output->nr_last++] = bytes[i];
        if (output->nr_last == size && memcmp(output->last, output->text, size) == 0) {
            output->until = now();
        }
    }
}

static void pass_output(int fd, bool quiet, struct output *output)
{
    char text[4096];
    ssize_t n;

    while (output->until == 0 && (n = read(fd, text, sizeof(text))) > 0) {
        if (output->first == 0) {
            output->first = now();
        }
        if (output->text != NULL) {
            look_for_text(output, text, (size_t)n);
        }
        if (!quiet) {
            (void)!write(STDOUT_FILENO, text, (size_t)n);
        }
    }
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: stopwatch [--quiet] [--until TEXT] LABEL COMMAND ARGUMENT...\n");
    return 64;
}

static int report_text(const char *label, const struct output *output, uint64_t start,
                       uint64_t idle)
{
    uint64_t total = output->until - start;

    if (output->until == 0) {
        (void)printf("%-28s '%s' did not come\n", label, output->text);
        return 1;
    }
    (void)printf("%-28s busy %9.3fe6  of %9.3fe6\n", label,
                 idle < total ? (double)(total - idle) / 1e6 : 0.0, (double)total / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    struct output output = {.text = NULL};
    bool quiet = false;
    uint64_t start, idle;
    int status = 0;
    int pipe_fds[2];
    pid_t pid;

    for (; argc > 1 && strncmp(argv[1], "--", 2) == 0; argc--, argv++) {
        if (strcmp(argv[1], "--quiet") == 0) {
            quiet = true;
        } else if (strcmp(argv[1], "--until") == 0 && argc > 2) {
            output.text = argv[2];
            argc--;
            argv++;
        } else {
            return usage();
        }
    }
    if (argc < 3 ||
        (output.text != NULL && (*output.text == 0 || strlen(output.text) > TEXT_MAX)) ||
        pipe(pipe_fds) < 0) {
        return usage();
    }
    (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
                             &(struct sched_param){.sched_priority = 1});
    idle = idle_time();
    start = now();
    pid = start_command(argv + 2, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    pass_output(pipe_fds[0], quiet, &output);
    idle = idle_time() - idle;
    if (output.until != 0) {
        (void)kill(pid, SIGKILL);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("stopwatch");
        return 71;
    }
    if (output.text != NULL) {
        return report_text(argv[1], &output, start, idle);
    }
    (void)printf("%-28s first output %9.3fe6  end %9.3fe6  status %d\n", argv[1],
                 output.first == 0 ? 0.0 : (double)(output.first - start) / 1e6,
                 (double)(now() - start) / 1e6, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 0;
}
