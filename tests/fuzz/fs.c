/* The file system device, with this program in the place of virtiofsd: a back end that answers,
 * errs, or goes. */
#include "virtio/fs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "back/vhost_user.h"
#include "back/virtiofsd.h"
#include "driver.h"
#include "unit/vhost_backend.h"

#define FEATURES (1ull << 32 | 1ull << 29 | 1ull << 28 | VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL (1ull << 0 | 1ull << 3)

static struct fs *fs;
static struct backend server;
static bool is_running;

int virtiofsd_start(struct virtiofsd *s, const char *dir, bool is_readonly, char *why,
                    size_t why_size)
{
    (void)dir;
    (void)is_readonly;
    (void)snprintf(why, why_size, "there is none");
    *s = (struct virtiofsd){.socket = backend_begin(&server)};
    if (s->socket < 0) {
        return -EAGAIN;
    }
    s->pid = 1;
    is_running = true;
    return 0;
}

void virtiofsd_end(struct virtiofsd *s, char *how, size_t how_size)
{
    (void)snprintf(how, how_size, "exit status 3");
    if (is_running) {
        backend_end(&server);
    }
    is_running = false;
    if (s->socket >= 0) {
        (void)close(s->socket);
    }
    *s = (struct virtiofsd){.socket = -1};
}

/* What the back end does wrong, if anything, comes with the start of a ring or its stop. */
static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    static const enum misdeed misdeeds[] = {
        MISDEED_NONE,           MISDEED_HANG_UP, MISDEED_SHORT_BODY, MISDEED_OTHER_REQUEST,
        MISDEED_NO_ANSWER_FLAG, MISDEED_SHORTER, MISDEED_HUGE,       MISDEED_OTHER_INDEX,
    };
    static const uint32_t requests[] = {2, 5, 8, 9, 10, 11, 12, 18};
    const struct fs_config config = {.dir = "/some/folder", .tag = "fuzz", .is_readonly = true};
    uint8_t kind = fuzz_u8();

    (void)worker;
    server = (struct backend){
        .features = FEATURES,
        .protocol = PROTOCOL,
        .nr_queues = 2,
        .misdeed = misdeeds[kind & 7],
        .at = requests[kind >> 3 & 7],
    };
    fs = fs_create(vm, &config);
    return fs == NULL ? NULL : fs_device(fs);
}

static void destroy(void)
{
    fs_destroy(fs);
}

/* It ends, in the middle of whatever it does. */
static void host(void)
{
    if (is_running) {
        (void)shutdown(server.fd, SHUT_RDWR);
    }
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy, .host = host};
