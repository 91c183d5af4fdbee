/* A KVM that has nothing but memory slots. */
#include "support/fake_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kvm.h>

#include <cmocka.h>

enum { PAGE = 4096, MAX_SLOTS = 509, RUN_SIZE = 3 * PAGE };

static struct fake_slot slots[MAX_SLOTS]; /* size 0: none of this number */
static struct fake_kvm_faults wrong;
static inject_ioctl_fn extension; /* NULL: none */

static int refuse(int err)
{
    errno = err;
    return -1;
}

/* Any descriptor will do: what is asked of it comes here. */
static int new_descriptor(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool answer_open(const char *path, int *ret_fd)
{
    if (strcmp(path, "/dev/kvm") != 0) {
        return false;
    }
    *ret_fd = wrong.open_errno == 0 ? new_descriptor() : refuse(wrong.open_errno);
    return true;
}

static int check_extension(unsigned long cap)
{
    if (cap == (unsigned long)wrong.missing_cap && cap != 0) {
        return 0;
    }
    switch (cap) {
    case KVM_CAP_NR_MEMSLOTS:
        return MAX_SLOTS;
    case KVM_CAP_USER_MEMORY:
    case KVM_CAP_IMMEDIATE_EXIT:
    case KVM_CAP_READONLY_MEM:
        return 1;
    default:
        return 0;
    }
}

static bool overlaps(const struct fake_slot *a, const struct fake_slot *b)
{
    return a->gpa < b->gpa + b->size && b->gpa < a->gpa + a->size;
}

/* As Documentation/virt/kvm/api.rst has it; moving or changing a slot is not for this library. */
static int set_region(const struct kvm_userspace_memory_region *region)
{
    const struct fake_slot slot = {region->guest_phys_addr, region->memory_size,
                                   (uintptr_t)region->userspace_addr, region->flags};

    if (region->slot >= MAX_SLOTS || (slot.gpa | slot.size | slot.hva) % PAGE != 0 ||
        slot.gpa + slot.size < slot.gpa || (slot.flags & ~(uint32_t)KVM_MEM_READONLY) != 0 ||
        (slot.size == 0) == (slots[region->slot].size == 0)) {
        return refuse(EINVAL);
    }
    for (size_t i = 0; i < MAX_SLOTS && slot.size > 0; i++) {
        if (slots[i].size > 0 && overlaps(&slots[i], &slot)) {
            return refuse(EEXIST);
        }
    }
    slots[region->slot] = slot;
    return 0;
}

static int answer(unsigned long request, void *arg)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        if (wrong.version_errno != 0) {
            return refuse(wrong.version_errno);
        }
        return wrong.version != 0 ? wrong.version : KVM_API_VERSION;
    case KVM_GET_VCPU_MMAP_SIZE:
        if (wrong.run_size_errno != 0) {
            return refuse(wrong.run_size_errno);
        }
        return wrong.run_size != 0 ? wrong.run_size : RUN_SIZE;
    case KVM_CHECK_EXTENSION:
        return check_extension((unsigned long)arg);
    case KVM_CREATE_VM:
        if (wrong.create_errno != 0) {
            return refuse(wrong.create_errno);
        }
        memset(slots, 0, sizeof(slots));
        return new_descriptor();
    case KVM_SET_IDENTITY_MAP_ADDR:
    case KVM_SET_TSS_ADDR:
        return 0;
    case KVM_SET_USER_MEMORY_REGION:
        return set_region(arg);
    default:
        return refuse(ENOTTY);
    }
}

static bool answer_ioctl(int fd, unsigned long request, void *arg, int *ret_result)
{
    if (extension == NULL || !extension(fd, request, arg, ret_result)) {
        *ret_result = answer(request, arg);
    }
    return true;
}

void fake_kvm_begin(void)
{
    fake_kvm_begin_with(&(struct fake_kvm_faults){.open_errno = 0});
}

void fake_kvm_begin_with(const struct fake_kvm_faults *faults)
{
    wrong = *faults;
    inject_answer_opens(answer_open);
    inject_answer_ioctls(answer_ioctl);
}

void fake_kvm_extend(inject_ioctl_fn fn)
{
    extension = fn;
}

void fake_kvm_end(void)
{
    extension = NULL;
    inject_answer_opens(NULL);
    inject_answer_ioctls(NULL);
}

static int compare(const void *a, const void *b)
{
    const struct fake_slot *x = a;
    const struct fake_slot *y = b;

    return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

size_t fake_kvm_slots(struct fake_slot *ret, size_t nr_max)
{
    size_t nr = 0;

    for (size_t i = 0; i < MAX_SLOTS; i++) {
        if (slots[i].size > 0) {
            assert_true(nr < nr_max);
            ret[nr++] = slots[i];
        }
    }
    qsort(ret, nr, sizeof(*ret), compare);
    return nr;
}
