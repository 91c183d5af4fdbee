/* The virtio balloon: pages of the guest's on their way to the host. */
#include "virtio/balloon.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/vm.h>

/*
 * virtio 1.2, 5.5. Where a queue stands among those that there are is read in two ways: by its
 * number in 5.5.2, or, as Linux does, by how many come before it that are there. STATS_VQ and
 * FREE_PAGE_HINT are not offered: their queues are not there.
 */
enum {
    DEVICE_ID = 5,
    QUEUE_INFLATE = 0,
    QUEUE_DEFLATE = 1,
    QUEUE_REPORTING_LINUX = 2,
    QUEUE_REPORTING = 4,
    NR_QUEUES,
    QUEUE_SIZE = 64,
    PAGE = 4096, /* of page numbers, whatever host and guest have */
};

/* 5.5.3. MUST_TELL_HOST is of no use: a page is there again when the guest touches it. */
#define FEATURE_DEFLATE_ON_OOM (1ull << 2)
#define FEATURE_PAGE_POISON    (1ull << 4)
#define FEATURE_PAGE_REPORTING (1ull << 5)

/* 5.5.4; the driver writes the second and the last. */
struct layout {
    uint32_t num_pages;
    uint32_t actual;
    uint32_t free_page_hint_cmd_id;
    uint32_t poison_val;
};

/*
 * What is served before others have their turn. More page numbers in one buffer are not looked at:
 * the guest has done without the pages, and the host keeps them.
 */
enum {
    TURN_BUFFERS = 8,
    MAX_NUMBERS = 1024,
};

/* RAM, contiguous in the guest and here. */
struct ram {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
};

struct balloon {
    vm_t *vm;
    struct worker *worker;
    hostvm_virtio_t *device;
    struct ram *ram; /* ascending */
    unsigned nr_ram;
    size_t host_page;

    /* What the guest wants to find in its free pages. */
    atomic_bool has_poison;
    _Atomic uint32_t poison; /* as it lies in memory */

    /* Of the worker's thread alone while the device is started. */
    struct balloon_count count;
    bool has_complained;
};

/* --- giving back --- */

static void complain(struct balloon *balloon, int error)
{
    if (!balloon->has_complained) {
        balloon->has_complained = true;
        hostvm_vm_log(balloon->vm, HOSTVM_LOG_WARN,
                      "the host does not take memory of the guest's balloon back: %s",
                      strerror(error));
    }
}

/* Whole pages of the host's in [host, host + size), which is RAM. */
static void give_back(struct balloon *balloon, uint8_t *host, uint64_t size)
{
    uint64_t mask = balloon->host_page - 1;
    uint64_t begin = -(uintptr_t)host & mask; /* up to the first whole one */
    uint64_t inner = begin < size ? (size - begin) & ~mask : 0;

    balloon->count.ignored += size - inner;
    if (inner == 0) {
        return;
    }
    if (madvise(host + begin, inner, MADV_REMOVE) == 0) {
        balloon->count.given_back += inner;
        return;
    }
    balloon->count.refused += inner;
    complain(balloon, errno);
}

/* --- inflation and deflation: page numbers --- */

static const struct ram *find_by_gpa(const struct balloon *balloon, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < balloon->nr_ram; i++) {
        const struct ram *ram = &balloon->ram[i];

        if (gpa >= ram->gpa && size <= ram->size && gpa - ram->gpa <= ram->size - size) {
            return ram;
        }
    }
    return NULL;
}

static void ignore(struct balloon *balloon, uint64_t gpa, uint64_t size)
{
    balloon->count.ignored += size;
    hostvm_vm_log_guest(balloon->vm, "the balloon is offered what is not RAM, at 0x%llx",
                        (unsigned long long)gpa);
}

