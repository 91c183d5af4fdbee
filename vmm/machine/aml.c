/* Writing AML. */
#include "machine/aml.h"

#include <string.h>

/* Op codes (ACPI 6.4, table 20.1) and resource tags (table 6.27 and following). */
enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_ARG0 = 0x68,
    OP_DEVICE = 0x82,
    OP_CREATE_DWORD_FIELD = 0x8a,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    TAG_IO = 0x47,
    TAG_END = 0x79,
    TAG_MEMORY32_FIXED = 0x86,
    TAG_DWORD_SPACE = 0x87,
    TAG_WORD_SPACE = 0x88,
    TAG_EXTENDED_INTERRUPT = 0x89,
    TAG_QWORD_SPACE = 0x8a,
};

/* A package's length includes its own bytes; two of them hold up to 4095 (20.2.4). */
enum { LENGTH_BYTES = 2, LENGTH_MAX = 0xfff };

static void put(struct aml *aml, const void *bytes, size_t n)
{
    if (n > aml->size - aml->length) {
        aml->is_short = true;
        return;
    }
    memcpy(aml->buffer + aml->length, bytes, n);
    aml->length += n;
}

static void put8(struct aml *aml, uint8_t value)
{
    put(aml, &value, sizeof(value));
}

static void put16(struct aml *aml, uint16_t value)
{
    put(aml, &value, sizeof(value));
}

static void put32(struct aml *aml, uint32_t value)
{
    put(aml, &value, sizeof(value));
}

/* --- packages --- */

static size_t length_begin(struct aml *aml)
{
    size_t mark = aml->length;

    put16(aml, 0);
    return mark;
}

void aml_end(struct aml *aml, size_t mark)
{
    size_t length = aml->length - mark;

    if (aml->is_short || length > LENGTH_MAX) {
        aml->is_short = true;
        return;
    }
    aml->buffer[mark] = (uint8_t)(0x40 | (length & 0xf));
    aml->buffer[mark + 1] = (uint8_t)(length >> 4);
}

static void put_segment(struct aml *aml, const char *name)
{
    put(aml, name, 4);
}

size_t aml_scope_begin(struct aml *aml, const char *name)
{
    size_t mark;

    put8(aml, OP_SCOPE);
    mark = length_begin(aml);
    put8(aml, '\\');
    put_segment(aml, name);
    return mark;
}

size_t aml_device_begin(struct aml *aml, const char *name)
{
    size_t mark;

    put8(aml, OP_EXTENDED);
    put8(aml, OP_DEVICE);
    mark = length_begin(aml);
    put_segment(aml, name);
    return mark;
}

size_t aml_method_begin(struct aml *aml, const char *name, unsigned nr_args)
{
    enum { SERIALIZED = 1u << 3 }; /* 20.2.5.2 */
    size_t mark;

    put8(aml, OP_METHOD);
    mark = length_begin(aml);
    put_segment(aml, name);
    put8(aml, (uint8_t)(SERIALIZED | nr_args));
    return mark;
}

size_t aml_package_begin(struct aml *aml, unsigned nr_values)
{
    size_t mark;

    put8(aml, OP_PACKAGE);
    mark = length_begin(aml);
    put8(aml, (uint8_t)nr_values);
    return mark;
}

size_t aml_if_begin(struct aml *aml)
{
    put8(aml, OP_IF);
    return length_begin(aml);
}

size_t aml_else_begin(struct aml *aml)
{
    put8(aml, OP_ELSE);
    return length_begin(aml);
}

/* --- statements --- */

void aml_operator(struct aml *aml, enum aml_operator operator)
{
    put8(aml, (uint8_t) operator);
}

void aml_argument(struct aml *aml, unsigned index)
{
    put8(aml, (uint8_t)(OP_ARG0 + index));
}

void aml_named(struct aml *aml, const char *name)
{
    put_segment(aml, name);
}

void aml_field(struct aml *aml, unsigned argument, unsigned offset, const char *name)
{
    put8(aml, OP_CREATE_DWORD_FIELD);
    aml_argument(aml, argument);
    aml_integer(aml, offset);
    put_segment(aml, name);
}

/* --- values --- */

void aml_name(struct aml *aml, const char *name)
{
    put8(aml, OP_NAME);
    put_segment(aml, name);
}

