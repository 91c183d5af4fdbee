/* MSI-X: messages, their masks, and those that are pending (PCI 3.0, 6.8.2). */
#include "pci/bus.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/reason.h"

enum {
    ID_MSIX = 0x11,
    CONTROL = 2, /* offsets in the capability: behind its head, which other files call its place */
    TABLE = 4,
    PENDING = 8,
    CAPABILITY_SIZE = 12,
    HEAD = 2,
    CONTROL_ENABLE = 1u << 15,
    CONTROL_MASK_ALL = 1u << 14,
    ENTRY_SIZE = 16,
    ENTRY_DATA = 8,
    ENTRY_CONTROL = 12,
    ENTRY_MASKED = 1u << 0,
    LEAST_BAR_SIZE = 0x1000, /* a page, which nothing else shares (6.8.2) */
};

/* The table in the lower half, pending bits in the upper one. */
uint64_t pci_msix_bar_size(unsigned nr_vectors)
{
    uint64_t size = LEAST_BAR_SIZE;

    while (size / 2 < (uint64_t)nr_vectors * ENTRY_SIZE) {
        size *= 2;
    }
    return size;
}

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)bytes[i] << 8 * i;
    }
    return value;
}

/* --- connections: a message that may be sent has its eventfd tied to KVM; else what is written to
 * it stays there, pending --- */

static bool may_send(const struct hostvm_pci_function *function)
{
    uint64_t control = pci_get(function, function->msix.capability, 2);

    return (control & CONTROL_ENABLE) != 0 && (control & CONTROL_MASK_ALL) == 0 &&
           (pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_MASTER) != 0;
}

static hostvm_msi_t message(const struct hostvm_pci_function *function, const uint8_t *entry)
{
    enum { DWORD_BITS = 3, SLOT_SHIFT = 3 };

    return (hostvm_msi_t){
        .address = load(entry, 8) & ~(uint64_t)DWORD_BITS,
        .data = (uint32_t)load(entry + ENTRY_DATA, 4),
        .device = function->slot << SLOT_SHIFT, /* of bus 0 */
    };
}

static bool is_same(const hostvm_msi_t *a, const hostvm_msi_t *b)
{
    return a->address == b->address && a->data == b->data && a->device == b->device;
}

static void settle(struct hostvm_pci_function *function, unsigned number, bool is_open)
{
    const uint8_t *entry = &function->msix.table[number * ENTRY_SIZE];
    struct pci_vector *vector = &function->msix.vectors[number];
    bool is_wanted = is_open && (entry[ENTRY_CONTROL] & ENTRY_MASKED) == 0;
    hostvm_msi_t msi = message(function, entry);

    if (vector->is_connected && (!is_wanted || !is_same(&msi, &vector->msi))) {
        (void)hostvm_msi_disconnect(function->bus->vm, vector->fd); /* it is connected */
        vector->is_connected = false;
    }
    if (is_wanted && !vector->is_connected) {
        /* Where it fails it is logged; the message stays pending until the guest tries again. */
        vector->is_connected = hostvm_msi_connect(function->bus->vm, vector->fd, &msi) == 0;
        vector->msi = msi;
    }
}

static bool is_pending(const struct hostvm_pci_function *function, unsigned number)
{
    const struct pci_vector *vector = &function->msix.vectors[number];
    struct pollfd pollfd = {.fd = vector->fd, .events = POLLIN};

    return !vector->is_connected && poll(&pollfd, 1, 0) > 0;
}

/* What was meant for a driver that is gone. */
static void forget_pending(struct hostvm_pci_function *function)
{
    for (unsigned i = 0; i < function->msix.nr_vectors; i++) {
        uint64_t count;

        (void)!read(function->msix.vectors[i].fd, &count, sizeof(count)); /* it does not block */
    }
}

void pci_msix_update(struct hostvm_pci_function *function)
{
    struct pci_msix *msix = &function->msix;
    bool is_enabled;
    bool is_open;

    if (msix->nr_vectors == 0) {
        return;
    }
    is_enabled = (pci_get(function, msix->capability, 2) & CONTROL_ENABLE) != 0;
    is_open = may_send(function);
    if (is_enabled && !atomic_load(&msix->is_enabled)) {
        forget_pending(function);
    }
    atomic_store(&msix->is_enabled, is_enabled);
    for (unsigned i = 0; i < msix->nr_vectors; i++) {
        settle(function, i, is_open);
    }
}

/* --- the guest's accesses --- */

