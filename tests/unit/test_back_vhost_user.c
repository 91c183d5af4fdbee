/* The front end of vhost-user against back ends that do as the protocol says, and such that do not:
 * wrong answers, half ones, none, and hanging up at every request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "back/vhost_user.h"
#include "support/leak.h"
#include "vhost_backend.h"

enum { PATIENCE_MS = 5000, LITTLE_PATIENCE_MS = 20 };

#define FEATURES        (1ull << 32 | 1ull << 28 | VHOST_USER_F_PROTOCOL_FEATURES)
#define MQ              (1ull << 0)
#define REPLY_ACK       (1ull << 3)
#define DRIVER_FEATURES (1ull << 32 | 1ull << 28)

struct eventfds {
    int kick, call, err;
};

static struct eventfds make_eventfds(void)
{
    return (struct eventfds){eventfd(0, 0), eventfd(0, 0), eventfd(0, 0)};
}

static void close_eventfds(const struct eventfds *fds)
{
    (void)close(fds->kick);
    (void)close(fds->call);
    (void)close(fds->err);
}

/* All that a front end does, until something fails. */
static int go_through_all(struct vhost_user *vu, int fd, int patience_ms,
                          const struct eventfds *fds, int memfd)
{
    const struct vhost_user_region regions[] = {
        {.gpa = 0, .size = 0x1000, .offset = 0x1000, .fd = memfd},
        {.gpa = 0x100000, .size = 0x2000, .offset = 0x4000, .fd = memfd},
    };
    const struct vhost_user_ring ring = {
        .descriptors = 0x100000,
        .driver_area = 0x101000,
        .device_area = 0x101800,
        .size = 64,
        .kick_fd = fds->kick,
        .call_fd = fds->call,
        .err_fd = fds->err,
    };
    int r = vhost_user_open(vu, fd, 2, patience_ms);

    if (r == 0) {
        r = vhost_user_set_features(vu, DRIVER_FEATURES);
    }
    if (r == 0) {
        r = vhost_user_set_memory(vu, regions, 2);
    }
    if (r == 0) {
        r = vhost_user_start_ring(vu, 1, &ring);
    }
    if (r == 0) {
        r = vhost_user_stop_ring(vu, 1);
    }
    return r;
}

/* Leaves what the back end has seen in b. */
static int run(struct backend *b, struct vhost_user *vu, int patience_ms)
{
    struct leak_state before;
    struct eventfds fds;
    int fd, memfd, r;

    leak_begin(&before);
    fds = make_eventfds();
    memfd = memfd_create("test", MFD_CLOEXEC);
    fd = backend_begin(b);
    r = go_through_all(vu, fd, patience_ms, &fds, memfd);
    if (r == 0) {
        assert_false(vhost_user_is_gone(vu));
    }
    backend_end(b);
    assert_true(vhost_user_is_gone(vu));
    (void)close(fd);
    (void)close(memfd);
    close_eventfds(&fds);
    leak_check(&before);
    return r;
}

static void test_back_end_learns_all_that_it_needs(void **state)
{
    static const uint64_t protocols[] = {MQ | REPLY_ACK, MQ, REPLY_ACK, 0, ~0ull};

    (void)state;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        struct backend b = {.features = FEATURES, .protocol = protocols[i], .nr_queues = 2};
        struct vhost_user vu;

        assert_int_equal(run(&b, &vu, PATIENCE_MS), 0);
        assert_int_equal(vu.features, FEATURES);
        assert_int_equal(vu.protocol, protocols[i] & (MQ | REPLY_ACK));
        assert_int_equal(b.driver_features, DRIVER_FEATURES | VHOST_USER_F_PROTOCOL_FEATURES);
        assert_int_equal(b.table.payload.memory.nr, 2);
        assert_int_equal(b.table.payload.memory.regions[1].gpa, 0x100000);
        assert_int_equal(b.table.payload.memory.regions[1].size, 0x2000);
        assert_int_equal(b.table.payload.memory.regions[1].address, 0x100000);
        assert_int_equal(b.table.payload.memory.regions[1].offset, 0x4000);
        assert_int_equal(b.rings[1].size, 64);
        assert_int_equal(b.rings[1].base, 0);
        assert_int_equal(b.rings[1].descriptors, 0x100000);
        assert_int_equal(b.rings[1].available, 0x101000);
        assert_int_equal(b.rings[1].used, 0x101800);
        assert_true(b.rings[1].is_enabled);
        assert_int_equal(b.seen[3], 1);
        assert_int_equal(b.seen[11], 1);
        assert_int_equal(b.seen[12], 1);
        assert_int_equal(b.seen[13], 1);
        assert_int_equal(b.seen[14], 1);
        assert_int_equal(b.seen[17], (protocols[i] & MQ) != 0);
    }
}

