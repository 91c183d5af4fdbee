/* The PC: which devices stand where, and how its guest is started. */
#include "machine/pc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <hostvm/chipset.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "machine/acpi.h"
#include "machine/boot_state.h"
#include "machine/bootparams.h"
#include "machine/entry.h"
#include "machine/layout_pc.h"

/* The signal that interrupts the guest: the command has no other use for it. */
#define KICK_SIGNAL SIGUSR1

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

/* --- devices --- */

static void set_com1_irq(void *cookie, int level)
{
    struct pc *pc = cookie;

    (void)hostvm_irq_line(
        &pc->vm, PC_IRQ_COM1,
        level); /* logged; the guest loses an interrupt, nothing more can be done */
}

static int64_t host_time(void *cookie)
{
    (void)cookie;
    return (int64_t)time(NULL);
}

static int add_devices(struct pc *pc, const struct pc_config *config)
{
    const struct power_ports power_ports = {
        .sleep = PC_PORT_SLEEP,
        .reset = PC_PORT_RESET,
        .keyboard_data = PC_PORT_KEYBOARD_DATA,
        .keyboard_command = PC_PORT_KEYBOARD_COMMAND,
        .debug_exit = config->has_debug_exit ? PC_PORT_DEBUG_EXIT : 0,
    };

    pc->clock.now = host_time;
    mc146818_reset(&pc->clock, pc->ram.size);
    pc->power.event = config->power_event;
    pc->power.cookie = config->cookie;
    if (serial_attach(&pc->com1, &pc->vm, config->console, (struct irq_line){set_com1_irq, pc},
                      PC_PORT_COM1) != 0 ||
        mc146818_attach(&pc->clock, &pc->vm, PC_PORT_CMOS) != 0) {
        return -1;
    }
    return power_attach(&pc->power, &pc->vm, &power_ports);
}

/* --- RAM and processors --- */

static int add_ram(struct pc *pc, uint64_t size)
{
    uint64_t low = size < PC_LOW_RAM_END ? size : PC_LOW_RAM_END;

    if (vm_ram_register_at(&pc->vm, 0, low, false) != 0 ||
        (size > low && vm_ram_register_at(&pc->vm, PC_HIGH_RAM_START, size - low, false) != 0)) {
        return -1;
    }
    pc->ram = (struct load_ram){hostvm_vm_pointer(&pc->vm, 0, low), 0, low, true};
    memmap_init(&pc->memmap, size);
    return 0;
}

static int add_other_cpus(struct pc *pc)
{
    for (unsigned i = 1; i < pc->nr_cpus; i++) {
        vm_vcpu_t *vcpu = vm_create_vcpu(&pc->vm, 0);

        if (vcpu == NULL || hostvm_vcpu_wait_for_startup(vcpu) != 0) {
            return -1;
        }
    }
    return 0;
}

static int start_cpus(struct pc *pc)
{
    for (unsigned i = 0; i < pc->vm.num_vcpus; i++) {
        if (vcpu_start(pc->vm.vcpus[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* --- the machine --- */

int pc_create(struct pc *pc, const struct pc_config *config)
{
    /* A guest's first state is ours to choose: in 32-bit mode no initial page tables take guest
     * memory. */
    const hostvm_env_config_t env = {
        .guest32 = true, .kick_signal = KICK_SIGNAL, .creates_vm_in_background = true};

    *pc =
        (struct pc){.nr_cpus = config->nr_cpus, .ram_size = config->ram_size, .com1.timer_fd = -1};
    if (hostvm_env_create(&pc->env, &env) != 0) {
        return -1;
    }
    if (vm_init(&pc->vm, &pc->env.vka, &pc->env.simple, pc->env.vspace, &pc->env.io_ops,
                pc->env.endpoint, "guest") != 0) {
        return -1;
    }
    if (hostvm_vm_set_cpu_model(&pc->vm, HOSTVM_CPU_HOST) != 0 ||
        add_ram(pc, config->ram_size) != 0) {
        return -1;
    }
    pc->boot = vm_create_vcpu(&pc->vm, 0);
    return pc->boot == NULL ? -1 : add_devices(pc, config);
}

int pc_complete(struct pc *pc)
{
    if (vm_create_default_irq_controller(&pc->vm) != 0 || hostvm_vm_create_pit(&pc->vm) != 0) {
        return -1;
    }
    return add_other_cpus(pc);
}

void pc_destroy(struct pc *pc)
{
    serial_detach(&pc->com1);
    (void)hostvm_vm_destroy(&pc->vm); /* not in a callback, and not running: cannot fail */
    hostvm_env_destroy(&pc->env);
}

size_t pc_acpi_tables(unsigned nr_cpus, uint8_t *buffer, size_t size)
{
    const struct acpi_config config = {
        .nr_cpus = nr_cpus,
        .devices = acpi_devices,
        .nr_devices = sizeof(acpi_devices) / sizeof(acpi_devices[0]),
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

static int tell_linux(struct pc *pc, const struct pc_guest *guest, struct load_error *err)
{
    const struct bootparams params = {
        .image = guest->image,
        .memmap = &pc->memmap,
        .cmdline = guest->cmdline,
        .initrd = guest->nr_modules > 0 ? guest->modules[0].gpa : 0,
        .initrd_size = guest->nr_modules > 0 ? guest->modules[0].size : 0,
        .rsdp = PC_ACPI,
    };

    return bootparams_write(&pc->ram, &params, err);
}

static int tell(struct pc *pc, const struct pc_guest *guest, struct entry_state *state,
                struct load_error *err)
{
    const struct boot_info info = {
        .cmdline = guest->cmdline,
        .memmap = pc->memmap.entries,
        .nr_memmap = pc->memmap.nr_entries,
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

int pc_start(struct pc *pc, const struct pc_guest *guest, struct load_error *err)
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
    if (pc_acpi_tables(pc->nr_cpus, load_ram_at(&pc->ram, PC_ACPI), PC_ACPI_END - PC_ACPI) == 0) {
        return load_fail(err, -ENOSPC, "the ACPI tables do not fit their place");
    }
    boot_reset_vector_write(&pc->ram);
    entry_set(pc->boot, &state);
    return start_cpus(pc) == 0 ? 0 : -EIO;
}
