/* Virtio devices behind registers in memory (virtio 1.2, 4.2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <hostvm/eventfd.h>
#include <hostvm/vm.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "base/io.h"
#include "base/reason.h"
#include "virtio/device.h"

/* Registers of 32 bits (4.2.2). */
enum mmio_register {
    MMIO_MAGIC = 0x000,
    MMIO_VERSION = 0x004,
    MMIO_DEVICE_ID = 0x008,
    MMIO_VENDOR_ID = 0x00c,
    MMIO_DEVICE_FEATURES = 0x010,
    MMIO_DEVICE_FEATURES_SELECT = 0x014,
    MMIO_DRIVER_FEATURES = 0x020,
    MMIO_DRIVER_FEATURES_SELECT = 0x024,
    MMIO_QUEUE_SELECT = 0x030,
    MMIO_QUEUE_SIZE_MAX = 0x034,
    MMIO_QUEUE_SIZE = 0x038,
    MMIO_QUEUE_READY = 0x044,
    MMIO_QUEUE_NOTIFY = 0x050,
    MMIO_INTERRUPT_STATUS = 0x060,
    MMIO_INTERRUPT_ACK = 0x064,
    MMIO_STATUS = 0x070,
    MMIO_QUEUE_DESCRIPTORS = 0x080, /* each of these three has its high half behind it */
    MMIO_QUEUE_DRIVER_AREA = 0x090,
    MMIO_QUEUE_DEVICE_AREA = 0x0a0,
    MMIO_SHARED_LENGTH_LOW = 0x0b0, /* of shared memory, of which there is none */
    MMIO_SHARED_LENGTH_HIGH = 0x0b4,
    MMIO_SHARED_BASE_LOW = 0x0b8,
    MMIO_SHARED_BASE_HIGH = 0x0bc,
    MMIO_CONFIG_GENERATION = 0x0fc,
    MMIO_CONFIG = 0x100,
};

enum {
    MAGIC = 0x74726976, /* "virt" */
    VERSION = 2,
    VENDOR = 0x4d565348, /* "HSVM"; of no meaning to drivers */
    WORD = 4,
};

struct mmio {
    struct hostvm_virtio *device;
    vm_memory_reservation_t *reservation;
    uint64_t gpa;
    unsigned gsi;
    int irq_fd; /* -1: none yet */
    bool is_irq_tied;
    unsigned nr_doorbells; /* one per queue, from the first on */
    uint32_t device_features_select, driver_features_select, queue_select;
};

/* --- interrupts: an edge for each --- */

static void interrupt(struct hostvm_virtio *device, unsigned why)
{
    const struct mmio *mmio = device->transport_state;

    atomic_fetch_or(&device->isr, why);
    (void)eventfd_write(mmio->irq_fd, 1); /* KVM reads it: it is never full */
}

static void interrupt_queue(struct hostvm_virtio *device, struct hostvm_virtqueue *queue)
{
    (void)queue;
    interrupt(device, VIRTIO_ISR_QUEUE);
}

static void interrupt_config(struct hostvm_virtio *device)
{
    interrupt(device, VIRTIO_ISR_CONFIG);
}

/* --- registers --- */

static uint32_t read_register(struct mmio *mmio, unsigned offset)
{
    struct hostvm_virtio *device = mmio->device;
    const struct hostvm_virtqueue *queue = virtio_select(device, mmio->queue_select);

    switch (offset) {
    case MMIO_MAGIC:
        return MAGIC;
    case MMIO_VERSION:
        return VERSION;
    case MMIO_DEVICE_ID:
        return device->id;
    case MMIO_VENDOR_ID:
        return VENDOR;
    case MMIO_DEVICE_FEATURES:
        return virtio_offered(device, mmio->device_features_select);
    case MMIO_QUEUE_SIZE_MAX:
        return queue != NULL ? queue->size_max : 0;
    case MMIO_QUEUE_READY:
        return queue != NULL && queue->is_enabled;
    case MMIO_INTERRUPT_STATUS:
        return atomic_load(&device->isr);
    case MMIO_STATUS:
        return atomic_load(&device->status);
    case MMIO_SHARED_LENGTH_LOW: /* 4.2.2: a length of -1 is none; 0 would be one, in error */
    case MMIO_SHARED_LENGTH_HIGH:
    case MMIO_SHARED_BASE_LOW:
    case MMIO_SHARED_BASE_HIGH:
        return UINT32_MAX;
    case MMIO_CONFIG_GENERATION:
        return atomic_load(&device->generation);
    default:
        return 0;
    }
}

