/* Text for whoever watches the guest. */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include <stdint.h>

void print(const char *text);
void print_hex(uint64_t value);        /* 0x1f */
void print_decimal(uint64_t value);

#endif
