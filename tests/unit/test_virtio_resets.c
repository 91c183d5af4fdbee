/* Devices that are reset over and over while requests come, from another thread, as fast as it can,
 * and a third one looks at their configuration: what only threads can get wrong, and the thread
 * sanitizer sees. */
#include "support/virtio_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "back/virtiofsd.h"
#include "console.h"
#include "vhost_backend.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/fs.h"
#include "virtio/net.h"
#include "virtio/vsock.h"
#include "virtio/vsock_packet.h"

enum {
    ROUNDS = 300,
    SIZE = 8, /* of queues, and how many descriptors there are of each */
    PAGE = 4096,
    PATIENCE = 5000000, /* looks, until what should come counts as lost */
};

/* Buffers of a queue, by their first descriptors, which never change. */
struct plan {
    unsigned queue;
    unsigned nr_heads;
    uint16_t heads[SIZE];
    struct piece pieces[SIZE]; /* of the descriptors from 0 on; size 0: the end */
    uint16_t continues;        /* a bit for each that the next one belongs to */
};

/* --- the guest: what it writes, and the device reads or writes, too, is accessed as a whole --- */

static hostvm_virtio_t *device;
static atomic_bool is_over;

static void quiet_queue(struct hostvm_virtio *of, struct hostvm_virtqueue *queue)
{
    (void)of;
    (void)queue;
}

static void quiet(struct hostvm_virtio *of)
{
    (void)of;
}

static const struct virtio_transport transport = {
    .interrupt_queue = quiet_queue,
    .interrupt_config = quiet,
    .detach = driver_detached,
};

static struct split_available *available_of(unsigned queue)
{
    return driver_at(driver_area_of(queue, 1), PAGE);
}

static struct split_used *used_of(unsigned queue)
{
    return driver_at(driver_area_of(queue, 2), PAGE);
}

static void write_descriptors(const struct plan *plan)
{
    struct split_descriptor *table = driver_at(driver_area_of(plan->queue, 0), PAGE);

    for (unsigned i = 0; i < SIZE && plan->pieces[i].size > 0; i++) {
        const struct piece *piece = &plan->pieces[i];
        bool has_next = (plan->continues >> i & 1) != 0;

        table[i] =
            (struct split_descriptor){piece->gpa, piece->size,
                                      (uint16_t)((has_next ? DESCRIPTOR_NEXT : 0) |
                                                 (piece->is_writable ? DESCRIPTOR_WRITE : 0)),
                                      (uint16_t)(i + 1)};
    }
}

