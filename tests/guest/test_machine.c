/* The command's machine, on a real KVM: what the host refuses while it is built is said, and
 * nothing stays of it. */
#include "support/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/file.h"
#include "machine/machine.h"

#include "support/inject.h"

enum { MIB = 1 << 20, MAX_CALLS = 10000, MAX_FDS = 200 };

/* Around the machine; these stay from one to the next. */
struct surroundings {
    struct devices_config devices;
    struct console console;
    int input[2];    /* nobody types */
    FILE *said;      /* standard error, while a machine is built */
    int true_stderr; /* meanwhile */
};

static void surround(struct surroundings *around, enum devices_transport transport)
{
    static const char path[] = "/tmp/test_machine.XXXXXX";
    struct options_disk *disk = &around->devices.disks[0];
    int fd;

    *around = (struct surroundings){
        .devices = {.transport = transport, .nr_disks = 1, .has_console = true, .has_rng = true},
    };
    around->devices.balloon.is_there = true;
    memcpy(disk->path, path, sizeof(path));
    fd = mkstemp(disk->path);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, MIB), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(pipe2(around->input, O_CLOEXEC), 0);
    around->console = (struct console){
        .in = around->input[0], .out = open("/dev/null", O_WRONLY | O_CLOEXEC), .interrupt = -1};
    assert_true(around->console.out >= 0);
    around->said = tmpfile();
    assert_non_null(around->said);
}

static void leave_surroundings(struct surroundings *around)
{
    assert_int_equal(unlink(around->devices.disks[0].path), 0);
    assert_int_equal(close(around->input[0]), 0);
    assert_int_equal(close(around->input[1]), 0);
    assert_int_equal(close(around->console.out), 0);
    assert_int_equal(fclose(around->said), 0);
}

static void listen_to_stderr(struct surroundings *around)
{
    int fd = fileno(around->said);

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    around->true_stderr = dup(STDERR_FILENO);
    assert_true(around->true_stderr >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

/* Has anything been said, as the command's own? */
static bool heard(struct surroundings *around)
{
    static const char ours[] = "hostvm: ";
    char text[sizeof(ours)] = "";

    assert_int_equal(dup2(around->true_stderr, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(around->true_stderr), 0);
    (void)!pread(fileno(around->said), text, sizeof(text) - 1, 0);
    return strcmp(text, ours) == 0;
}

static void power_event(void *cookie, enum power_event event, uint8_t status)
{
    struct machine *machine = cookie;

    (void)event;
    (void)status;
    assert_int_equal(hostvm_vm_stop(&machine->vm), 0);
}

static int load(struct machine *machine, struct image *image, struct load_error *err)
{
    struct image_file file;
    int r = image_file_open(GUESTS_DIR "/hello", &file, err);

    if (r == 0) {
        r = image_load(&file, machine_image_kind(), &machine->ram, image, err);
        image_file_close(&file);
    }
    return r;
}

/* As the command does it: all that can fail on the way from nothing to a guest at its first
 * instruction. A PC has no device tree to be dumped. */
static int build(struct machine *machine, struct surroundings *around, struct load_error *err)
{
    const struct machine_config config = {
        .ram_size = 16 * MIB,
        .nr_cpus = 2,
        .has_debug_exit = true,
        .devices = &around->devices,
        .console = &around->console,
        .power_event = power_event,
        .cookie = machine,
    };
    struct image image;
    const struct machine_guest guest = {.image = &image, .cmdline = ""};
    int r = machine_create(machine, &config);

    if (r == 0) {
        r = load(machine, &image, err);
    }
    if (r == 0) {
        r = machine_complete(machine);
    }
    if (r == 0) {
        r = machine_dump_dtb(machine, &guest, "/dev/null", err);
        if (r == -ENOTSUP) {
            err->text[0] = '\0';
            r = 0;
        }
    }
    return r == 0 ? machine_start(machine, &guest, err) : r;
}

static void run(struct machine *machine)
{
    watchdog_begin(&machine->vm);
    assert_int_equal(vm_run(&machine->vm), 0);
    watchdog_end();
}

/* What befalls a machine while it is built. */
struct trouble {
    void (*begin)(unsigned n);
    void (*end)(void);
};

/* 0: it was built, and its guest ran to its end. */
static int try_once(struct surroundings *around, const struct trouble *trouble, unsigned n)
{
    struct load_error err = {""};
    struct machine machine;
    bool is_said;
    int r;

    listen_to_stderr(around);
    trouble->begin(n);
    r = build(&machine, around, &err);
    trouble->end();
    is_said = heard(around) || err.text[0] != '\0';
    if (r == 0) {
        run(&machine);
    } else {
        assert_true(is_said);
    }
    machine_destroy(&machine);
    return r;
}

/* --- each call in turn fails --- */

static bool has_failed;

static void disarm(void)
{
    has_failed = inject_disarm();
}

static const struct trouble failing_call = {inject_fail_nth, disarm};

/* It may do without what fails; its guest is none the worse for it. */
static void fail_each(enum devices_transport transport)
{
    struct surroundings around;
    struct leak_state held;
    unsigned nr_refusals = 0;

    surround(&around, transport);
    assert_int_equal(try_once(&around, &failing_call, MAX_CALLS),
                     0); /* the C library keeps things */
    leak_begin(&held);
    has_failed = true;
    for (unsigned n = 1; has_failed; n++) {
        assert_true(n < MAX_CALLS);
        if (try_once(&around, &failing_call, n) != 0) {
            assert_true(has_failed);
            nr_refusals++;
        }
        leak_check(&held);
    }
    assert_true(nr_refusals > 50);
    leave_surroundings(&around);
}

static void test_whatever_fails_of_a_machine_is_said_and_undone(void **state)
{
    (void)state;
    fail_each(DEVICES_IN_MEMORY);
}

static void test_whatever_fails_of_a_machine_with_pci_is_said_and_undone(void **state)
{
    (void)state;
    fail_each(DEVICES_ON_PCI);
}

/* --- descriptors run out --- */

static struct rlimit limit_before;

/* Numbers below n alone. */
static void allow_fds(unsigned n)
{
    const struct rlimit limit = {n, limit_before.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void allow_all_fds(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static const struct trouble few_fds = {allow_fds, allow_all_fds};

static unsigned first_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    return (unsigned)fd;
}

static void test_a_machine_that_gets_too_few_descriptors_is_refused_whole(void **state)
{
    struct surroundings around;
    struct leak_state held;
    unsigned nr_refusals = 0;
    int r = -1;

    (void)state;
    surround(&around, DEVICES_IN_MEMORY);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    assert_int_equal(try_once(&around, &few_fds, (unsigned)limit_before.rlim_cur), 0);
    leak_begin(&held);
    for (unsigned n = first_free_fd() + 1; r != 0; n++) { /* one is the copy of standard error */
        assert_true(n < MAX_FDS);
        r = try_once(&around, &few_fds, n);
        nr_refusals += r != 0;
        leak_check(&held);
    }
    assert_true(nr_refusals > 10);
    leave_surroundings(&around);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_fails_of_a_machine_is_said_and_undone),
        cmocka_unit_test(test_whatever_fails_of_a_machine_with_pci_is_said_and_undone),
        cmocka_unit_test(test_a_machine_that_gets_too_few_descriptors_is_refused_whole),
    };

    return run_vm_tests(tests);
}
