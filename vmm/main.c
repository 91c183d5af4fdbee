/* The command: which sub-command it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "options/options.h"
#include "run.h"
#include "status.h"

/* A descriptor of the VM must not get the number of a closed standard one: what is printed would go
 * into it. */
static void open_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2) {
        (void)close(fd);
    }
}

/* Whoever asked for information and does not get it learns that from the status. */
static int finish_output(int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return status;
    }
    (void)fprintf(stderr, "hostvm: cannot write to standard output: %s\n", strerror(errno));
    return STATUS_HOST;
}

int main(int argc, char **argv)
{
    struct options options;
    int status;

    open_standard_descriptors();
    status = options_parse(argc, argv, &options);
    if (status != 0) {
        return status;
    }
    switch (options.command) {
    case COMMAND_RUN:
        return run_guest(&options);
    case COMMAND_CHECK:
        return finish_output(check_host());
    case COMMAND_HELP:
        options_print_help();
        return finish_output(STATUS_OK);
    case COMMAND_VERSION:
        (void)puts("hostvm " HOSTVM_VERSION);
        return finish_output(STATUS_OK);
    }
    return STATUS_USAGE;
}
