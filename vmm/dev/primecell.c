/* The identification registers of PrimeCells. */
#include "dev/primecell.h"

enum {
    PERIPHERAL_ID = 0xfe0, /* four registers of a byte each, then the PrimeCell's four */
    END = 0x1000,
    DESIGNER_ARM = 0x41,
};

uint32_t primecell_id_read(const struct primecell_id *id, unsigned offset)
{
    const uint8_t bytes[] = {
        id->part & 0xff,
        (DESIGNER_ARM & 0xf) << 4 | id->part >> 8,
        (uint8_t)(id->revision << 4 | DESIGNER_ARM >> 4),
        0, /* configuration */
        0x0d,
        0xf0,
        0x05,
        0xb1,
    };

    return offset < PERIPHERAL_ID || offset >= END || offset % 4 != 0
               ? 0
               : bytes[(offset - PERIPHERAL_ID) / 4];
}
