/* Virtio devices as PCI functions (virtio 1.2, 4.1), without what drivers before 1.0 want. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <hostvm/pci.h>

#include "base/range.h"
#include "base/reason.h"
#include "virtio/device.h"
#include "virtio/pci.h"

/* What stands where in the memory of the function: each in pages of its own, so that a driver in
 * user space can be given some of them. */
enum {
    BAR = 0,
    BAR_OF_VECTORS = 2, /* the other one has 64 bits */
    COMMON = 0x0000,
    ISR = 0x1000,
    ISR_SIZE = 1,
    CONFIG = 0x2000,
    NOTIFY = 0x3000,
    NOTIFY_STEP = 4, /* from queue to queue */
    BAR_SIZE = 0x4000,
};

/* Capabilities (4.1.4): what each is, and what stands in it, from behind id and pointer on. */
enum {
    ID_VENDOR = 0x09,
    TYPE_COMMON = 1,
    TYPE_NOTIFY = 2,
    TYPE_ISR = 3,
    TYPE_CONFIG = 4,
    TYPE_ACCESS = 5,
    CAP_HEAD = 2,
    CAP_LENGTH = 0,
    CAP_TYPE = 1,
    CAP_BAR = 2,
    CAP_OFFSET = 6,
    CAP_SIZE_OF = 10,
    CAP_END = 14,
    CAP_EXTRA = 14, /* the step of notifications, or data */
    CAP_EXTRA_END = 18,
};

enum {
    VENDOR = 0x1af4,       /* 4.1.2 */
    FIRST_DEVICE = 0x1040, /* 4.1.2.1 */
    FIRST_SUBSYSTEM = 0x40,
    REVISION = 1,
};

/* --- interrupts: messages where the driver has turned them on, else the line --- */

static void raise_line(struct pci *pci, unsigned why)
{
    (void)pthread_mutex_lock(&pci->line_lock);
    atomic_fetch_or(&pci->device->isr, why);
    hostvm_pci_set_irq(pci->function, true);
    (void)pthread_mutex_unlock(&pci->line_lock);
}

static uint8_t take_isr(struct pci *pci)
{
    unsigned isr;

    (void)pthread_mutex_lock(&pci->line_lock);
    isr = atomic_exchange(&pci->device->isr, 0);
    hostvm_pci_set_irq(pci->function, false);
    (void)pthread_mutex_unlock(&pci->line_lock);
    return (uint8_t)isr;
}

static void interrupt(struct pci *pci, const uint16_t *vector, unsigned why)
{
    uint16_t number = __atomic_load_n(vector, __ATOMIC_RELAXED);

    if (!hostvm_pci_has_messages(pci->function)) {
        raise_line(pci, why);
    } else if (number != PCI_NO_VECTOR) {
        (void)eventfd_write(hostvm_pci_vector_fd(pci->function, number),
                            1); /* full: it is pending all the same */
    }
}

static void interrupt_queue(struct hostvm_virtio *device, struct hostvm_virtqueue *queue)
{
    interrupt(device->transport_state, &queue->vector, VIRTIO_ISR_QUEUE);
}

static void interrupt_config(struct hostvm_virtio *device)
{
    struct pci *pci = device->transport_state;

    interrupt(pci, &pci->config_vector, VIRTIO_ISR_CONFIG);
}

/* --- memory of the function --- */

static uint64_t read_bar(void *cookie, unsigned bar, uint64_t offset, size_t size)
{
    struct pci *pci = cookie;
    uint64_t value = 0;

    (void)bar;
    if (offset >= NOTIFY) {
        return 0;
    }
    if (offset >= CONFIG) {
        virtio_read_config(pci->device, offset - CONFIG, &value, size);
        return value;
    }
    if (offset >= ISR) {
        return offset == ISR ? take_isr(pci) : 0;
    }
    return pci_common_read(pci, offset, size);
}

static void write_bar(void *cookie, unsigned bar, uint64_t offset, size_t size, uint64_t value)
{
    struct pci *pci = cookie;
    struct hostvm_virtqueue *queue;

    (void)bar;
    if (offset >= NOTIFY) {
        queue = virtio_select(pci->device, (uint32_t)((offset - NOTIFY) / NOTIFY_STEP));
        if (queue != NULL) {
            virtio_kick(queue);
        }
    } else if (offset >= CONFIG) {
        virtio_write_config(pci->device, offset - CONFIG, &value, size);
    } else {
        pci_common_write(pci, offset, size, value);
    }
}