static void write_queue(struct hostvm_virtqueue *queue, unsigned offset, uint32_t value)
{
    unsigned word = offset / WORD % 2;

    switch (offset & ~(unsigned)WORD) {
    case MMIO_QUEUE_SIZE & ~WORD:
        virtio_queue_set_size(queue, value);
        break;
    case MMIO_QUEUE_READY & ~WORD:
        virtio_queue_enable(queue, value == 1);
        break;
    case MMIO_QUEUE_DESCRIPTORS:
        virtio_queue_set_address(queue, &queue->descriptors, word, value);
        break;
    case MMIO_QUEUE_DRIVER_AREA:
        virtio_queue_set_address(queue, &queue->driver_area, word, value);
        break;
    case MMIO_QUEUE_DEVICE_AREA:
        virtio_queue_set_address(queue, &queue->device_area, word, value);
        break;
    default:
        break;
    }
}

static void write_register(struct mmio *mmio, unsigned offset, uint32_t value)
{
    struct hostvm_virtio *device = mmio->device;
    struct hostvm_virtqueue *queue = virtio_select(device, mmio->queue_select);

    switch (offset) {
    case MMIO_DEVICE_FEATURES_SELECT:
        mmio->device_features_select = value;
        break;
    case MMIO_DRIVER_FEATURES:
        virtio_accept(device, mmio->driver_features_select, value);
        break;
    case MMIO_DRIVER_FEATURES_SELECT:
        mmio->driver_features_select = value;
        break;
    case MMIO_QUEUE_SELECT:
        mmio->queue_select = value;
        break;
    case MMIO_QUEUE_NOTIFY:
        queue = virtio_select(device, value);
        if (queue != NULL) {
            virtio_kick(queue);
        }
        break;
    case MMIO_INTERRUPT_ACK:
        atomic_fetch_and(&device->isr, ~value);
        break;
    case MMIO_STATUS:
        virtio_set_status(device, (uint8_t)value);
        break;
    default:
        if (queue != NULL) {
            write_queue(queue, offset, value);
        }
        break;
    }
}

/* --- accesses: registers are accessed as a whole, the configuration as the driver likes --- */

uint64_t virtio_mmio_read(struct hostvm_virtio *device, unsigned offset, size_t size)
{
    struct mmio *mmio = device->transport_state;
    uint64_t value = 0;

    if (offset >= MMIO_CONFIG) {
        virtio_read_config(device, offset - MMIO_CONFIG, &value, size);
    } else if (size == WORD && offset % WORD == 0) {
        value = read_register(mmio, offset);
    }
    return value;
}

void virtio_mmio_write(struct hostvm_virtio *device, unsigned offset, size_t size, uint64_t value)
{
    struct mmio *mmio = device->transport_state;

    if (offset >= MMIO_CONFIG) {
        virtio_write_config(device, offset - MMIO_CONFIG, &value, size);
    } else if (size == WORD && offset % WORD == 0) {
        write_register(mmio, offset, (uint32_t)value);
    }
}

