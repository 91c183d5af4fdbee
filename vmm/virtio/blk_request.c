/* Requests of a virtio disk, from a buffer of the guest's to what the host's disk is to do. */
#include "virtio/blk_request.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

/* The status is written last, after what it is about. */
static size_t answer(struct blk_request *request, uint8_t status)
{
    *request->status = status;
    if (status == VIRTIO_BLK_S_OK) {
        return request->in_size;
    }
    /* In front of the status there may be bytes that nobody wrote. */
    return request->in_size == 1 ? 1 : 0;
}

static uint8_t status_of(int result)
{
    if (result == 0) {
        return VIRTIO_BLK_S_OK;
    }
    return result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

size_t blk_request_answer(struct blk_request *request)
{
    return answer(request, status_of(request->io.result));
}

/* --- framing (2.7.4.1): where a piece ends means nothing --- */

/* Leaves the last byte out of the part that the device writes. Returns its place. */
static uint8_t *take_status(hostvm_virtio_buffer_t *buffer)
{
    struct iovec *iov = buffer->iov + buffer->nr_out;

    while (iov[buffer->nr_in - 1].iov_len == 0) {
        buffer->nr_in--;
    }
    iov += buffer->nr_in - 1;
    iov->iov_len--;
    buffer->in_size--;
    if (iov->iov_len == 0) {
        buffer->nr_in--;
    }
    return (uint8_t *)iov->iov_base + iov->iov_len;
}

/* What the device reads behind the header, of which there is something. */
static void skip_header(const hostvm_virtio_buffer_t *buffer, struct disk_io *io)
{
    size_t left = sizeof(struct virtio_blk_outhdr);

    io->iov = buffer->iov;
    io->nr_iov = buffer->nr_out;
    while (left >= io->iov->iov_len) {
        left -= io->iov->iov_len;
        io->iov++;
        io->nr_iov--;
    }
    io->iov->iov_base = (uint8_t *)io->iov->iov_base + left;
    io->iov->iov_len -= left;
}

/* --- requests --- */

static bool is_inside(uint64_t sector, uint64_t size, uint64_t disk_size)
{
    uint64_t nr_sectors = disk_size / DISK_SECTOR;

    return sector <= nr_sectors && size / DISK_SECTOR <= nr_sectors - sector;
}

static enum blk_verdict answered(struct blk_request *request, uint8_t status, size_t *ret_written)
{
    *ret_written = answer(request, status);
    return BLK_ANSWERED;
}

/* Transfers of nothing are no business of the disk's. */
static enum blk_verdict check(struct blk_request *request, const struct blk_traits *traits,
                              uint64_t sector, size_t *ret_written)
{
    struct disk_io *io = &request->io;

    if (io->size % DISK_SECTOR != 0 || !is_inside(sector, io->size, traits->size)) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    if (io->size == 0) {
        return answered(request, VIRTIO_BLK_S_OK, ret_written);
    }
    io->offset = sector * DISK_SECTOR;
    return BLK_DISK;
}

static enum blk_verdict begin_read(struct blk_request *request, const struct blk_traits *traits,
                                   uint64_t sector, size_t *ret_written)
{
    const hostvm_virtio_buffer_t *buffer = &request->buffer;
    struct disk_io *io = &request->io;

    io->op = DISK_READ;
    io->is_durable = false;
    io->iov = buffer->iov + buffer->nr_out;
    io->nr_iov = buffer->nr_in;
    io->size = buffer->in_size;
    return check(request, traits, sector, ret_written);
}

static enum blk_verdict begin_write(struct blk_request *request, const struct blk_traits *traits,
                                    uint64_t sector, size_t *ret_written)
{
    struct disk_io *io = &request->io;
    enum blk_verdict verdict;

    if (traits->is_readonly) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    io->op = DISK_WRITE;
    io->is_durable = traits->is_durable;
    io->size = request->buffer.out_size - sizeof(struct virtio_blk_outhdr);
    verdict = check(request, traits, sector, ret_written);
    if (verdict == BLK_DISK) {
        skip_header(&request->buffer, io);
    }
    return verdict;
}

/* One range at a time (max_discard_seg and max_write_zeroes_seg are 1). */
static enum blk_verdict begin_zero(struct blk_request *request, const struct blk_traits *traits,
                                   enum disk_op op, size_t *ret_written)
{
    const uint32_t known = op == DISK_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
    const size_t start = sizeof(struct virtio_blk_outhdr);
    struct virtio_blk_discard_write_zeroes range;
    struct disk_io *io = &request->io;
    uint32_t flags, nr_sectors;

    if (request->buffer.out_size != start + sizeof(range) || traits->is_readonly) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    (void)hostvm_virtio_read(&request->buffer, start, &range, sizeof(range));
    flags = le32toh(range.flags);
    nr_sectors = le32toh(range.num_sectors);
    if ((flags & ~known) != 0 || (op == DISK_DISCARD && !traits->can_discard)) {
        return answered(request, VIRTIO_BLK_S_UNSUPP, ret_written);
    }
    if (nr_sectors > BLK_MAX_ZEROES) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    io->op = op;
    io->is_durable = traits->is_durable;
    io->may_unmap = flags != 0 && traits->can_unmap;
    io->size = (uint64_t)nr_sectors * DISK_SECTOR;
    return check(request, traits, le64toh(range.sector), ret_written);
}

static enum blk_verdict begin_flush(struct blk_request *request)
{
    request->io.op = DISK_FLUSH;
    request->io.offset = 0;
    request->io.size = 0;
    return BLK_DISK;
}

static enum blk_verdict get_id(struct blk_request *request, const struct blk_traits *traits,
                               size_t *ret_written)
{
    if (request->buffer.in_size != BLK_SERIAL_SIZE) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    (void)hostvm_virtio_write(&request->buffer, 0, traits->serial, BLK_SERIAL_SIZE);
    return answered(request, VIRTIO_BLK_S_OK, ret_written);
}

enum blk_verdict blk_request_begin(struct blk_request *request, const struct blk_traits *traits,
                                   size_t *ret_written)
{
    hostvm_virtio_buffer_t *buffer = &request->buffer;
    struct virtio_blk_outhdr header;

    if (buffer->in_size == 0) {
        return BLK_MALFORMED;
    }
    request->in_size = buffer->in_size;
    request->status = take_status(buffer);
    if (hostvm_virtio_read(buffer, 0, &header, sizeof(header)) < sizeof(header)) {
        return answered(request, VIRTIO_BLK_S_IOERR, ret_written);
    }
    switch (le32toh(header.type)) {
    case VIRTIO_BLK_T_IN:
        return begin_read(request, traits, le64toh(header.sector), ret_written);
    case VIRTIO_BLK_T_OUT:
        return begin_write(request, traits, le64toh(header.sector), ret_written);
    case VIRTIO_BLK_T_FLUSH:
        return begin_flush(request);
    case VIRTIO_BLK_T_GET_ID:
        return get_id(request, traits, ret_written);
    case VIRTIO_BLK_T_DISCARD:
        return begin_zero(request, traits, DISK_DISCARD, ret_written);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return begin_zero(request, traits, DISK_WRITE_ZEROES, ret_written);
    default:
        return answered(request, VIRTIO_BLK_S_UNSUPP, ret_written);
    }
}
