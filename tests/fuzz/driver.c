/* The hostile guest: a VM without KVM, a transport to the device, and a program of actions. */
#include "driver.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>

#include "pci/bus.h"
#include "support/fake_irqs.h"
#include "support/fake_kvm.h"
#include "support/inject.h"
#include "virtio/ring.h"

/* --- the machine: RAM in pieces, so that there are edges of all kinds --- */

enum {
    PAGE = 0x1000,
    RINGS = 0x1000, /* where queues are put when nothing else is asked for */
    RING_STRIDE = 0x3000,
    RING_AVAILABLE = 0x1000,
    RING_USED = 0x2000,
    BUFFERS = 0x19000,
    LOW_END = 0x30000,
    ROM = 0x80000, /* a page that the guest cannot write */
    MMIO = 0x200000,
    GSI = 10,
    ECAM = 0x30000000,
    WINDOW = 0x10000000,
    WINDOW_SIZE = 0x100000,
    MAX_QUEUES = 8,
    FLIPS = 256,
    FREED_RESERVATIONS = 2000,
    MOST_GROWTH = 32, /* blocks of heap */
};

#define WINDOW64      0x400000000ull
#define WINDOW64_SIZE 0x100000ull

static const struct {
    uint64_t gpa, size;
} ram[] = {
    {0, 0x20000},              /* and the next one, which touches it */
    {0x20000, 0x10000},        /* up to LOW_END */
    {0x100000, 0x10000},       /* on its own */
    {0x100000000ull, 0x10000}, /* above 4 GiB */
};

enum { NR_RAM = sizeof(ram) / sizeof(ram[0]) };

static hostvm_env_t env;
static vm_t vm;
static uint8_t *ram_bytes[NR_RAM];
static struct worker *worker;
static const struct fake_irqs *irqs; /* what is tied to the VM */

/* Of one input. */
static struct {
    const uint8_t *bytes;
    size_t size;
} input;

static hostvm_pci_bus_t *bus; /* NULL: the device is in memory */
static hostvm_virtio_t *device;

struct queue {
    uint16_t next; /* where the next descriptors go */
    bool wrap;
};

static struct queue queues[MAX_QUEUES];
static unsigned queue_size; /* as all of them were set up last, if they were */
static bool is_packed;

void fuzz_fail(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: it is not so: %s\n", file, line, condition);
    abort();
}

bool fuzz_is_ram(const void *bytes, size_t size)
{
    const uint8_t *begin = bytes;

    for (unsigned i = 0; i < NR_RAM; i++) {
        uint64_t room = ram[i].size;

        for (unsigned k = i + 1; k < NR_RAM && ram_bytes[k] == ram_bytes[i] + room; k++) {
            room += ram[k].size;
        }
        if (begin >= ram_bytes[i] && begin < ram_bytes[i] + ram[i].size &&
            size <= room - (size_t)(begin - ram_bytes[i])) {
            return true;
        }
    }
    return false;
}

bool fuzz_is_memory(const void *bytes, size_t size)
{
    const uint8_t *rom = hostvm_vm_pointer(&vm, ROM, PAGE);
    const uint8_t *begin = bytes;

    return fuzz_is_ram(bytes, size) ||
           (begin >= rom && begin < rom + PAGE && size <= PAGE - (size_t)(begin - rom));
}

/* --- the input --- */

void fuzz_bytes(void *ret, size_t size)
{
    size_t there = size < input.size ? size : input.size;

    memset(ret, 0, size);
    if (there > 0) {
        memcpy(ret, input.bytes, there);
        input.bytes += there;
        input.size -= there;
    }
}

uint8_t fuzz_u8(void)
{
    uint8_t value;

    fuzz_bytes(&value, sizeof(value));
    return value;
}

uint16_t fuzz_u16(void)
{
    uint16_t value;

    fuzz_bytes(&value, sizeof(value));
    return value;
}

uint32_t fuzz_u32(void)
{
    uint32_t value;

    fuzz_bytes(&value, sizeof(value));
    return value;
}

uint64_t fuzz_u64(void)
{
    uint64_t value;

    fuzz_bytes(&value, sizeof(value));
    return value;
}

