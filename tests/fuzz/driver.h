/* A hostile guest whose actions are the bytes of an input: what all harnesses share. Each brings a
 * device, and what can happen on its host side. */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hostvm/pci.h>
#include <hostvm/virtio.h>

#include "back/worker.h"

/* How the guest reaches the device. */
enum fuzz_transport { FUZZ_EITHER, FUZZ_MMIO, FUZZ_PCI };

/* What a harness is about. A device is made for each input, and gone at its end. */
struct fuzz_target {
    enum fuzz_transport transport;

    /* The worker is there for devices that have none of their own. */
    hostvm_virtio_t *(*create)(vm_t *vm, struct worker *worker);
    void (*destroy)(void);

    /* Something happens on the host side, by the input. NULL: nothing can. */
    void (*host)(void);

    /* Waits for threads that are not workers. NULL: there are none. */
    void (*settle)(void);

    /* Other functions for the device's bus. NULL: none. */
    void (*add_functions)(hostvm_pci_bus_t *bus);
};

/* The harness's own. */
extern const struct fuzz_target fuzz_target;

/* The next of the input; zeros behind its end. */
uint8_t fuzz_u8(void);
uint16_t fuzz_u16(void);
uint32_t fuzz_u32(void);
uint64_t fuzz_u64(void);
void fuzz_bytes(void *ret, size_t size);

/* Ends the process, with a word on why, for a finding that no sanitizer makes. */
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_fail(const char *condition, const char *file, int line);

/* Whether all of this is memory that a device may write to; or, at least, read. */
bool fuzz_is_ram(const void *bytes, size_t size);
bool fuzz_is_memory(const void *bytes, size_t size);

/* libFuzzer's, for both of its kinds of program: with libFuzzer, and with tests/fuzz/replay.c. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
