/* Guests of guests/, in a VM for tests. */
#include "support/x86_64/guest_file.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include <sel4vm/guest_ram.h>

#include "lib/contract.h"

enum { MAX_FILE = 1 << 20, MAX_TEXT = 8192 };

static char printed[MAX_TEXT]; /* of the guest booted last */
static size_t nr_printed;

GUEST_CODE(replaced, "hlt");

static ioport_fault_result_t print_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                        unsigned value)
{
    (void)vcpu;
    (void)cookie;
    (void)port;
    (void)size;
    if (nr_printed + 1 < sizeof(printed)) {
        printed[nr_printed++] = (char)value;
    }
    return IO_FAULT_HANDLED;
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

/* Returns the entry point. */
static uint32_t load(struct testvm *t, const uint8_t *bytes, size_t size)
{
    Elf32_Ehdr header;

    assert_true(size >= sizeof(header));
    memcpy(&header, bytes, sizeof(header));
    assert_memory_equal(header.e_ident, ELFMAG, SELFMAG);
    assert_int_equal(header.e_ident[EI_CLASS], ELFCLASS32);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf32_Phdr segment;

        memcpy(&segment, bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type == PT_LOAD && segment.p_memsz > 0) {
            assert_in_range(segment.p_offset + segment.p_filesz, 0, size);
            memcpy(testvm_pointer(t, segment.p_paddr, segment.p_memsz), bytes + segment.p_offset,
                   segment.p_filesz);
        }
    }
    return header.e_entry;
}

void guest_file_boot(struct testvm *t, const char *name)
{
    static uint8_t bytes[MAX_FILE];
    const vm_ioport_interface_t port = {NULL, NULL, print_port, "print"};
    size_t size = read_file(name, bytes);

    nr_printed = 0;
    memset(printed, 0, sizeof(printed));
    testvm_boot(t, &replaced);
    assert_int_equal(vm_ram_register_at(&t->vm, RAM_SIZE, GUEST_RAM_END - RAM_SIZE, false), 0);
    assert_int_equal(vm_io_port_add_handler(
                         &t->vm, (vm_ioport_range_t){GUEST_PRINT_PORT, GUEST_PRINT_PORT}, port),
                     0);
    assert_int_equal(vm_set_vmcs_field(t->vcpu, VMX_GUEST_RIP, load(t, bytes, size)), 0);
}

void guest_file_run(struct testvm *t)
{
    int r = testvm_run(t);

    if (r != 0 || t->nr_exits == 0 || t->exit_value != 0) {
        fail_msg("exit value %u: %s\n%s", t->exit_value, hostvm_last_error(), printed);
    }
}
