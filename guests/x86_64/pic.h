/* The pair of 8259 interrupt controllers, as vectors PIC_VECTOR + line. */
#ifndef X86_64_PIC_H
#define X86_64_PIC_H

#include <stdbool.h>

enum { PIC_VECTOR = 0x20 };

/* Every line is masked and edge-triggered then. */
void pic_init(void);

void pic_mask(unsigned line, bool is_masked);
void pic_set_level_triggered(unsigned line);
void pic_end(unsigned line);

#endif