static void start(uint64_t features)
{
    enum { READY = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER };

    features = (features & device->offered) | VIRTIO_F_VERSION_1;
    virtio_set_status(device, READY);
    virtio_accept(device, 0, (uint32_t)features);
    virtio_accept(device, 1, (uint32_t)(features >> 32));
    virtio_set_status(device, READY | VIRTIO_FEATURES_OK);
    for (unsigned i = 0; i < device->nr_queues; i++) {
        struct hostvm_virtqueue *queue = virtio_select(device, i);

        STORE(available_of(i)->index, (uint16_t)0);
        STORE(used_of(i)->index, (uint16_t)0);
        virtio_queue_set_size(queue, SIZE);
        virtio_queue_set_address(queue, &queue->descriptors, 0, (uint32_t)driver_area_of(i, 0));
        virtio_queue_set_address(queue, &queue->driver_area, 0, (uint32_t)driver_area_of(i, 1));
        virtio_queue_set_address(queue, &queue->device_area, 0, (uint32_t)driver_area_of(i, 2));
        virtio_queue_enable(queue, true);
    }
    virtio_set_status(device, READY | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

/* One more buffer, where the queue may have room for it. */
static void feed(const struct plan *plan, unsigned nr)
{
    struct split_available *available = available_of(plan->queue);
    uint16_t index = LOAD(available->index);

    if ((uint16_t)(index - LOAD(used_of(plan->queue)->index)) >= plan->nr_heads) {
        return;
    }
    STORE(available->ring[index % SIZE], plan->heads[nr % plan->nr_heads]);
    STORE_RELEASE(available->index, (uint16_t)(index + 1));
    virtio_kick(virtio_select(device, plan->queue)); /* as the doorbell does */
}

struct feeder {
    const struct plan *plans;
    unsigned nr_plans;
    void (*host)(void); /* what the host side does meanwhile, now and then */
};

static void *run_feeder(void *cookie)
{
    const struct feeder *feeder = cookie;

    for (unsigned i = 0; !atomic_load(&is_over); i++) {
        feed(&feeder->plans[i % feeder->nr_plans], i / feeder->nr_plans);
        if (i % 16 == 0 && feeder->host != NULL) {
            feeder->host();
        }
    }
    return NULL;
}

/* The device is reset: whatever the feeder does, nothing is used. */
static void assert_quiet(const struct feeder *feeder)
{
    uint16_t before[SIZE];

    for (unsigned i = 0; i < feeder->nr_plans; i++) {
        before[i] = LOAD(used_of(feeder->plans[i].queue)->index);
    }
    for (unsigned k = 0; k < 2; k++) {
        (void)sched_yield();
    }
    for (unsigned i = 0; i < feeder->nr_plans; i++) {
        assert_int_equal(LOAD(used_of(feeder->plans[i].queue)->index), before[i]);
    }
}

/* Another vcpu's. */
static void *run_reader(void *cookie)
{
    uint8_t space[64];

    (void)cookie;
    while (!atomic_load(&is_over)) {
        virtio_read_config(device, 0, space, sizeof(space));
        (void)atomic_load(&device->generation);
        (void)atomic_load(&device->status);
        (void)sched_yield();
    }
    return NULL;
}

/* After all that, the device takes a buffer of the first plan. */
static bool is_alive(const struct feeder *feeder)
{
    start(0);
    feed(&feeder->plans[0], 0);
    for (unsigned i = 0; i < PATIENCE && LOAD(used_of(feeder->plans[0].queue)->index) == 0; i++) {
        (void)sched_yield();
        if (i % 16 == 0 && feeder->host != NULL) {
            feeder->host();
        }
    }
    return LOAD(used_of(feeder->plans[0].queue)->index) > 0;
}

static void reset_while_fed(hostvm_virtio_t *of, const struct feeder *feeder)
{
    static const uint64_t features[] = {0, HOSTVM_VIRTIO_F_EVENT_IDX, VIRTIO_F_OF_DEVICES};
    struct feeder copy = *feeder;
    pthread_t thread, reader;

    device = of;
    device->transport = &transport;
    atomic_store(&is_over, false);
    for (unsigned i = 0; i < feeder->nr_plans; i++) {
        write_descriptors(&feeder->plans[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, run_feeder, &copy), 0);
    assert_int_equal(pthread_create(&reader, NULL, run_reader, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        start(features[i % 3]);
        for (unsigned k = 0; k < i % 8; k++) {
            (void)sched_yield();
        }
        virtio_set_status(device, 0);
        assert_quiet(feeder);
    }
    atomic_store(&is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(is_alive(feeder));
    virtio_set_status(device, 0);
}

/* What queue q's buffers are made of, apart from those of others. */
#define AT(q, offset) (BUFFERS_GPA + (q)*0x20000ull + (offset))

/* --- the devices --- */

static void write_disk_headers(unsigned queue)
{
    static const struct {
        uint32_t type, reserved;
        uint64_t sector;
    } headers[] = {{0, 0, 0}, {1, 0, 4}, {4, 0, 0}};

    for (unsigned i = 0; i < 3; i++) {
        memcpy(driver_at(AT(queue, i * 0x40), sizeof(headers[i])), &headers[i], sizeof(headers[i]));
    }
}

/* To read, to write, and to flush. */
static struct plan disk_plan(unsigned queue)
{
    write_disk_headers(queue);
    return (struct plan){.queue = queue,
                         .nr_heads = 3,
                         .heads = {0, 3, 6},
                         .pieces = {{AT(queue, 0), 16, false},
                                    {AT(queue, 0x1000), 4096, true},
                                    {AT(queue, 0x800), 1, true},
                                    {AT(queue, 0x40), 16, false},
                                    {AT(queue, 0x3000), 2048, false},
                                    {AT(queue, 0x801), 1, true},
                                    {AT(queue, 0x80), 16, false},
                                    {AT(queue, 0x802), 1, true}},
                         .continues = 1 | 2 | 8 | 16 | 64};
}

static void reset_disk(bool is_plain)
{
    struct blk_config config = {.nr_queues = 2, .is_plain = is_plain};
    vm_t *vm = driver_begin();
    int file = memfd_create("disk", MFD_CLOEXEC);
    struct plan plans[2];
    const struct feeder feeder = {.plans = plans, .nr_plans = 2};
    char path[40];
    struct blk *blk;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    assert_int_equal(ftruncate(file, 64 << 10), 0);
    assert_int_equal(disk_open(path, false, &config.disk), 0);
    blk = blk_create(vm, &config);
    assert_non_null(blk);
    plans[0] = disk_plan(0);
    plans[1] = disk_plan(1);
    reset_while_fed(blk_device(blk), &feeder);
    blk_destroy(blk);
    (void)close(file);
    driver_end();
}

static void test_disk_is_reset_in_the_middle_of_requests(void **state)
{
    (void)state;
    reset_disk(true);
    reset_disk(false);
}

static int far[2];

static void set_offloads(struct net_host *host, uint64_t offloads)
{
    (void)host;
    (void)offloads;
}

static int set_active(struct net_host *host, unsigned nr_active)
{
    (void)host;
    (void)nr_active;
    return 0;
}

static void frames(void)
{
    static uint8_t frame[1514 + 12];

    for (unsigned i = 0; i < 2; i++) {
        (void)send(far[i], frame, 76, MSG_NOSIGNAL);
        (void)recv(far[i], frame, sizeof(frame), 0);
    }
}

static void test_network_is_reset_in_the_middle_of_frames(void **state)
{
    static const uint8_t set_two_pairs[] = {4, 0, 2, 0};
    const struct plan plans[] = {
        {1, 2, {0, 1}, {{AT(1, 0), 76, false}, {AT(1, 0x400), 1526, false}}, 0},
        {0,
         4,
         {0, 1, 2, 3},
         {{AT(0, 0), 1526, true},
          {AT(0, 0x1000), 1526, true},
          {AT(0, 0x2000), 1526, true},
          {AT(0, 0x3000), 12, true}},
         0},
        {4, 1, {0}, {{AT(4, 0), 4, false}, {AT(4, 0x100), 1, true}}, 1},
        {2, 1, {0}, {{AT(2, 0), 1526, true}}, 0},
        {3, 1, {0}, {{AT(3, 0), 76, false}}, 0},
    };
    const struct feeder feeder = {.plans = plans, .nr_plans = 5, .host = frames};
    struct net_host host = {.nr_fds = 2, .set_offloads = set_offloads, .set_active = set_active};
    const struct net_config config = {.mac = {2}, .host = &host};
    vm_t *vm = driver_begin();
    struct net *net;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        int ends[2];

        assert_int_equal(
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        host.fds[i] = ends[0];
        far[i] = ends[1];
    }
    memcpy(driver_at(AT(4, 0), sizeof(set_two_pairs)), set_two_pairs, sizeof(set_two_pairs));
    net = net_create(vm, &config);
    assert_non_null(net);
    reset_while_fed(net_device(net), &feeder);
    net_destroy(net);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(far[i]);
        (void)close(host.fds[i]);
    }
    driver_end();
}

static int screen, keys;

static void use_terminal(void)
{
    char text[512];

    (void)!read(screen, text, sizeof(text));
    (void)!write(keys, "hello", 5);
}

static void test_console_is_reset_in_the_middle_of_output(void **state)
{
    const struct plan plans[] = {
        {1,
         3,
         {0, 1, 2},
         {{AT(1, 0), 40, false}, {AT(1, 0x1000), 0x10000, false}, {AT(1, 0), 1, false}},
         0},
        {0, 2, {0, 1}, {{AT(0, 0), 3, true}, {AT(0, 0x1000), 64, true}}, 0},
    };
    const struct feeder feeder = {.plans = plans, .nr_plans = 2, .host = use_terminal};
    vm_t *vm = driver_begin();
    struct worker *worker = worker_create("test");
    struct virtio_console *console;
    struct console terminal;
    int in[2], out[2];

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    keys = in[1];
    screen = out[0];
    terminal = (struct console){.in = in[0], .out = out[1], .interrupt = -1};
    console = virtio_console_create(vm, worker, &terminal);
    assert_non_null(console);
    reset_while_fed(virtio_console_device(console), &feeder);
    (void)close(screen);
    virtio_console_destroy(console);
    worker_destroy(worker);
    (void)close(keys);
    (void)close(in[0]);
    (void)close(out[1]);
    driver_end();
}

/* Pages that nothing else here lies in. */
static void test_balloon_is_reset_in_the_middle_of_pages(void **state)
{
    enum { FREE_PAGE = 0x300 };
    const struct plan plans[] = {
        {0, 1, {0}, {{AT(0, 0), 64, false}}, 0},
        {1, 1, {0}, {{AT(0, 0), 64, false}}, 0},
        {2, 1, {0}, {{FREE_PAGE * PAGE, 8 * PAGE, true}}, 0},
        {4, 1, {0}, {{FREE_PAGE * PAGE, 8 * PAGE, true}}, 0},
    };
    const struct feeder feeder = {.plans = plans, .nr_plans = 4};
    vm_t *vm = driver_begin();
    struct worker *worker = worker_create("test");
    uint32_t *numbers = driver_at(AT(0, 0), 64);
    struct balloon *balloon;

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        numbers[i] = FREE_PAGE + i;
    }
    balloon = balloon_create(vm, worker, 1 << 20);
    assert_non_null(balloon);
    reset_while_fed(balloon_device(balloon), &feeder);
    assert_true(balloon_count(balloon).given_back > 0);
    balloon_destroy(balloon);
    worker_destroy(worker);
    driver_end();
}

/* A stream that begins, has data and ends, to nobody: and one that a program of the host wants. */
static char socket_path[] = "/tmp/test_virtio_resets.XXXXXX/vsock";

static void connect_once(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        (void)send(fd, "CONNECT 5\n", 10, MSG_NOSIGNAL);
    }
    (void)close(fd);
}

static void test_sockets_are_reset_in_the_middle_of_packets(void **state)
{
    const struct plan plans[] = {
        {1,
         4,
         {0, 1, 2, 3},
         {{AT(1, 0), 44, false},
          {AT(1, 0x100), 60, false},
          {AT(1, 0x200), 44, false},
          {AT(1, 0x300), 44, false}},
         0},
        {0,
         4,
         {0, 1, 2, 3},
         {{AT(0, 0), 256, true},
          {AT(0, 0x1000), 256, true},
          {AT(0, 0x2000), 256, true},
          {AT(0, 0x3000), 256, true}},
         0},
        {2, 1, {0}, {{AT(2, 0), 8, true}}, 0},
    };
    static const uint16_t ops[] = {VSOCK_OP_REQUEST, VSOCK_OP_RW, VSOCK_OP_SHUTDOWN, VSOCK_OP_RST};
    const struct feeder feeder = {.plans = plans, .nr_plans = 3, .host = connect_once};
    const struct vsock_config config = {.path = socket_path, .guest_cid = 3};
    vm_t *vm = driver_begin();
    struct vsock *vsock;
    char *slash = strrchr(socket_path, '/');

    (void)state;
    *slash = '\0';
    assert_non_null(mkdtemp(socket_path));
    *slash = '/';
    for (unsigned i = 0; i < 4; i++) {
        const struct vsock_header header = {.src_cid = 3,
                                            .dst_cid = VSOCK_CID_HOST,
                                            .src_port = 10,
                                            .dst_port = 11,
                                            .len = ops[i] == VSOCK_OP_RW ? 16 : 0,
                                            .type = VSOCK_TYPE_STREAM,
                                            .op = ops[i],
                                            .buf_alloc = 4096};

        memcpy(driver_at(AT(1, i * 0x100), sizeof(header)), &header, sizeof(header));
    }
    vsock = vsock_create(vm, &config);
    assert_non_null(vsock);
    reset_while_fed(vsock_device(vsock), &feeder);
    vsock_destroy(vsock);
    *slash = '\0';
    assert_int_equal(rmdir(socket_path), 0);
    driver_end();
}

/* --- a folder, with this program in the place of virtiofsd --- */

static struct backend server;
static bool is_serving;
static int server_end;                 /* of the connection, to hang up by */
static unsigned nr_looks, hangs_up_at; /* the host's; 0: never */

int virtiofsd_start(struct virtiofsd *s, const char *dir, bool is_readonly, char *why,
                    size_t why_size)
{
    (void)dir;
    (void)is_readonly;
    (void)why;
    (void)why_size;
    s->socket = backend_begin(&server);
    assert_true(s->socket >= 0);
    server_end = dup(server.fd);
    is_serving = true;
    s->pid = 1;
    return 0;
}

void virtiofsd_end(struct virtiofsd *s, char *how, size_t how_size)
{
    (void)snprintf(how, how_size, "in a test");
    if (s->socket >= 0) {
        backend_end(&server);
        is_serving = false;
        (void)close(s->socket);
    }
    *s = (struct virtiofsd){.socket = -1};
}

static void hang_up(void)
{
    if (++nr_looks == hangs_up_at) {
        (void)shutdown(server_end, SHUT_RDWR);
    }
}

/* A request and room for its answer, twice. */
static struct plan folder_plan(unsigned queue)
{
    return (struct plan){.queue = queue,
                         .nr_heads = 2,
                         .heads = {0, 2},
                         .pieces = {{AT(queue, 0), 40, false},
                                    {AT(queue, 0x800), 64, true},
                                    {AT(queue, 0x1000), 40, false},
                                    {AT(queue, 0x1800), 64, true}},
                         .continues = 1 | 4};
}

static void test_folder_is_reset_in_the_middle_of_requests_and_loses_its_server(void **state)
{
    static const unsigned times[] = {0, 1, 30, 300, 1000};
    const struct fs_config config = {.dir = "/some/folder", .tag = "tag"};

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        vm_t *vm = driver_begin();
        const struct plan plans[] = {folder_plan(1), folder_plan(0)};
        const struct feeder feeder = {.plans = plans, .nr_plans = 2, .host = hang_up};
        struct fs *fs;

        server = (struct backend){.features = 1ull << 32 | 1ull << 30 | 3ull << 28,
                                  .protocol = 1 << 0 | 1 << 3,
                                  .nr_queues = 2,
                                  .serves = true};
        nr_looks = 0;
        hangs_up_at = times[i];
        fs = fs_create(vm, &config);
        assert_non_null(fs);
        reset_while_fed(fs_device(fs), &feeder);
        assert_int_equal(is_serving, hangs_up_at == 0 || nr_looks < hangs_up_at);
        assert_true(!is_serving || atomic_load(&server.nr_served) > 0);
        fs_destroy(fs);
        (void)close(server_end);
        driver_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_is_reset_in_the_middle_of_requests),
        cmocka_unit_test(test_network_is_reset_in_the_middle_of_frames),
        cmocka_unit_test(test_console_is_reset_in_the_middle_of_output),
        cmocka_unit_test(test_balloon_is_reset_in_the_middle_of_pages),
        cmocka_unit_test(test_sockets_are_reset_in_the_middle_of_packets),
        cmocka_unit_test(test_folder_is_reset_in_the_middle_of_requests_and_loses_its_server),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
