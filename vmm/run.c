/* hostvm run: from options to a running machine, and from its end to an exit status. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/events.h>
#include <hostvm/host.h>
#include <hostvm/vm.h>

#include "console.h"
#include "load/file.h"
#include "load/initrd.h"
#include "machine/machine.h"
#include "status.h"

struct session {
    const struct options *options;
    struct machine machine;
    struct console console;
    struct image image;
    struct load_module modules[1 + MAX_MODULES];
    unsigned nr_modules;
    int signal_fd; /* -1: none */
    int status;    /* what the guest or the user ended the VM with */
    int signal;    /* that ended the VM; 0: none */
};

static int complain(int status, const char *text)
{
    (void)fprintf(stderr, "hostvm: %s\n", text);
    return status;
}

/* --- how a VM ends --- */

static void power_event(void *cookie, enum power_event event, uint8_t status)
{
    struct session *session = cookie;

    session->status = event == POWER_DEBUG_EXIT ? status : STATUS_OK;
    (void)hostvm_vm_stop(&session->machine.vm);
}

/* Job control: the shell gets its terminal as it was; when we are continued, in the foreground, it
 * is raw again. */
static void suspend(struct session *session)
{
    console_suspend(&session->console);
    (void)raise(SIGSTOP);
}

static void tell_of_size(const struct console *console)
{
    if (console->resized != NULL) {
        console->resized(console->resized_cookie);
    }
}

static int signal_arrived(vm_t *vm, int fd, void *cookie)
{
    struct session *session = cookie;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != sizeof(info)) {
        return 0;
    }
    if (info.ssi_signo == SIGTSTP) {
        suspend(session);
        return 0;
    }
    if (info.ssi_signo == SIGCONT) {
        console_resume(&session->console);
    }
    if (info.ssi_signo == SIGCONT || info.ssi_signo == SIGWINCH) {
        tell_of_size(&session->console);
        return 0;
    }
    session->console.is_hurried = true; /* the signal no longer interrupts: it is read */
    session->signal = (int)info.ssi_signo;
    session->status = STATUS_SIGNAL + session->signal;
    return hostvm_vm_stop(vm);
}

/* Signals that we were started to ignore stay ignored (nohup). */
static void collect_signals(sigset_t *ret_signals)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};

    sigemptyset(ret_signals);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction action;

        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(ret_signals, signals[i]);
        }
    }
}

static int watch_signals(struct session *session)
{
    sigset_t signals;

    (void)signal(SIGPIPE, SIG_IGN); /* a reader that left ends the output, not the guest */
    collect_signals(&signals);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    session->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (session->signal_fd < 0) {
        (void)fprintf(stderr, "hostvm: cannot watch for signals: %s\n", strerror(errno));
        return -1;
    }
    session->console.interrupt = session->signal_fd;
    return hostvm_event_add(&session->machine.vm, session->signal_fd, signal_arrived, session);
}

/* --- a mistake of our own must not leave a raw terminal behind either --- */

static struct console *terminal_to_restore;

static void restore_and_die(int number)
{
    if (terminal_to_restore != NULL) {
        console_close(terminal_to_restore);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void open_console(struct session *session)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

    console_open(&session->console);
    terminal_to_restore = &session->console;
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        (void)signal(fatal[i], restore_and_die);
    }
}

static void close_console(struct session *session)
{
    console_close(&session->console);
    terminal_to_restore = NULL;
}

/* --- loading --- */

/* A file that cannot be used, or a host that cannot give what loading it takes? */
static int status_of_loading(int r)
{
    return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? STATUS_HOST : STATUS_BAD_FILE;
}

static int load_kernel(struct session *session)
{
    struct load_error err = {""};
    struct image_file file;
    int r = image_file_open(session->options->kernel, &file, &err);

    if (r < 0) {
        return complain(status_of_loading(r), err.text);
    }
    r = image_load(&file, machine_image_kind(), &session->machine.ram, &session->image, &err);
    image_file_close(&file);
    return r < 0 ? complain(status_of_loading(r), err.text) : 0;
}

/* Modules lie one below the other, from high down to low. */
static int load_module(struct session *session, const char *name, const char *cmdline, uint64_t low,
                       uint64_t *high)
{
    struct load_module *module = &session->modules[session->nr_modules];
    struct load_error err = {""};
    int r = initrd_load(name, &session->machine.ram, low, *high, &module->gpa, &module->size, &err);

    if (r < 0) {
        return complain(status_of_loading(r), err.text);
    }
    module->cmdline = cmdline;
    *high = module->gpa;
    session->nr_modules++;
    return 0;
}

/* "FILE COMMAND LINE" */
static int load_named_module(struct session *session, const char *text, uint64_t low,
                             uint64_t *high)
{
    char name[PATH_MAX];
    size_t length = strcspn(text, " ");

    if (length >= sizeof(name)) {
        return complain(STATUS_USAGE, "the name of a module is too long");
    }
    memcpy(name, text, length);
    name[length] = '\0';
    return load_module(session, name, text[length] == ' ' ? text + length + 1 : NULL, low, high);
}

/* Linux takes one, an initrd. */
static bool takes_one_module(const struct image *image)
{
    return image->mode == ENTRY_LONG64 || image->mode == ENTRY_LINUX32 ||
           image->mode == ENTRY_ARM64;
}

