/* The interface between a disk driver and the virtual device above it. */
#pragma once

#include <platsupport/io.h>
#include <stdint.h>
#include <virtio/virtio_blk.h>

#ifdef __cplusplus
extern "C" {
#endif

struct disk_driver;

/* Results of raw_xfer. */
#define VIRTIO_BLK_XFER_FAILED   (-1)
#define VIRTIO_BLK_XFER_COMPLETE 1

/**
 * Reads or writes.
 *
 * @param direction       VIRTIO_BLK_T_IN or VIRTIO_BLK_T_OUT
 * @param sector          where on the disk, in sectors of 512 bytes
 * @param len             bytes
 * @param guest_buf_phys  the buffer, as ps_dma_pin gave it
 * @return VIRTIO_BLK_XFER_...
 */
typedef int (*diskif_raw_xfer)(struct disk_driver *driver, uint8_t direction, uint64_t sector,
                               uint32_t len, uintptr_t guest_buf_phys);

/**
 * Handles an interrupt; which one of several, the driver defines.
 */
typedef void (*diskif_raw_handleIRQ_t)(struct disk_driver *driver, int irq);

/**
 * Handles whatever is to be done, without an interrupt.
 */
typedef void (*diskif_raw_poll)(struct disk_driver *driver);

/**
 * Prints the driver's state.
 */
typedef void (*diskif_print_state_t)(struct disk_driver *driver);

/**
 * Tells the size and the limits of the disk.
 */
typedef void (*diskif_low_level_init_t)(struct disk_driver *driver, struct virtio_blk_config *cfg);

typedef struct raw_diskiface_funcs {
    diskif_raw_xfer raw_xfer;
    diskif_raw_handleIRQ_t raw_handleIRQ;
    diskif_raw_poll raw_poll;
    diskif_print_state_t print_state;
    diskif_low_level_init_t low_level_init;
} raw_diskiface_funcs_t;

/**
 * A driver: what is above it fills in cb_cookie, its initialiser the rest.
 */
struct disk_driver {
    void *disk_data; /* the driver's own */
    raw_diskiface_funcs_t i_fn;
    void *cb_cookie;
    ps_io_ops_t io_ops;
    int dma_alignment;
};

/**
 * Initialises a driver.
 *
 * @param config  what the driver at hand defines; the caller's
 * @return 0 when it is ready
 */
typedef int (*diskif_driver_init)(struct disk_driver *driver, ps_io_ops_t io_ops, void *config);

#ifdef __cplusplus
}
#endif
