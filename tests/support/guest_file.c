/* Guests of guests/, in a VM for tests. */
#include "support/guest_file.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "lib/contract.h"

enum { MAX_FILE = 1 << 20, MAX_TEXT = 8192 };

static char printed[MAX_TEXT]; /* of the guest booted last */
static size_t nr_printed;

GUEST_CODE(replaced, GUEST_HALT);

static port_fn more_ports; /* NULL: none */
static void *more_ports_cookie;

static unsigned take(vm_vcpu_t *vcpu, unsigned port, bool is_read, unsigned value, void *cookie)
{
    struct testvm *t = cookie;

    if (port == GUEST_SYNC_PORT && t->listener != NULL) {
        t->listener(vcpu, t->listener_cookie);
    } else if (port == GUEST_PRINT_PORT && nr_printed + 1 < sizeof(printed)) {
        printed[nr_printed++] = (char)value;
    } else if (more_ports != NULL) {
        return more_ports(vcpu, port, is_read, value, more_ports_cookie);
    }
    return 0;
}

void guest_file_take_ports(struct testvm *t, unsigned first, unsigned last, port_fn fn,
                           void *cookie)
{
    testvm_take_ports(t, first, last, take, t);
    more_ports = fn;
    more_ports_cookie = cookie;
}

/* --- a device that keeps bytes --- */

static struct guest_file_device device;

static memory_fault_result_t keep(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                  void *cookie)
{
    uintptr_t offset = addr - GUEST_DEVICE_BASE;
    seL4_Word data = is_vcpu_read_fault(vcpu) ? 0 : get_vcpu_fault_data(vcpu);

    (void)vm;
    (void)cookie;
    assert_in_range(offset + size, 1, sizeof(device.bytes));
    if (device.nr_accesses < sizeof(device.sizes)) {
        device.sizes[device.nr_accesses] = (uint8_t)size;
    }
    device.nr_accesses++;
    if (is_vcpu_read_fault(vcpu)) {
        memcpy(&data, device.bytes + offset, size);
        if (READS_HAVE_LANES && size < sizeof(data)) {
            data <<= (addr & 3) * 8;
        }
        assert_int_equal(set_vcpu_fault_data(vcpu, data), 0);
    } else {
        memcpy(device.bytes + offset, &data, size);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

const struct guest_file_device *guest_file_add_device(struct testvm *t)
{
    memset(&device, 0, sizeof(device));
    for (uintptr_t page = 0; page < GUEST_DEVICE_SIZE; page += GUEST_DEVICE_PAGE) {
        assert_non_null(
            vm_reserve_memory_at(&t->vm, GUEST_DEVICE_BASE + page, GUEST_DEVICE_PAGE, keep, NULL));
    }
    return &device;
}

const char *guest_file_printed(void)
{
    return printed;
}

static size_t read_file(const char *name, uint8_t *ret_bytes)
{
    char path[256];
    size_t size;
    FILE *file;

    (void)snprintf(path, sizeof(path), GUESTS_DIR "/%s", name);
    file = fopen(path, "re");
    if (file == NULL) {
        fail_msg("no guest at %s: make guests", path);
    }
    size = fread(ret_bytes, 1, MAX_FILE, file);
    assert_true(size > 0 && size < MAX_FILE);
    assert_int_equal(fclose(file), 0);
    return size;
}

static void load_segment(struct testvm *t, const uint8_t *bytes, size_t size,
                         const Elf64_Phdr *segment)
{
    if (segment->p_type != PT_LOAD || segment->p_memsz == 0) {
        return;
    }
    assert_in_range(segment->p_offset + segment->p_filesz, 0, size);
    memcpy(testvm_pointer(t, segment->p_paddr, segment->p_memsz), bytes + segment->p_offset,
           segment->p_filesz);
}

/* These return the entry point. */

static uint64_t load32(struct testvm *t, const uint8_t *bytes, size_t size)
{
    Elf32_Ehdr header;

    memcpy(&header, bytes, sizeof(header));
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf32_Phdr s;

        memcpy(&s, bytes + header.e_phoff + i * sizeof(s), sizeof(s));
        load_segment(t, bytes, size,
                     &(Elf64_Phdr){.p_type = s.p_type,
                                   .p_offset = s.p_offset,
                                   .p_paddr = s.p_paddr,
                                   .p_filesz = s.p_filesz,
                                   .p_memsz = s.p_memsz});
    }
    return header.e_entry;
}

static uint64_t load64(struct testvm *t, const uint8_t *bytes, size_t size)
{
    Elf64_Ehdr header;

    memcpy(&header, bytes, sizeof(header));
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;

        memcpy(&segment, bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
        load_segment(t, bytes, size, &segment);
    }
    return header.e_entry;
}

static uint64_t load(struct testvm *t, const uint8_t *bytes, size_t size)
{
    assert_true(size >= sizeof(Elf64_Ehdr));
    assert_memory_equal(bytes, ELFMAG, SELFMAG);
    return bytes[EI_CLASS] == ELFCLASS32 ? load32(t, bytes, size) : load64(t, bytes, size);
}

void guest_file_boot(struct testvm *t, const char *name)
{
    static uint8_t bytes[MAX_FILE];
    const uintptr_t ram = GUEST_RAM_BASE < RAM_SIZE ? RAM_SIZE : GUEST_RAM_BASE;
    size_t size = read_file(name, bytes);

    nr_printed = 0;
    memset(printed, 0, sizeof(printed));
    testvm_boot(t, &replaced);
    assert_int_equal(vm_ram_register_at(&t->vm, ram, GUEST_RAM_END - ram, false), 0);
    more_ports = NULL;
    testvm_take_ports(t, GUEST_PRINT_PORT, GUEST_PRINT_PORT, take, t);
    testvm_take_ports(t, GUEST_SYNC_PORT, GUEST_SYNC_PORT, take, t);
    testvm_boot_vcpu(t, t->vcpu, load(t, bytes, size), STACK_GPA);
}

void guest_file_run(struct testvm *t)
{
    int r = testvm_run(t);

    if (r != 0 || t->nr_exits == 0 || t->exit_value != 0) {
        fail_msg("exit value %u: %s\n%s", t->exit_value, hostvm_last_error(), printed);
    }
}
