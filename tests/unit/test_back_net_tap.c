/* Taps, with a kernel that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "back/net_tap.h"
#include "support/inject.h"
#include "support/leak.h"

/* What the kernel answers with: errors, 0: none. */
static struct {
    int open_error;
    int mtu, mtu_error;
    int attach_error;    /* of TUNSETIFF with the flag that the tap has */
    bool is_multi_queue; /* it was made so: EINVAL otherwise */
    int header_error;
    bool has_no_ufo, has_no_offloads;
    int queue_error;
    /* what was asked for */
    unsigned nr_attached;
    unsigned nr_detached;
    short flags;
    int header_size;
    unsigned long offload;
    char name[IFNAMSIZ];
} kernel;

static bool answer_open(const char *path, int *ret_fd)
{
    if (strcmp(path, "/dev/net/tun") != 0) {
        return false;
    }
    *ret_fd = kernel.open_error != 0 ? -1 : dup(STDIN_FILENO);
    errno = kernel.open_error;
    return true;
}

static int answer(int err)
{
    errno = err;
    return err != 0 ? -1 : 0;
}

static int set_interface(const struct ifreq *ifr)
{
    if (kernel.attach_error == EINVAL ||
        ((ifr->ifr_flags & IFF_MULTI_QUEUE) != 0) != kernel.is_multi_queue) {
        return answer(EINVAL);
    }
    kernel.flags = ifr->ifr_flags;
    memcpy(kernel.name, ifr->ifr_name, sizeof(kernel.name));
    kernel.nr_attached += kernel.attach_error == 0;
    return answer(kernel.attach_error);
}

static int set_offload(unsigned long flags)
{
    if ((kernel.has_no_offloads && flags != 0) || (kernel.has_no_ufo && (flags & TUN_F_UFO) != 0)) {
        return answer(EINVAL);
    }
    kernel.offload = flags;
    return 0;
}

