/*
 * A PCI bus with functions of one's own (PCI Local Bus Specification 3.0; PCI Express Base
 * Specification 5.0, 7.2.2 for the bridge's registers). Here are configuration space, base address
 * registers, lines and messages (MSI-X); what stands behind a base address is the program's.
 *
 * A function in a page: hostvm_pci_bus_create, hostvm_pci_add with a read and a write for its
 * registers; then hostvm_pci_set_irq, or a write to hostvm_pci_vector_fd, when the driver is to
 * know. That there is a bus, the guest is told by ACPI, a device tree or a command line: the
 * program's business.
 *
 * The guest is not trusted: it may access configuration space and memory anywhere, with any width,
 * and move base addresses at any time. A base address that overlaps another one, or lies outside of
 * the bus's memory, is not decoded.
 *
 * Threads: a bus is made, and functions are added to it and removed, while the VM does not run. The
 * functions of hostvm_pci_ops_t are called on a vcpu's thread, under the VM's lock. What may be
 * called from any thread says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hostvm/eventfd.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A bus. Opaque.
 */
typedef struct hostvm_pci_bus hostvm_pci_bus_t;

/**
 * A function: what stands in a slot. Opaque.
 */
typedef struct hostvm_pci_function hostvm_pci_function_t;

#define HOSTVM_PCI_SLOTS       32
#define HOSTVM_PCI_BARS        6
#define HOSTVM_PCI_LINES       4
#define HOSTVM_PCI_MAX_VECTORS 256

/* Of guest-physical memory that the bus's registers take: 4 KiB for each of 256 functions (PCI
 * Express 5.0, table 7-1). */
#define HOSTVM_PCI_ECAM_SIZE 0x100000

/**
 * A range of guest-physical addresses.
 */
typedef struct hostvm_pci_window {
    uint64_t start;
    uint64_t size; /* 0: there is none */
} hostvm_pci_window_t;

/**
 * Where a bus stands.
 */
typedef struct hostvm_pci_bus_config {
    uint64_t ecam;                      /* a multiple of HOSTVM_PCI_ECAM_SIZE */
    hostvm_pci_window_t memory;         /* where functions can be; whole pages below 4 GiB */
    hostvm_pci_window_t memory64;       /* and more of it, anywhere */
    unsigned int gsi[HOSTVM_PCI_LINES]; /* lines (hostvm_irq_line), levels, that only the bus sets:
                                           a function in slot n raises gsi[n % 4] */
    uint16_t vendor, device; /* of a host bridge, to be seen in slot 0; vendor 0: there is none to
                                be seen */
} hostvm_pci_bus_config_t;

/**
 * Makes a bus with empty slots. All of its memory is reserved: what no function decodes there reads
 * as ones, and is written without effect.
 *
 * @param config  copied
 * @return the bus, to be destroyed before the VM is; NULL when vm or config is NULL, config is not
 * as described, part of the memory is reserved already, or memory runs out
 */
hostvm_pci_bus_t *hostvm_pci_bus_create(vm_t *vm, const hostvm_pci_bus_config_t *config);

/**
 * Takes a bus away, with all functions that are still on it. NULL is fine.
 */
void hostvm_pci_bus_destroy(hostvm_pci_bus_t *bus);

/**
 * An access to the bus's registers, as if the guest did it at ecam + offset: for bridges that are
 * accessed otherwise (ports 0xcf8 and 0xcfc; PCI 3.0, 3.2.2.3.2). From callbacks, or while the VM
 * does not run.
 *
 * @param offset  slot << 15 | function << 12 | register
 * @param size    1 to 8 bytes; an access past the end of a function is one to none
 * @return what is read: all ones where there is no function
 */
uint64_t hostvm_pci_read_config(hostvm_pci_bus_t *bus, uint32_t offset, size_t size);
void hostvm_pci_write_config(hostvm_pci_bus_t *bus, uint32_t offset, size_t size, uint64_t value);

/**
 * What a program does for its function. NULL where there is nothing to do.
 */
typedef struct hostvm_pci_ops {
    /**
     * The guest reads or writes memory of the function: 1 to 8 bytes, of any alignment, all of them
     * inside of the base address's size.
     *
     * @param bar  whose memory it is, 0 to 5
     */
    uint64_t (*read)(void *cookie, unsigned int bar, uint64_t offset, size_t size);
    void (*write)(void *cookie, unsigned int bar, uint64_t offset, size_t size, uint64_t value);

    /**
     * The guest is about to read, or has written, bytes of configuration space that belong to
     * capabilities of the program's (hostvm_pci_add_capability).
     *
     * @param offset, size  which bytes: part of one capability
     */
    void (*reads_config)(void *cookie, unsigned int offset, size_t size);
    void (*wrote_config)(void *cookie, unsigned int offset, size_t size);
} hostvm_pci_ops_t;

