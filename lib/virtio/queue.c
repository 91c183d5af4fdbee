/* Queues: what the device takes from them is guest memory from end to end. */
#include <errno.h>
#include <string.h>

#include <hostvm/vm.h>

#include "base/io.h"
#include "base/reason.h"
#include "virtio/ring.h"

__attribute__((noinline, cold)) int queue_break(struct hostvm_virtqueue *queue, const char *why)
{
    if (!queue->is_broken) {
        hostvm_vm_log_guest(queue->device->vm, "virtio device %u: queue %u stands still: %s",
                            queue->device->id, queue->index, why);
        queue->is_broken = true;
        hostvm_virtio_fail(queue->device, NULL);
    }
    return -1;
}

const void *queue_area(const struct hostvm_virtqueue *queue, uint64_t gpa, size_t size,
                       unsigned align)
{
    return gpa % align == 0 ? hostvm_vm_pointer(queue->device->vm, gpa, size) : NULL;
}

void *queue_writable_area(const struct hostvm_virtqueue *queue, uint64_t gpa, size_t size,
                          unsigned align)
{
    return gpa % align == 0 ? hostvm_vm_writable_pointer(queue->device->vm, gpa, size) : NULL;
}

/* --- collecting a buffer's pieces --- */

static bool continues(const struct iovec *last, const uint8_t *begin)
{
    return (const uint8_t *)last->iov_base + last->iov_len == begin;
}

/* A piece behind the last one; pieces that follow each other in memory are one. */
int buffer_add(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer, uint64_t gpa,
               uint32_t size, bool is_writable)
{
    vm_t *vm = queue->device->vm;
    struct iovec *next;
    uint8_t *bytes;
    unsigned *nr;
    size_t *total;

    if (size == 0) {
        return 0;
    }
    if (!is_writable && buffer->nr_in > 0) {
        return queue_break(queue, "a piece to read lies behind one to write");
    }
    bytes =
        is_writable ? hostvm_vm_writable_pointer(vm, gpa, size) : hostvm_vm_pointer(vm, gpa, size);
    if (bytes == NULL) {
        return queue_break(queue, "a buffer lies outside of memory");
    }
    nr = is_writable ? &buffer->nr_in : &buffer->nr_out;
    total = is_writable ? &buffer->in_size : &buffer->out_size;
    if (*total + size > UINT32_MAX) { /* 2.7.4.2: a chain is shorter than 4 GiB */
        return queue_break(queue, "a buffer is too large");
    }
    *total += size;
    next = &buffer->iov[buffer->nr_out + buffer->nr_in];
    if (*nr > 0 && continues(next - 1, bytes)) {
        next[-1].iov_len += size;
        return 0;
    }
    if (buffer->nr_out + buffer->nr_in == buffer->iov_max) {
        return queue_break(queue, "a buffer has too many pieces");
    }
    *next = (struct iovec){bytes, size};
    ++*nr;
    return 0;
}

const void *buffer_table(struct hostvm_virtqueue *queue, uint64_t gpa, uint32_t size,
                         uint16_t flags, unsigned *ret_nr)
{
    const void *table = NULL;

    if ((flags & DESCRIPTOR_NEXT) == 0 && size > 0 && size % sizeof(struct split_descriptor) == 0 &&
        size / sizeof(struct split_descriptor) <= HOSTVM_VIRTIO_MAX_QUEUE_SIZE) {
        table = hostvm_vm_pointer(queue->device->vm, gpa, size);
    }
    if (table == NULL || gpa % sizeof(uint64_t) != 0) {
        (void)queue_break(queue, "a table of descriptors is none");
        return NULL;
    }
    *ret_nr = size / sizeof(struct split_descriptor);
    return table;
}

/* --- from start to stop --- */

int virtqueue_start(struct hostvm_virtqueue *queue)
{
    uint64_t features = queue->device->accepted;
    int r;

    queue->is_packed = (features & HOSTVM_VIRTIO_F_RING_PACKED) != 0;
    queue->has_indirect = (features & HOSTVM_VIRTIO_F_INDIRECT_DESC) != 0;
    queue->has_events = (features & HOSTVM_VIRTIO_F_EVENT_IDX) != 0;
    queue->is_broken = false;
    queue->is_ready = true;
    io_drain(queue->kick_fd);
    r = queue->is_packed ? packed_start(queue) : split_start(queue);
    if (r < 0) {
        queue->is_ready = false;
        return queue_break(queue, "it lies outside of memory, or not aligned");
    }
    return 0;
}