void aml_integer(struct aml *aml, uint64_t value)
{
    if (value <= 1) {
        put8(aml, value == 0 ? OP_ZERO : OP_ONE);
    } else if (value <= UINT8_MAX) {
        put8(aml, OP_BYTE);
        put8(aml, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        put8(aml, OP_WORD);
        put16(aml, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        put8(aml, OP_DWORD);
        put32(aml, (uint32_t)value);
    } else {
        put8(aml, OP_QWORD);
        put(aml, &value, sizeof(value));
    }
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits, four hex digits; stored big endian (19.3.4). */
void aml_eisa_id(struct aml *aml, const char *id)
{
    uint32_t value = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
                     (uint32_t)(id[2] - '@') << 16 | hex_digit(id[3]) << 12 |
                     hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);

    put8(aml, OP_DWORD);
    put32(aml, __builtin_bswap32(value));
}

void aml_string(struct aml *aml, const char *text)
{
    put8(aml, OP_STRING);
    put(aml, text, strlen(text) + 1);
}

void aml_integers(struct aml *aml, const uint8_t *values, unsigned nr_values)
{
    size_t mark = aml_package_begin(aml, nr_values);

    for (unsigned i = 0; i < nr_values; i++) {
        aml_integer(aml, values[i]);
    }
    aml_end(aml, mark);
}

void aml_bytes(struct aml *aml, const uint8_t *bytes, uint8_t nr_bytes)
{
    size_t mark;

    put8(aml, OP_BUFFER);
    mark = length_begin(aml);
    aml_integer(aml, nr_bytes);
    put(aml, bytes, nr_bytes);
    aml_end(aml, mark);
}

/* --- resources: a buffer, whose size stands in front of its bytes --- */

size_t aml_resources_begin(struct aml *aml)
{
    size_t mark;

    put8(aml, OP_BUFFER);
    mark = length_begin(aml);
    put8(aml, OP_WORD);
    put16(aml, 0);
    return mark;
}

void aml_resources_end(struct aml *aml, size_t mark)
{
    enum { SIZE_OP = 1, HEAD = LENGTH_BYTES + SIZE_OP + 2 };
    uint16_t size;

    put8(aml, TAG_END);
    put8(aml, 0); /* no checksum (6.4.2.9) */
    if (!aml->is_short) {
        size = (uint16_t)(aml->length - mark - HEAD);
        memcpy(aml->buffer + mark + LENGTH_BYTES + SIZE_OP, &size, sizeof(size));
    }
    aml_end(aml, mark);
}

void aml_io(struct aml *aml, uint16_t base, uint8_t nr_ports)
{
    put8(aml, TAG_IO);
    put8(aml, 1); /* decodes 16 bits of the address */
    put16(aml, base);
    put16(aml, base);
    put8(aml, 1); /* alignment */
    put8(aml, nr_ports);
}

void aml_memory(struct aml *aml, uint32_t base, uint32_t size)
{
    put8(aml, TAG_MEMORY32_FIXED);
    put16(aml, 9);
    put8(aml, 1); /* writable */
    put32(aml, base);
    put32(aml, size);
}

void aml_interrupt(struct aml *aml, uint32_t gsi, bool is_level)
{
    put8(aml, TAG_EXTENDED_INTERRUPT);
    put16(aml, 6);
    put8(aml, is_level ? 0x1 : 0x3); /* consumer; bit 1: edge; bit 2 clear: active high (6.4.3.6) */
    put8(aml, 1);
    put32(aml, gsi);
}

/* --- what a bridge passes on: address spaces (6.4.3.5), both ends fixed --- */

enum { SPACE_MEMORY = 0, SPACE_BUS = 2, ENDS_ARE_FIXED = 0xc, MEMORY_WRITABLE = 1 };

static void put64(struct aml *aml, uint64_t value)
{
    put(aml, &value, sizeof(value));
}

static void put_space(struct aml *aml, uint8_t tag, uint8_t word_size, uint8_t type, uint8_t flags)
{
    enum { NR_WORDS = 5 };

    put8(aml, tag);
    put16(aml, (uint16_t)(3 + NR_WORDS * word_size));
    put8(aml, type);
    put8(aml, ENDS_ARE_FIXED);
    put8(aml, flags);
}

/* Granularity, first, last, translation, size: each time. */
void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last)
{
    put_space(aml, TAG_WORD_SPACE, sizeof(uint16_t), SPACE_BUS, 0);
    put16(aml, 0);
    put16(aml, first);
    put16(aml, last);
    put16(aml, 0);
    put16(aml, (uint16_t)(last - first + 1));
}

void aml_window32(struct aml *aml, uint32_t base, uint32_t size)
{
    put_space(aml, TAG_DWORD_SPACE, sizeof(uint32_t), SPACE_MEMORY, MEMORY_WRITABLE);
    put32(aml, 0);
    put32(aml, base);
    put32(aml, base + size - 1);
    put32(aml, 0);
    put32(aml, size);
}

void aml_window64(struct aml *aml, uint64_t base, uint64_t size)
{
    put_space(aml, TAG_QWORD_SPACE, sizeof(uint64_t), SPACE_MEMORY, MEMORY_WRITABLE);
    put64(aml, 0);
    put64(aml, base);
    put64(aml, base + size - 1);
    put64(aml, 0);
    put64(aml, size);
}
