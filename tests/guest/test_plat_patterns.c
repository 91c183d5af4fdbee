/* How platform support uses libsel4vm: loaders, shared pages, rings in guest memory, saved hooks.
 */
#include "support/vm.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <elf/elf.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <utils/util.h>
#include <virtio/virtio_net.h>
#include <virtio/virtio_pci.h>
#include <virtio/virtio_ring.h>
#include <vka/capops.h>
#include <vka/object.h>

#include "support/inject.h"

enum { BIOS = 0xe0000, BIOS_SIZE = 0xffff, NR_BIOS_PAGES = 16 };

static void add_ram(struct testvm *t, uintptr_t start, size_t size)
{
    assert_int_equal(vm_ram_register_at(&t->vm, start, size, false), 0);
}

/* --- a loader that maps guest pages one by one, with one slot used again and again --- */

/* Copies size bytes, or zeros when from is NULL, to wherever in guest memory. */
static void load(struct testvm *t, uintptr_t gpa, const char *from, size_t size)
{
    vm_t *vm = &t->vm;
    cspacepath_t slot;
    size_t done = 0;

    assert_int_equal(vka_cspace_alloc_path(vm->vka, &slot), 0);
    while (done < size) {
        seL4_CPtr cap = vspace_get_cap(&vm->mem.vm_vspace, (void *)(gpa + done));
        size_t offset = (gpa + done) & (BIT(seL4_PageBits) - 1);
        size_t length = MIN(BIT(seL4_PageBits) - offset, size - done);
        cspacepath_t path;
        char *page;

        assert_int_not_equal(cap, seL4_CapNull);
        vka_cspace_make_path(vm->vka, cap, &path);
        assert_int_equal(vka_cnode_copy(&slot, &path, seL4_AllRights), 0);
        page = vspace_map_pages(&vm->mem.vmm_vspace, &slot.capPtr, NULL, seL4_AllRights, 1,
                                seL4_PageBits, 1);
        assert_non_null(page);
        if (from != NULL) {
            memcpy(page + offset, from + done, length);
        } else {
            memset(page + offset, 0, length);
        }
        done += length;
        vspace_unmap_pages(&vm->mem.vmm_vspace, page, 1, seL4_PageBits, NULL);
        assert_int_equal(vka_cnode_delete(&slot), 0);
    }
    vka_cspace_free_path(vm->vka, slot);
}

/* An ELF file with one segment: two pages and a bit, then what is to be zero. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    char text[9000];
};

static struct image *make_image(void)
{
    static struct image image;

    image.header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
        .e_entry = 0x400123,
        .e_phoff = offsetof(struct image, segment),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1,
    };
    image.segment = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_offset = offsetof(struct image, text),
        .p_paddr = 0x400123,
        .p_filesz = sizeof(image.text),
        .p_memsz = sizeof(image.text) + 5000,
    };
    for (size_t i = 0; i < sizeof(image.text); i++) {
        image.text[i] = (char)(i % 251 + 1);
    }
    return &image;
}

static void test_loader_fills_unaligned_ram_page_by_page(void **state)
{
    struct testvm *t = *state;
    struct image *image = make_image();
    struct leak_state before;
    uintptr_t gpa;
    size_t size;
    char *there;
    elf_t elf;

    add_ram(t, 0x400000, 0x10000);
    there = testvm_pointer(t, 0x400000, 0x10000);
    memset(there, 0xcc, 0x10000);
    assert_int_equal(elf_newFile_maybe_unsafe(image, 256, true, false, &elf), 0);
    gpa = elf_getProgramHeaderPaddr(&elf, 0);
    size = elf_getProgramHeaderFileSize(&elf, 0);
    load(t, gpa, NULL, size); /* tables of the environment grow the first time */
    leak_begin(&before);
    load(t, gpa, (char *)image + elf_getProgramHeaderOffset(&elf, 0), size);
    load(t, gpa + size, NULL, elf_getProgramHeaderMemorySize(&elf, 0) - size);
    leak_check(&before);
    vm_ram_mark_allocated(&t->vm, gpa, elf_getProgramHeaderMemorySize(&elf, 0));

    assert_int_equal((unsigned char)there[0x122], 0xcc);
    assert_memory_equal(there + 0x123, image->text, sizeof(image->text));
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(there[0x123 + sizeof(image->text) + i], 0);
    }
    assert_int_equal((unsigned char)there[0x123 + sizeof(image->text) + 5000], 0xcc);
    assert_int_equal(t->vm.mem.num_ram_regions, 3);
}

