/* Reading the command line, and everything it says about itself. */
#include "options/options.h"

#include <autoconf.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options/size.h"
#include "status.h"

/* Below this no format that is supported fits; above it no window mirrors the guest. */
#define MEM_MIN     (2 * MIB)
#define MEM_MAX     (512 * GIB)
#define MEM_DEFAULT (256 * MIB)

/* Room for what a parser of its own says is wrong. */
enum { ERROR_SIZE = 512 };

static int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *fmt, ...)
{
    va_list args;

    (void)fputs("hostvm: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputs("; see hostvm --help\n", stderr);
    return STATUS_USAGE;
}

void options_print_help(void)
{
    (void)fputs(
        "usage: hostvm run [options] [KERNEL]      boot a guest\n"
        "       hostvm check                       can this machine run VMs, and if not, what "
        "would help\n"
        "       hostvm --version | --help\n"
        "\n"
        "  --kernel FILE     bzImage, vmlinux (ELF), multiboot ELF, arm64 Image, bare-metal ELF, "
        "flat binary\n"
        "  --initrd FILE     initial RAM disk; the first module of a multiboot kernel\n"
        "  --module FILE     another module for a multiboot kernel (\"FILE COMMAND LINE\"); "
        "repeatable\n"
        "  --append TEXT     the guest's command line\n"
        "  --mem SIZE        RAM, with suffix K, M, G or T; without one MiB (256M)\n"
        "  --cpus N          processors (1)\n" OPTIONS_DISK_HELP OPTIONS_NET_HELP OPTIONS_SHARE_HELP
            OPTIONS_VSOCK_HELP OPTIONS_CONSOLE_HELP OPTIONS_BALLOON_HELP
        "  --rng             a source of random numbers, the host's\n"
        "  --virtio mmio|pci how the guest finds its virtio devices (mmio)\n"
        "  --debug-exit      a write to port 0xf4, on arm64 to address 0x90f4000, ends the VM with "
        "status\n"
        "                    (value << 1) | 1\n"
        "  --pmu             performance counters for the guest; arm64 (an x86-64 guest has what "
        "KVM "
        "gives it)\n"
        "  --dtb FILE        a device tree in the place of hostvm's; arm64\n"
        "  --dump-acpi DIR   write the ACPI tables that the guest would get, and stop; x86-64\n"
        "  --dump-dtb FILE   write the device tree that the guest would get, and stop; arm64\n"
        "\n"
        "Ctrl-a x ends the VM, Ctrl-a h helps.\n"
        "Long options also work with one dash; -m and -smp stand for --mem and --cpus.\n"
        "\n"
        "Exit status: 0 the guest powered off or reset; the debug-exit status; 64 usage; 66 a "
        "guest file is missing or\n"
        "not what it should be; 69 no usable KVM; 70 the guest crashed; 71 the host refused "
        "(memory, descriptors);\n"
        "128 + N ended by signal N.\n",
        stdout);
}

static int parse_mem(const char *text, uint64_t *ret)
{
    uint64_t size;

    if (!options_size_parse(text, &size)) {
        return usage_error("--mem wants a size such as 256M or 2G, not '%s'", text);
    }
    if (size > MEM_MAX || size < MEM_MIN) {
        return usage_error("--mem '%s' is out of range: 2M to 512G", text);
    }
    *ret = size & ~(4 * KIB - 1);
    return 0;
}

static int parse_cpus(const char *text, unsigned *ret)
{
    const char *end = "";
    uint64_t number = 0;

    if (!options_number_parse(text, &number, &end) || *end != '\0' || number < 1 ||
        number > CONFIG_MAX_NUM_NODES) {
        return usage_error("--cpus wants a number from 1 to %d, not '%s'", CONFIG_MAX_NUM_NODES,
                           text);
    }
    *ret = (unsigned)number;
    return 0;
}

static int parse_virtio(const char *text, enum devices_transport *ret)
{
    if (strcmp(text, "mmio") != 0 && strcmp(text, "pci") != 0) {
        return usage_error("--virtio wants mmio or pci, not '%s'", text);
    }
    *ret = strcmp(text, "pci") == 0 ? DEVICES_ON_PCI : DEVICES_IN_MEMORY;
    return 0;
}

/* What its own parser says is wrong. */
static int option_error(int r, const char *why)
{
    return r == 0 ? 0 : usage_error("%s", why);
}

static int add_disk(struct devices_config *devices, const char *text)
{
    char why[ERROR_SIZE];

    if (devices->nr_disks == DEVICES_MAX_DISKS) {
        return usage_error("there are more than %d --disk options", DEVICES_MAX_DISKS);
    }
    return option_error(
        options_disk_parse(text, &devices->disks[devices->nr_disks++], why, sizeof(why)), why);
}

static int add_net(struct devices_config *devices, const char *text)
{
    char why[NET_OPTIONS_REASON];
    unsigned place = devices->nr_nets;

    if (place == DEVICES_MAX_NETS) {
        return usage_error("there are more than %d --net options", DEVICES_MAX_NETS);
    }
    devices->nr_nets++;
    return option_error(options_net_parse(text, place, &devices->nets[place], why), why);
}

static int add_share(struct devices_config *devices, const char *text)
{
    struct options_share *share = &devices->shares[devices->nr_shares];
    char why[ERROR_SIZE];

    if (devices->nr_shares == DEVICES_MAX_SHARES) {
        return usage_error("there are more than %d --share options", DEVICES_MAX_SHARES);
    }
    if (options_share_parse(text, share, why, sizeof(why)) != 0) {
        return usage_error("%s", why);
    }
    for (unsigned i = 0; i < devices->nr_shares; i++) {
        if (strcmp(devices->shares[i].tag, share->tag) == 0) {
            return usage_error("there is more than one --share with tag '%s'", share->tag);
        }
    }
    devices->nr_shares++;
    return 0;
}

static int set_vsock(struct devices_config *devices, const char *text)
{
    char why[ERROR_SIZE];

    if (devices->vsock.is_given) {
        return usage_error("there is more than one --vsock");
    }
    return option_error(options_vsock_parse(text, &devices->vsock, why, sizeof(why)), why);
}

static int set_console(struct devices_config *devices, const char *text)
{
    char why[ERROR_SIZE];

    return option_error(options_console_parse(text, &devices->has_console, why, sizeof(why)), why);
}

static int set_balloon(struct devices_config *devices, const char *text)
{
    char why[ERROR_SIZE];

    return option_error(options_balloon_parse(text, &devices->balloon, why, sizeof(why)), why);
}

static int check_devices(const struct devices_config *devices, uint64_t mem)
{
    char why[ERROR_SIZE];

    if (options_balloon_check(&devices->balloon, mem, why, sizeof(why)) != 0) {
        return usage_error("%s", why);
    }
    if (devices_count(devices) > DEVICES_MAX) {
        return usage_error("there are more than %d disks, networks and other devices", DEVICES_MAX);
    }
    return 0;
}

static int add_module(struct options *options, const char *text)
{
    if (options->nr_modules == MAX_MODULES) {
        return usage_error("there are more than %d --module options", MAX_MODULES);
    }
    options->modules[options->nr_modules++] = text;
    return 0;
}

enum option_id {
    OPTION_KERNEL = 256,
    OPTION_INITRD,
    OPTION_MODULE,
    OPTION_APPEND,
    OPTION_MEM,
    OPTION_CPUS,
    OPTION_DEBUG_EXIT,
    OPTION_DISK,
    OPTION_NET,
    OPTION_SHARE,
    OPTION_VSOCK,
    OPTION_CONSOLE,
    OPTION_BALLOON,
    OPTION_RNG,
    OPTION_VIRTIO,
    OPTION_PMU,
    OPTION_DTB,
    OPTION_DUMP_ACPI,
    OPTION_DUMP_DTB,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"kernel", required_argument, NULL, OPTION_KERNEL},
    {"initrd", required_argument, NULL, OPTION_INITRD},
    {"module", required_argument, NULL, OPTION_MODULE},
    {"append", required_argument, NULL, OPTION_APPEND},
    {"mem", required_argument, NULL, OPTION_MEM},
    {"m", required_argument, NULL, OPTION_MEM},
    {"cpus", required_argument, NULL, OPTION_CPUS},
    {"smp", required_argument, NULL, OPTION_CPUS},
    {"debug-exit", no_argument, NULL, OPTION_DEBUG_EXIT},
    {"disk", required_argument, NULL, OPTION_DISK},
    {"net", required_argument, NULL, OPTION_NET},
    {"share", required_argument, NULL, OPTION_SHARE},
    {"vsock", required_argument, NULL, OPTION_VSOCK},
    {"console", required_argument, NULL, OPTION_CONSOLE},
    {"balloon", required_argument, NULL, OPTION_BALLOON},
    {"rng", no_argument, NULL, OPTION_RNG},
    {"virtio", required_argument, NULL, OPTION_VIRTIO},
    {"pmu", no_argument, NULL, OPTION_PMU},
    {"dtb", required_argument, NULL, OPTION_DTB},
    {"dump-acpi", required_argument, NULL, OPTION_DUMP_ACPI},
    {"dump-dtb", required_argument, NULL, OPTION_DUMP_DTB},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int apply(struct options *options, int id)
{
    switch (id) {
    case OPTION_KERNEL:
        options->kernel = optarg;
        return 0;
    case OPTION_INITRD:
        options->initrd = optarg;
        return 0;
    case OPTION_MODULE:
        return add_module(options, optarg);
    case OPTION_APPEND:
        options->append = optarg;
        return 0;
    case OPTION_MEM:
        return parse_mem(optarg, &options->mem);
    case OPTION_CPUS:
        return parse_cpus(optarg, &options->cpus);
    case OPTION_DEBUG_EXIT:
        options->has_debug_exit = true;
        return 0;
    case OPTION_DISK:
        return add_disk(&options->devices, optarg);
    case OPTION_NET:
        return add_net(&options->devices, optarg);
    case OPTION_SHARE:
        return add_share(&options->devices, optarg);
    case OPTION_VSOCK:
        return set_vsock(&options->devices, optarg);
    case OPTION_CONSOLE:
        return set_console(&options->devices, optarg);
    case OPTION_BALLOON:
        return set_balloon(&options->devices, optarg);
    case OPTION_RNG:
        options->devices.has_rng = true;
        return 0;
    case OPTION_VIRTIO:
        return parse_virtio(optarg, &options->devices.transport);
    case OPTION_PMU:
        options->has_pmu = true;
        return 0;
    case OPTION_DTB:
        options->dtb = optarg;
        return 0;
    case OPTION_DUMP_DTB:
        options->dump_dtb = optarg;
        return *optarg != '\0' ? 0 : usage_error("--dump-dtb wants a file, not ''");
    case OPTION_DUMP_ACPI:
        options->dump_acpi = optarg;
        return *optarg != '\0' ? 0 : usage_error("--dump-acpi wants a directory, not ''");
    case OPTION_HELP:
        options->command = COMMAND_HELP;
        return 0;
    default:
        return STATUS_USAGE;
    }
}

static const char *last_argument(char **argv)
{
    return optind > 0 && argv[optind - 1] != NULL ? argv[optind - 1] : "";
}

static int parse_run(int argc, char **argv, struct options *options)
{
    int id;

    optind = 1;
    opterr = 0;
    while ((id = getopt_long_only(argc, argv, ":", long_options, NULL)) != -1) {
        int status;

        if (id == ':') {
            return usage_error("'%s' wants an argument", last_argument(argv));
        }
        if (id == '?') {
            return usage_error("unknown or ambiguous option '%s'", last_argument(argv));
        }
        status = apply(options, id);
        if (status != 0) {
            return status;
        }
    }
    if (optind < argc && options->kernel == NULL) {
        options->kernel = argv[optind++];
    }
    if (optind < argc) {
        return usage_error("'%s' is one argument too many", argv[optind]);
    }
    if (options->command == COMMAND_RUN && options->kernel == NULL && options->dump_acpi == NULL &&
        options->dump_dtb == NULL) {
        return usage_error("no kernel given");
    }
    return check_devices(&options->devices, options->mem);
}

int options_parse(int argc, char **argv, struct options *ret)
{
    const char *word = argc > 1 ? argv[1] : "";

    *ret = (struct options){.append = "", .mem = MEM_DEFAULT, .cpus = 1};
    if (strcmp(word, "run") == 0) {
        ret->command = COMMAND_RUN;
        return parse_run(argc - 1, argv + 1, ret);
    }
    if (argc > 2) {
        return usage_error("'%s' is not a command that takes arguments", word);
    }
    if (strcmp(word, "check") == 0) {
        ret->command = COMMAND_CHECK;
    } else if (strcmp(word, "--version") == 0 || strcmp(word, "-version") == 0) {
        ret->command = COMMAND_VERSION;
    } else if (strcmp(word, "--help") == 0 || strcmp(word, "-help") == 0 ||
               strcmp(word, "-h") == 0) {
        ret->command = COMMAND_HELP;
    } else if (argc < 2) {
        return usage_error("no command given: run or check");
    } else {
        return usage_error("unknown command '%s'", word);
    }
    return 0;
}
