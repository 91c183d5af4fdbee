/* Which file lies behind guest memory: another mapping of it shows what the guest has. */
#include "support/vm.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/guest_window.h>
#include <hostvm/vm.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>

enum { PAGE = 4096, MIB = 1 << 20 };

struct answer {
    int fd;
    uint64_t offset;
    size_t size;
};

static struct answer ask(struct testvm *t, uintptr_t gpa, size_t size)
{
    struct answer answer = {-1, 0, 0};

    assert_int_equal(
        hostvm_vm_memory_fd(&t->vm, gpa, size, &answer.fd, &answer.offset, &answer.size), 0);
    return answer;
}

/* What this process sees through a mapping of its own is what it sees through the VM. */
static void check_memory(struct testvm *t, uintptr_t gpa, const struct answer *answer)
{
    uint64_t page = answer->offset & ~(uint64_t)(PAGE - 1);
    size_t size = answer->size + (answer->offset - page);
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, answer->fd, (off_t)page);
    char *bytes = testvm_pointer(t, gpa, answer->size);

    assert_ptr_not_equal(mapped, MAP_FAILED);
    bytes[answer->size - 1] = 17;
    assert_int_equal(mapped[size - 1], 17);
    bytes[0] = 18;
    assert_int_equal(mapped[answer->offset - page], 18);
    mapped[answer->offset - page] = 19;
    assert_int_equal(bytes[0], 19);
    assert_int_equal(munmap(mapped, size), 0);
}

static void test_ram_is_one_piece_of_a_file(void **state)
{
    struct testvm *t = *state;
    struct answer answer;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x100000, 64 * MIB, false), 0);
    answer = ask(t, 0x100000, 64 * MIB);
    assert_int_equal(answer.size, 64 * MIB);
    check_memory(t, 0x100000, &answer);
}

static void test_any_byte_can_be_asked_for_and_the_end_is_told(void **state)
{
    struct testvm *t = *state;
    struct answer all, answer;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x100000, MIB, false), 0);
    all = ask(t, 0x100000, SIZE_MAX - 0x100000);
    assert_int_equal(all.size, MIB);
    answer = ask(t, 0x100123, 7);
    assert_int_equal(answer.size, 7);
    assert_int_equal(answer.offset, all.offset + 0x123);
    check_memory(t, 0x100123, &answer);
    answer = ask(t, 0x1fffff, 2 * PAGE);
    assert_int_equal(answer.size, 1);
    check_memory(t, 0x1fffff, &answer);
}

/* Frames that do not follow each other in the file. */
static vm_frame_t backwards(uintptr_t addr, void *cookie)
{
    const seL4_CPtr *frames = cookie;

    return (vm_frame_t){frames[(addr - 0x100000) / PAGE], seL4_AllRights, addr, seL4_PageBits};
}

static void test_pieces_end_where_the_file_does_not_go_on(void **state)
{
    struct testvm *t = *state;
    vka_object_t objects[2];
    seL4_CPtr frames[3] = {0};
    vm_memory_reservation_t *reservation;
    struct answer first, second;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(vka_alloc_frame(&t->env.vka, seL4_PageBits, &objects[i]), 0);
    }
    frames[0] = objects[1].cptr;
    frames[1] = objects[0].cptr;
    reservation =
        vm_reserve_memory_at(&t->vm, 0x100000, 2 * PAGE, default_error_fault_callback, NULL);
    assert_non_null(reservation);
    assert_int_equal(vm_map_reservation(&t->vm, reservation, backwards, frames), 0);
    first = ask(t, 0x100000, 2 * PAGE);
    second = ask(t, 0x101000, PAGE);
    assert_int_equal(second.size, PAGE);
    if (first.size == PAGE) {
        assert_true(second.offset != first.offset + PAGE);
    } else { /* the file was given out from its end */
        assert_int_equal(second.offset, first.offset + PAGE);
    }
    check_memory(t, 0x100000, &first);
    check_memory(t, 0x101000, &second);
    assert_int_equal(vm_free_reserved_memory(&t->vm, reservation), 0);
    for (int i = 0; i < 2; i++) {
        vka_free_object(&t->env.vka, &objects[i]);
    }
}

static void check_refused(vm_t *vm, uintptr_t gpa, size_t size, const char *reason)
{
    struct answer answer = {-7, 7, 7};

    assert_int_equal(hostvm_vm_memory_fd(vm, gpa, size, &answer.fd, &answer.offset, &answer.size),
                     -1);
    assert_reason(reason);
    assert_int_equal(answer.fd, -7);
    assert_int_equal(answer.offset, 7);
    assert_int_equal(answer.size, 7);
}

static void test_holes_and_what_is_no_question_are_refused(void **state)
{
    struct testvm *t = *state;
    struct answer a;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x100000, MIB, false), 0);
    check_refused(&t->vm, 0x200000, 1, "there is no memory of a file at guest address 0x200000");
    check_refused(&t->vm, 0xfffff, 2, "there is no memory of a file at guest address 0xfffff");
    check_refused(&t->vm, 0x100000, 0,
                  "hostvm_vm_memory_fd: 0x0 bytes from 0x100000 on are no range");
    check_refused(&t->vm, UINTPTR_MAX, 1,
                  "hostvm_vm_memory_fd: 0x1 bytes from 0xffffffffffffffff on are no range");
    check_refused(NULL, 0, 1, "hostvm_vm_memory_fd: no VM or no result given");
    assert_int_equal(hostvm_vm_memory_fd(&t->vm, 0x100000, 1, NULL, &a.offset, &a.size), -1);
    assert_int_equal(hostvm_vm_memory_fd(&t->vm, 0x100000, 1, &a.fd, NULL, &a.size), -1);
    assert_int_equal(hostvm_vm_memory_fd(&t->vm, 0x100000, 1, &a.fd, &a.offset, NULL), -1);
    assert_reason("hostvm_vm_memory_fd: no VM or no result given");
}

static void test_what_was_attached_to_a_window_is_its_owners(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *window;
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(hostvm_window_create(MIB, 0, &window), 0);
    assert_int_equal(hostvm_window_bind(window, &t->vm), 0);
    assert_int_equal(hostvm_window_attach(window, fd, 0, 0x1000, PAGE, seL4_AllRights), 0);
    check_refused(&t->vm, 0x1000, 1, "there is no memory of a file at guest address 0x1000");
    assert_int_equal(vm_ram_register_at(&t->vm, 0x2000, PAGE, false), 0);
    assert_int_equal(ask(t, 0x2000, PAGE).size, PAGE);
    hostvm_window_destroy(window);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_ram_is_one_piece_of_a_file),
        vm_test(test_any_byte_can_be_asked_for_and_the_end_is_told),
        vm_test(test_pieces_end_where_the_file_does_not_go_on),
        vm_test(test_holes_and_what_is_no_question_are_refused),
        vm_test(test_what_was_attached_to_a_window_is_its_owners),
    };

    return run_vm_tests(tests);
}
