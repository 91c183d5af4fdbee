/* The arm64 machine: which devices stand where, and how its guest is started. */
#include "machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <hostvm/chipset.h>
#include <hostvm/events.h>
#include <hostvm/vm.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "dev/mmio.h"
#include "dev/pl011.h"
#include "dev/pl031.h"
#include "machine/fdt.h"
#include "machine/layout_virt.h"
#include "machine/placement.h"

_Static_assert(HOSTVM_GIC_REDISTRIBUTORS + HOSTVM_GIC_REDISTRIBUTOR_SIZE * CONFIG_MAX_NUM_NODES <=
                   VIRT_UART,
               "redistributors end where devices begin");

enum { SEED_SIZE = 72 }; /* 8 for the kernel's place, 64 for its random numbers */

/* The state of a processor that Linux is entered in: EL1 with its own stack, interrupts masked (Arm
 * ARM, C5.2.18). The MMU is off after a reset. */
#define PSTATE_EL1H_MASKED 0x3c5

struct machine_chips {
    struct pl011 uart;
    struct pl031 clock;
    int alarm_fd; /* -1: none yet */
    bool has_its;
    struct power power;
    struct mmio_device uart_mmio, clock_mmio, exit_mmio;
};

/* What guests find through the device tree. */
static const struct devtree_device devices[] = {
    {.name = "serial",
     .alias = "serial0",
     .compatible = {"arm,pl011", "arm,primecell"},
     .clocks = {"uartclk", "apb_pclk"},
     .base = VIRT_UART,
     .size = PL011_SIZE,
     .spi = VIRT_SPI_UART},
    {.name = "rtc",
     .alias = "rtc0",
     .compatible = {"arm,pl031", "arm,primecell"},
     .clocks = {"apb_pclk"},
     .base = VIRT_RTC,
     .size = PL031_SIZE,
     .spi = VIRT_SPI_RTC},
};

/* --- devices --- */

/* Logged when it fails; the guest loses an interrupt, nothing more can be done. */
static void set_uart_irq(void *cookie, int level)
{
    struct machine *virt = cookie;

    (void)hostvm_irq_line(&virt->vm, VIRT_SPI_BASE + VIRT_SPI_UART, level);
}

static void set_clock_irq(void *cookie, int level)
{
    struct machine *virt = cookie;

    (void)hostvm_irq_line(&virt->vm, VIRT_SPI_BASE + VIRT_SPI_RTC, level);
}

static size_t receive(void *chip, const uint8_t *bytes, size_t nr_bytes)
{
    return pl011_receive(chip, bytes, nr_bytes);
}

static void transmit(void *cookie, uint8_t byte)
{
    struct machine *virt = cookie;

    serial_transmit(&virt->serial, byte);
}

/* A driver that has no interrupts yet empties the receiver before it begins: what was typed is kept
 * from it until then. */
static void drained(void *cookie)
{
    struct machine *virt = cookie;

    if (pl011_is_interrupt_driven(&virt->chips->uart)) {
        serial_drained(&virt->serial);
    } else {
        serial_drained_soon(&virt->serial);
    }
}

static uint32_t read_uart(void *device, unsigned offset)
{
    return pl011_read(device, offset);
}

static void write_uart(void *device, unsigned offset, uint32_t value)
{
    pl011_write(device, offset, value);
}

/* Silent where the terminal is another console's. */
static int add_serial_port(struct machine *virt)
{
    struct machine_chips *chips = virt->chips;

    chips->uart.irq = (struct irq_line){set_uart_irq, virt};
    chips->uart.transmit = transmit;
    chips->uart.drained = drained;
    chips->uart.cookie = virt;
    pl011_reset(&chips->uart);
    pl011_open(&chips->uart);
    chips->uart_mmio = (struct mmio_device){&chips->uart, read_uart,  write_uart,
                                            VIRT_UART,    PL011_SIZE, "serial port"};
    if (mmio_device_attach(&virt->vm, &chips->uart_mmio) != 0) {
        return -1;
    }
    if (virt->devices_config->has_console) {
        return 0;
    }
    return serial_attach(&virt->serial, &virt->vm, virt->console,
                         (struct serial_port){receive, &chips->uart});
}

static uint32_t read_clock(void *device, unsigned offset)
{
    return pl031_read(device, offset);
}

static void write_clock(void *device, unsigned offset, uint32_t value)
{
    pl031_write(device, offset, value);
}

/* A time that is past by now has the timer expire at once. */
static void wake_clock(void *cookie, int64_t at)
{
    struct machine *virt = cookie;
    const struct itimerspec then = {.it_value.tv_sec = at};

    (void)timerfd_settime(virt->chips->alarm_fd, TFD_TIMER_ABSTIME, &then,
                          NULL); /* a valid time for a timer that is there */
}

