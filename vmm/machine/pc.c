/* The PC: which devices stand where, and how its guest is started. */
#include "machine/machine.h"

#include <errno.h>
#include <string.h>

#include <hostvm/chipset.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "dev/mc146818.h"
#include "dev/pci_ports.h"
#include "dev/uart16550.h"
#include "machine/acpi.h"
#include "machine/boot_state.h"
#include "machine/bootparams.h"
#include "machine/entry.h"
#include "machine/layout_pc.h"
#include "machine/memmap.h"

struct machine_chips {
    struct memmap memmap;
    struct uart16550 com1;
    struct mc146818 clock;
    struct power power;
    struct pci_ports pci_ports;
};

/* What guests find through ACPI. Everything else is found by asking its ports. */
static const struct acpi_device acpi_devices[] = {
    {.name = "COM1",
     .hid = "PNP0501",
     .port = PC_PORT_COM1,
     .nr_ports = UART_PORTS,
     .gsi = PC_IRQ_COM1},
    {.name = "RTC0",
     .hid = "PNP0B00",
     .port = PC_PORT_CMOS,
     .nr_ports = CMOS_PORTS,
     .gsi = PC_IRQ_RTC},
};

/* Where virtio devices stand: on lines that a PC's other devices do not use. */
static const struct device_place virtio_places[DEVICES_MAX] = {
    {PC_VIRTIO(0), 16},  {PC_VIRTIO(1), 17},  {PC_VIRTIO(2), 18},  {PC_VIRTIO(3), 19},
    {PC_VIRTIO(4), 20},  {PC_VIRTIO(5), 21},  {PC_VIRTIO(6), 22},  {PC_VIRTIO(7), 23},
    {PC_VIRTIO(8), 5},   {PC_VIRTIO(9), 6},   {PC_VIRTIO(10), 7},  {PC_VIRTIO(11), 9},
    {PC_VIRTIO(12), 10}, {PC_VIRTIO(13), 11}, {PC_VIRTIO(14), 12},
};

/*
 * The bridge goes by the ids of QEMU's generic one (QEMU, docs/specs/pci-ids.rst): there are none
 * for us, and what systems know under these has, like ours, no registers of its own.
 */
enum { PCI_BRIDGE_VENDOR = 0x1b36, PCI_BRIDGE_DEVICE = 0x0008 };

static hostvm_pci_bus_config_t pci_config(uint64_t ram_size)
{
    uint64_t high = ram_size > PC_LOW_RAM_END ? ram_size - PC_LOW_RAM_END : 0;

    return (hostvm_pci_bus_config_t){
        .ecam = PC_PCI_ECAM,
        .memory = {PC_PCI_MEMORY, PC_PCI_MEMORY_SIZE},
        .memory64 = machine_pci_window(PC_HIGH_RAM_START + high),
        .gsi = {PC_IRQ_PCI, PC_IRQ_PCI + 1, PC_IRQ_PCI + 2, PC_IRQ_PCI + 3},
        .vendor = PCI_BRIDGE_VENDOR,
        .device = PCI_BRIDGE_DEVICE,
    };
}

/* --- devices --- */

static void set_com1_irq(void *cookie, int level)
{
    struct machine *pc = cookie;

    (void)hostvm_irq_line(
        &pc->vm, PC_IRQ_COM1,
        level); /* logged; the guest loses an interrupt, nothing more can be done */
}

static size_t receive(void *chip, const uint8_t *bytes, size_t nr_bytes)
{
    return uart16550_receive(chip, bytes, nr_bytes);
}

/* Silent where the terminal is another console's. */
static int add_serial_port(struct machine *pc)
{
    struct uart16550 *uart = &pc->chips->com1;

    uart->irq = (struct irq_line){set_com1_irq, pc};
    uart->transmit = serial_transmit;
    uart->drained = serial_drained;
    uart->cookie = &pc->serial;
    uart16550_reset(uart);
    if (uart16550_attach(uart, &pc->vm, PC_PORT_COM1) != 0) {
        return -1;
    }
    if (pc->devices_config->has_console) {
        return 0;
    }
    return serial_attach(&pc->serial, &pc->vm, pc->console, (struct serial_port){receive, uart});
}