/* Mostly good ones, then edges, then any. */
static uint64_t next_gpa(void)
{
    static const uint64_t edges[] = {
        0,        0x20000,        LOW_END,        ROM,  0x81000,    0x100000,
        0x110000, 0x100000000ull, 0x100010000ull, MMIO, UINT32_MAX, UINT64_MAX};
    uint8_t kind = fuzz_u8();

    switch (kind & 7) {
    case 0:
    case 1:
    case 2:
        return BUFFERS + ((uint64_t)fuzz_u8() << 4);
    case 3:
        return (uint64_t)fuzz_u16() << 2;
    case 4: {
        uint64_t edge = edges[(kind >> 3) % (sizeof(edges) / sizeof(edges[0]))];

        return edge + (uint64_t)(int64_t)(int8_t)fuzz_u8();
    }
    case 5:
        return RINGS + (uint64_t)(kind >> 3 & 7) * RING_STRIDE + ((uint64_t)fuzz_u8() << 4);
    case 6:
        return fuzz_u32();
    default:
        return fuzz_u64();
    }
}

static uint32_t next_length(void)
{
    uint8_t kind = fuzz_u8();

    switch (kind >> 6) {
    case 0:
        return kind;
    case 1:
        return (uint32_t)(kind & 63) << 9;
    case 2:
        return fuzz_u16();
    default:
        return fuzz_u32();
    }
}

/* --- guest memory, as a guest reaches it --- */

/* Also by a thread that changes it while the device reads. */
static void store(uint64_t gpa, const void *bytes, size_t size)
{
    void *place = hostvm_vm_pointer(&vm, gpa, size);

    if (place != NULL && fuzz_is_ram(place, size)) {
        memcpy(place, bytes, size);
    }
}

static uint16_t load16(uint64_t gpa)
{
    const uint16_t *place = hostvm_vm_pointer(&vm, gpa, sizeof(*place));

    return place == NULL ? 0 : LOAD(*place);
}

static void store16(uint64_t gpa, uint16_t value)
{
    store(gpa, &value, sizeof(value));
}

/* A second processor, which stores two values in turn as long as it is told to. */
static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told;
    atomic_bool is_wanted;
    bool is_storing; /* guarded by lock */
    _Atomic(void *) place;
    unsigned size;
    uint64_t values[2];
} flipper = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

static void flip(void)
{
    void *place = atomic_load(&flipper.place);

    for (unsigned i = 0; atomic_load_explicit(&flipper.is_wanted, memory_order_relaxed); i++) {
        switch (flipper.size) {
        case 2:
            __atomic_store_n((uint16_t *)place, (uint16_t)flipper.values[i & 1], __ATOMIC_RELAXED);
            break;
        case 4:
            __atomic_store_n((uint32_t *)place, (uint32_t)flipper.values[i & 1], __ATOMIC_RELAXED);
            break;
        default:
            __atomic_store_n((uint64_t *)place, flipper.values[i & 1], __ATOMIC_RELAXED);
            break;
        }
        if (i % FLIPS == 0) { /* where processors are few, the device has its turn */
            (void)sched_yield();
        }
    }
}

static void *run_flipper(void *cookie)
{
    (void)cookie;
    (void)pthread_mutex_lock(&flipper.lock);
    for (;;) {
        while (!atomic_load(&flipper.is_wanted)) {
            flipper.is_storing = false;
            (void)pthread_cond_broadcast(&flipper.told);
            (void)pthread_cond_wait(&flipper.told, &flipper.lock);
        }
        (void)pthread_mutex_unlock(&flipper.lock);
        flip();
        (void)pthread_mutex_lock(&flipper.lock);
    }
    return NULL;
}

static void stop_flipping(void)
{
    (void)pthread_mutex_lock(&flipper.lock);
    if (atomic_load(&flipper.place) != NULL) {
        atomic_store(&flipper.is_wanted, false);
        while (flipper.is_storing) {
            (void)pthread_cond_wait(&flipper.told, &flipper.lock);
        }
        atomic_store(&flipper.place, NULL);
    }
    (void)pthread_mutex_unlock(&flipper.lock);
}