static int alarm_arrived(vm_t *vm, int fd, void *cookie)
{
    struct machine_chips *chips = cookie;
    uint64_t count;

    (void)vm;
    (void)!read(fd, &count, sizeof(count));
    pl031_tick(&chips->clock);
    return 0;
}

static int add_clock(struct machine *virt)
{
    struct machine_chips *chips = virt->chips;

    chips->alarm_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (chips->alarm_fd < 0) {
        (void)fprintf(stderr, "hostvm: cannot create a timer for the clock: %s\n", strerror(errno));
        return -1;
    }
    chips->clock.irq = (struct irq_line){set_clock_irq, virt};
    chips->clock.now = machine_host_time;
    chips->clock.wake = wake_clock;
    chips->clock.cookie = virt;
    pl031_reset(&chips->clock);
    pl031_open(&chips->clock);
    chips->clock_mmio = (struct mmio_device){&chips->clock, read_clock, write_clock,
                                             VIRT_RTC,      PL031_SIZE, "real-time clock"};
    if (hostvm_event_add(&virt->vm, chips->alarm_fd, alarm_arrived, chips) != 0) {
        return -1;
    }
    return mmio_device_attach(&virt->vm, &chips->clock_mmio);
}

static uint32_t read_nothing(void *device, unsigned offset)
{
    (void)device;
    (void)offset;
    return 0;
}

static void write_exit(void *device, unsigned offset, uint32_t value)
{
    if (offset == 0) {
        power_debug_exit_write(device, offset, (uint8_t)value);
    }
}

static int add_debug_exit(struct machine *virt, const struct machine_config *config)
{
    enum { PAGE = 0x1000 };
    struct machine_chips *chips = virt->chips;

    chips->power.event = config->power_event;
    chips->power.cookie = config->cookie;
    chips->exit_mmio = (struct mmio_device){&chips->power,   read_nothing, write_exit,
                                            VIRT_DEBUG_EXIT, PAGE,         "debug exit"};
    return config->has_debug_exit ? mmio_device_attach(&virt->vm, &chips->exit_mmio) : 0;
}

/* --- the machine --- */

enum image_machine machine_image_kind(void)
{
    return IMAGE_FOR_ARM64;
}

#define NO_ACPI "an arm64 machine has no ACPI tables: see --dump-dtb"

const char *machine_refuses(struct machine_wishes wishes)
{
    return wishes.acpi ? NO_ACPI : NULL;
}

int machine_create(struct machine *virt, const struct machine_config *config)
{
    if (machine_open(virt, config, sizeof(*virt->chips)) != 0) {
        return -1;
    }
    virt->chips->alarm_fd = -1;
    if (vm_ram_register_at(&virt->vm, VIRT_RAM, virt->ram_size, false) != 0) {
        return -1;
    }
    virt->ram = (struct load_ram){hostvm_vm_pointer(&virt->vm, VIRT_RAM, virt->ram_size), VIRT_RAM,
                                  virt->ram_size, true};
    virt->boot = vm_create_vcpu(&virt->vm, 0);
    if (virt->boot == NULL || add_serial_port(virt) != 0 || add_clock(virt) != 0) {
        return -1;
    }
    return add_debug_exit(virt, config);
}

/* Each on a page and a line of its own, one behind the other. */
static void choose_places(struct device_place places[DEVICES_MAX])
{
    for (unsigned i = 0; i < DEVICES_MAX; i++) {
        places[i] = (struct device_place){VIRT_VIRTIO + i * HOSTVM_VIRTIO_MMIO_SIZE,
                                          VIRT_SPI_BASE + VIRT_SPI_VIRTIO + i};
    }
}

/* Without a bridge to be seen: systems find the bus in the device tree. */
static hostvm_pci_bus_config_t pci_config(const struct machine *virt)
{
    enum { FIRST_LINE = VIRT_SPI_BASE + VIRT_SPI_PCI };

    return (hostvm_pci_bus_config_t){
        .ecam = VIRT_PCI_ECAM,
        .memory = {VIRT_PCI_MEMORY, VIRT_PCI_MEMORY_SIZE},
        .memory64 = machine_pci_window(VIRT_RAM + virt->ram_size),
        .gsi = {FIRST_LINE, FIRST_LINE + 1, FIRST_LINE + 2, FIRST_LINE + 3},
    };
}

/* Functions send messages where the interrupt controller takes them, else they raise lines. */
static int add_pci(struct machine *virt)
{
    const hostvm_pci_bus_config_t config = pci_config(virt);

    virt->chips->has_its =
        hostvm_vm_gic_version(&virt->vm) == 3 && hostvm_vm_create_its(&virt->vm) == 0;
    return machine_add_pci(virt, &config);
}

