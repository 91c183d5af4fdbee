/* The common configuration of a virtio device on PCI: features, status, queues, vectors (virtio
 * 1.2, 4.1.4.3). */
#include "virtio/pci.h"

enum {
    COMMON_DEVICE_FEATURES_SELECT = 0x00,
    COMMON_DEVICE_FEATURES = 0x04,
    COMMON_DRIVER_FEATURES_SELECT = 0x08,
    COMMON_DRIVER_FEATURES = 0x0c,
    COMMON_CONFIG_VECTOR = 0x10,
    COMMON_NR_QUEUES = 0x12,
    COMMON_STATUS = 0x14,
    COMMON_GENERATION = 0x15,
    COMMON_QUEUE_SELECT = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_NOTIFY = 0x1e,
    COMMON_QUEUE_DESCRIPTORS = 0x20, /* each of these three has its high half behind it */
    COMMON_QUEUE_DRIVER_AREA = 0x28,
    COMMON_QUEUE_DEVICE_AREA = 0x30,
    COMMON_QUEUE_AREAS_END = 0x38,
};

/* The driver reads back what it gets. */
static void set_vector(const struct pci *pci, uint16_t *vector, uint64_t value)
{
    __atomic_store_n(vector, value < pci->nr_vectors ? (uint16_t)value : PCI_NO_VECTOR,
                     __ATOMIC_RELAXED);
}

/* How many bytes of it a register has; 0: there is none at this offset. */
static size_t register_size(uint64_t offset)
{
    static const uint8_t sizes[PCI_COMMON_SIZE] = {
        [COMMON_DEVICE_FEATURES_SELECT] = 4,
        [COMMON_DEVICE_FEATURES] = 4,
        [COMMON_DRIVER_FEATURES_SELECT] = 4,
        [COMMON_DRIVER_FEATURES] = 4,
        [COMMON_CONFIG_VECTOR] = 2,
        [COMMON_NR_QUEUES] = 2,
        [COMMON_STATUS] = 1,
        [COMMON_GENERATION] = 1,
        [COMMON_QUEUE_SELECT] = 2,
        [COMMON_QUEUE_SIZE] = 2,
        [COMMON_QUEUE_VECTOR] = 2,
        [COMMON_QUEUE_ENABLE] = 2,
        [COMMON_QUEUE_NOTIFY] = 2,
        [COMMON_QUEUE_DESCRIPTORS] = 4,
        [COMMON_QUEUE_DESCRIPTORS + 4] = 4,
        [COMMON_QUEUE_DRIVER_AREA] = 4,
        [COMMON_QUEUE_DRIVER_AREA + 4] = 4,
        [COMMON_QUEUE_DEVICE_AREA] = 4,
        [COMMON_QUEUE_DEVICE_AREA + 4] = 4,
    };

    return offset < PCI_COMMON_SIZE ? sizes[offset] : 0;
}

/* Of the selected queue; offset is one of the three areas', or their high halves'. */
static uint64_t *queue_address(struct hostvm_virtqueue *queue, uint64_t offset)
{
    switch (offset & ~(uint64_t)7) {
    case COMMON_QUEUE_DESCRIPTORS:
        return &queue->descriptors;
    case COMMON_QUEUE_DRIVER_AREA:
        return &queue->driver_area;
    default:
        return &queue->device_area;
    }
}

static uint32_t read_queue(struct hostvm_virtqueue *queue, uint64_t offset)
{
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        return queue->size;
    case COMMON_QUEUE_VECTOR:
        return queue->vector;
    case COMMON_QUEUE_ENABLE:
        return queue->is_enabled;
    case COMMON_QUEUE_NOTIFY:
        return queue->index;
    default:
        return (uint32_t)(*queue_address(queue, offset) >> 8 * (offset & 4));
    }
}