static void test_back_end_without_protocol_features_is_asked_for_none(void **state)
{
    struct backend b = {.features = DRIVER_FEATURES};
    struct vhost_user vu;

    (void)state;
    assert_int_equal(run(&b, &vu, PATIENCE_MS), 0);
    assert_int_equal(b.driver_features, DRIVER_FEATURES);
    assert_int_equal(b.seen[15] + b.seen[16] + b.seen[17] + b.seen[18], 0);
}

static void test_kick_and_call_are_the_eventfds_that_were_given(void **state)
{
    struct backend b = {
        .features = FEATURES, .protocol = MQ | REPLY_ACK, .nr_queues = 2, .serves = true};
    struct eventfds fds = make_eventfds();
    int memfd = memfd_create("test", MFD_CLOEXEC);
    const struct vhost_user_region region = {.size = 0x3000, .fd = memfd};
    const struct vhost_user_ring ring = {
        .descriptors = 0,
        .driver_area = 0x1000,
        .device_area = 0x1800,
        .size = 8,
        .kick_fd = fds.kick,
        .call_fd = fds.call,
        .err_fd = fds.err,
    };
    const uint16_t available[] = {0, 1, 0};
    const struct backend_descriptor descriptors[] = {{0x2000, 16, 1, 1}, {0x2100, 16, 2, 0}};
    const uint64_t request[] = {16, 0x1122334455667788};
    uint64_t answer[2];
    struct vhost_user vu;
    eventfd_t count;
    int fd = backend_begin(&b);

    (void)state;
    assert_int_equal(ftruncate(memfd, 0x3000), 0);
    assert_int_equal(pwrite(memfd, available, sizeof(available), 0x1000), sizeof(available));
    assert_int_equal(pwrite(memfd, descriptors, sizeof(descriptors), 0), sizeof(descriptors));
    assert_int_equal(pwrite(memfd, request, sizeof(request), 0x2000), sizeof(request));
    assert_int_equal(vhost_user_open(&vu, fd, 2, PATIENCE_MS), 0);
    assert_int_equal(vhost_user_set_memory(&vu, &region, 1), 0);
    assert_int_equal(vhost_user_start_ring(&vu, 0, &ring), 0);
    assert_int_equal(eventfd_write(fds.kick, 1), 0);
    assert_int_equal(eventfd_read(fds.call, &count), 0); /* waits for it */
    assert_int_equal(pread(memfd, answer, sizeof(answer), 0x2100), sizeof(answer));
    assert_int_equal(answer[0], 16);
    assert_int_equal(answer[1], request[1]);
    assert_int_equal(vhost_user_stop_ring(&vu, 0), 0);
    backend_end(&b);
    (void)close(fd);
    (void)close(memfd);
    close_eventfds(&fds);
}

static const uint32_t asked[] = {1, 15, 17, 11};                    /* have an answer */
static const uint32_t told[] = {3, 2, 5, 8, 10, 9, 13, 14, 12, 18}; /* are acknowledged */

static void check_misdeed(uint32_t request, enum misdeed misdeed, int patience_ms, int expected,
                          const char *why)
{
    struct backend b = {.features = FEATURES,
                        .protocol = MQ | REPLY_ACK,
                        .nr_queues = 2,
                        .misdeed = misdeed,
                        .at = request};
    struct vhost_user vu;

    assert_int_equal(run(&b, &vu, patience_ms), expected);
    assert_string_equal(vu.why, why);
}