static int load_modules(struct session *session)
{
    const struct options *options = session->options;
    struct load_error err = {""};
    int status = 0;
    uint64_t low, high;
    int r;

    if (takes_one_module(&session->image) && options->nr_modules > 0) {
        return complain(STATUS_USAGE,
                        "--module is for multiboot and PVH kernels; this one takes an --initrd");
    }
    r = machine_module_room(&session->machine, &session->image, &low, &high, &err);
    if (r < 0) {
        return complain(status_of_loading(r), err.text);
    }
    if (options->initrd != NULL) {
        status = load_module(session, options->initrd, NULL, low, &high);
    }
    for (unsigned i = 0; status == 0 && i < options->nr_modules; i++) {
        status = load_named_module(session, options->modules[i], low, &high);
    }
    return status;
}

static int status_of_start(int r, const struct load_error *err)
{
    switch (r) {
    case 0:
        return 0;
    case -EIO: /* without a text, the reason is in the log */
        return err->text[0] == '\0' ? STATUS_HOST : complain(STATUS_BAD_FILE, err->text);
    case -E2BIG:
        return complain(STATUS_USAGE, err->text);
    case -ENOSPC:
        return complain(STATUS_HOST, err->text);
    default:
        return complain(status_of_loading(r), err->text);
    }
}

/* Starts the guest, or writes what it would be told. */
static int start(struct session *session)
{
    const struct options *options = session->options;
    const struct machine_guest guest = {
        .image = options->kernel != NULL ? &session->image : NULL,
        .cmdline = options->append,
        .modules = session->modules,
        .nr_modules = session->nr_modules,
    };
    struct load_error err = {""};
    int r;

    if (options->dump_dtb != NULL) {
        r = machine_dump_dtb(&session->machine, &guest, options->dump_dtb, &err);
    } else {
        r = machine_start(&session->machine, &guest, &err);
    }
    return status_of_start(r, &err);
}

/* --- running --- */

/* Whether it is KVM that is missing, or something that every program needs. */
static int status_of_failure(void)
{
    hostvm_host_t host;

    if (hostvm_host_check(&host) == 0 || host.error == EMFILE || host.error == ENFILE ||
        host.error == ENOMEM) {
        return STATUS_HOST;
    }
    (void)fprintf(stderr, "hostvm: what would help: %s\n", host.help);
    return STATUS_NO_KVM;
}

static struct machine_config config_of(const struct options *options)
{
    return (struct machine_config){
        .ram_size = options->mem,
        .nr_cpus = options->cpus,
        .has_debug_exit = options->has_debug_exit,
        .has_pmu = options->has_pmu,
        .dtb = options->dtb,
        .devices = &options->devices,
    };
}

static int build(struct session *session)
{
    struct machine_config config = config_of(session->options);

    config.console = &session->console;
    config.power_event = power_event;
    config.cookie = session;
    if (machine_create(&session->machine, &config) != 0) {
        return status_of_failure(); /* the reason is in the log */
    }
    return watch_signals(session) == 0 ? 0 : STATUS_HOST;
}

static int complete(struct session *session)
{
    switch (machine_complete(&session->machine)) {
    case 0:
        return 0;
    case -ENOENT:
        return STATUS_BAD_FILE;
    default:
        return status_of_failure(); /* as in build */
    }
}

static int status_of_end(const struct session *session)
{
    switch (hostvm_vm_end(&session->machine.vm)) {
    case HOSTVM_END_STOPPED:
        return session->status;
    case HOSTVM_END_POWEROFF:
    case HOSTVM_END_RESET:
        return STATUS_OK;
    case HOSTVM_END_CRASH:
        return STATUS_CRASHED;
    case HOSTVM_END_NONE:
    case HOSTVM_END_CALLBACK:
    case HOSTVM_END_HOST:
        break;
    }
    return STATUS_HOST;
}

static int load(struct session *session)
{
    int status = load_kernel(session);

    return status == 0 ? load_modules(session) : status;
}

static int boot(struct session *session)
{
    const struct options *options = session->options;
    int status = build(session);

    if (status == 0 && options->kernel != NULL) {
        status = load(session);
    }
    if (status == 0) {
        status = complete(session);
    }
    if (status == 0) {
        status = start(session);
    }
    if (status != 0 || options->dump_dtb != NULL) {
        return status;
    }
    (void)vm_run(&session->machine.vm);
    return status_of_end(session);
}

static int dump_acpi(const struct options *options)
{
    const struct machine_config config = config_of(options);
    struct load_error err = {""};
    int r = machine_dump_acpi(&config, options->dump_acpi, &err);

    return r == 0 ? STATUS_OK : complain(STATUS_HOST, err.text);
}

int run_guest(const struct options *options)
{
    static struct session session; /* large, and there is one */
    const char *refusal = machine_refuses((struct machine_wishes){
        .acpi = options->dump_acpi != NULL,
        .dtb = options->dtb != NULL || options->dump_dtb != NULL,
        .pmu = options->has_pmu,
    });
    int status;

    if (refusal != NULL) {
        return complain(STATUS_USAGE, refusal);
    }
    if (options->dump_acpi != NULL) {
        return dump_acpi(options);
    }
    session = (struct session){.options = options, .signal_fd = -1};
    open_console(&session);
    status = boot(&session);
    console_flush(&session.console);
    machine_destroy(&session.machine); /* the guest's last words may wait for their reader */
    if (session.signal_fd >= 0) {
        (void)close(session.signal_fd);
    }
    close_console(&session);
    if (session.signal != 0) {
        (void)fprintf(stderr, "hostvm: ended by signal %d (%s)\n", session.signal,
                      strsignal(session.signal));
    }
    return status;
}
