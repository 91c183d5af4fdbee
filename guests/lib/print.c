/* Text for whoever watches the guest. */
#include "lib/print.h"

#include "lib/machine.h"

void print(const char *text)
{
    while (*text != '\0') {
        size_t length = 0;

        while (text[length] != '\0' && text[length] != '\n') {
            length++;
        }
        machine_write(text, length);
        text += length;
        if (*text == '\n') {
            machine_write("\r\n", 2);
            text++;
        }
    }
}

static void print_digits(uint64_t value, unsigned base)
{
    char text[21]; /* 2^64 has 20 decimal digits */
    char *first = &text[sizeof(text) - 1];

    *first = '\0';
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    print(first);
}

void print_hex(uint64_t value)
{
    print("0x");
    print_digits(value, 16);
}

void print_decimal(uint64_t value)
{
    print_digits(value, 10);
}
