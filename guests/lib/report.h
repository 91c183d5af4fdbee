/* What a guest finds: a line per check, the first failed one's number as its exit value. */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include <stdint.h>

/* Prints `ok 3 name`, or `FAIL 3 name: got 0x1 expected 0x2`; checks are numbered from 1. */
void check(const char *name, uint64_t got, uint64_t expected);

/* Prints `end: 7 checks` and ends the VM with the first failed check's number, 0 for none. */
_Noreturn void report_end(void);

#endif