static void start_flipping(uint64_t gpa, unsigned size, uint64_t first, uint64_t second)
{
    void *place = hostvm_vm_pointer(&vm, gpa & ~(uint64_t)(size - 1), size);

    stop_flipping();
    if (place == NULL || !fuzz_is_ram(place, size)) {
        return;
    }
    (void)pthread_mutex_lock(&flipper.lock);
    atomic_store(&flipper.place, place);
    flipper.size = size;
    flipper.values[0] = first;
    flipper.values[1] = second;
    flipper.is_storing = true; /* it will */
    atomic_store(&flipper.is_wanted, true);
    (void)pthread_cond_broadcast(&flipper.told);
    (void)pthread_mutex_unlock(&flipper.lock);
}

/* --- the workers of the device: --wrap brings their making here --- */

enum { MAX_WORKERS = 8 };

static struct worker *workers[MAX_WORKERS];

struct worker *__real_worker_create(const char *name);
void __real_worker_destroy(struct worker *ended);
struct worker *__wrap_worker_create(const char *name);
void __wrap_worker_destroy(struct worker *ended);

static void replace_worker(const struct worker *old, struct worker *new)
{
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        if (workers[i] == old) {
            workers[i] = new;
            return;
        }
    }
}

struct worker *__wrap_worker_create(const char *name)
{
    struct worker *made = __real_worker_create(name);

    if (made != NULL) {
        replace_worker(NULL, made);
    }
    return made;
}

void __wrap_worker_destroy(struct worker *ended)
{
    if (ended != NULL) {
        replace_worker(ended, NULL);
    }
    __real_worker_destroy(ended);
}

static void nothing(void *cookie)
{
    (void)cookie;
}

/* What was ready before the first call is served when the second one returns, as a rule. */
static void settle(void)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MAX_WORKERS; i++) {
            if (workers[i] != NULL) {
                worker_call(workers[i], nothing, NULL);
            }
        }
    }
    if (fuzz_target.settle != NULL) {
        fuzz_target.settle();
    }
}

/* --- registers, in both transports --- */

enum {
    MMIO_FEATURES = 0x20,
    MMIO_FEATURES_SELECT = 0x24,
    MMIO_QUEUE_SELECT = 0x30,
    MMIO_QUEUE_SIZE = 0x38,
    MMIO_QUEUE_READY = 0x44,
    MMIO_NOTIFY = 0x50,
    MMIO_STATUS = 0x70,
    MMIO_AREAS = 0x80,
    MMIO_AREA_STEP = 0x10,
    MMIO_CONFIG = 0x100,
    PCI_FEATURES_SELECT = 0x08,
    PCI_FEATURES = 0x0c,
    PCI_STATUS_OF_DEVICE = 0x14,
    PCI_QUEUE_SELECT = 0x16,
    PCI_QUEUE_SIZE = 0x18,
    PCI_QUEUE_ENABLE = 0x1c,
    PCI_AREAS = 0x20,
    PCI_AREA_STEP = 8,
    PCI_DEVICE_CONFIG = 0x2000,
    PCI_NOTIFY = 0x3000,
    PCI_NOTIFY_STEP = 4,
    BAR_REGISTERS = 0x10,
};

static uint64_t bar_of(unsigned index)
{
    uint64_t low = hostvm_pci_read_config(bus, BAR_REGISTERS + 4 * index, 4) & 0xfffffff0;
    uint64_t high = index == 0 ? hostvm_pci_read_config(bus, BAR_REGISTERS + 4, 4) : 0;

    return high << 32 | low;
}

static void pci_write(unsigned offset, size_t size, uint64_t value)
{
    pci_memory_write(bus, bar_of(0) + offset, size, value);
}

static void write_status(uint8_t status)
{
    if (bus == NULL) {
        virtio_mmio_write(device, MMIO_STATUS, 4, status);
    } else {
        pci_write(PCI_STATUS_OF_DEVICE, 1, status);
    }
}

