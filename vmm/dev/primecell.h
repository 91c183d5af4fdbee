/* The identification registers at the end of every PrimeCell's 4 KiB (ARM DDI 0183, 3.3.15). */
#ifndef DEV_PRIMECELL_H
#define DEV_PRIMECELL_H

#include <stdint.h>

struct primecell_id {
    uint16_t part; /* 12 bits */
    uint8_t revision;
};

/* What a read at offset gives: 0 where no such register is. */
uint32_t primecell_id_read(const struct primecell_id *id, unsigned offset);

#endif
