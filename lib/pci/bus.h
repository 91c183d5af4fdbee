/* A bus, its functions, and what the files of this room do for each other. */
#ifndef PCI_BUS_H
#define PCI_BUS_H

#include <pthread.h>
#include <stdatomic.h>

#include <hostvm/pci.h>
#include <sel4vm/guest_memory.h>

#include "base/range.h"
#include "base/rangemap.h"

enum {
    PCI_CONFIG_SIZE = 0x100,     /* of a function without extended capabilities (PCI 3.0, 6.1) */
    PCI_FUNCTION_SIZE = 0x1000,  /* and its place in ECAM (PCI Express 5.0, table 7-1) */
    PCI_MAX_CAPABILITIES = 0x30, /* of 4 bytes each, there is room for no more */
};

/* Registers (PCI 3.0, 6.1, 6.2), and what is in them. */
enum {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_COMMAND_MEMORY = 1u << 1,
    PCI_COMMAND_MASTER = 1u << 2,
    PCI_COMMAND_NO_LINE = 1u << 10,
    PCI_STATUS = 0x06,
    PCI_STATUS_LINE = 1u << 3,
    PCI_STATUS_CAPABILITIES = 1u << 4,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09,
    PCI_CACHE_LINE = 0x0c,
    PCI_BAR = 0x10,
    PCI_BAR_END = 0x28,
    PCI_BAR_64BIT = 0x4,
    PCI_BAR_PREFETCHABLE = 0x8,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_LINE = 0x3c,
    PCI_PIN = 0x3d,
    PCI_HEADER_END = 0x40,
};

/* Memory of a function. */
struct pci_bar {
    struct hostvm_pci_function *function;
    unsigned index;
    uint64_t size; /* 0: none */
    bool is_64bit;
    bool is_decoded;
    struct range range; /* where it is decoded, or was last */
};

/* Asked for by the program; in a list. */
struct pci_doorbell {
    unsigned bar;
    hostvm_doorbell_t doorbell; /* addr is an offset in bar */
    uint64_t addr;              /* where it is connected */
    int fd;
    bool is_connected;
    struct pci_doorbell *next;
};

/* A message that a function sends. */
struct pci_vector {
    int fd;
    bool is_connected;
    hostvm_msi_t msi; /* that it is connected to */
};

struct pci_msix {
    unsigned capability; /* where it lies in configuration space */
    unsigned bar;
    unsigned nr_vectors; /* 0: none of this is there */
    unsigned pba;        /* its offset in bar; the table's is 0 */
    uint8_t *table;
    struct pci_vector *vectors;
    atomic_bool is_enabled;
};

/* Guarded by the VM's lock, which callbacks hold, but for what the bus's lock guards. */
struct hostvm_pci_function {
    struct hostvm_pci_bus *bus;
    unsigned slot;
    const hostvm_pci_ops_t *ops;
    void *cookie;
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* a bit for each of config */
    unsigned last_capability;          /* 0: none */
    unsigned free_config;              /* where the next one goes */
    struct {
        unsigned offset, size;
    } capabilities[PCI_MAX_CAPABILITIES]; /* the program's */
    unsigned nr_capabilities;
    struct pci_bar bars[HOSTVM_PCI_BARS];
    struct pci_doorbell *doorbells;
    struct pci_msix msix;
    bool has_line;
    bool wants_line; /* guarded by the bus's lock, as the rest of these: what the program says */
    bool may_raise;  /* what configuration space says */
    bool is_raising;
};

struct hostvm_pci_bus {
    vm_t *vm;
    hostvm_pci_bus_config_t config;
    vm_memory_reservation_t *reservations[3]; /* registers, memory, memory64; NULL: none */
    struct hostvm_pci_function *functions[HOSTVM_PCI_SLOTS];

    struct rangemap decoded;  /* to struct pci_bar; has room for all there can be */
    struct pci_bar *last_bar; /* the one that was accessed last; NULL: none */

    /* Guards the lines. Comes after the VM's, and before none that is not KVM's own. */
    pthread_mutex_t lock;
    unsigned nr_raising[HOSTVM_PCI_LINES];
};

/* bus.c */
int pci_status(vm_t *vm, int r); /* says the reason of a failure: 0 or -1 */

/* access.c */
memory_fault_result_t pci_config_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie);
memory_fault_result_t pci_memory_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie);

/* 1 to 8 bytes of the functions' memory, as the guest sees it: ones where none is. */
uint64_t pci_memory_read(struct hostvm_pci_bus *bus, uint64_t addr, size_t size);
void pci_memory_write(struct hostvm_pci_bus *bus, uint64_t addr, size_t size, uint64_t value);

/* config.c */
void pci_config_init(struct hostvm_pci_function *function, const hostvm_pci_config_t *config);
uint64_t pci_get(const struct hostvm_pci_function *function, unsigned offset, size_t size);
void pci_set(struct hostvm_pci_function *function, unsigned offset, size_t size, uint64_t value);
uint64_t pci_config_read(struct hostvm_pci_function *function, unsigned offset, size_t size);
void pci_config_write(struct hostvm_pci_function *function, unsigned offset, size_t size,
                      uint64_t value);
int pci_capability_add(struct hostvm_pci_function *function, uint8_t id, const uint8_t *bytes,
                       const uint8_t *writable, size_t size); /* its offset, or -ENOSPC */

/* bars.c */
int pci_bars_init(struct hostvm_pci_function *function, const hostvm_pci_bar_t *bars);
void pci_bars_fini(struct hostvm_pci_function *function);
void pci_bars_update(struct hostvm_pci_function *function); /* base addresses or command changed */
struct pci_bar *pci_bars_find(struct hostvm_pci_bus *bus, uint64_t addr);

/* msix.c */
uint64_t pci_msix_bar_size(unsigned nr_vectors);
int pci_msix_init(struct hostvm_pci_function *function, unsigned nr_vectors, unsigned bar);
void pci_msix_fini(struct hostvm_pci_function *function);
void pci_msix_update(struct hostvm_pci_function *function); /* its control or command changed */
uint64_t pci_msix_read(struct hostvm_pci_function *function, uint64_t offset, size_t size);
void pci_msix_write(struct hostvm_pci_function *function, uint64_t offset, size_t size,
                    uint64_t value);

/* line.c */
void pci_line_update(struct hostvm_pci_function *function); /* command or MSI-X's control changed */
void pci_line_fini(struct hostvm_pci_function *function);

#endif