void virtqueue_reset(struct hostvm_virtqueue *queue)
{
    if (queue->is_ready && !queue->is_packed) {
        split_stop(queue);
    }
    queue->is_ready = false;
    queue->is_enabled = false;
    queue->size = queue->size_max;
    queue->descriptors = queue->driver_area = queue->device_area = 0;
}

/* --- for devices --- */

int hostvm_virtqueue_fd(const hostvm_virtqueue_t *queue)
{
    return queue->kick_fd;
}

bool hostvm_virtqueue_is_ready(const hostvm_virtqueue_t *queue)
{
    return queue->is_ready;
}

int hostvm_virtqueue_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer)
{
    if (!queue->is_ready || queue->is_broken) {
        return -1;
    }
    return queue->is_packed ? packed_pop(queue, buffer) : split_pop(queue, buffer);
}

void hostvm_virtqueue_push(hostvm_virtqueue_t *queue, const hostvm_virtio_buffer_t *buffer,
                           size_t written)
{
    if (queue->is_packed) {
        packed_push(queue, buffer, (uint32_t)written);
    } else {
        split_push(queue, buffer, (uint32_t)written);
    }
}

void hostvm_virtqueue_publish(hostvm_virtqueue_t *queue)
{
    if (queue->is_packed ? packed_publish(queue) : split_publish(queue)) {
        queue->device->transport->interrupt_queue(queue->device, queue);
    }
}

void hostvm_virtqueue_disarm(hostvm_virtqueue_t *queue)
{
    if (!queue->is_ready) {
        return;
    }
    if (queue->is_packed) {
        packed_disarm(queue);
    } else {
        split_disarm(queue);
    }
}

bool hostvm_virtqueue_rearm(hostvm_virtqueue_t *queue)
{
    if (!queue->is_ready || queue->is_broken) {
        return false;
    }
    return queue->is_packed ? packed_rearm(queue) : split_rearm(queue);
}

/* --- for those that another process serves --- */

int hostvm_virtqueue_layout(const hostvm_virtqueue_t *queue, hostvm_virtqueue_layout_t *ret)
{
    if (ret == NULL || !queue->is_ready) {
        return virtio_status_of(queue->device->vm,
                                fail(-EINVAL,
                                     "cannot tell where queue %u of virtio device %u "
                                     "lies: it is not ready, or no result is given",
                                     queue->index, queue->device->id));
    }
    *ret = (hostvm_virtqueue_layout_t){
        .descriptors = queue->descriptors,
        .driver_area = queue->driver_area,
        .device_area = queue->device_area,
        .size = queue->size,
        .features = queue->device->accepted,
    };
    return 0;
}

void hostvm_virtqueue_interrupt(hostvm_virtqueue_t *queue)
{
    queue->device->transport->interrupt_queue(queue->device, queue);
}

int hostvm_virtqueue_take_back(hostvm_virtqueue_t *queue)
{
    if (!queue->is_ready || queue->is_broken || queue->is_packed) {
        return -1;
    }
    return split_take_back(queue);
}

/* --- copies --- */

static size_t copy(const struct iovec *iov, unsigned nr, size_t offset, uint8_t *bytes, size_t size,
                   bool is_write)
{
    size_t done = 0;

    for (unsigned i = 0; i < nr && done < size; i++) {
        size_t part = iov[i].iov_len;
        uint8_t *piece = iov[i].iov_base;

        if (offset >= part) {
            offset -= part;
            continue;
        }
        part -= offset;
        piece += offset;
        offset = 0;
        if (part > size - done) {
            part = size - done;
        }
        if (is_write) {
            memcpy(piece, bytes + done, part);
        } else {
            memcpy(bytes + done, piece, part);
        }
        done += part;
    }
    return done;
}

/* Headers, as a rule, lie in one piece. */
size_t hostvm_virtio_read(const hostvm_virtio_buffer_t *buffer, size_t offset, void *bytes,
                          size_t size)
{
    if (buffer->nr_out > 0 && offset == 0 && size <= buffer->iov->iov_len) {
        memcpy(bytes, buffer->iov->iov_base, size);
        return size;
    }
    return copy(buffer->iov, buffer->nr_out, offset, bytes, size, false);
}

size_t hostvm_virtio_write(const hostvm_virtio_buffer_t *buffer, size_t offset, const void *bytes,
                           size_t size)
{
    void *source = (void *)(uintptr_t)bytes; /* only read */

    return copy(buffer->iov + buffer->nr_out, buffer->nr_in, offset, source, size, true);
}