static void write_features(uint32_t word, uint32_t bits)
{
    if (bus == NULL) {
        virtio_mmio_write(device, MMIO_FEATURES_SELECT, 4, word);
        virtio_mmio_write(device, MMIO_FEATURES, 4, bits);
    } else {
        pci_write(PCI_FEATURES_SELECT, 4, word);
        pci_write(PCI_FEATURES, 4, bits);
    }
}

static void set_up_queue(unsigned index, uint32_t size, const uint64_t areas[3], bool is_enabled)
{
    if (bus == NULL) {
        virtio_mmio_write(device, MMIO_QUEUE_SELECT, 4, index);
        virtio_mmio_write(device, MMIO_QUEUE_SIZE, 4, size);
        for (unsigned i = 0; i < 3; i++) {
            unsigned place = MMIO_AREAS + i * MMIO_AREA_STEP;

            virtio_mmio_write(device, place, 4, (uint32_t)areas[i]);
            virtio_mmio_write(device, place + 4, 4, areas[i] >> 32);
        }
        virtio_mmio_write(device, MMIO_QUEUE_READY, 4, is_enabled);
        return;
    }
    pci_write(PCI_QUEUE_SELECT, 2, index);
    pci_write(PCI_QUEUE_SIZE, 2, size);
    for (unsigned i = 0; i < 3; i++) {
        pci_write(PCI_AREAS + i * PCI_AREA_STEP, 8, areas[i]);
    }
    pci_write(PCI_QUEUE_ENABLE, 2, is_enabled);
}

static void kick(unsigned index)
{
    if (bus == NULL) {
        virtio_mmio_write(device, MMIO_NOTIFY, 4, index);
    } else {
        pci_write(PCI_NOTIFY + index * PCI_NOTIFY_STEP, 2, index);
    }
}

/* --- actions --- */

static void forget_queues(void)
{
    for (unsigned i = 0; i < MAX_QUEUES; i++) {
        queues[i] = (struct queue){.wrap = true};
    }
}

static uint64_t ring_of(unsigned index)
{
    return RINGS + (uint64_t)index * RING_STRIDE;
}

