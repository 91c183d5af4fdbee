/* Writing AML, the byte code of ACPI's device descriptions (ACPI 6.4, chapter 20). */
#ifndef MACHINE_AML_H
#define MACHINE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Code that grows in a buffer. What does not fit is not written, and remembered. */
struct aml {
    uint8_t *buffer;
    size_t size;
    size_t length;
    bool is_short;
};

/* Packages of code nest: begin returns what end wants. */
size_t aml_scope_begin(struct aml *aml,
                       const char *name); /* a name of one segment below the root: "_SB_" */
size_t aml_device_begin(struct aml *aml, const char *name); /* a name of four characters */
size_t aml_method_begin(struct aml *aml, const char *name,
                        unsigned nr_args);                     /* of which one runs at a time */
size_t aml_package_begin(struct aml *aml, unsigned nr_values); /* the values follow */
size_t aml_if_begin(struct aml *aml);                          /* the condition follows */
size_t aml_else_begin(struct aml *aml);                        /* right behind an if's end */
void aml_end(struct aml *aml, size_t mark);

/* Parts of statements: what an operator works on follows it, and then, if it is no condition, the
 * name that gets the result. */
enum aml_operator {
    AML_STORE = 0x70,
    AML_OR = 0x7d,
    AML_EQUAL = 0x93,
    AML_RETURN = 0xa4,
};
void aml_operator(struct aml *aml, enum aml_operator operator);
void aml_argument(struct aml *aml, unsigned index); /* of the method */
void aml_named(struct aml *aml, const char *name);  /* what a name stands for */
void aml_field(struct aml *aml, unsigned argument, unsigned offset,
               const char *name); /* names 32 bits of a buffer that is an argument */
void aml_bytes(struct aml *aml, const uint8_t *bytes, uint8_t nr_bytes); /* a buffer of them */

void aml_name(struct aml *aml, const char *name); /* the value follows */
void aml_integer(struct aml *aml, uint64_t value);
void aml_eisa_id(struct aml *aml, const char *id); /* "PNP0501" */
void aml_string(struct aml *aml, const char *text);
void aml_integers(struct aml *aml, const uint8_t *values,
                  unsigned nr_values); /* a package of them */

/* Resources of a device (6.4): everything between begin and end. */
size_t aml_resources_begin(struct aml *aml);
void aml_io(struct aml *aml, uint16_t base, uint8_t nr_ports);
void aml_memory(struct aml *aml, uint32_t base, uint32_t size);
void aml_interrupt(struct aml *aml, uint32_t gsi, bool is_level);     /* active high */
void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last); /* of a bridge */
void aml_window32(struct aml *aml, uint32_t base, uint32_t size);     /* that it passes on */
void aml_window64(struct aml *aml, uint64_t base, uint64_t size);
void aml_resources_end(struct aml *aml, size_t mark);

#endif