/* How many of nr numbers, ascending, are pages one behind the other, all RAM or all not. */
static unsigned run_of(const struct balloon *balloon, const uint32_t *numbers, unsigned nr)
{
    uint64_t first = numbers[0];
    const struct ram *ram = find_by_gpa(balloon, first * PAGE, PAGE);
    unsigned n = 1;

    while (n < nr && numbers[n] == first + n &&
           find_by_gpa(balloon, (first + n) * PAGE, PAGE) == ram) {
        n++;
    }
    return n;
}

static void take_run(struct balloon *balloon, uint32_t first, unsigned nr)
{
    uint64_t gpa = (uint64_t)first * PAGE;
    uint64_t size = (uint64_t)nr * PAGE;
    const struct ram *ram = find_by_gpa(balloon, gpa, size);

    if (ram == NULL) {
        ignore(balloon, gpa, size);
    } else {
        give_back(balloon, ram->host + (gpa - ram->gpa), size);
    }
}

static int compare(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static void inflate(struct balloon *balloon, const hostvm_virtio_buffer_t *buffer)
{
    uint32_t numbers[MAX_NUMBERS];
    unsigned nr =
        (unsigned)(hostvm_virtio_read(buffer, 0, numbers, sizeof(numbers)) / sizeof(numbers[0]));

    for (unsigned i = 0; i < nr; i++) {
        numbers[i] = le32toh(numbers[i]);
    }
    qsort(numbers, nr, sizeof(numbers[0]), compare);
    for (unsigned i = 0; i < nr;) {
        unsigned run = run_of(balloon, numbers + i, nr - i);

        take_run(balloon, numbers[i], run);
        i += run;
    }
}

/* The pages come back by themselves. */
static void deflate(struct balloon *balloon, const hostvm_virtio_buffer_t *buffer)
{
    (void)balloon;
    (void)buffer;
}

/* --- reports: the pages themselves, as buffers --- */

static bool is_ram(const struct balloon *balloon, const uint8_t *host, uint64_t size)
{
    for (unsigned i = 0; i < balloon->nr_ram; i++) {
        const struct ram *ram = &balloon->ram[i];

        if (host >= ram->host && size <= ram->size &&
            (uint64_t)(host - ram->host) <= ram->size - size) {
            return true;
        }
    }
    return false;
}

/* What is given back holds zeros: a guest that wants to find something else there keeps it
 * (5.5.6, page poison). */
static bool wants_other_than_zeros(const struct balloon *balloon)
{
    return atomic_load(&balloon->has_poison) && atomic_load(&balloon->poison) != 0;
}

static void report(struct balloon *balloon, const hostvm_virtio_buffer_t *buffer)
{
    const struct iovec *pieces = buffer->iov + buffer->nr_out;

    if (wants_other_than_zeros(balloon)) {
        return;
    }
    for (unsigned i = 0; i < buffer->nr_in; i++) {
        if (is_ram(balloon, pieces[i].iov_base, pieces[i].iov_len)) {
            give_back(balloon, pieces[i].iov_base, pieces[i].iov_len);
        } else {
            balloon->count.ignored += pieces[i].iov_len;
        }
    }
}

/* --- queues --- */

static void serve(struct balloon *balloon, unsigned index,
                  void (*fn)(struct balloon *balloon, const hostvm_virtio_buffer_t *buffer))
{
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(balloon->device, index);
    int fd = hostvm_virtqueue_fd(queue);
    struct iovec iov[QUEUE_SIZE];
    hostvm_virtio_buffer_t buffer = {.iov = iov, .iov_max = QUEUE_SIZE};
    uint64_t count = 1;

    (void)!read(fd, &count, sizeof(count));
    for (unsigned i = 0; i < TURN_BUFFERS && hostvm_virtqueue_pop(queue, &buffer) > 0; i++) {
        fn(balloon, &buffer);
        hostvm_virtqueue_push(queue, &buffer, 0);
    }
    hostvm_virtqueue_publish(queue);
    if (hostvm_virtqueue_rearm(queue)) {
        count = 1;
        (void)!write(fd, &count, sizeof(count)); /* full: it is readable as well */
    }
}

static void inflate_kicked(void *cookie, uint32_t events)
{
    (void)events;
    serve(cookie, QUEUE_INFLATE, inflate);
}

static void deflate_kicked(void *cookie, uint32_t events)
{
    (void)events;
    serve(cookie, QUEUE_DEFLATE, deflate);
}

static void reporting_kicked_linux(void *cookie, uint32_t events)
{
    (void)events;
    serve(cookie, QUEUE_REPORTING_LINUX, report);
}

static void reporting_kicked(void *cookie, uint32_t events)
{
    (void)events;
    serve(cookie, QUEUE_REPORTING, report);
}

/* What is not there is never kicked. */
static const worker_fn kicked[NR_QUEUES] = {
    [QUEUE_INFLATE] = inflate_kicked,
    [QUEUE_DEFLATE] = deflate_kicked,
    [QUEUE_REPORTING_LINUX] = reporting_kicked_linux,
    [QUEUE_REPORTING] = reporting_kicked,
};

static int fd_of(const struct balloon *balloon, unsigned index)
{
    return hostvm_virtqueue_fd(hostvm_virtio_queue(balloon->device, index));
}

static void stop(void *cookie)
{
    struct balloon *balloon = cookie;

    for (unsigned i = 0; i < NR_QUEUES; i++) {
        worker_unwatch(balloon->worker, fd_of(balloon, i));
    }
    atomic_store(&balloon->has_poison, false);
}

static int start(void *cookie, uint64_t features)
{
    struct balloon *balloon = cookie;

    atomic_store(&balloon->has_poison, (features & FEATURE_PAGE_POISON) != 0);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        int r = 0;

        if (kicked[i] != NULL &&
            hostvm_virtqueue_is_ready(hostvm_virtio_queue(balloon->device, i))) {
            r = worker_watch(balloon->worker, fd_of(balloon, i), EPOLLIN, kicked[i], balloon);
        }
        if (r < 0) {
            stop(balloon);
            hostvm_vm_log(balloon->vm, HOSTVM_LOG_ERROR, "cannot watch the balloon's queues: %s",
                          strerror(-r));
            return -1;
        }
    }
    return 0;
}