static int add_devices(struct machine *pc, const struct machine_config *config)
{
    struct machine_chips *chips = pc->chips;
    const struct power_ports power_ports = {
        .sleep = PC_PORT_SLEEP,
        .reset = PC_PORT_RESET,
        .keyboard_data = PC_PORT_KEYBOARD_DATA,
        .keyboard_command = PC_PORT_KEYBOARD_COMMAND,
        .debug_exit = config->has_debug_exit ? PC_PORT_DEBUG_EXIT : 0,
    };

    chips->clock.now = machine_host_time;
    mc146818_reset(&chips->clock, pc->ram.size);
    chips->power.event = config->power_event;
    chips->power.cookie = config->cookie;
    if (add_serial_port(pc) != 0 || mc146818_attach(&chips->clock, &pc->vm, PC_PORT_CMOS) != 0) {
        return -1;
    }
    return power_attach(&chips->power, &pc->vm, &power_ports);
}

/* --- RAM --- */

static int add_ram(struct machine *pc)
{
    uint64_t size = pc->ram_size;
    uint64_t low = size < PC_LOW_RAM_END ? size : PC_LOW_RAM_END;

    if (vm_ram_register_at(&pc->vm, 0, low, false) != 0 ||
        (size > low && vm_ram_register_at(&pc->vm, PC_HIGH_RAM_START, size - low, false) != 0)) {
        return -1;
    }
    pc->ram = (struct load_ram){hostvm_vm_pointer(&pc->vm, 0, low), 0, low, true};
    memmap_init(&pc->chips->memmap, size);
    return 0;
}

/* --- the machine --- */

enum image_machine machine_image_kind(void)
{
    return IMAGE_FOR_X86;
}

#define NO_DTB "a PC has no device tree: --dtb and --dump-dtb are for arm64 machines"

const char *machine_refuses(struct machine_wishes wishes)
{
    if (wishes.pmu) {
        return "a PC has the performance counters that KVM gives it: --pmu is for arm64 machines";
    }
    return wishes.dtb ? NO_DTB : NULL;
}

int machine_create(struct machine *pc, const struct machine_config *config)
{
    if (machine_open(pc, config, sizeof(*pc->chips)) != 0) {
        return -1;
    }
    if (hostvm_vm_set_cpu_model(&pc->vm, HOSTVM_CPU_HOST) != 0 || add_ram(pc) != 0) {
        return -1;
    }
    pc->boot = vm_create_vcpu(&pc->vm, 0);
    return pc->boot == NULL ? -1 : add_devices(pc, config);
}

static int add_pci(struct machine *pc)
{
    const hostvm_pci_bus_config_t config = pci_config(pc->ram_size);
    struct pci_ports *ports = &pc->chips->pci_ports;
    int r = machine_add_pci(pc, &config);

    if (r < 0) {
        return r;
    }
    ports->bus = pc->pci;
    return pci_ports_attach(ports, &pc->vm, PC_PORT_PCI_ADDRESS, PC_PORT_PCI_DATA) == 0 ? 0 : -EIO;
}

static int add_virtio(struct machine *pc)
{
    return machine_wants_pci(pc->devices_config) ? add_pci(pc)
                                                 : machine_add_devices(pc, virtio_places);
}

int machine_complete(struct machine *pc)
{
    int r = -EIO;

    if (vm_create_default_irq_controller(&pc->vm) == 0 && hostvm_vm_create_pit(&pc->vm) == 0) {
        r = add_virtio(pc);
    }
    if (r == 0 && machine_add_other_cpus(pc) != 0) {
        r = -EIO;
    }
    return r;
}

void machine_destroy(struct machine *pc)
{
    machine_close(pc);
}

static size_t write_acpi_tables(unsigned nr_cpus, uint64_t ram_size,
                                const struct devices_config *devices, uint8_t *buffer, size_t size)
{
    const hostvm_pci_bus_config_t pci = pci_config(ram_size);
    bool has_pci = machine_wants_pci(devices);
    const struct acpi_config config = {
        .nr_cpus = nr_cpus,
        .devices = acpi_devices,
        .nr_devices = sizeof(acpi_devices) / sizeof(acpi_devices[0]),
        .virtio = virtio_places,
        .nr_virtio = has_pci ? 0 : devices_count(devices),
        .pci = has_pci ? &pci : NULL,
    };

    return acpi_build(&config, PC_ACPI, buffer, size);
}

/* --- the guest --- */

/* What hostvm writes below 1 MiB must not hit the image. Real-mode code is handed nothing. */
static int check_room(const struct image *image, struct load_error *err)
{
    if (image->mode != ENTRY_REAL16 && image->low < PC_COMMAND_LINE_END) {
        return load_fail(
            err, -ENOEXEC,
            "cannot start the kernel: it lies at [0x%llx..0x%llx), where hostvm puts what the "
            "guest is told, up to 0x%llx; link it higher, best at 1 MiB",
            (unsigned long long)image->low, (unsigned long long)image->high, PC_COMMAND_LINE_END);
    }
    return 0;
}

