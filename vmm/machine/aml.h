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
void aml_end(struct aml *aml, size_t mark);

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
void aml_interrupt(struct aml *aml, uint32_t gsi, bool is_level); /* active high */
void aml_resources_end(struct aml *aml, size_t mark);

#endif