/* --- the configuration space: what the driver writes is there for it to read --- */

/* Bytes that lie in the field of this place and size, which the driver may write. */
static void write_field(struct balloon *balloon, size_t field, size_t offset, const uint8_t *bytes,
                        size_t size)
{
    size_t begin = offset > field ? offset : field;
    size_t end =
        offset + size < field + sizeof(uint32_t) ? offset + size : field + sizeof(uint32_t);

    if (begin < end) {
        (void)hostvm_virtio_set_config(balloon->device, begin, bytes + (begin - offset),
                                       end - begin); /* it lies inside */
    }
}

static void note_poison(struct balloon *balloon, size_t offset, const uint8_t *bytes, size_t size)
{
    const size_t field = offsetof(struct layout, poison_val);
    uint32_t poison = atomic_load(&balloon->poison);

    for (size_t i = 0; i < size; i++) {
        if (offset + i >= field && offset + i < field + sizeof(poison)) {
            ((uint8_t *)&poison)[offset + i - field] = bytes[i];
        }
    }
    atomic_store(&balloon->poison, poison);
}

static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    struct balloon *balloon = cookie;

    note_poison(balloon, offset, bytes, size);
    write_field(balloon, offsetof(struct layout, actual), offset, bytes, size);
    write_field(balloon, offsetof(struct layout, poison_val), offset, bytes, size);
}

static uint64_t ram_size(const struct balloon *balloon)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < balloon->nr_ram; i++) {
        size += balloon->ram[i].size;
    }
    return size;
}

