/* The interrupt table: exceptions end the guest, interrupts go to its handler. */
#include "x86_64/exceptions.h"

#include <stddef.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/print.h"

enum {
    CODE_SELECTOR = 0x08,
    VECTOR_SIZE = 16,    /* of an entry of vectors[] */
};

/* SDM 3A, 6.14.1. */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t flags;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

enum { GATE_INTERRUPT = 0x8e00 };

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* What a vector's entry and the processor have pushed. */
struct frame {
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

extern const uint8_t vectors[];

void handle_vector(const struct frame *frame);

static struct gate gates[NR_VECTORS];
static interrupt_fn interrupt_handler;

static void load_table(const void *base, size_t size)
{
    struct table_pointer pointer = {(uint16_t)(size - 1), (uintptr_t)base};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

/* The code lies below 2 MiB: the high half of an offset stays 0. */
void exceptions_install(void)
{
    uint32_t offset = (uint32_t)(uintptr_t)vectors;

    for (unsigned i = 0; i < NR_VECTORS; i++, offset += VECTOR_SIZE) {
        gates[i].offset_low = (uint16_t)offset;
        gates[i].offset_middle = (uint16_t)(offset >> 16);
        gates[i].selector = CODE_SELECTOR;
        gates[i].flags = GATE_INTERRUPT;
    }
    load_table(gates, sizeof(gates));
}

void exceptions_remove(void)
{
    load_table(gates, 1);
}

void interrupts_handle(interrupt_fn handler)
{
    interrupt_handler = handler;
}

void handle_vector(const struct frame *frame)
{
    if (frame->vector >= NR_EXCEPTIONS && interrupt_handler != NULL) {
        interrupt_handler((unsigned)frame->vector);
        return;
    }
    print("exception ");
    print_decimal(frame->vector);
    print(" error ");
    print_hex(frame->error_code);
    print(" rip ");
    print_hex(frame->rip);
    print("\n");
    machine_exit(GUEST_EXIT_EXCEPTION);
}