static int tell_linux(struct machine *pc, const struct machine_guest *guest, struct load_error *err)
{
    const struct bootparams params = {
        .image = guest->image,
        .memmap = &pc->chips->memmap,
        .cmdline = guest->cmdline,
        .initrd = guest->nr_modules > 0 ? guest->modules[0].gpa : 0,
        .initrd_size = guest->nr_modules > 0 ? guest->modules[0].size : 0,
        .rsdp = PC_ACPI,
    };

    return bootparams_write(&pc->ram, &params, err);
}

static int tell(struct machine *pc, const struct machine_guest *guest, struct entry_state *state,
                struct load_error *err)
{
    const struct boot_info info = {
        .cmdline = guest->cmdline,
        .memmap = pc->chips->memmap.entries,
        .nr_memmap = pc->chips->memmap.nr_entries,
        .modules = guest->modules,
        .nr_modules = guest->nr_modules,
        .rsdp = PC_ACPI,
    };
    const uint64_t room = PC_START_INFO_END - PC_START_INFO;
    uint64_t size;

    switch (state->mode) {
    case ENTRY_LONG64:
    case ENTRY_LINUX32:
        state->info = guest->image->format == IMAGE_ELF_BARE ? 0 : PC_BOOT_PARAMS;
        return state->info == 0 ? 0 : tell_linux(pc, guest, err);
    case ENTRY_PVH32:
        state->info = PC_START_INFO;
        return pvh_start_info_write(&pc->ram, PC_START_INFO, room, &info, &size, err);
    case ENTRY_MULTIBOOT32:
        state->info = PC_START_INFO;
        return multiboot_info_write(&pc->ram, PC_START_INFO, room, &info, &size, err);
    case ENTRY_PROTECTED32:
    case ENTRY_REAL16:
    case ENTRY_ARM64:
        break;
    }
    return 0;
}

int machine_start(struct machine *pc, const struct machine_guest *guest, struct load_error *err)
{
    struct entry_state state = {
        .mode = guest->image->mode,
        .entry = guest->image->entry,
        .page_tables = PC_PAGE_TABLES,
        .gdt = PC_GDT,
    };
    int r = check_room(guest->image, err);

    if (r == 0) {
        r = tell(pc, guest, &state, err);
    }
    if (r < 0) {
        return r;
    }
    if (state.mode == ENTRY_LONG64) {
        boot_page_tables_write(&pc->ram);
    }
    if (state.mode != ENTRY_REAL16) {
        state.gdt_limit = boot_gdt_write(&pc->ram, state.mode == ENTRY_LONG64);
    }
    if (write_acpi_tables(pc->nr_cpus, pc->ram_size, pc->devices_config,
                          load_ram_at(&pc->ram, PC_ACPI), PC_ACPI_END - PC_ACPI) == 0) {
        return load_fail(err, -ENOSPC, "the ACPI tables do not fit their place");
    }
    boot_reset_vector_write(&pc->ram);
    entry_set(pc->boot, &state);
    return machine_start_cpus(pc) == 0 ? 0 : -EIO;
}

/* Modules lie above the kernel, as high as it looks for them. */
int machine_module_room(const struct machine *pc, const struct image *image, uint64_t *ret_low,
                        uint64_t *ret_high, struct load_error *err)
{
    uint64_t end = pc->ram.base + pc->ram.size;
    uint64_t max = image->linux_boot.initrd_max;

    (void)err;
    *ret_low = image->high;
    *ret_high = max != 0 && max < end ? max + 1 : end;
    return 0;
}

/* --- dumps --- */

int machine_dump_acpi(const struct machine_config *config, const char *directory,
                      struct load_error *err)
{
    uint8_t tables[PC_ACPI_END - PC_ACPI];
    size_t size = write_acpi_tables(config->nr_cpus, config->ram_size, config->devices, tables,
                                    sizeof(tables));
    int r = acpi_dump(tables, size, directory);

    return r == 0 ? 0
                  : load_fail(err, r, "cannot write ACPI tables to '%s': %s", short_name(directory),
                              strerror(-r));
}

int machine_dump_dtb(struct machine *pc, const struct machine_guest *guest, const char *name,
                     struct load_error *err)
{
    (void)pc;
    (void)guest;
    (void)name;
    return load_fail(err, -ENOTSUP, NO_DTB);
}