/* In pages, as the driver reads it. */
static uint32_t num_pages(const struct balloon *balloon, uint64_t target)
{
    uint64_t most = ram_size(balloon);
    uint64_t pages = (target < most ? target : most) / PAGE;

    return htole32(pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX);
}

void balloon_set_target(struct balloon *balloon, uint64_t target)
{
    uint32_t pages = num_pages(balloon, target);

    (void)hostvm_virtio_set_config(balloon->device, offsetof(struct layout, num_pages), &pages,
                                   sizeof(pages)); /* it lies inside */
}

/* --- its life --- */

/* Regions that touch are one: a page may lie across their border. */
static void add_ram(struct balloon *balloon, uint64_t gpa, uint64_t size)
{
    struct ram *last = &balloon->ram[balloon->nr_ram];

    if (balloon->nr_ram > 0 && last[-1].gpa + last[-1].size == gpa) {
        last[-1].size += size;
        return;
    }
    *last = (struct ram){.gpa = gpa, .size = size};
    balloon->nr_ram++;
}

/* What is not in one piece here is not the balloon's. */
static void find_pointers(struct balloon *balloon)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < balloon->nr_ram; i++) {
        struct ram ram = balloon->ram[i];

        ram.host = hostvm_vm_pointer(balloon->vm, ram.gpa, ram.size);
        if (ram.host != NULL) {
            balloon->ram[nr++] = ram;
        }
    }
    balloon->nr_ram = nr;
}

static int learn_ram(struct balloon *balloon)
{
    const struct vm_mem *mem = &balloon->vm->mem;
    size_t nr = (size_t)mem->num_ram_regions;

    balloon->ram = calloc(nr + 1, sizeof(*balloon->ram));
    if (balloon->ram == NULL) {
        return -1;
    }
    for (size_t i = 0; i < nr; i++) {
        add_ram(balloon, mem->ram_regions[i].start, mem->ram_regions[i].size);
    }
    find_pointers(balloon);
    return 0;
}

static hostvm_virtio_t *create_device(struct balloon *balloon, uint64_t target)
{
    static const hostvm_virtio_ops_t ops = {
        .start = start, .stop = stop, .write_config = write_config};
    static const uint16_t queue_sizes[NR_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE,
                                                    QUEUE_SIZE};
    const struct layout layout = {.num_pages = num_pages(balloon, target)};
    const hostvm_virtio_config_t config = {
        .id = DEVICE_ID,
        .features = FEATURE_DEFLATE_ON_OOM | FEATURE_PAGE_POISON | FEATURE_PAGE_REPORTING,
        .nr_queues = NR_QUEUES,
        .queue_sizes = queue_sizes,
        .config = &layout,
        .config_size = sizeof(layout),
        .ops = &ops,
        .cookie = balloon,
    };

    return hostvm_virtio_create(balloon->vm, &config);
}

struct balloon *balloon_create(vm_t *vm, struct worker *worker, uint64_t target)
{
    struct balloon *balloon = calloc(1, sizeof(*balloon));

    if (balloon != NULL) {
        balloon->vm = vm;
        balloon->worker = worker;
        balloon->host_page = (size_t)sysconf(_SC_PAGESIZE);
    }
    if (balloon == NULL || learn_ram(balloon) < 0) {
        (void)fprintf(stderr, "hostvm: no memory for the balloon: %s\n", strerror(ENOMEM));
        free(balloon);
        return NULL;
    }
    balloon->device = create_device(balloon, target);
    if (balloon->device == NULL) {
        balloon_destroy(balloon);
        return NULL;
    }
    return balloon;
}

hostvm_virtio_t *balloon_device(struct balloon *balloon)
{
    return balloon->device;
}

struct balloon_count balloon_count(const struct balloon *balloon)
{
    return balloon->count;
}

void balloon_destroy(struct balloon *balloon)
{
    if (balloon != NULL) {
        hostvm_virtio_destroy(balloon->device);
        free(balloon->ram);
        free(balloon);
    }
}