/* --- tables in frames that the VMM sees as one piece --- */

struct bios {
    struct testvm *t;
    cspacepath_t frames[NR_BIOS_PAGES];
};

static vm_frame_t bios_frame(uintptr_t addr, void *cookie)
{
    vm_frame_t frame = {seL4_CapNull, seL4_NoRights, 0, 0};
    struct bios *bios = cookie;
    cspacepath_t path;

    if (vka_cspace_alloc_path(bios->t->vm.vka, &path) != 0 ||
        vka_cnode_copy(&path, &bios->frames[(addr - BIOS) >> seL4_PageBits], seL4_AllRights) != 0) {
        return frame;
    }
    frame.cptr = path.capPtr;
    frame.rights = seL4_AllRights;
    frame.vaddr = ROUND_DOWN(addr, BIT(seL4_PageBits));
    frame.size_bits = seL4_PageBits;
    return frame;
}

static void test_frames_made_one_by_one_are_one_piece_here_and_there(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *reservation;
    seL4_CPtr caps[NR_BIOS_PAGES];
    struct bios bios = {.t = t};
    char *here;

    for (int i = 0; i < NR_BIOS_PAGES; i++) {
        vka_object_t frame;

        assert_int_equal(vka_alloc_frame(t->vm.vka, seL4_PageBits, &frame), 0);
        vka_cspace_make_path(t->vm.vka, frame.cptr, &bios.frames[i]);
        caps[i] = bios.frames[i].capPtr;
    }
    here = vspace_map_pages(&t->vm.mem.vmm_vspace, caps, NULL, seL4_AllRights, NR_BIOS_PAGES,
                            seL4_PageBits, 0);
    assert_non_null(here);
    memset(here, 0x5a, NR_BIOS_PAGES << seL4_PageBits);
    reservation = vm_reserve_memory_at(&t->vm, BIOS, BIOS_SIZE, default_error_fault_callback, NULL);
    assert_non_null(reservation);
    assert_int_equal(vm_map_reservation(&t->vm, reservation, bios_frame, &bios), 0);
    for (int i = 0; i < NR_BIOS_PAGES; i++) {
        assert_int_not_equal(
            vspace_get_cap(&t->vm.mem.vm_vspace, (void *)(uintptr_t)(BIOS + (i << 12))),
            seL4_CapNull);
    }
}

/* --- a page that the guest reads and the VMM writes; the guest's stores are events --- */

struct event_page {
    uint32_t *here;
    uint32_t stored;
    unsigned nr_stores;
};

static memory_fault_result_t event_stored(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                          void *cookie)
{
    struct event_page *page = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    assert_false(is_vcpu_read_fault(vcpu));
    page->stored = (uint32_t)(get_vcpu_fault_data(vcpu) & get_vcpu_fault_data_mask(vcpu));
    page->here[1] = page->stored + 1;
    page->nr_stores++;
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

struct one_frame {
    struct testvm *t;
    cspacepath_t frame;
};

static vm_frame_t read_only_frame(uintptr_t addr, void *cookie)
{
    struct one_frame *one = cookie;
    cspacepath_t path;

    assert_int_equal(vka_cspace_alloc_path(one->t->vm.vka, &path), 0);
    assert_int_equal(vka_cnode_copy(&path, &one->frame, seL4_AllRights), 0);
    return (vm_frame_t){path.capPtr, seL4_CanRead, addr, seL4_PageBits};
}

GUEST_CODE(store_between_loads,
           GUEST_LOAD_B(0x200000) GUEST_STORE(0x200000, 41) GUEST_LOAD_C(0x200004) GUEST_EXIT);

static void test_page_shared_for_reading_traps_stores(void **state)
{
    struct testvm *t = *state;
    struct event_page page = {NULL, 0, 0};
    struct one_frame one = {.t = t};
    vm_memory_reservation_t *reservation;
    vka_object_t frame;

    testvm_boot(t, &store_between_loads);
    assert_int_equal(vka_alloc_frame(t->vm.vka, seL4_PageBits, &frame), 0);
    vka_cspace_make_path(t->vm.vka, frame.cptr, &one.frame);
    page.here = vspace_map_pages(&t->vm.mem.vmm_vspace, &one.frame.capPtr, NULL, seL4_AllRights, 1,
                                 seL4_PageBits, 0);
    assert_non_null(page.here);
    page.here[0] = 7;
    reservation = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE_SIZE_4K, event_stored, &page);
    assert_non_null(reservation);
    assert_int_equal(vm_map_reservation(&t->vm, reservation, read_only_frame, &one), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 7);
    assert_int_equal(page.stored, 41);
    assert_int_equal(page.nr_stores, 1);
    assert_int_equal(testvm_reg(t, REG_C), 42);
    assert_int_equal(page.here[0], 7);
}

