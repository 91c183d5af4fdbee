/*
 * The floor of a disk: liburing and KVM alone, in the series of blk_guest. Printed as by blk_watch:
 * what a request takes in a loop that does nothing but read; and what it takes a thread beside a
 * guest of some instructions, which rings a doorbell and sleeps until the interrupt: to be woken by
 * the one (ioeventfd), to read, and to raise the other (irqfd), the least that a device has to do;
 * and a request's share of one exit to a program and back, as a bare vcpu does it: of as many
 * requests as are made at a time.
 *
 *   blk_floor FILE
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "bench/bare.h"

enum { KIB = 1024, MIB = 1024 * KIB, DISK_MIB = 64, DEPTH = 32, KICK = 1 };

struct series {
    const char *name;
    unsigned n, depth;
    size_t size;
};

/* The guest's memory, besides its code; what is written there by hand is in the code, too. */
enum {
    STOP = 0x600, /* not 0: it is to end */
    STACK = 0x800,
    HANDLER = 0x1100,
    GUEST_RAM = 0x10000,
    DOORBELL = 0xd0000,
    IRQ = 5,
    FIRST_VECTOR = 8, /* of the interrupt controller's */
};

/* In real mode: it has interrupt 5 alone, and acknowledges none. */
static const uint8_t guest_code[] = {
    0xbc, 0x00, 0x08,             /*       mov $STACK, %sp */
    0xb0, 0x11, 0xe6, 0x20,       /*       mov $0x11, %al; out %al, $0x20: initialize, */
    0xb0, 0x08, 0xe6, 0x21,       /*       at vector 8, */
    0xb0, 0x04, 0xe6, 0x21,       /*       the second one at input 2, */
    0xb0, 0x03, 0xe6, 0x21,       /*       with automatic end of interrupt, */
    0xb0, 0xdf, 0xe6, 0x21,       /*       all masked but 5 */
    0xb8, 0x00, 0xd0, 0x8e, 0xc0, /*       mov $0xd000, %ax; mov %ax, %es */
    0x66, 0x31, 0xc0,             /*       xor %eax, %eax */
    0x80, 0x3e, 0x00, 0x06, 0x00, /* loop: cmpb $0, STOP */
    0x75, 0x0b,                   /*       jne end */
    0xfa,                         /*       cli */
    0x26, 0x66, 0xa3, 0x00, 0x00, /*       mov %eax, %es:0: the doorbell */
    0xfb, 0xf4,                   /*       sti; hlt */
    0xeb, 0xef,                   /*       jmp loop */
    0x90,                         /*       nop */
    0xe6, 0x10,                   /* end:  out %al, $0x10 */
};
static const uint8_t guest_handler[] = {0xcf}; /* iret */

/* Another one, to whose doorbell nothing is tied. */
static const uint8_t exits_code[] = {
    0xb8, 0x00, 0xd0, 0x8e, 0xc0, /*       mov $0xd000, %ax; mov %ax, %es */
    0x26, 0xa2, 0x00, 0x00,       /* loop: mov %al, %es:0 */
    0xeb, 0xfa,                   /*       jmp loop */
};

struct floor {
    struct io_uring ring;
    const struct series *series;
    uint8_t *buffer;
    int disk, kick_fd, irq_fd;
    struct bare guest;
    uint64_t runtime; /* of the thread, ns */
    uint64_t seed, place;
};