static int add_virtio(struct machine *virt)
{
    struct device_place places[DEVICES_MAX];

    if (machine_wants_pci(virt->devices_config)) {
        return add_pci(virt);
    }
    choose_places(places);
    return machine_add_devices(virt, places);
}

int machine_complete(struct machine *virt)
{
    int r = -EIO;

    if (vm_create_default_irq_controller(&virt->vm) == 0 &&
        (!virt->has_pmu || hostvm_vm_enable_pmu(&virt->vm) == 0)) {
        r = add_virtio(virt);
    }
    if (r == 0 && machine_add_other_cpus(virt) != 0) {
        r = -EIO;
    }
    return r;
}

void machine_destroy(struct machine *virt)
{
    int alarm_fd = virt->chips != NULL ? virt->chips->alarm_fd : -1;

    machine_close(virt);
    if (alarm_fd >= 0) {
        (void)close(alarm_fd); /* nobody watches it any more */
    }
}

/* --- the guest --- */

static uint64_t dtb_room(const struct machine *virt)
{
    return virt->dtb != NULL ? VIRT_DTB_MAX : VIRT_DTB_ROOM;
}

int machine_module_room(const struct machine *virt, const struct image *image, uint64_t *ret_low,
                        uint64_t *ret_high, struct load_error *err)
{
    struct placement placement;
    int r = placement_choose(&virt->ram, image, dtb_room(virt), &placement, err);

    if (r == 0) {
        *ret_low = placement.modules_low;
        *ret_high = placement.modules_high;
    }
    return r;
}

static int describe(struct machine *virt, const struct machine_guest *guest, const uint8_t *seed,
                    void *buffer, struct load_error *err)
{
    struct device_place places[DEVICES_MAX];
    const hostvm_pci_bus_config_t pci = pci_config(virt);
    bool has_pci = machine_wants_pci(virt->devices_config);
    const struct devtree_config config = {
        .ram_base = VIRT_RAM,
        .ram_size = virt->ram_size,
        .nr_cpus = virt->nr_cpus,
        .gic = hostvm_vm_gic_version(&virt->vm) == 3 ? DEVTREE_GICV3 : DEVTREE_GICV2,
        .has_pmu = virt->has_pmu,
        .devices = devices,
        .nr_devices = sizeof(devices) / sizeof(devices[0]),
        .virtio = places,
        .nr_virtio = has_pci ? 0 : devices_count(virt->devices_config),
        .has_its = virt->chips->has_its,
        .pci = has_pci ? &pci : NULL,
        .console = "serial0:115200n8",
    };
    const struct devtree_chosen chosen = {
        .cmdline = guest->cmdline,
        .initrd = guest->nr_modules > 0 ? guest->modules[0].gpa : 0,
        .initrd_size = guest->nr_modules > 0 ? guest->modules[0].size : 0,
        .seed = seed,
        .seed_size = seed != NULL ? SEED_SIZE : 0,
    };
    size_t size;

    choose_places(places);
    if (virt->dtb != NULL) {
        return devtree_load(virt->dtb, &chosen, buffer, dtb_room(virt), &size, err);
    }
    return devtree_build(&config, &chosen, buffer, dtb_room(virt), &size, err);
}

int machine_start(struct machine *virt, const struct machine_guest *guest, struct load_error *err)
{
    uint8_t seed[SEED_SIZE];
    bool has_seed = getrandom(seed, sizeof(seed), 0) == sizeof(seed);
    seL4_UserContext context = {.pc = guest->image->entry, .spsr = PSTATE_EL1H_MASKED};
    struct placement placement;
    int r = placement_choose(&virt->ram, guest->image, dtb_room(virt), &placement, err);

    if (r == 0) {
        r = describe(virt, guest, has_seed ? seed : NULL, load_ram_at(&virt->ram, placement.dtb),
                     err);
    }
    if (r < 0) {
        return r;
    }
    context.x0 = placement.dtb;
    if (vm_set_thread_context(virt->boot, context) != 0 || machine_start_cpus(virt) != 0) {
        return -EIO;
    }
    return 0;
}

/* --- dumps --- */

int machine_dump_acpi(const struct machine_config *config, const char *directory,
                      struct load_error *err)
{
    (void)config;
    (void)directory;
    return load_fail(err, -ENOTSUP, NO_ACPI);
}

/* Whoever starts a guest with the file would repeat its seeds: they stay out. */
int machine_dump_dtb(struct machine *virt, const struct machine_guest *guest, const char *name,
                     struct load_error *err)
{
    void *tree = malloc(dtb_room(virt));
    int r;

    if (tree == NULL) {
        return load_fail(err, -ENOMEM, "no memory for the device tree");
    }
    r = describe(virt, guest, NULL, tree, err);
    if (r == 0) {
        r = devtree_dump(tree, name, err) == 0 ? 0 : -ENOSPC;
    }
    free(tree);
    return r;
}