static uint8_t pending_byte(const struct hostvm_pci_function *function, uint64_t index)
{
    unsigned byte = 0;

    for (unsigned bit = 0; bit < 8 && 8 * index + bit < function->msix.nr_vectors; bit++) {
        byte |= is_pending(function, (unsigned)(8 * index + bit)) ? 1u << bit : 0;
    }
    return (uint8_t)byte;
}

static uint8_t read_byte(const struct hostvm_pci_function *function, uint64_t offset)
{
    const struct pci_msix *msix = &function->msix;

    if (offset < (uint64_t)msix->nr_vectors * ENTRY_SIZE) {
        return msix->table[offset];
    }
    return offset < msix->pba ? 0 : pending_byte(function, offset - msix->pba);
}

uint64_t pci_msix_read(struct hostvm_pci_function *function, uint64_t offset, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)read_byte(function, offset + i) << 8 * i;
    }
    return value;
}

void pci_msix_write(struct hostvm_pci_function *function, uint64_t offset, size_t size,
                    uint64_t value)
{
    struct pci_msix *msix = &function->msix;
    uint64_t table_size = (uint64_t)msix->nr_vectors * ENTRY_SIZE;

    for (size_t i = 0; i < size && offset + i < table_size; i++) {
        uint64_t in_entry = (offset + i) % ENTRY_SIZE;
        uint8_t mask = in_entry < ENTRY_CONTROL ? 0xff : in_entry == ENTRY_CONTROL ? 1 : 0;

        msix->table[offset + i] = (uint8_t)(value >> 8 * i) & mask;
    }
    for (uint64_t i = offset / ENTRY_SIZE;
         i <= (offset + size - 1) / ENTRY_SIZE && i < msix->nr_vectors; i++) {
        settle(function, (unsigned)i, may_send(function));
    }
}

/* --- construction --- */

static void put32(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

static int add_capability(struct hostvm_pci_function *function)
{
    struct pci_msix *msix = &function->msix;
    static const uint8_t writable[CAPABILITY_SIZE - HEAD] = {
        [1] = (CONTROL_ENABLE | CONTROL_MASK_ALL) >> 8};
    uint8_t bytes[CAPABILITY_SIZE - HEAD] = {
        (uint8_t)(msix->nr_vectors - 1),
        (uint8_t)((msix->nr_vectors - 1) >> 8),
    };
    int offset;

    put32(&bytes[TABLE - HEAD], msix->bar);
    put32(&bytes[PENDING - HEAD], msix->pba | msix->bar);
    offset = pci_capability_add(function, ID_MSIX, bytes, writable, sizeof(bytes));
    if (offset < 0) {
        return offset;
    }
    msix->capability = (unsigned)offset;
    return 0;
}

static int open_vectors(struct pci_msix *msix, unsigned nr_vectors)
{
    msix->table = calloc(nr_vectors, ENTRY_SIZE);
    msix->vectors = calloc(nr_vectors, sizeof(msix->vectors[0]));
    if (msix->table == NULL || msix->vectors == NULL) {
        return fail(-ENOMEM, "cannot add a PCI function with %u messages: out of memory",
                    nr_vectors);
    }
    while (msix->nr_vectors < nr_vectors) {
        int fd = io_eventfd();

        if (fd < 0) {
            return fd;
        }
        msix->vectors[msix->nr_vectors].fd = fd;
        msix->table[msix->nr_vectors * ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_MASKED;
        msix->nr_vectors++;
    }
    return 0;
}

int pci_msix_init(struct hostvm_pci_function *function, unsigned nr_vectors, unsigned bar)
{
    int r;

    if (nr_vectors == 0) {
        return 0;
    }
    function->msix.bar = bar;
    function->msix.pba = (unsigned)(pci_msix_bar_size(nr_vectors) / 2);
    r = open_vectors(&function->msix, nr_vectors);
    return r < 0 ? r : add_capability(function);
}

void pci_msix_fini(struct hostvm_pci_function *function)
{
    struct pci_msix *msix = &function->msix;

    for (unsigned i = 0; i < msix->nr_vectors; i++) {
        if (msix->vectors[i].is_connected) {
            (void)hostvm_msi_disconnect(function->bus->vm, msix->vectors[i].fd); /* as above */
        }
        io_close(&msix->vectors[i].fd);
    }
    free(msix->vectors);
    free(msix->table);
}

bool hostvm_pci_has_messages(const hostvm_pci_function_t *function)
{
    return function != NULL && atomic_load(&function->msix.is_enabled);
}

int hostvm_pci_vector_fd(const hostvm_pci_function_t *function, unsigned int vector)
{
    if (function == NULL || vector >= function->msix.nr_vectors) {
        (void)fail(-EINVAL, "there is no message %u of this PCI function", vector);
        return -1;
    }
    return function->msix.vectors[vector].fd;
}