/**
 * A base address register: memory (PCI 3.0, 6.2.5.1).
 */
typedef struct hostvm_pci_bar {
    uint64_t size; /* a power of two, at least 16, at most 2 GiB unless it is of 64 bits; 0: none */
    bool is_64bit; /* the next register is its upper half */
    bool is_prefetchable;
} hostvm_pci_bar_t;

/**
 * What a function is.
 */
typedef struct hostvm_pci_config {
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem;
    uint32_t class_code; /* of 24 bits: class, subclass, programming interface */
    uint8_t revision;
    bool has_line; /* it interrupts by a line where messages are off */
    hostvm_pci_bar_t bars[HOSTVM_PCI_BARS];
    unsigned int nr_vectors;     /* messages that it can send, at most HOSTVM_PCI_MAX_VECTORS; 0: it
                                    has no MSI-X */
    unsigned int msix_bar;       /* where there are: a register of 32 bits that bars leaves free */
    const hostvm_pci_ops_t *ops; /* lives as long as the function */
    void *cookie;
} hostvm_pci_config_t;

/**
 * Adds a function, alone in its slot. Its base addresses are chosen, as firmware does it, where
 * there is room in the bus's memory; it does not decode them until the guest says so.
 *
 * @param slot    0 to 31; -1: the first that is free
 * @param config  copied
 * @return the function, to be removed before the bus is destroyed, or with it; NULL when bus or
 * config is NULL, config is not as described, the slot, or every slot, is taken, or memory or
 * descriptors run out
 */
hostvm_pci_function_t *hostvm_pci_add(hostvm_pci_bus_t *bus, int slot,
                                      const hostvm_pci_config_t *config);

/**
 * Takes a function away. NULL is fine.
 */
void hostvm_pci_remove(hostvm_pci_function_t *function);

/** Its slot. */
unsigned int hostvm_pci_slot(const hostvm_pci_function_t *function);

/**
 * Adds a capability (PCI 3.0, 6.7). Before the VM runs.
 *
 * @param id        its number (PCI Code and ID Assignment Specification, 2)
 * @param bytes     what follows id and pointer; copied
 * @param writable  a bit for each of bytes that the guest can write; copied. NULL: none
 * @param size      of both
 * @return where in configuration space bytes lie; -1 when an argument is NULL, size is 0, or there
 * is no room for it
 */
int hostvm_pci_add_capability(hostvm_pci_function_t *function, uint8_t id, const void *bytes,
                              const void *writable, size_t size);

/**
 * Bytes of configuration space, in the program's capabilities, as the guest sees them: to be read
 * or changed. From callbacks, or while the VM does not run. Lives as long as the function.
 *
 * @param offset  as hostvm_pci_add_capability has returned it
 */
uint8_t *hostvm_pci_capability(hostvm_pci_function_t *function, unsigned int offset);

/**
 * Has an eventfd signalled when the guest writes to memory of the function, wherever it puts that
 * (hostvm_doorbell_add). It may fail to be, when the guest moves the memory: then the function's
 * write is called instead. While the VM does not run, or from callbacks.
 *
 * @param doorbell  copied; its addr is an offset in bar
 * @param fd        stays open as long as the doorbell is there
 * @return 0; -1 when function or doorbell is NULL, there is no such bar, the write is not inside of
 * it or of a port, memory runs out, or as hostvm_doorbell_add
 */
int hostvm_pci_doorbell_add(hostvm_pci_function_t *function, unsigned int bar,
                            const hostvm_doorbell_t *doorbell, int fd);

/**
 * Raises or lowers the function's line. Where messages are on, and where the guest has it disabled,
 * nothing is raised until that changes. From any thread.
 */
void hostvm_pci_set_irq(hostvm_pci_function_t *function, bool level);

/**
 * Messages are on: the guest expects no lines. From any thread; true also while all of them are
 * masked.
 */
bool hostvm_pci_has_messages(const hostvm_pci_function_t *function);

/**
 * An eventfd that sends a message when it is written. While the message is masked, it is pending.
 * To be written only, from any thread; lives as long as the function.
 *
 * @return -1 when function is NULL or has no such vector
 */
int hostvm_pci_vector_fd(const hostvm_pci_function_t *function, unsigned int vector);

#ifdef __cplusplus
}
#endif
