/* What tests of networks need beside busybox, where they run:
 *
 *   net_peer names                    answers all questions to 127.0.0.1's name server with
 * 192.0.2.7 net_peer datagram PORT            prints the first one that comes net_peer tap NAME
 * [multi_queue]   makes a tap that stays
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int open_port(uint32_t address, int port)
{
    const struct sockaddr_in here = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(address),
        .sin_port = htons((uint16_t)port),
    };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0) {
        perror("net_peer: bind");
        exit(1);
    }
    return fd;
}

/* RFC 1035, 4.1: a header of 12 bytes and the question, and behind them one answer whose name is
 * the question's: type A, class IN, a minute, four bytes. */
static void names(void)
{
    static const uint8_t answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
    uint8_t message[512 + sizeof(answer)];
    int fd = open_port(INADDR_LOOPBACK, 53);

    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        ssize_t size = recvfrom(fd, message, 512, 0, (struct sockaddr *)&from, &length);
        int is_known;

        if (size < 17) { /* the smallest question */
            continue;
        }
        is_known = message[size - 3] == 1; /* type A */
        message[2] = 0x80;                 /* a response */
        message[3] = 0;                    /* without error */
        message[7] = (uint8_t)is_known;
        message[9] = message[11] = 0; /* and nothing else */
        memcpy(message + size, answer, sizeof(answer));
        size += is_known ? (ssize_t)sizeof(answer) : 0;
        (void)sendto(fd, message, (size_t)size, 0, (struct sockaddr *)&from, length);
    }
}

static int datagram(int port)
{
    char text[512];
    ssize_t size = recv(open_port(INADDR_ANY, port), text, sizeof(text), 0);

    return size < 0 || fwrite(text, 1, (size_t)size, stdout) != (size_t)size;
}

static int tap(const char *name, int has_queues)
{
    struct ifreq ifr = {.ifr_flags =
                            (short)(IFF_TAP | IFF_NO_PI | (has_queues ? IFF_MULTI_QUEUE : 0))};
    int fd = open("/dev/net/tun", O_RDWR);

    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1L) < 0) {
        perror("net_peer: tap");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "names") == 0) {
        names();
    }
    if (strcmp(what, "datagram") == 0 && argc > 2) {
        return datagram(atoi(argv[2]));
    }
    if (strcmp(what, "tap") == 0 && argc > 2) {
        return tap(argv[2], argc > 3);
    }
    return 64;
}