/* --- a virtio network device that never holds a pointer into the guest --- */

static int copy_out(vm_t *vm, uintptr_t gpa, void *vaddr, size_t size, size_t offset, void *cookie)
{
    (void)vm;
    (void)gpa;
    memcpy((char *)cookie + offset, vaddr, size);
    return 0;
}

static int copy_in(vm_t *vm, uintptr_t gpa, void *vaddr, size_t size, size_t offset, void *cookie)
{
    (void)vm;
    (void)gpa;
    memcpy(vaddr, (char *)cookie + offset, size);
    return 0;
}

static void read_guest(vm_t *vm, void *to, const void *gpa, size_t size)
{
    assert_int_equal(vm_ram_touch(vm, (uintptr_t)gpa, size, copy_out, to), 0);
}

static void write_guest(vm_t *vm, void *from, const void *gpa, size_t size)
{
    assert_int_equal(vm_ram_touch(vm, (uintptr_t)gpa, size, copy_in, from), 0);
}

/* Sends what the driver offered: here, collects it. */
static size_t transmit(vm_t *vm, const struct vring *vring, uint16_t *last, char *packet)
{
    size_t len = 0;
    uint16_t idx;

    read_guest(vm, &idx, &vring->avail->idx, sizeof(idx));
    for (; *last != idx; (*last)++) {
        struct vring_used_elem used = {0, 0};
        struct vring_desc desc;
        uint16_t used_idx;
        uint16_t head;

        read_guest(vm, &head, &vring->avail->ring[*last % vring->num], sizeof(head));
        used.id = head;
        do {
            read_guest(vm, &desc, &vring->desc[head], sizeof(desc));
            read_guest(vm, packet + len, (void *)desc.addr, desc.len);
            len += desc.len;
            head = desc.next;
        } while ((desc.flags & VRING_DESC_F_NEXT) != 0);
        read_guest(vm, &used_idx, &vring->used->idx, sizeof(used_idx));
        write_guest(vm, &used, &vring->used->ring[used_idx % vring->num], sizeof(used));
        used_idx++;
        write_guest(vm, &used_idx, &vring->used->idx, sizeof(used_idx));
    }
    return len;
}

static void test_rings_in_guest_memory_are_worked_through_touches(void **state)
{
    enum { NUM = 128, RING = 0x410000, BUFFERS = 0x420ffc, ROUNDS = 1000 };
    struct testvm *t = *state;
    struct vring guest; /* as the device sees it: guest addresses */
    struct vring mine;  /* as the driver sees it: here */
    uint16_t last = 0;

    add_ram(t, 0x400000, 0x40000);
    vring_init(&guest, NUM, (void *)(uintptr_t)RING, VIRTIO_PCI_VRING_ALIGN);
    vring_init(&mine, NUM, testvm_pointer(t, RING, vring_size(NUM, VIRTIO_PCI_VRING_ALIGN)),
               VIRTIO_PCI_VRING_ALIGN);
    inject_fail_nth(UINT_MAX); /* never: to count */
    inject_count_system_calls();
    for (uint16_t i = 0; i < ROUNDS; i++) {
        uint16_t head = i % (NUM / 2) * 2;
        struct virtio_net_hdr header = {.hdr_len = i};
        char packet[64] = {0};
        uint32_t body = 0x1000u + i;

        memcpy(testvm_pointer(t, BUFFERS, sizeof(header)), &header, sizeof(header));
        memcpy(testvm_pointer(t, BUFFERS + 0x100, sizeof(body)), &body, sizeof(body));
        mine.desc[head] =
            (struct vring_desc){BUFFERS, sizeof(header), VRING_DESC_F_NEXT, (uint16_t)(head + 1)};
        mine.desc[head + 1] = (struct vring_desc){BUFFERS + 0x100, sizeof(body), 0, 0};
        mine.avail->ring[i % NUM] = head;
        mine.avail->idx++;
        assert_int_equal(transmit(&t->vm, &guest, &last, packet), sizeof(header) + sizeof(body));
        assert_memory_equal(packet, &header, sizeof(header));
        assert_memory_equal(packet + sizeof(header), &body, sizeof(body));
        assert_int_equal(mine.used->idx, i + 1);
        assert_int_equal(mine.used->ring[i % NUM].id, head);
    }
    assert_int_equal(inject_system_calls(), 0);
    assert_int_equal(inject_count(), 0);
    assert_false(inject_disarm());
}