static bool answer_ioctl(int fd, unsigned long request, void *arg, int *ret_result)
{
    struct ifreq *ifr = arg;

    (void)fd;
    switch (request) {
    case SIOCGIFMTU:
        ifr->ifr_mtu = kernel.mtu;
        *ret_result = answer(kernel.mtu_error);
        return true;
    case TUNSETIFF:
        *ret_result = set_interface(ifr);
        return true;
    case TUNSETVNETHDRSZ:
        kernel.header_size = *(int *)arg;
        *ret_result = answer(kernel.header_error);
        return true;
    case TUNSETOFFLOAD:
        *ret_result = set_offload((unsigned long)arg);
        return true;
    case TUNSETQUEUE:
        *ret_result = answer(kernel.queue_error);
        if (kernel.queue_error == 0) {
            kernel.nr_detached += (ifr->ifr_flags & IFF_DETACH_QUEUE) != 0;
            kernel.nr_detached -= (ifr->ifr_flags & IFF_ATTACH_QUEUE) != 0;
        }
        return true;
    default:
        return false;
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    kernel.mtu = 1500;
    inject_answer_opens(answer_open);
    inject_answer_ioctls(answer_ioctl);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    inject_answer_opens(NULL);
    inject_answer_ioctls(NULL);
    return 0;
}

static struct net_tap *open_tap(unsigned nr_fds)
{
    char why[200] = "";
    struct net_tap *tap = net_tap_open("tap0", nr_fds, why, sizeof(why));

    assert_string_equal(why, "");
    assert_non_null(tap);
    return tap;
}

static void assert_refused(const char *name, unsigned nr_fds, const char *expected)
{
    struct leak_state before;
    char why[200] = "";

    leak_begin(&before);
    assert_null(net_tap_open(name, nr_fds, why, sizeof(why)));
    assert_string_equal(why, expected);
    leak_check(&before);
}

static void test_tap_is_opened_with_a_header_of_12_bytes(void **state)
{
    struct leak_state before;
    struct net_tap *tap;

    (void)state;
    leak_begin(&before);
    tap = open_tap(1);
    assert_string_equal(kernel.name, "tap0");
    assert_int_equal(kernel.flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    assert_int_equal(kernel.header_size, 12);
    assert_int_equal(kernel.offload, 0);
    assert_int_equal(net_tap_host(tap)->nr_fds, 1);
    assert_int_equal(net_tap_host(tap)->mtu, 1500);
    net_tap_close(tap);
    leak_check(&before);
    net_tap_close(NULL);
}

static void test_one_queue_of_several_can_be_used(void **state)
{
    (void)state;
    kernel.is_multi_queue = true;
    net_tap_close(open_tap(1));
    assert_int_equal(kernel.nr_attached, 1);
}

static void test_queues_are_attached_as_they_are_used(void **state)
{
    struct net_tap *tap;
    struct net_host *host;

    (void)state;
    kernel.is_multi_queue = true;
    tap = open_tap(4);
    host = net_tap_host(tap);
    assert_int_equal(host->nr_fds, 4);
    assert_int_equal(kernel.nr_attached, 4);
    assert_int_equal(kernel.nr_detached, 3);
    assert_int_equal(host->set_active(host, 4), 0);
    assert_int_equal(kernel.nr_detached, 0);
    assert_int_equal(host->set_active(host, 2), 0);
    assert_int_equal(kernel.nr_detached, 2);
    kernel.queue_error = EBADFD;
    assert_int_equal(host->set_active(host, 3), -EBADFD);
    assert_int_equal(host->set_active(host, 1), -EBADFD);
    kernel.queue_error = 0;
    assert_int_equal(host->set_active(host, 1), 0);
    assert_int_equal(kernel.nr_detached, 3);
    net_tap_close(tap);
}

static void test_offloads_are_what_the_kernel_can(void **state)
{
    static const uint64_t from_guest = NET_CSUM | NET_HOST_TSO4 | NET_HOST_TSO6 | NET_HOST_ECN;
    static const uint64_t to_guest =
        NET_GUEST_CSUM | NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_GUEST_ECN;
    struct net_tap *tap = open_tap(1);

    (void)state;
    assert_true(net_tap_host(tap)->offloads ==
                (from_guest | to_guest | NET_GUEST_UFO | NET_HOST_UFO));
    net_tap_close(tap);
    kernel.has_no_ufo = true;
    tap = open_tap(1);
    assert_true(net_tap_host(tap)->offloads == (from_guest | to_guest));
    net_tap_close(tap);
    kernel.has_no_offloads = true;
    tap = open_tap(1);
    assert_true(net_tap_host(tap)->offloads == from_guest);
    net_tap_close(tap);
}

/* Whatever combination the guest has come up with, it is one that the kernel takes. */
static void test_offloads_that_the_guest_wants_are_set(void **state)
{
    static const struct {
        uint64_t wanted;
        unsigned long flags;
    } rows[] = {
        {0, 0},
        {NET_CSUM | NET_HOST_TSO4, 0},
        {NET_GUEST_CSUM, TUN_F_CSUM},
        {NET_GUEST_TSO4 | NET_GUEST_UFO, 0},
        {NET_GUEST_CSUM | NET_GUEST_TSO4, TUN_F_CSUM | TUN_F_TSO4},
        {NET_GUEST_CSUM | NET_GUEST_TSO6 | NET_GUEST_ECN, TUN_F_CSUM | TUN_F_TSO6 | TUN_F_TSO_ECN},
        {NET_GUEST_CSUM | NET_GUEST_ECN, TUN_F_CSUM},
        {NET_GUEST_CSUM | NET_GUEST_UFO, TUN_F_CSUM | TUN_F_UFO},
    };
    struct net_tap *tap = open_tap(1);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        kernel.offload = ~0ul;
        net_tap_host(tap)->set_offloads(net_tap_host(tap), rows[i].wanted);
        assert_int_equal(kernel.offload, rows[i].flags);
    }
    net_tap_close(tap);
}

static void test_mtu_that_the_guest_cannot_be_told_is_none(void **state)
{
    struct net_tap *tap;

    (void)state;
    kernel.mtu = 65536;
    tap = open_tap(1);
    assert_int_equal(net_tap_host(tap)->mtu, 0);
    net_tap_close(tap);
}

static void test_what_is_wrong_with_a_tap_is_named(void **state)
{
    (void)state;
    kernel.mtu_error = ENODEV;
    assert_refused("tap0", 1, "there is no tap 'tap0'; ip tuntap add tap0 mode tap would make one");
    assert_refused("a-name-with-many-characters", 1,
                   "there is no tap 'a-name-with-many-characters': names have at most 15 "
                   "characters");
    kernel.mtu_error = EIO;
    assert_refused("tap0", 1, "cannot ask for the MTU of 'tap0': Input/output error");
    kernel.mtu_error = 0;
    kernel.attach_error = EINVAL;
    assert_refused("tap0", 1, "'tap0' is not a tap");
    assert_refused("tap0", 2, "'tap0' is not a tap");
    kernel.attach_error = EBUSY;
    assert_refused("tap0", 1, "the tap 'tap0' is in use by another program");
    kernel.attach_error = EPERM;
    assert_refused("tap0", 1,
                   "no permission to use the tap 'tap0'; ip tuntap add tap0 mode tap user NAME "
                   "makes one for a user");
    kernel.attach_error = ENOMEM;
    assert_refused("tap0", 1, "cannot use the tap 'tap0': Cannot allocate memory");
    kernel.attach_error = 0;
    assert_refused("tap0", 2,
                   "the tap 'tap0' has not that many queues; ip tuntap add tap0 mode tap "
                   "multi_queue makes one with several");
    kernel.header_error = EIO;
    assert_refused("tap0", 1, "cannot set the header's size of the tap 'tap0': Input/output error");
    kernel.header_error = 0;
    kernel.is_multi_queue = true;
    kernel.queue_error = EPERM;
    assert_refused("tap0", 2, "cannot detach a queue of the tap 'tap0': Operation not permitted");
}

static void test_what_is_wrong_with_the_device_is_named(void **state)
{
    static const struct {
        int err;
        const char *why;
    } rows[] = {
        {ENOENT, "cannot open /dev/net/tun: the kernel has no taps; modprobe tun may help"},
        {ENXIO, "cannot open /dev/net/tun: the kernel has no taps; modprobe tun may help"},
        {ENODEV, "cannot open /dev/net/tun: the kernel has no taps; modprobe tun may help"},
        {EACCES, "cannot open /dev/net/tun: no permission"},
        {EPERM, "cannot open /dev/net/tun: no permission"},
        {EMFILE, "cannot open /dev/net/tun: Too many open files"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        kernel.open_error = rows[i].err;
        assert_refused("tap0", 1, rows[i].why);
    }
}

/* But for offloads, without which a tap is as good. */
static void test_failures_leave_nothing_behind(void **state)
{
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    kernel.is_multi_queue = true;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        char why[200] = "";
        struct net_tap *tap;

        inject_fail_nth(n);
        tap = net_tap_open("tap0", 2, why, sizeof(why));
        has_failed = inject_disarm();
        assert_int_equal(tap == NULL, why[0] != '\0');
        net_tap_close(tap);
        leak_check(&before);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tap_is_opened_with_a_header_of_12_bytes),
        TEST(test_one_queue_of_several_can_be_used),
        TEST(test_queues_are_attached_as_they_are_used),
        TEST(test_offloads_are_what_the_kernel_can),
        TEST(test_offloads_that_the_guest_wants_are_set),
        TEST(test_mtu_that_the_guest_cannot_be_told_is_none),
        TEST(test_what_is_wrong_with_a_tap_is_named),
        TEST(test_what_is_wrong_with_the_device_is_named),
        TEST(test_failures_leave_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
