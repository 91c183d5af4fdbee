/* The console, on two pipes in the place of a terminal: keys come, and output is taken or not. */
#include "virtio/console.h"

#include <fcntl.h>
#include <unistd.h>

#include "console.h"
#include "driver.h"

enum { CTRL_A = 1 };

static struct console terminal;
static struct virtio_console *console;
static int keys, screen;

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    int in[2], out[2];

    fuzz_check(pipe2(in, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0);
    terminal = (struct console){
        .in = in[0], .out = out[1], .interrupt = -1, .is_raw = (fuzz_u8() & 1) != 0};
    keys = in[1];
    screen = out[0];
    console = virtio_console_create(vm, worker, &terminal);
    return console == NULL ? NULL : virtio_console_device(console);
}

/* Nobody reads any more: what is left does not wait for somebody. */
static void destroy(void)
{
    (void)close(screen);
    virtio_console_destroy(console);
    (void)close(keys);
    (void)close(terminal.in);
    (void)close(terminal.out);
}

/* All but the key that would end the VM. */
static void type(void)
{
    uint8_t bytes[32];
    size_t size = fuzz_u8() % sizeof(bytes);

    fuzz_bytes(bytes, size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = bytes[i] == CTRL_A && (i + 1 == size || bytes[i + 1] != 'h') ? 'a' : bytes[i];
    }
    (void)!write(keys, bytes, size);
}

static void host(void)
{
    static uint8_t page[4096];

    switch (fuzz_u8() & 3) {
    case 0:
        type();
        break;
    case 1:
        (void)!read(screen, page, sizeof(page));
        break;
    case 2:
        while (write(keys, page, sizeof(page)) > 0) {
        }
        break;
    default:
        while (read(screen, page, sizeof(page)) > 0) {
        }
        break;
    }
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy, .host = host};