static void test_wrong_answers_end_it_at_every_request(void **state)
{
    static const struct {
        enum misdeed misdeed;
        int expected;
        const char *why; /* with the request's number */
    } cases[] = {
        {MISDEED_HANG_UP, -ECONNRESET, "it has ended instead of answering request %u"},
        {MISDEED_SHORT_HEADER, -ECONNRESET, "it has ended instead of answering request %u"},
        {MISDEED_SHORT_BODY, -ECONNRESET, "it has ended instead of answering request %u"},
        {MISDEED_SILENCE, -ETIMEDOUT, "there is no answer to request %u"},
        {MISDEED_STALL, -ETIMEDOUT, "there is no answer to request %u"},
        {MISDEED_OTHER_REQUEST, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x5, 8 bytes"},
        {MISDEED_NO_ANSWER_FLAG, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x1, 8 bytes"},
        {MISDEED_OTHER_VERSION, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x6, 8 bytes"},
        {MISDEED_SHORTER, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x5, 4 bytes"},
        {MISDEED_LONGER, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x5, 12 bytes"},
        {MISDEED_HUGE, -EPROTO,
         "the answer to request %u is none: request %u, flags 0x5, 4294967295 bytes"},
    };
    uint32_t requests[32];
    size_t nr_requests = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        requests[nr_requests++] = asked[i];
    }
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        requests[nr_requests++] = told[i];
    }
    for (size_t i = 0; i < nr_requests; i++) {
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            const uint32_t shown = requests[i] + (cases[k].misdeed == MISDEED_OTHER_REQUEST);
            bool is_late = cases[k].expected == -ETIMEDOUT;
            char why[160];

            /* The formats are those above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(why, sizeof(why), cases[k].why, requests[i], shown);
#pragma GCC diagnostic pop
            check_misdeed(requests[i], cases[k].misdeed, is_late ? LITTLE_PATIENCE_MS : PATIENCE_MS,
                          cases[k].expected, why);
        }
    }
}

static void test_requests_that_are_refused_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        char why[64];

        (void)snprintf(why, sizeof(why), "it refuses request %u", told[i]);
        check_misdeed(told[i], MISDEED_REFUSAL, PATIENCE_MS, -EPROTO, why);
    }
    check_misdeed(11, MISDEED_OTHER_INDEX, PATIENCE_MS, -EPROTO,
                  "it was to stop ring 1 and has stopped ring 2");
}

static void test_back_end_with_too_few_queues_is_refused(void **state)
{
    struct backend b = {.features = FEATURES, .protocol = MQ, .nr_queues = 1};
    struct vhost_user vu;

    (void)state;
    assert_int_equal(run(&b, &vu, PATIENCE_MS), -EPROTO);
    assert_string_equal(vu.why, "it has 1 queues, not 2");
}

static void test_what_cannot_be_asked_for_is_refused_here(void **state)
{
    struct backend b = {.features = FEATURES, .protocol = MQ, .nr_queues = 2};
    struct vhost_user_region regions[VHOST_USER_REGIONS_MAX + 1] = {{0}};
    struct vhost_user vu;
    int fd = backend_begin(&b);

    (void)state;
    assert_int_equal(vhost_user_open(&vu, fd, 2, PATIENCE_MS), 0);
    assert_int_equal(vhost_user_set_features(&vu, 1ull << 34), -EINVAL);
    assert_string_equal(vu.why, "it does not offer features 0x400000000");
    assert_int_equal(vhost_user_set_memory(&vu, regions, VHOST_USER_REGIONS_MAX + 1), -E2BIG);
    assert_string_equal(vu.why, "guest memory is 9 pieces of files: 1 to 8 are possible");
    assert_int_equal(vhost_user_set_memory(&vu, regions, 0), -E2BIG);
    regions[0].fd = -1;
    assert_int_equal(vhost_user_set_memory(&vu, regions, 1), -EBADF);
    assert_string_equal(vu.why, "cannot send request 5: Bad file descriptor");
    backend_end(&b);
    assert_int_equal(vhost_user_set_features(&vu, 0), -EPIPE);
    assert_string_equal(vu.why, "cannot send request 2: Broken pipe");
    (void)close(fd);
    assert_true(vhost_user_is_gone(&vu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_end_learns_all_that_it_needs),
        cmocka_unit_test(test_back_end_without_protocol_features_is_asked_for_none),
        cmocka_unit_test(test_kick_and_call_are_the_eventfds_that_were_given),
        cmocka_unit_test(test_wrong_answers_end_it_at_every_request),
        cmocka_unit_test(test_requests_that_are_refused_are_named),
        cmocka_unit_test(test_back_end_with_too_few_queues_is_refused),
        cmocka_unit_test(test_what_cannot_be_asked_for_is_refused_here),
    };

    return cmocka_run_group_tests(tests, backend_prepare, NULL);
}
