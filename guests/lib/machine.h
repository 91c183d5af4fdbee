/* What a guest asks of the machine it runs on; each architecture has its own answer. */
#ifndef LIB_MACHINE_H
#define LIB_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* A guest's own code. When it returns, the vcpu stops. */
void guest_main(void);

/* Characters to the console; '\n' does not return the carriage. */
void machine_write(const char *text, size_t size);

/* The vendor and name of the processor, as far as it tells: a line of text. */
void machine_print_cpu(void);

/* Has 2 MiB around gpa, which is 4 GiB or more, mapped as they are; once per guest. */
void machine_map(uint64_t gpa);

/* A byte to and from the host, by the number of a port of lib/contract.h. */
void machine_tell(unsigned port, unsigned value);
unsigned machine_ask(unsigned port);

/* Stores to an address without memory by an instruction that KVM cannot do for the guest. */
void machine_store_oddly(uint64_t address);

/* Tells the host that this step is reached: a write to GUEST_SYNC_PORT. */
void machine_sync(unsigned step);

/* Ends the VM with value (below 128) through the debug-exit device; where there is none, stops. */
_Noreturn void machine_exit(unsigned value);

/* Asks the firmware's tables how to; where they do not tell, ends with 0 as machine_exit does. */
_Noreturn void machine_power_off(void);

/* Starts from reset, or stops where nothing resets. */
_Noreturn void machine_reset(void);

/* An exception while its handler cannot be called: the processor gives up. */
_Noreturn void machine_crash(void);

/* Has the machine's second processor run fn, which does not return, on a stack of its own and with
 * as few rights as there are: memory alone. Once. */
void machine_start_second(void (*fn)(void));

/* Runs on the spot, interrupts off. */
_Noreturn void machine_spin(void);

/* Waits for an interrupt that cannot come. */
_Noreturn void machine_stop(void);

#endif
