/* Runs inputs that were kept, without libFuzzer: files, or all files of folders. */
#include "driver.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

enum { INPUT_ROOM = 1 << 16, PATH_SIZE = 4096, LIMIT_S = 60 };

static unsigned nr_inputs;
static char current[PATH_SIZE];

static void say_which(void)
{
    static const char text[] = "\nthe input was ";

    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)!write(STDERR_FILENO, current, strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
}

/* A check that failed, or an input that does not end. */
static void die(int number)
{
    say_which();
    _exit(128 + number);
}

static void run_file(const char *path)
{
    static uint8_t bytes[INPUT_ROOM];
    FILE *file = fopen(path, "re");
    size_t size;

    (void)snprintf(current, sizeof(current), "%s", path);
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    (void)alarm(LIMIT_S);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    (void)alarm(0);
    nr_inputs++;
}

static void run(const char *path);

static void run_folder(const char *path)
{
    struct dirent **entries;
    int nr = scandir(path, &entries, NULL, alphasort);

    for (int i = 0; i < nr; i++) {
        char inner[PATH_SIZE];

        if (entries[i]->d_name[0] != '.' &&
            snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name) < PATH_SIZE) {
            run(inner);
        }
        free(entries[i]);
    }
    if (nr >= 0) {
        free((void *)entries);
    }
}

static void run(const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        run_folder(path);
    } else {
        run_file(path);
    }
}

static void name_input_of_failure(void)
{
    (void)signal(SIGABRT, die);
    (void)signal(SIGALRM, die);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback(say_which);
#else
    (void)signal(SIGSEGV, die);
    (void)signal(SIGBUS, die);
#endif
}

int main(int argc, char **argv)
{
    (void)LLVMFuzzerInitialize(&argc, &argv);
    name_input_of_failure();
    for (int i = 1; i < argc; i++) {
        run(argv[i]);
    }
    if (nr_inputs == 0) {
        (void)fprintf(stderr, "there are no inputs\n");
        _exit(1);
    }
    printf("ok - %u inputs\n", nr_inputs);
    (void)fflush(stdout);
    _exit(0);
}