/* --- the way to that memory through configuration space (4.1.4.9) --- */

static uint32_t load32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void store32(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Bytes of the data are accessed, and the window leads to somewhere. */
static bool find_access(const struct pci *pci, unsigned offset, size_t size, uint8_t **ret_data,
                        uint32_t *ret_offset, uint32_t *ret_size)
{
    uint8_t *cap = hostvm_pci_capability(pci->function, pci->access);

    *ret_data = cap + CAP_EXTRA;
    *ret_offset = load32(cap + CAP_OFFSET);
    *ret_size = load32(cap + CAP_SIZE_OF);
    return offset + size > pci->access + CAP_EXTRA && offset < pci->access + CAP_EXTRA_END &&
           cap[CAP_BAR] == BAR && (*ret_size == 1 || *ret_size == 2 || *ret_size == 4) &&
           *ret_offset % *ret_size == 0 &&
           range_contains((struct range){0, BAR_SIZE}, (struct range){*ret_offset, *ret_size});
}

static void reads_config(void *cookie, unsigned offset, size_t size)
{
    struct pci *pci = cookie;
    uint32_t at, length;
    uint8_t *data;

    if (find_access(pci, offset, size, &data, &at, &length)) {
        store32(data, read_bar(pci, BAR, at, length));
    }
}

static void wrote_config(void *cookie, unsigned offset, size_t size)
{
    struct pci *pci = cookie;
    uint32_t at, length;
    uint8_t *data;

    if (find_access(pci, offset, size, &data, &at, &length)) {
        write_bar(pci, BAR, at, length, load32(data) & (UINT32_MAX >> (32 - 8 * length)));
    }
}

/* --- construction --- */

static int add_capability(struct pci *pci, uint8_t type, uint32_t offset, uint32_t size)
{
    uint8_t bytes[CAP_EXTRA_END] = {
        [CAP_LENGTH] = CAP_HEAD + CAP_END, [CAP_TYPE] = type, [CAP_BAR] = BAR};
    static const uint8_t access_writable[CAP_EXTRA_END] = {
        [CAP_BAR] = 0xff, [CAP_OFFSET... CAP_EXTRA_END - 1] = 0xff};
    size_t length = CAP_END;

    store32(&bytes[CAP_OFFSET], offset);
    store32(&bytes[CAP_SIZE_OF], size);
    if (type == TYPE_NOTIFY || type == TYPE_ACCESS) {
        store32(&bytes[CAP_EXTRA], type == TYPE_NOTIFY ? NOTIFY_STEP : 0);
        length = CAP_EXTRA_END;
        bytes[CAP_LENGTH] = CAP_HEAD + CAP_EXTRA_END;
    }
    return hostvm_pci_add_capability(pci->function, ID_VENDOR, bytes,
                                     type == TYPE_ACCESS ? access_writable : NULL, length);
}

static int add_capabilities(struct pci *pci)
{
    const struct hostvm_virtio *device = pci->device;
    const struct {
        uint8_t type;
        uint32_t offset, size;
    } structures[] = {
        {TYPE_COMMON, COMMON, PCI_COMMON_SIZE},
        {TYPE_ISR, ISR, ISR_SIZE},
        {TYPE_CONFIG, CONFIG, (uint32_t)device->config_size},
        {TYPE_NOTIFY, NOTIFY, device->nr_queues * NOTIFY_STEP},
        {TYPE_ACCESS, 0, 0},
    };

    for (unsigned i = 0; i < sizeof(structures) / sizeof(structures[0]); i++) {
        int at;

        if (structures[i].type == TYPE_CONFIG && device->config_size == 0) {
            continue;
        }
        at = add_capability(pci, structures[i].type, structures[i].offset, structures[i].size);
        if (at < 0) {
            return -1;
        }
        pci->access = (unsigned)at; /* the last one's */
    }
    return 0;
}

static int add_doorbells(struct pci *pci)
{
    const struct hostvm_virtio *device = pci->device;

    for (unsigned i = 0; i < device->nr_queues; i++) {
        const hostvm_doorbell_t doorbell = {.addr = NOTIFY + i * NOTIFY_STEP};

        if (hostvm_pci_doorbell_add(pci->function, BAR, &doorbell, device->queues[i].kick_fd) !=
            0) {
            return -1;
        }
    }
    return 0;
}

/* What a driver that looks for no virtio sees (PCI Code and ID Assignment Specification, 1). */
static uint32_t class_code(uint16_t id)
{
    switch (id) {
    case 1:
        return 0x020000; /* Ethernet */
    case 2:
    case 8:
        return 0x010000; /* SCSI */
    case 3:
    case 19:
        return 0x078000; /* communication */
    case 16:
        return 0x038000; /* display */
    case 18:
        return 0x098000; /* input */
    case 26:
        return 0x018000; /* mass storage */
    default:
        return 0xff0000; /* of no class */
    }
}

static int add_function(struct pci *pci, hostvm_pci_bus_t *bus, int slot)
{
    static const hostvm_pci_ops_t ops = {
        .read = read_bar,
        .write = write_bar,
        .reads_config = reads_config,
        .wrote_config = wrote_config,
    };
    const hostvm_pci_config_t config = {
        .vendor = VENDOR,
        .device = (uint16_t)(FIRST_DEVICE + pci->device->id),
        .subsystem_vendor = VENDOR,
        .subsystem = (uint16_t)(FIRST_SUBSYSTEM + pci->device->id),
        .class_code = class_code(pci->device->id),
        .revision = REVISION,
        .has_line = true,
        .bars = {[BAR] = {.size = BAR_SIZE, .is_64bit = true}},
        .nr_vectors = pci->nr_vectors,
        .msix_bar = BAR_OF_VECTORS,
        .ops = &ops,
        .cookie = pci,
    };

    pci->function = hostvm_pci_add(bus, slot, &config);
    return pci->function == NULL ? -1 : 0;
}

static void release(struct pci *pci)
{
    hostvm_pci_remove(pci->function);
    (void)pthread_mutex_destroy(&pci->line_lock);
    free(pci);
}

static void detach(struct hostvm_virtio *device)
{
    release(device->transport_state);
    device->transport_state = NULL;
}

static void reset(struct hostvm_virtio *device)
{
    struct pci *pci = device->transport_state;

    (void)take_isr(pci);
    pci_common_reset(pci);
}

static const struct virtio_transport transport = {
    .interrupt_queue = interrupt_queue,
    .interrupt_config = interrupt_config,
    .reset = reset,
    .detach = detach,
};

static struct pci *create(struct hostvm_virtio *device)
{
    struct pci *pci = calloc(1, sizeof(*pci));

    if (pci == NULL) {
        (void)fail(-ENOMEM, "cannot attach virtio device %u: out of memory", device->id);
        return NULL;
    }
    pci->device = device;
    pci->nr_vectors = device->nr_queues + 1;
    (void)pthread_mutex_init(&pci->line_lock, NULL); /* cannot fail: without attributes */
    return pci;
}

/* From now on the device has a transport: what fails is undone by detaching. */
static int attach(struct hostvm_virtio *device, hostvm_pci_bus_t *bus, int slot)
{
    struct pci *pci = create(device);

    if (pci == NULL) {
        return virtio_status_of(device->vm, -ENOMEM);
    }
    if (add_function(pci, bus, slot) != 0 || add_capabilities(pci) != 0 ||
        add_doorbells(pci) != 0) {
        release(pci); /* and the reason was said */
        return -1;
    }
    device->transport_state = pci;
    device->transport = &transport;
    reset(device);
    return 0;
}

int hostvm_virtio_attach_pci(hostvm_virtio_t *device, hostvm_pci_bus_t *bus, int slot)
{
    int r = 0;

    if (device == NULL || bus == NULL) {
        return virtio_status_of(
            NULL, fail(-EINVAL, "hostvm_virtio_attach_pci: no device or no bus given"));
    }
    if (device->transport != NULL) {
        r = fail(-EBUSY, "cannot attach virtio device %u: it is attached already", device->id);
    } else if (device->id > UINT16_MAX - FIRST_DEVICE) {
        r = fail(-EINVAL, "cannot attach virtio device %u to PCI: there is no such number there",
                 device->id);
    }
    return r < 0 ? virtio_status_of(device->vm, r) : attach(device, bus, slot);
}
