/* The virtio block device: virtio 1.2, 5.2. */
#pragma once

#include <stdint.h>

/* 5.2.3, feature bits; those marked so are legacy */
#define VIRTIO_BLK_F_BARRIER    0 /* legacy: requests can be barriers */
#define VIRTIO_BLK_F_SIZE_MAX   1
#define VIRTIO_BLK_F_SEG_MAX    2
#define VIRTIO_BLK_F_GEOMETRY   4
#define VIRTIO_BLK_F_RO         5
#define VIRTIO_BLK_F_BLK_SIZE   6
#define VIRTIO_BLK_F_SCSI       7 /* legacy: SCSI commands */
#define VIRTIO_BLK_F_WCE        9 /* flush requests */
#define VIRTIO_BLK_F_FLUSH      VIRTIO_BLK_F_WCE
#define VIRTIO_BLK_F_TOPOLOGY   10
#define VIRTIO_BLK_F_CONFIG_WCE 11

/* Bytes that a VIRTIO_BLK_T_GET_ID request returns. */
#define VIRTIO_BLK_ID_BYTES 20

/* 5.2.4, "legacy geometry" */
struct virtio_blk_geometry {
    uint16_t cylinders;
    uint8_t heads;
    uint8_t sectors;
} __attribute__((packed));

/* 5.2.4; each part but the first has the feature bit that says whether it is there */
struct virtio_blk_config {
    uint64_t capacity; /* in sectors of 512 bytes */
    uint32_t size_max; /* SIZE_MAX: bytes of one segment */
    uint32_t seg_max;  /* SEG_MAX: segments of one request */
    struct virtio_blk_geometry geometry;
    uint32_t blk_size;          /* BLK_SIZE: bytes */
    uint8_t physical_block_exp; /* TOPOLOGY: this and the next three */
    uint8_t alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t wce; /* CONFIG_WCE */
} __attribute__((packed));

/* 5.2.6, the type of a request */
#define VIRTIO_BLK_T_IN       0
#define VIRTIO_BLK_T_OUT      1
#define VIRTIO_BLK_T_SCSI_CMD 2 /* legacy */
#define VIRTIO_BLK_T_FLUSH    4
#define VIRTIO_BLK_T_GET_ID   8
#define VIRTIO_BLK_T_BARRIER  0x80000000 /* legacy: a bit beside the others */

/* 5.2.6, what a request begins with */
struct virtio_blk_outhdr {
    uint32_t type;
    uint32_t ioprio;
    uint64_t sector; /* of 512 bytes */
};

/* 5.2.6.1, legacy: what a SCSI command is answered with */
struct virtio_scsi_inhdr {
    uint32_t errors;
    uint32_t data_len;
    uint32_t sense_len;
    uint32_t residual;
};

/* 5.2.6, the byte that a request ends with */
#define VIRTIO_BLK_S_OK     0
#define VIRTIO_BLK_S_IOERR  1
#define VIRTIO_BLK_S_UNSUPP 2
