/*
 * Runs a command and prints how long it took from exec to its first output and to its end, in
 * millions of nanoseconds; in the deterministic box: of instructions.
 *
 * It reads as soon as there is something to read, where it may: otherwise a command that goes on
 * working keeps the only processor from it, for up to a tick of the clock.
 *
 *   stopwatch [--quiet] LABEL COMMAND ARGUMENT...        --quiet: the command's output is not shown
 */
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bare.h"

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

/* Returns when the first output came; 0: none did. */
static uint64_t pass_output(int fd, bool quiet)
{
    uint64_t first = 0;
    char text[4096];
    ssize_t n;

    while ((n = read(fd, text, sizeof(text))) > 0) {
        if (first == 0) {
            first = now();
        }
        if (!quiet) {
            (void)!write(STDOUT_FILENO, text, (size_t)n);
        }
    }
    return first;
}

int main(int argc, char **argv)
{
    bool quiet = argc > 1 && strcmp(argv[1], "--quiet") == 0;
    uint64_t start;
    uint64_t first;
    int status = 0;
    int pipe_fds[2];
    pid_t pid;

    argv += quiet ? 1 : 0;
    argc -= quiet ? 1 : 0;
    if (argc < 3 || pipe(pipe_fds) < 0) {
        (void)fprintf(stderr, "usage: stopwatch [--quiet] LABEL COMMAND ARGUMENT...\n");
        return 64;
    }
    (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
                             &(struct sched_param){.sched_priority = 1});
    start = now();
    pid = start_command(argv + 2, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    first = pass_output(pipe_fds[0], quiet);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("stopwatch");
        return 71;
    }
    (void)printf("%-28s first output %9.3fe6  end %9.3fe6  status %d\n", argv[1],
                 first == 0 ? 0.0 : (double)(first - start) / 1e6, (double)(now() - start) / 1e6,
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 0;
}