static uint32_t read_register(struct pci *pci, uint64_t offset)
{
    struct hostvm_virtio *device = pci->device;
    struct hostvm_virtqueue *queue = virtio_select(device, pci->queue_select);

    switch (offset) {
    case COMMON_DEVICE_FEATURES_SELECT:
        return pci->device_features_select;
    case COMMON_DEVICE_FEATURES:
        return virtio_offered(device, pci->device_features_select);
    case COMMON_DRIVER_FEATURES_SELECT:
        return pci->driver_features_select;
    case COMMON_DRIVER_FEATURES:
        return virtio_accepted(device, pci->driver_features_select);
    case COMMON_CONFIG_VECTOR:
        return pci->config_vector;
    case COMMON_NR_QUEUES:
        return device->nr_queues;
    case COMMON_STATUS:
        return atomic_load(&device->status);
    case COMMON_GENERATION:
        return atomic_load(&device->generation) & 0xff;
    case COMMON_QUEUE_SELECT:
        return pci->queue_select;
    default:
        return queue != NULL ? read_queue(queue, offset) : 0;
    }
}

static void write_queue(struct pci *pci, struct hostvm_virtqueue *queue, uint64_t offset,
                        uint32_t value)
{
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        virtio_queue_set_size(queue, value);
        break;
    case COMMON_QUEUE_VECTOR:
        set_vector(pci, &queue->vector, value);
        break;
    case COMMON_QUEUE_ENABLE:
        if (value == 1) { /* a driver does not write 0 (4.1.4.3.2) */
            virtio_queue_enable(queue, true);
        }
        break;
    case COMMON_QUEUE_NOTIFY:
        break;
    default:
        virtio_queue_set_address(queue, queue_address(queue, offset), (offset & 4) != 0, value);
        break;
    }
}

static void write_register(struct pci *pci, uint64_t offset, uint32_t value)
{
    struct hostvm_virtio *device = pci->device;
    struct hostvm_virtqueue *queue = virtio_select(device, pci->queue_select);

    switch (offset) {
    case COMMON_DEVICE_FEATURES_SELECT:
        pci->device_features_select = value;
        break;
    case COMMON_DRIVER_FEATURES_SELECT:
        pci->driver_features_select = value;
        break;
    case COMMON_DRIVER_FEATURES:
        virtio_accept(device, pci->driver_features_select, value);
        break;
    case COMMON_CONFIG_VECTOR:
        set_vector(pci, &pci->config_vector, value);
        break;
    case COMMON_STATUS:
        virtio_set_status(device, (uint8_t)value);
        break;
    case COMMON_QUEUE_SELECT:
        pci->queue_select = (uint16_t)value;
        break;
    case COMMON_DEVICE_FEATURES:
    case COMMON_NR_QUEUES:
    case COMMON_GENERATION:
        break;
    default:
        if (queue != NULL) {
            write_queue(pci, queue, offset, value);
        }
        break;
    }
}

/* The addresses of queues are the only ones that have 64 bits. */
static bool is_two_registers(uint64_t offset, size_t size)
{
    return size == 8 && offset % 8 == 0 && offset >= COMMON_QUEUE_DESCRIPTORS &&
           offset < COMMON_QUEUE_AREAS_END;
}

uint64_t pci_common_read(struct pci *pci, uint64_t offset, size_t size)
{
    if (is_two_registers(offset, size)) {
        return read_register(pci, offset) | (uint64_t)read_register(pci, offset + 4) << 32;
    }
    return size == register_size(offset) ? read_register(pci, offset) : 0;
}

void pci_common_write(struct pci *pci, uint64_t offset, size_t size, uint64_t value)
{
    if (is_two_registers(offset, size)) {
        write_register(pci, offset, (uint32_t)value);
        write_register(pci, offset + 4, (uint32_t)(value >> 32));
    } else if (size == register_size(offset)) {
        write_register(pci, offset, (uint32_t)value);
    }
}

void pci_common_reset(struct pci *pci)
{
    pci->device_features_select = pci->driver_features_select = 0;
    pci->queue_select = 0;
    set_vector(pci, &pci->config_vector, PCI_NO_VECTOR);
    for (unsigned i = 0; i < pci->device->nr_queues; i++) {
        set_vector(pci, &pci->device->queues[i].vector, PCI_NO_VECTOR);
    }
}