/* --- what touch callbacks rely on --- */

static int find_cap(vm_t *vm, uintptr_t gpa, void *vaddr, size_t size, size_t offset, void *cookie)
{
    (void)gpa;
    (void)size;
    (void)offset;
    ++*(int *)cookie;
    return vspace_get_cap(&vm->mem.vmm_vspace, vaddr) == seL4_CapNull;
}

static void test_pages_touched_have_capabilities_in_the_vmm(void **state)
{
    struct testvm *t = *state;
    int nr = 0;

    add_ram(t, 0x400000, 0x4000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x400800, 0x3000, find_cap, &nr), 0);
    assert_int_equal(nr, 4);
}

/* Reads on from wherever the file stands: offset is not asked. */
static int read_on(vm_t *vm, uintptr_t gpa, void *vaddr, size_t size, size_t offset, void *cookie)
{
    (void)vm;
    (void)gpa;
    (void)offset;
    return read(*(int *)cookie, vaddr, size) == (ssize_t)size ? 0 : -1;
}

static void test_files_are_read_straight_into_guest_memory(void **state)
{
    struct testvm *t = *state;
    FILE *file = tmpfile();
    int fd;

    add_ram(t, 0x400000, 0x8000);
    assert_non_null(file);
    fd = fileno(file);
    for (uint32_t i = 0; i < 0x1400; i++) {
        assert_int_equal(write(fd, &i, sizeof(i)), sizeof(i));
    }
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(vm_ram_touch(&t->vm, 0x400ffe, 0x5000, read_on, &fd), 0);
    for (uint32_t i = 0; i < 0x1400; i++) {
        assert_memory_equal(testvm_pointer(t, 0x400ffe + 4 * i, 4), &i, 4);
    }
    (void)fclose(file); /* nothing is left to be written */
}

/* --- what is replaced, and what is passed by value --- */

static struct {
    vka_utspace_alloc_maybe_device_fn original;
    unsigned nr;
} hook;

static int count_allocations(void *data, const cspacepath_t *dest, seL4_Word type,
                             seL4_Word size_bits, bool can_use_dev, seL4_Word *res)
{
    hook.nr++;
    return hook.original(data, dest, type, size_bits, can_use_dev, res);
}

static void test_single_members_of_the_allocator_can_be_replaced(void **state)
{
    struct testvm *t = *state;
    vka_object_t frame;

    hook.original = t->env.vka.utspace_alloc_maybe_device;
    hook.nr = 0;
    t->env.vka.utspace_alloc_maybe_device = count_allocations;
    assert_int_equal(vka_alloc_frame_maybe_device(t->vm.vka, seL4_PageBits, true, &frame), 0);
    assert_int_equal(hook.nr, 1);
    t->env.vka.utspace_alloc_maybe_device = hook.original;
    vka_free_object(t->vm.vka, &frame);
}

/* A page of the machine that the client has a file for. */
static void test_physical_pages_are_found_by_either_way(void **state)
{
    struct testvm *t = *state;
    FILE *file = tmpfile();
    seL4_Word cookie = 0;
    cspacepath_t path;
    uint32_t *mapped;

    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 2 * PAGE_SIZE_4K), 0);
    assert_int_equal(hostvm_env_add_phys(&t->env, 0xfed00000, fileno(file), 0, 2 * PAGE_SIZE_4K),
                     0);
    assert_int_equal(vka_cspace_alloc_path(t->vm.vka, &path), 0);
    if (simple_get_frame_cap(t->vm.simple, (void *)0xfed00000, seL4_PageBits, &path) != 0) {
        assert_int_equal(vka_utspace_alloc_at(t->vm.vka, &path,
                                              kobject_get_type(KOBJECT_FRAME, seL4_PageBits),
                                              seL4_PageBits, 0xfed00000, &cookie),
                         0);
    }
    mapped = ps_io_map(&t->vm.io_ops->io_mapper, 0xfed00000, PAGE_SIZE_4K, 0, PS_MEM_NORMAL);
    assert_non_null(mapped);
    mapped[1] = 0x1234;
    assert_null(ps_io_map(&t->vm.io_ops->io_mapper, 0xfee00000, PAGE_SIZE_4K, 0, PS_MEM_NORMAL));
    ps_io_unmap(&t->vm.io_ops->io_mapper, mapped, PAGE_SIZE_4K);
    mapped = vspace_map_pages(&t->vm.mem.vmm_vspace, &path.capPtr, NULL, seL4_AllRights, 1,
                              seL4_PageBits, 0);
    assert_non_null(mapped);
    assert_int_equal(mapped[1], 0x1234);
    (void)fclose(file); /* the environment has its own */
}

