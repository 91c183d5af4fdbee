/* The socket device, with programs of the host that connect, are connected to, write, read and
 * leave. */
#include "virtio/vsock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver.h"

enum { NR_PROGRAMS = 4, GUEST_CID = 3, PORT = 1 };

static struct vsock *vsock;
static char folder[] = "/dev/shm/hostvm-fuzz-XXXXXX";
static char path[64];
static char port_path[72];
static int listener = -1;         /* for the guest: at PORT */
static int programs[NR_PROGRAMS]; /* -1: none */

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    return address;
}

static void remove_folder(void)
{
    (void)unlink(port_path);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void open_folder(void)
{
    struct sockaddr_un address;

    fuzz_check(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/vsock", folder);
    (void)snprintf(port_path, sizeof(port_path), "%s_%d", path, PORT);
    (void)atexit(remove_folder);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address = address_of(port_path);
    fuzz_check(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    fuzz_check(listen(listener, NR_PROGRAMS) == 0);
}

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    const struct vsock_config config = {.path = path, .guest_cid = GUEST_CID};

    (void)worker;
    if (listener < 0) {
        open_folder();
    }
    for (unsigned i = 0; i < NR_PROGRAMS; i++) {
        programs[i] = -1;
    }
    vsock = vsock_create(vm, &config);
    return vsock == NULL ? NULL : vsock_device(vsock);
}

static void leave(unsigned i)
{
    if (programs[i] >= 0) {
        (void)close(programs[i]);
    }
    programs[i] = -1;
}

static void destroy(void)
{
    int fd;

    vsock_destroy(vsock);
    for (unsigned i = 0; i < NR_PROGRAMS; i++) {
        leave(i);
    }
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        (void)close(fd);
    }
}

static void connect_to_guest(unsigned i)
{
    const struct sockaddr_un address = address_of(path);
    char line[32];
    int n = snprintf(line, sizeof(line), "CONNECT %u\n", fuzz_u8());

    leave(i);
    programs[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(programs[i], (const struct sockaddr *)&address, sizeof(address)) == 0) {
        (void)send(programs[i], line, (size_t)n, MSG_NOSIGNAL);
    }
}

static void host(void)
{
    static uint8_t bytes[1 << 16];
    uint8_t kind = fuzz_u8();
    unsigned i = kind & (NR_PROGRAMS - 1);

    switch (kind >> 2 & 7) {
    case 0:
        connect_to_guest(i);
        break;
    case 1:
        leave(i);
        programs[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        break;
    case 2:
        (void)send(programs[i], bytes, fuzz_u8(), MSG_NOSIGNAL);
        break;
    case 3:
        (void)send(programs[i], bytes, sizeof(bytes), MSG_NOSIGNAL);
        break;
    case 4:
        (void)!read(programs[i], bytes, sizeof(bytes));
        break;
    case 5:
        (void)shutdown(programs[i], kind >> 5 & 1 ? SHUT_WR : SHUT_RD);
        break;
    case 6:
        leave(i);
        break;
    default:
        vsock_transport_reset(vsock);
        break;
    }
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy, .host = host};
