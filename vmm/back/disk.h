/* The file behind a disk: a raw image or a block device, opened, locked and watched. */
#ifndef BACK_DISK_H
#define BACK_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Sizes and offsets of disks are multiples of this. */
enum { DISK_SECTOR = 512 };

struct disk;

struct disk_traits {
    uint32_t block_size;          /* the least that it addresses; a power of two from 512 on */
    uint32_t physical_block_size; /* the least that it writes without reading; likewise */
    uint32_t discard_size;        /* what is discarded by multiples of this is given back */
    bool is_readonly;
    bool is_device;   /* it discards in a way of its own: disk_discard */
    bool can_discard; /* what is not needed is given back to the host */
    bool can_punch;   /* zeroes need not take up space */
};

/*
 * Opens it, and locks it as long as it is open: against everybody else, or against writers where it
 * is only read. 0 or -errno; the reason was said on standard error.
 */
int disk_open(const char *path, bool is_readonly, struct disk **ret_disk);

/* NULL is fine. */
void disk_close(struct disk *disk);

const struct disk_traits *disk_traits(const struct disk *disk);

/* Bytes, as of the last look. From any thread. */
uint64_t disk_size(const struct disk *disk);

/* Looks how large it is now. True: not as large as it was. From any thread. */
bool disk_look(struct disk *disk);

/*
 * Readable when it is time for another look, which ends that. -1: the host cannot tell. What is not
 * noticed this way: a file that has changed in the hands of a program that still has it open.
 */
int disk_watch_fd(const struct disk *disk);

/* Waits until all that was written is on the disk. 0 or -errno. */
int disk_sync(struct disk *disk);

/* Has a device give back the blocks that lie in this as a whole. Waits for it. 0 or -errno. */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t size);

/* Says on standard error what went wrong, for the first time that something does. */
void disk_complain(struct disk *disk, const char *what, uint64_t offset, int error);

int disk_fd(const struct disk *disk);

#endif