/* --- what platform code keeps in a VM --- */

/* Platform code assigns these and reads them back. */
static void test_members_for_platform_code_are_carried(void **state)
{
    struct testvm *t = *state;
    vm_t *vm = &t->vm;

    assert_int_equal(vm->entry, 0);
    vm->entry = 0x40080000;
    vm->mem.clean_cache = 1;
    vm->mem.map_one_to_one = 1;
    assert_int_equal(vm_ram_register_at(vm, 0x40000000, 0x200000, vm->mem.map_one_to_one), 0);
    assert_non_null(vm_create_vcpu(vm, 0));
    assert_int_equal(vm_assign_vcpu_target(vm->vcpus[BOOT_VCPU], 0), 0);
    assert_int_equal(vm->entry, 0x40080000);
    assert_int_equal(vm->mem.clean_cache, 1);
    assert_int_equal(vm->mem.map_one_to_one, 1);
    assert_ptr_equal(vm->vka, &t->env.vka);
    assert_ptr_equal(vm->simple, &t->env.simple);
    assert_ptr_equal(vm->io_ops, &t->env.io_ops);
}

/* --- pages that come with the first access --- */

static vm_frame_t fresh_frame(uintptr_t addr, void *cookie)
{
    vm_frame_t frame = {seL4_CapNull, seL4_NoRights, 0, 0};
    vm_t *vm = cookie;
    vka_object_t object;

    if (vka_alloc_frame_maybe_device(vm->vka, seL4_PageBits, true, &object) == 0) {
        frame = (vm_frame_t){object.cptr, seL4_AllRights, PAGE_ALIGN_4K(addr), seL4_PageBits};
    }
    return frame;
}

/* A page that is there once the guest asks for it. */
static memory_fault_result_t bring_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                        void *cookie)
{
    vm_memory_reservation_t *page = vm_reserve_memory_at(vm, PAGE_ALIGN_4K(addr), PAGE_SIZE_4K,
                                                         default_error_fault_callback, NULL);

    (void)vcpu;
    (void)size;
    ++*(unsigned *)cookie;
    return vm_map_reservation(vm, page, fresh_frame, vm) == 0 ? FAULT_RESTART : FAULT_ERROR;
}

GUEST_CODE(ask_for_pages,
           GUEST_STORE(0x201000, 5) GUEST_LOAD_B(0x201000) GUEST_ADD_1_TO_B GUEST_STORE_B(0x201000)
               GUEST_STORE64(0x200ff8, -1) GUEST_LOAD_C(0x200ffc) GUEST_EXIT);

static void test_pages_come_when_they_are_asked_for(void **state)
{
    struct testvm *t = *state;
    unsigned nr_pages = 0;

    testvm_boot(t, &ask_for_pages);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, bring_page, &nr_pages), 0);
    testvm_run_to_exit(t);
    assert_int_equal(nr_pages, 2);
    assert_int_equal(testvm_reg(t, REG_B), 6);
    assert_int_equal(testvm_reg(t, REG_C), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_loader_fills_unaligned_ram_page_by_page),
        vm_test(test_frames_made_one_by_one_are_one_piece_here_and_there),
        vm_test(test_page_shared_for_reading_traps_stores),
        vm_test(test_rings_in_guest_memory_are_worked_through_touches),
        vm_test(test_pages_touched_have_capabilities_in_the_vmm),
        vm_test(test_files_are_read_straight_into_guest_memory),
        vm_test(test_single_members_of_the_allocator_can_be_replaced),
        vm_test(test_physical_pages_are_found_by_either_way),
        vm_test(test_members_for_platform_code_are_carried),
        vm_test(test_pages_come_when_they_are_asked_for),
    };

    return run_vm_tests(tests);
}
