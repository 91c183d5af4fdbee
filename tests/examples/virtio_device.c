/* A virtio device of one's own: what the guest puts into its queue comes back in capitals. The
 * device is the first half; the second is a guest that uses it, its code in virtio_device_guest.h,
 * once for each architecture. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include <hostvm/env.h>
#include <hostvm/events.h>
#include <hostvm/virtio.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "virtio_device_guest.h"

/* --- the device --- */

/* The guest has put something into the queue: called by the VM's event loop. */
static int serve(vm_t *vm, int fd, void *cookie)
{
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(cookie, 0);
    struct iovec pieces[8];
    hostvm_virtio_buffer_t buffer = {.iov = pieces, .iov_max = 8};
    eventfd_t count;

    (void)vm;
    (void)eventfd_read(fd, &count);
    do {
        while (hostvm_virtqueue_pop(queue, &buffer) > 0) {
            char text[64];
            size_t n = hostvm_virtio_read(&buffer, 0, text, sizeof(text));

            for (size_t i = 0; i < n; i++) {
                text[i] = (char)toupper((unsigned char)text[i]);
            }
            hostvm_virtqueue_push(queue, &buffer, hostvm_virtio_write(&buffer, 0, text, n));
        }
        hostvm_virtqueue_publish(queue);
    } while (hostvm_virtqueue_rearm(queue));
    return 0;
}

static hostvm_virtio_t *add_device(vm_t *vm, uintptr_t gpa, unsigned line)
{
    static const hostvm_virtio_ops_t ops = {.start = NULL}; /* nothing to do at a start or a stop */
    static const uint16_t queue_size = 16;
    const hostvm_virtio_config_t config = {
        .id = 63, .nr_queues = 1, .queue_sizes = &queue_size, .ops = &ops};
    hostvm_virtio_t *device = hostvm_virtio_create(vm, &config);

    if (device == NULL || hostvm_virtio_attach_mmio(device, gpa, line) != 0 ||
        hostvm_event_add(vm, hostvm_virtqueue_fd(hostvm_virtio_queue(device, 0)), serve, device) !=
            0) {
        hostvm_virtio_destroy(device);
        return NULL;
    }
    return device;
}

/* --- a guest that uses it --- */

enum { DEVICE = 0xd0000000, STOP = 0xd0001000 };
enum {
    CODE = 0x1000,
    WRITES = 0x2000,
    RING = 0x3000,
    AVAILABLE = 0x4000,
    DONE = 0x5000,
    TEXT = 0x6000
};

/* What its driver does: registers and values (virtio 1.2, 4.2.2 and 4.2.3). */
static const uint32_t writes[][2] = {
    {DEVICE + 0x70, 3}, /* I see a device, and know it */
    {DEVICE + 0x24, 1},
    {DEVICE + 0x20, 1},  /* features: version 1, no more */
    {DEVICE + 0x70, 11}, /* agreed */
    {DEVICE + 0x38, 4},  /* a queue of 4, and where it lies */
    {DEVICE + 0x80, RING},
    {DEVICE + 0x90, AVAILABLE},
    {DEVICE + 0xa0, DONE},
    {DEVICE + 0x44, 1},
    {DEVICE + 0x70, 15}, /* ready */
    {DEVICE + 0x50, 0},  /* look at queue 0 */
    {0, 0},
};

/* A buffer of two pieces (2.7): one to be read, one to be written behind it in memory. */
static void prepare_guest(vm_t *vm)
{
    static const char text[] = "a device in a page";
    const struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } ring[] = {{TEXT, sizeof(text), 1, 1}, {TEXT + 64, sizeof(text), 2, 0}};
    const uint16_t available[] = {0, 1, 0}; /* flags; one buffer is there: number 0 */

    memcpy(hostvm_vm_pointer(vm, CODE, guest_end - guest), guest, guest_end - guest);
    memcpy(hostvm_vm_pointer(vm, WRITES, sizeof(writes)), writes, sizeof(writes));
    memcpy(hostvm_vm_pointer(vm, RING, sizeof(ring)), ring, sizeof(ring));
    memcpy(hostvm_vm_pointer(vm, AVAILABLE, sizeof(available)), available, sizeof(available));
    memcpy(hostvm_vm_pointer(vm, TEXT, sizeof(text)), text, sizeof(text));
}

static memory_fault_result_t stop(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                  void *cookie)
{
    (void)addr;
    (void)size;
    (void)cookie;
    hostvm_vm_stop(vm);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

int main(void)
{
    const char *text = "";
    hostvm_env_t env;
    hostvm_virtio_t *device = NULL;
    vm_vcpu_t *vcpu;
    vm_t vm;

    if (hostvm_env_create(&env, &(hostvm_env_config_t){.guest32 = true}) != 0 ||
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "vm") != 0 ||
        (vcpu = vm_create_vcpu(&vm, 0)) == NULL ||
        vm_ram_register_at(&vm, 0, 1 << 20, false) != 0 ||
        vm_create_default_irq_controller(&vm) != 0 ||
        vm_reserve_memory_at(&vm, STOP, 4096, stop, NULL) == NULL ||
        (device = add_device(&vm, DEVICE, LINE)) == NULL || guest_begin(&vm, vcpu, CODE) != 0) {
        fprintf(stderr, "%s\n", hostvm_last_error());
        return 1;
    }
    prepare_guest(&vm);
    vcpu_start(vcpu);
    if (vm_run(&vm) == 0) {
        text = hostvm_vm_pointer(&vm, TEXT + 64, 64);
        printf("%s\n", text);
    }
    int status = strcmp(text, "A DEVICE IN A PAGE") == 0 ? 0 : 1;

    hostvm_virtio_destroy(device);
    hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return status;
}