static memory_fault_result_t fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                   void *cookie)
{
    struct mmio *mmio = cookie;
    unsigned offset = (unsigned)(addr - mmio->gpa);

    (void)vm;
    if (is_vcpu_read_fault(vcpu)) {
        (void)hostvm_set_fault_data(
            vcpu, virtio_mmio_read(mmio->device, offset, size)); /* it is a read */
    } else {
        virtio_mmio_write(mmio->device, offset, size, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* --- putting it into the machine --- */

static hostvm_doorbell_t doorbell_of(const struct mmio *mmio, unsigned queue)
{
    return (hostvm_doorbell_t){
        .addr = mmio->gpa + MMIO_QUEUE_NOTIFY, .size = WORD, .has_value = true, .value = queue};
}

static void release(struct mmio *mmio)
{
    struct hostvm_virtio *device = mmio->device;

    while (mmio->nr_doorbells > 0) {
        hostvm_doorbell_t doorbell = doorbell_of(mmio, --mmio->nr_doorbells);

        (void)hostvm_doorbell_remove(device->vm, &doorbell,
                                     device->queues[mmio->nr_doorbells].kick_fd);
    }
    if (mmio->is_irq_tied) {
        (void)hostvm_irqfd_remove(device->vm, mmio->gsi, mmio->irq_fd);
    }
    if (mmio->reservation != NULL) {
        (void)vm_free_reserved_memory(device->vm, mmio->reservation);
    }
    io_close(&mmio->irq_fd);
    free(mmio);
}

static void detach(struct hostvm_virtio *device)
{
    release(device->transport_state);
    device->transport_state = NULL;
}

static void reset(struct hostvm_virtio *device)
{
    struct mmio *mmio = device->transport_state;

    mmio->device_features_select = mmio->driver_features_select = mmio->queue_select = 0;
}

static const struct virtio_transport transport = {
    .interrupt_queue = interrupt_queue,
    .interrupt_config = interrupt_config,
    .reset = reset,
    .detach = detach,
};

/* Negative: it failed, and whoever did has said why. */
static int place(struct mmio *mmio)
{
    struct hostvm_virtio *device = mmio->device;

    mmio->reservation =
        vm_reserve_memory_at(device->vm, mmio->gpa, HOSTVM_VIRTIO_MMIO_SIZE, fault, mmio);
    if (mmio->reservation == NULL) {
        return -1;
    }
    mmio->is_irq_tied = hostvm_irqfd_add(device->vm, mmio->gsi, mmio->irq_fd) == 0;
    if (!mmio->is_irq_tied) {
        return -1;
    }
    while (mmio->nr_doorbells < device->nr_queues) {
        hostvm_doorbell_t doorbell = doorbell_of(mmio, mmio->nr_doorbells);

        if (hostvm_doorbell_add(device->vm, &doorbell,
                                device->queues[mmio->nr_doorbells].kick_fd) != 0) {
            return -1;
        }
        mmio->nr_doorbells++;
    }
    return 0;
}

static int create(struct hostvm_virtio *device, uint64_t gpa, unsigned gsi, struct mmio **ret)
{
    struct mmio *mmio = calloc(1, sizeof(*mmio));

    if (mmio == NULL) {
        return fail(-ENOMEM, "cannot attach virtio device %u: out of memory", device->id);
    }
    *mmio = (struct mmio){.device = device, .gpa = gpa, .gsi = gsi, .irq_fd = io_eventfd()};
    *ret = mmio;
    return mmio->irq_fd < 0 ? mmio->irq_fd : 0;
}

static int check(const struct hostvm_virtio *device, uint64_t gpa)
{
    if (device->transport != NULL) {
        return fail(-EBUSY, "cannot attach virtio device %u: it is attached already", device->id);
    }
    if (gpa % HOSTVM_VIRTIO_MMIO_SIZE != 0) {
        return fail(-EINVAL,
                    "cannot attach virtio device %u at 0x%llx: that is no multiple of 0x%x",
                    device->id, (unsigned long long)gpa, HOSTVM_VIRTIO_MMIO_SIZE);
    }
    return 0;
}

int hostvm_virtio_attach_mmio(hostvm_virtio_t *device, uintptr_t gpa, unsigned int gsi)
{
    struct mmio *mmio = NULL;
    int r;

    if (device == NULL) {
        return virtio_status_of(NULL, fail(-EINVAL, "hostvm_virtio_attach_mmio: no device given"));
    }
    r = check(device, gpa);
    if (r == 0) {
        r = create(device, gpa, gsi, &mmio);
    }
    if (virtio_status_of(device->vm, r) == 0 && place(mmio) == 0) {
        device->transport_state = mmio;
        device->transport = &transport;
        return 0;
    }
    if (mmio != NULL) {
        release(mmio);
    }
    return -1;
}
