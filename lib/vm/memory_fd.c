/* Which file lies behind guest memory. */
#include "vm/vm.h"

#include <errno.h>
#include <hostvm/vm.h>

static bool is_readable(const struct space_run *run)
{
    return seL4_CapRights_get_capAllowRead(run->rights) != 0;
}

/* Another mapping may go on where the first one ends, in the guest and in the file. */
static bool continues(struct hosted_vm *hosted, const struct space_run *first, uint64_t gpa,
                      struct space_run *ret)
{
    return space_find_mapping(hosted->space, gpa, ret) && is_readable(ret) &&
           ret->fd == first->fd &&
           ret->offset - first->offset == ret->range.start - first->range.start;
}

static int find(vm_t *vm, struct range wanted, int *ret_fd, uint64_t *ret_offset, size_t *ret_size)
{
    struct hosted_vm *hosted = vm->hosted;
    struct space_run first, next;
    uint64_t end;

    if (!space_find_mapping(hosted->space, wanted.start, &first) || !is_readable(&first)) {
        return fail(-ENOENT, "there is no memory of a file at guest address 0x%llx",
                    (unsigned long long)wanted.start);
    }
    end = range_end(first.range);
    while (end < range_end(wanted) && continues(hosted, &first, end, &next)) {
        end = range_end(next.range);
    }
    if (end > range_end(wanted)) {
        end = range_end(wanted);
    }
    *ret_fd = first.fd;
    *ret_offset = first.offset + (wanted.start - first.range.start);
    *ret_size = end - wanted.start;
    return 0;
}

int hostvm_vm_memory_fd(vm_t *vm, uintptr_t gpa, size_t size, int *ret_fd, uint64_t *ret_offset,
                        size_t *ret_size)
{
    int r;

    if (!vm_is_usable(vm) || ret_fd == NULL || ret_offset == NULL || ret_size == NULL) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_memory_fd: no VM or no result given"));
    }
    if (size == 0 || size > UINT64_MAX - gpa) {
        return public_status(
            vm, fail(-EINVAL, "hostvm_vm_memory_fd: 0x%zx bytes from 0x%llx on are no range", size,
                     (unsigned long long)gpa));
    }
    vm_enter(vm);
    r = find(vm, (struct range){gpa, size}, ret_fd, ret_offset, ret_size);
    vm_leave(vm);
    return public_status(vm, r);
}