/* From reset to DRIVER_OK, as a good driver does it. */
static void start(void)
{
    enum { READY = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER };
    uint8_t flags = fuzz_u8();
    uint8_t size_bits = fuzz_u8();
    uint8_t skipped = fuzz_u8();
    uint64_t features = device->offered & ~VIRTIO_F_OF_QUEUES;

    features &= (flags & 8) != 0 ? ~(uint64_t)fuzz_u32() : UINT64_MAX;
    features |= VIRTIO_F_VERSION_1;
    features |= (flags & 1) != 0 ? HOSTVM_VIRTIO_F_RING_PACKED : 0;
    features |= (flags & 2) != 0 ? HOSTVM_VIRTIO_F_EVENT_IDX : 0;
    features |= (flags & 4) != 0 ? HOSTVM_VIRTIO_F_INDIRECT_DESC : 0;
    features &= device->offered;
    is_packed = (features & HOSTVM_VIRTIO_F_RING_PACKED) != 0;
    write_status(0);
    write_status(READY);
    write_features(0, (uint32_t)features);
    write_features(1, (uint32_t)(features >> 32));
    write_status(READY | VIRTIO_FEATURES_OK);
    forget_queues();
    queue_size = 1u << size_bits % 9;
    for (unsigned i = 0; i < device->nr_queues && i < MAX_QUEUES; i++) {
        uint64_t base = ring_of(i);
        const uint64_t areas[3] = {base, base + RING_AVAILABLE, base + RING_USED};

        if (queue_size > device->queues[i].size_max) {
            queue_size = device->queues[i].size_max;
        }
        if ((skipped >> i & 1) == 0) {
            set_up_queue(i, queue_size, areas, true);
        }
    }
    write_status(READY | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

/* One queue, anywhere, of any size. */
static void set_up_one(void)
{
    static const uint32_t sizes[] = {0,   1,   2,   3,    4,     8,     64,
                                     128, 255, 256, 1024, 32768, 65535, 65536};
    unsigned index = fuzz_u8();
    uint8_t kind = fuzz_u8();
    uint32_t size = kind & 16 ? fuzz_u32() : sizes[(kind & 15) % (sizeof(sizes) / sizeof(*sizes))];
    uint64_t areas[3];

    for (unsigned i = 0; i < 3; i++) {
        areas[i] = next_gpa();
    }
    set_up_queue(index, size, areas, (kind & 32) == 0);
}

static void store_some(void)
{
    uint64_t gpa = next_gpa();
    uint8_t bytes[64];
    size_t size = fuzz_u8() & 63;

    fuzz_bytes(bytes, size);
    store(gpa, bytes, size);
}

/* Where descriptors go: the ring itself, or a table beside it. */
static void put_descriptor(unsigned index, bool is_table, unsigned number,
                           const struct split_descriptor *descriptor, uint16_t id)
{
    uint64_t gpa = is_table ? LOW_END - 2 * PAGE + number * sizeof(*descriptor)
                            : ring_of(index) + number * sizeof(*descriptor);

    if (is_packed) {
        const struct packed_descriptor packed = {descriptor->address, descriptor->length, id,
                                                 descriptor->flags};

        store(gpa, &packed, sizeof(packed));
    } else {
        store(gpa, descriptor, sizeof(*descriptor));
    }
}

static void make_available(unsigned index, uint16_t head)
{
    uint64_t ring = ring_of(index) + RING_AVAILABLE;
    uint16_t next = load16(ring + 2);

    store16(ring + 4 + 2ull * (next % queue_size), head);
    atomic_thread_fence(memory_order_release);
    store16(ring + 2, (uint16_t)(next + 1));
}

static uint16_t availability(bool wrap)
{
    return wrap ? DESCRIPTOR_AVAILABLE : DESCRIPTOR_USED;
}

static uint16_t step(struct queue *queue)
{
    uint16_t place = queue->next++;

    if (queue->next >= queue_size) {
        queue->next = 0;
        queue->wrap = !queue->wrap;
    }
    return place;
}

/* What stands in a ring of a table of nr descriptors. */
static void put_table(unsigned index, unsigned nr, uint16_t flags)
{
    struct queue *queue = &queues[index];
    struct split_descriptor outer = {LOW_END - 2 * PAGE, (uint32_t)(nr * sizeof(outer)),
                                     DESCRIPTOR_INDIRECT, 0};
    uint16_t place;

    outer.flags ^= flags;
    outer.flags |= is_packed ? availability(queue->wrap) : 0;
    place = step(queue);
    put_descriptor(index, false, place, &outer, place);
    if (!is_packed) {
        make_available(index, place);
    }
}

/* A buffer of some pieces; the first begins with bytes of the input. */
static void add_buffer(void)
{
    uint8_t where = fuzz_u8();
    uint8_t shape = fuzz_u8();
    unsigned index = where & (MAX_QUEUES - 1);
    bool is_table = (where & 8) != 0;
    unsigned nr = 1 + (shape & 7);
    struct queue *queue = &queues[index];
    uint16_t head = queue->next;

    if (queue_size == 0) {
        return;
    }
    for (unsigned i = 0; i < nr; i++) {
        uint8_t odd = fuzz_u8();
        struct split_descriptor descriptor = {.address = next_gpa(), .length = next_length()};
        bool wrap = queue->wrap;
        uint16_t place = (uint16_t)(is_table ? i : step(queue));

        descriptor.flags =
            (uint16_t)((odd & DESCRIPTOR_WRITE) | (i + 1 < nr ? DESCRIPTOR_NEXT : 0));
        descriptor.next = (uint16_t)(is_table ? i + 1 : queue->next);
        if ((odd & 0x80) != 0) {
            descriptor.flags ^= fuzz_u16();
        }
        if ((odd & 0x40) != 0) {
            descriptor.next = fuzz_u16();
        }
        if ((odd & 0x20) != 0) {
            uint8_t bytes[64];
            size_t size = fuzz_u8() & 63;

            fuzz_bytes(bytes, size);
            store(descriptor.address, bytes, size);
        }
        descriptor.flags |= is_packed && !is_table ? availability(wrap) : 0;
        put_descriptor(index, is_table, place, &descriptor, head);
    }
    if (is_table) {
        put_table(index, nr, (shape & 8) != 0 ? fuzz_u16() : 0);
    } else if (!is_packed) {
        make_available(index, head);
    }
    if ((shape & 16) == 0) {
        kick(index);
    }
    if ((shape & 32) != 0) {
        settle();
    }
}

static void access_registers(void)
{
    uint8_t kind = fuzz_u8();
    size_t size = (size_t)1 << (kind & 3);
    unsigned offset = fuzz_u16();
    bool is_read = (kind & 4) != 0;

    if (bus != NULL) {
        uint64_t gpa = bar_of(kind >> 3 & 7) + (offset & 0x7fff);

        if (is_read) {
            (void)pci_memory_read(bus, gpa, size);
        } else {
            pci_memory_write(bus, gpa, size, fuzz_u64());
        }
        return;
    }
    offset %= HOSTVM_VIRTIO_MMIO_SIZE - size + 1;
    if (is_read) {
        (void)virtio_mmio_read(device, offset, size);
    } else {
        virtio_mmio_write(device, offset, size, fuzz_u64());
    }
}

static void access_config(void)
{
    uint8_t kind = fuzz_u8();
    size_t size = (size_t)1 << (kind & 3);
    unsigned offset = fuzz_u8();

    if (bus != NULL && (kind & 4) != 0) {
        (void)pci_memory_read(bus, bar_of(0) + PCI_DEVICE_CONFIG + offset, size);
    } else if (bus != NULL) {
        pci_write(PCI_DEVICE_CONFIG + offset, size, fuzz_u64());
    } else if ((kind & 4) != 0) {
        (void)virtio_mmio_read(device, MMIO_CONFIG + offset, size);
    } else {
        virtio_mmio_write(device, MMIO_CONFIG + offset, size, fuzz_u64());
    }
}

static void access_bus(void)
{
    uint8_t kind = fuzz_u8();
    size_t size = (kind & 3) == 0 ? (size_t)(kind >> 4) : (size_t)1 << (kind & 3);
    uint32_t offset = (kind & 8) != 0 ? fuzz_u32() : (uint32_t)(fuzz_u8() & 3) << 15 | fuzz_u8();

    if (bus == NULL) {
        return;
    }
    if ((kind & 4) != 0) {
        (void)hostvm_pci_read_config(bus, offset, size);
    } else {
        hostvm_pci_write_config(bus, offset, size, fuzz_u64());
    }
}

static void flip_some(void)
{
    uint64_t gpa = next_gpa();
    unsigned size = 2u << fuzz_u8() % 3;
    uint64_t first = fuzz_u32();
    uint64_t second = fuzz_u32();

    start_flipping(gpa, size, first | (uint64_t)fuzz_u8() << 32, second);
}

static void act(void)
{
    switch (fuzz_u8() & 15) {
    case 0:
        start();
        break;
    case 1:
    case 2:
    case 3:
        add_buffer();
        break;
    case 4:
        kick(fuzz_u8());
        break;
    case 5:
        write_status(fuzz_u8());
        break;
    case 6:
        write_status(0);
        break;
    case 7:
        set_up_one();
        break;
    case 8:
        store_some();
        break;
    case 9:
        access_registers();
        break;
    case 10:
        access_config();
        break;
    case 11:
        access_bus();
        break;
    case 12:
        flip_some();
        break;
    case 13:
        write_features(fuzz_u8() & 3, fuzz_u32());
        break;
    case 14:
        if (fuzz_target.host != NULL) {
            fuzz_target.host();
        }
        break;
    default:
        settle();
        stop_flipping();
        break;
    }
}

/* --- once --- */

static void ignore_log(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)cookie;
    (void)level;
    (void)message;
}

static vm_frame_t rom_frame(uintptr_t addr, void *cookie)
{
    const vka_object_t *object = cookie;

    return (vm_frame_t){
        .cptr = object->cptr, .rights = seL4_CanRead, .vaddr = addr, .size_bits = 12};
}

static memory_fault_result_t ignore_fault(vm_t *of, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                          void *cookie)
{
    (void)of;
    (void)vcpu;
    (void)addr;
    (void)size;
    (void)cookie;
    return FAULT_IGNORE;
}

/* As firmware would lie there: a page that the guest can read. */
static void add_rom(void)
{
    static vka_object_t object;
    vm_memory_reservation_t *rom = vm_reserve_memory_at(&vm, ROM, PAGE, ignore_fault, NULL);

    fuzz_check(rom != NULL && vka_alloc_frame(&env.vka, 12, &object) == 0);
    fuzz_check(vm_map_reservation(&vm, rom, rom_frame, &object) == 0);
}

/* The VM keeps some that were freed, to know them again: as many as it ever will, from the start.
 */
static void free_reservations(void)
{
    for (unsigned i = 0; i < FREED_RESERVATIONS; i++) {
        vm_memory_reservation_t *page = vm_reserve_memory_at(&vm, MMIO, PAGE, ignore_fault, NULL);

        fuzz_check(page != NULL && vm_free_reserved_memory(&vm, page) == 0);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const hostvm_env_config_t config = {.log_fn = ignore_log};
    /* A guest that has its device take ever more descriptors shall be seen. */
    const struct rlimit descriptors = {512, 512};

    (void)argc;
    (void)argv;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setrlimit(RLIMIT_NOFILE, &descriptors);
    fake_kvm_begin();
    irqs = fake_irqs_begin();
    fuzz_check(hostvm_env_create(&env, &config) == 0);
    fuzz_check(vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "fuzz") ==
               0);
    for (unsigned i = 0; i < NR_RAM; i++) {
        fuzz_check(vm_ram_register_at(&vm, ram[i].gpa, ram[i].size, false) == 0);
        ram_bytes[i] = hostvm_vm_pointer(&vm, ram[i].gpa, ram[i].size);
        fuzz_check(ram_bytes[i] != NULL);
    }
    add_rom();
    free_reservations();
    fuzz_check(vm_create_default_irq_controller(&vm) == 0);
    worker = worker_create("fuzz");
    fuzz_check(worker != NULL);
    fuzz_check(pthread_create(&flipper.thread, NULL, run_flipper, NULL) == 0);
    return 0;
}

/* --- each time --- */

static void attach(bool is_pci)
{
    const hostvm_pci_bus_config_t config = {
        .ecam = ECAM,
        .memory = {WINDOW, WINDOW_SIZE},
        .memory64 = {WINDOW64, WINDOW64_SIZE},
        .gsi = {20, 21, 22, 23},
    };

    bus = NULL;
    if (!is_pci) {
        fuzz_check(hostvm_virtio_attach_mmio(device, MMIO, GSI) == 0);
        return;
    }
    bus = hostvm_pci_bus_create(&vm, &config);
    fuzz_check(bus != NULL && hostvm_virtio_attach_pci(device, bus, 0) == 0);
    if (fuzz_target.add_functions != NULL) {
        fuzz_target.add_functions(bus);
    }
    hostvm_pci_write_config(bus, 4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int lowest_free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    (void)close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static long growth; /* over all inputs: tables of the VM's that have become larger */
    long blocks = inject_live_blocks();
    int fd = lowest_free_fd();
    static bool is_first = true; /* what lasts as long as the process is opened by then */
    bool is_pci;

    input.bytes = bytes;
    input.size = size;
    is_pci = (fuzz_u8() & 1) != 0;
    if (fuzz_target.transport != FUZZ_EITHER) {
        is_pci = fuzz_target.transport == FUZZ_PCI;
    }
    for (unsigned i = 0; i < NR_RAM; i++) {
        memset(ram_bytes[i], 0, ram[i].size);
    }
    queue_size = 0;
    is_packed = false;
    forget_queues();
    device = fuzz_target.create(&vm, worker);
    fuzz_check(device != NULL);
    attach(is_pci);
    while (input.size > 0) {
        act();
    }
    settle();
    stop_flipping();
    fuzz_target.destroy();
    hostvm_pci_bus_destroy(bus);
    settle();
    fuzz_check(irqs->nr_bells == 0 && irqs->nr_irqfds == 0);
    growth += inject_live_blocks() - blocks;
    fuzz_check(growth < MOST_GROWTH);
    fuzz_check(lowest_free_fd() == fd || is_first);
    is_first = false;
    return 0;
}