static uint64_t thread_time(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int result, const char *what)
{
    if (result < 0) {
        (void)fprintf(stderr, "blk_floor: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static void open_ring(struct floor *floor)
{
    const int files[] = {floor->disk, floor->kick_fd};

    check(io_uring_queue_init(64, &floor->ring,
                              IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
          "io_uring");
    check(io_uring_register_files(&floor->ring, files, 2), "files");
    (void)io_uring_register_ring_fd(&floor->ring);
    floor->seed = 1;
    floor->place = 0;
}

static uint64_t next_offset(struct floor *floor)
{
    if (floor->series->size == MIB) {
        return floor->place++ % DISK_MIB * MIB;
    }
    floor->seed = floor->seed * 6364136223846793005u + 1442695040888963407u;
    return (floor->seed >> 40) % (DISK_MIB * MIB / (4 * KIB)) * (4 * KIB);
}

static void begin(struct floor *floor)
{
    for (unsigned i = 0; i < floor->series->depth; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);

        io_uring_prep_read(sqe, 0, floor->buffer + i * floor->series->size,
                           (unsigned)floor->series->size, next_offset(floor));
        sqe->flags |= IOSQE_FIXED_FILE;
        io_uring_sqe_set_data64(sqe, 0);
    }
}

/* Sleeps; takes what has ended off nr, and tells of kicks. */
static unsigned reap(struct floor *floor, unsigned *nr)
{
    struct io_uring_cqe *cqe;
    unsigned kicks = 0;
    unsigned seen = 0;
    unsigned head;

    (void)io_uring_submit_and_wait(&floor->ring, 1);
    io_uring_for_each_cqe(&floor->ring, head, cqe)
    {
        seen++;
        if (cqe->user_data == KICK) {
            kicks++;
        } else {
            check(cqe->res == (int)floor->series->size ? 0 : -5, "read");
            *nr -= 1;
        }
    }
    io_uring_cq_advance(&floor->ring, seen);
    return kicks;
}

static uint64_t loop(struct floor *floor)
{
    uint64_t start;

    open_ring(floor);
    start = now();
    for (unsigned i = 0; i < floor->series->n; i += floor->series->depth) {
        unsigned nr = floor->series->depth;

        begin(floor);
        while (nr > 0) {
            (void)reap(floor, &nr);
        }
    }
    start = now() - start;
    io_uring_queue_exit(&floor->ring);
    return start / floor->series->n;
}

static void *serve(void *cookie)
{
    struct floor *floor = cookie;
    struct io_uring_sqe *sqe;
    uint64_t start;

    open_ring(floor);
    sqe = io_uring_get_sqe(&floor->ring);
    io_uring_prep_poll_multishot(sqe, 1, POLLIN);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, KICK);
    start = thread_time();
    for (unsigned i = 0; i < floor->series->n; i += floor->series->depth) {
        unsigned nr = floor->series->depth;

        while (reap(floor, &nr) == 0) {
        }
        begin(floor);
        while (nr > 0) {
            (void)reap(floor, &nr);
        }
        floor->guest.ram[STOP] = i + floor->series->depth >= floor->series->n;
        (void)eventfd_write(floor->irq_fd, 1);
    }
    floor->runtime = thread_time() - start;
    io_uring_queue_exit(&floor->ring);
    return NULL;
}

/* --- the guest --- */

static struct bare open_guest(int kick_fd, int irq_fd)
{
    const struct kvm_ioeventfd doorbell = {
        .addr = DOORBELL, .len = 4, .fd = kick_fd, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
    const struct kvm_irqfd interrupt = {.fd = (uint32_t)irq_fd, .gsi = IRQ};
    const uint16_t vector[] = {HANDLER, 0};
    struct bare guest = bare_open_with_irqchip(guest_code, sizeof(guest_code), GUEST_RAM);

    memcpy(guest.ram + HANDLER, guest_handler, sizeof(guest_handler));
    memcpy(guest.ram + (FIRST_VECTOR + IRQ) * sizeof(vector), vector, sizeof(vector));
    bare_check(ioctl(guest.vm, KVM_IOEVENTFD, &doorbell), "doorbell");
    bare_check(ioctl(guest.vm, KVM_IRQFD, &interrupt), "interrupt");
    return guest;
}

/* Until it ends. A ring that this thread has closed may interrupt it once more. */
static void run_guest(const struct bare *guest)
{
    while (ioctl(guest->vcpu, KVM_RUN, 0) < 0) {
        bare_check(errno == EINTR ? 0 : -1, "run");
    }
    if (guest->run->exit_reason != KVM_EXIT_IO) {
        (void)fprintf(stderr, "blk_floor: exit %u\n", guest->run->exit_reason);
        exit(1);
    }
}

static uint64_t serve_guest(struct floor *floor)
{
    pthread_t thread;

    floor->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    floor->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    floor->guest = open_guest(floor->kick_fd, floor->irq_fd);
    check(-pthread_create(&thread, NULL, serve, floor), "thread");
    run_guest(&floor->guest);
    (void)pthread_join(thread, NULL);
    bare_close(&floor->guest);
    (void)close(floor->kick_fd);
    (void)close(floor->irq_fd);
    floor->kick_fd = -1;
    return floor->runtime / floor->series->n;
}

static uint64_t measure_exit(void)
{
    enum { WARM_UP = 100, N = 1000 };
    struct bare guest = bare_open(exits_code, sizeof(exits_code), GUEST_RAM);
    uint64_t start = 0;

    for (unsigned i = 0; i < WARM_UP + N; i++) {
        if (i == WARM_UP) {
            start = now();
        }
        bare_run(&guest);
    }
    start = now() - start;
    bare_close(&guest);
    return start / N;
}

int main(int argc, char **argv)
{
    static const struct series all[] = {
        {"4k", 2048, 1, 4 * KIB},
        {"4k-deep", 2048, DEPTH, 4 * KIB},
        {"1m", 64, 1, MIB},
    };
    struct floor floor = {.kick_fd = -1};
    uint64_t exit_floor;

    floor.disk = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    floor.buffer = aligned_alloc(2 * MIB, 2 * MIB);
    if (floor.disk < 0 || floor.buffer == NULL) {
        (void)fprintf(stderr, "usage: blk_floor FILE\n");
        return 64;
    }
    memset(floor.buffer, 1, 2 * MIB);
    exit_floor = measure_exit();
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint64_t alone, called;

        floor.series = &all[i];
        alone = loop(&floor);
        called = serve_guest(&floor);
        (void)printf("floor %s %llu %llu %llu\n", all[i].name, (unsigned long long)alone,
                     (unsigned long long)called, (unsigned long long)(exit_floor / all[i].depth));
    }
    return 0;
}
