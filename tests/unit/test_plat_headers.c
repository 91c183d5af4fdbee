/* What the headers for platform support say by themselves: numbers, layouts, and the arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <autoconf.h>
#include <cpio/cpio.h>
#include <elf/elf.h>
#include <ethdrivers/raw.h>
#include <ethdrivers/virtio/virtio_blk.h>
#include <ethdrivers/virtio/virtio_con.h>
#include <ethdrivers/virtio/virtio_config.h>
#include <ethdrivers/virtio/virtio_net.h>
#include <ethdrivers/virtio/virtio_pci.h>
#include <ethdrivers/virtio/virtio_ring.h>
#include <ethdrivers/virtio/virtio_vsock.h>
#include <fdtgen.h>
#include <libfdt.h>
#include <pci/helper.h>
#include <pci/pci.h>
#include <pci/virtual_pci.h>
#include <platsupport/io.h>
#include <platsupport/plat/acpi/acpi.h>
#include <satadrivers/raw.h>
#include <sel4/arch/bootinfo_types.h>
#include <sel4/sel4.h>
#include <sel4utils/mapping.h>
#include <sel4utils/sel4_zf_logif.h>
#include <sel4utils/thread.h>
#include <sel4utils/util.h>
#include <sel4vmmplatsupport/gen_config.h>
#include <simple/simple.h>
#include <usbdrivers/gen_config.h>
#include <utils/util.h>
#include <virtio/virtio_config.h>
#include <virtio/virtio_con.h>
#include <virtio/virtio_net.h>
#include <virtio/virtio_pci.h>
#include <virtio/virtio_ring.h>
#include <virtio/virtio_vsock.h>
#include <virtqueue.h>
#include <vka/capops.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/* PCI Local Bus Specification 3.0: ports, and configuration space. */
compile_time_assert(conf_addr, PCI_CONF_PORT_ADDR == 0xcf8 && PCI_CONF_PORT_ADDR_END == 0xcfc);
compile_time_assert(conf_data, PCI_CONF_PORT_DATA == 0xcfc && PCI_CONF_PORT_DATA_END == 0xd00);
compile_time_assert(command, PCI_COMMAND_IO == 1 && PCI_COMMAND_MEMORY == 2);
compile_time_assert(status, PCI_STATUS == 6 && PCI_STATUS_CAP_LIST == 0x10);
compile_time_assert(header, PCI_HEADER_TYPE == 0x0e && PCI_HEADER_TYPE_NORMAL == 0);
compile_time_assert(bars, PCI_BASE_ADDRESS_0 == 0x10 && PCI_BASE_ADDRESS_5 == 0x24);
compile_time_assert(spaces, PCI_BASE_ADDRESS_SPACE_IO == 1 && PCI_BASE_ADDRESS_SPACE_MEMORY == 0);
compile_time_assert(capabilities, PCI_CAPABILITY_LIST == 0x34);
compile_time_assert(interrupt, PCI_INTERRUPT_LINE == 0x3c && PCI_INTERRUPT_PIN == 0x3d);
compile_time_assert(msi, PCI_CAP_ID_MSI == 5 && PCI_CAP_ID_MSIX == 0x11);
compile_time_assert(ram_class, PCI_CLASS_MEMORY_RAM == 0x0500);
compile_time_assert(iocfg_size, sizeof(libpci_device_iocfg_t) == 124);
compile_time_assert(iocfg_space, offsetof(libpci_device_iocfg_t, base_addr_space) == 24);
compile_time_assert(iocfg_mask, offsetof(libpci_device_iocfg_t, base_addr_size_mask) == 44);
compile_time_assert(iocfg_raw, offsetof(libpci_device_iocfg_t, base_addr_raw) == 92);
compile_time_assert(iocfg_64H, offsetof(libpci_device_iocfg_t, base_addr_64H) == 116);

/* virtio 1.2: the legacy PCI registers, the ring, and each device's parts. */
compile_time_assert(features, VIRTIO_PCI_HOST_FEATURES == 0 && VIRTIO_PCI_GUEST_FEATURES == 4);
compile_time_assert(queue, VIRTIO_PCI_QUEUE_PFN == 8 && VIRTIO_PCI_QUEUE_NUM == 12);
compile_time_assert(select_queue, VIRTIO_PCI_QUEUE_SEL == 14 && VIRTIO_PCI_QUEUE_NOTIFY == 16);
compile_time_assert(device_status, VIRTIO_PCI_STATUS == 18 && VIRTIO_PCI_ISR == 19);
compile_time_assert(config, VIRTIO_PCI_CONFIG_OFF(0) == 20 && VIRTIO_PCI_CONFIG_OFF(1) == 24);
compile_time_assert(ring_align, VIRTIO_PCI_VRING_ALIGN == 4096 && VRING_DESC_F_NEXT == 1);
compile_time_assert(driver_ok, VIRTIO_CONFIG_S_DRIVER_OK == 4);
compile_time_assert(desc_size, sizeof(struct vring_desc) == 16);
compile_time_assert(used_size, sizeof(struct vring_used_elem) == 8);
compile_time_assert(avail_ring, offsetof(struct vring_avail, ring) == 4);
compile_time_assert(used_ring, offsetof(struct vring_used, ring) == 4);
compile_time_assert(net_header, sizeof(struct virtio_net_hdr) == 10);
compile_time_assert(net_merged, sizeof(struct virtio_net_hdr_mrg_rxbuf) == 12);
compile_time_assert(net_config, sizeof(struct virtio_net_config) == 10);
compile_time_assert(net_mac, VIRTIO_NET_F_MAC == 5 && VIRTIO_NET_CONFIG_MAC_SZ == 6);
compile_time_assert(blk_header, sizeof(struct virtio_blk_outhdr) == 16);
compile_time_assert(blk_config, sizeof(struct virtio_blk_config) == 33);
compile_time_assert(blk_size, offsetof(struct virtio_blk_config, blk_size) == 20);
compile_time_assert(blk_features, VIRTIO_BLK_F_SIZE_MAX == 1 && VIRTIO_BLK_F_SEG_MAX == 2);
compile_time_assert(blk_size_feature, VIRTIO_BLK_F_BLK_SIZE == 6);
compile_time_assert(blk_types, VIRTIO_BLK_T_IN == 0 && VIRTIO_BLK_T_OUT == 1);
compile_time_assert(blk_commands, VIRTIO_BLK_T_SCSI_CMD == 2 && VIRTIO_BLK_T_FLUSH == 4);
compile_time_assert(blk_id, VIRTIO_BLK_T_GET_ID == 8);
compile_time_assert(blk_status, VIRTIO_BLK_S_OK == 0 && VIRTIO_BLK_S_IOERR == 1);
compile_time_assert(con_queues, CTL_RX_QUEUE == 2 && CTL_TX_QUEUE == 3);
compile_time_assert(con_ports, VIRTIO_CON_MAX_PORTS == 4 && VIRTIO_CON_F_MULTIPORT == 1);
compile_time_assert(con_config, VIRTIO_CON_CFG_MAX_PORTS == 24);
compile_time_assert(con_control, sizeof(struct virtio_con_ctl) == 8);
compile_time_assert(con_events, VIRTIO_CON_DEVICE_READY == 0 && VIRTIO_CON_PORT_ADD == 1);
compile_time_assert(con_remove, VIRTIO_CON_PORT_REMOVE == 2 && VIRTIO_CON_PORT_READY == 3);
compile_time_assert(con_console, VIRTIO_CON_CON_PORT == 4 && VIRTIO_CON_RESIZE == 5);
compile_time_assert(con_open, VIRTIO_CON_PORT_OPEN == 6 && VIRTIO_CON_PORT_NAME == 7);
compile_time_assert(vsock_header, sizeof(struct virtio_vsock_hdr) == 44);
compile_time_assert(vsock_data, offsetof(struct virtio_vsock_packet, data) == 44);
compile_time_assert(vsock_cid, VIRTIO_VSOCK_CFG_GUEST_CID == 20 && EVENT_QUEUE == 2);
compile_time_assert(vsock_mtu, VIRTIO_VSOCK_CAMKES_MTU == 4096);

/* Results that drivers and devices tell one another, and the order of their structures. */
compile_time_assert(eth_results, ETHIF_TX_ENQUEUED == 0 && ETHIF_TX_COMPLETE == 1);
compile_time_assert(eth_failed, ETHIF_TX_FAILED == -1);
compile_time_assert(disk_results, VIRTIO_BLK_XFER_COMPLETE == 1 && VIRTIO_BLK_XFER_FAILED == -1);
compile_time_assert(eth_funcs, sizeof(struct raw_iface_funcs) == 6 * sizeof(void *));
compile_time_assert(eth_mac, offsetof(struct raw_iface_funcs, get_mac) == 5 * sizeof(void *));
compile_time_assert(eth_callbacks, offsetof(struct eth_driver, i_cb) == 7 * sizeof(void *));
compile_time_assert(eth_cookie, offsetof(struct eth_driver, cb_cookie) == 10 * sizeof(void *));
compile_time_assert(disk_funcs, sizeof(raw_diskiface_funcs_t) == 5 * sizeof(void *));
compile_time_assert(disk_cookie, offsetof(struct disk_driver, cb_cookie) == 6 * sizeof(void *));

compile_time_assert(cpio_header_size, sizeof(struct cpio_header) == 110);

/* A device's own initialiser has to work as a case label does: with constants alone. */
static const char *name_of_register(unsigned offset)
{
    switch (offset) {
    case VIRTIO_PCI_HOST_FEATURES:
        return "features";
    case VIRTIO_CON_CFG_MAX_PORTS ... VIRTIO_CON_CFG_MAX_PORTS + 3:
        return "ports";
    case VIRTIO_PCI_CONFIG_OFF(false):
        return "config";
    default:
        return "none";
    }
}

static void test_offsets_of_registers_are_constants(void **state)
{
    (void)state;
    assert_string_equal(name_of_register(0), "features");
    assert_string_equal(name_of_register(20), "config");
    assert_string_equal(name_of_register(27), "ports");
    assert_string_equal(name_of_register(28), "none");
}

static void test_queue_lies_as_virtio_says(void **state)
{
    static const struct {
        unsigned num;
        uintptr_t at;
        uintptr_t avail;
        uintptr_t used;
        unsigned size;
    } layouts[] = {
        {128, 0, 2048, 4096, 4096 + 6 + 8 * 128},
        {128, 0x10000, 0x10800, 0x11000, 4096 + 6 + 8 * 128},
        {256, 0x1000, 0x2000, 0x3000, 8192 + 6 + 8 * 256},
        {1, 0x1000, 0x1010, 0x2000, 4096 + 6 + 8},
    };
    struct vring vring;
    size_t i;

    (void)state;
    for (i = 0; i < ARRAY_SIZE(layouts); i++) {
        vring_init(&vring, layouts[i].num, (void *)layouts[i].at, VIRTIO_PCI_VRING_ALIGN);
        assert_int_equal(vring.num, layouts[i].num);
        assert_ptr_equal(vring.desc, layouts[i].at);
        assert_ptr_equal(vring.avail, layouts[i].avail);
        assert_ptr_equal(vring.used, layouts[i].used);
        assert_int_equal(vring_size(layouts[i].num, VIRTIO_PCI_VRING_ALIGN), layouts[i].size);
    }
}

/* The index behind the available ring counts: 3 + num half words, where a page just does not do. */
static void test_event_index_has_room_before_the_used_ring(void **state)
{
    struct vring vring;
    unsigned num = 4;

    (void)state;
    vring_init(&vring, num, (void *)0x1000, 2);
    assert_ptr_equal(vring.used, 0x1000 + 16 * num + 2 * (3 + num));
    vring_init(&vring, num, (void *)0x1000, 64);
    assert_ptr_equal(vring.used, 0x1080);
}

static void test_events_are_due_once_their_index_is_passed(void **state)
{
    (void)state;
    assert_true(vring_need_event(5, 6, 5));
    assert_false(vring_need_event(6, 6, 5));
    assert_false(vring_need_event(4, 6, 5));
    assert_true(vring_need_event(0xffff, 2, 0xfffe));
    assert_false(vring_need_event(2, 2, 0xfffe));
    assert_false(vring_need_event(5, 5, 5));
}

/* A block device in a block of memory, as a backend gives it to a virtual device. */
static int disk_xfer(struct disk_driver *driver, uint8_t direction, uint64_t sector, uint32_t len,
                     uintptr_t guest_buf_phys)
{
    char *at = (char *)driver->disk_data + 512 * sector;

    if (direction == VIRTIO_BLK_T_IN) {
        memcpy((void *)guest_buf_phys, at, len);
    } else if (direction == VIRTIO_BLK_T_OUT) {
        memcpy(at, (void *)guest_buf_phys, len);
    } else {
        return VIRTIO_BLK_XFER_FAILED;
    }
    return VIRTIO_BLK_XFER_COMPLETE;
}

static void disk_tell(struct disk_driver *driver, struct virtio_blk_config *cfg)
{
    (void)driver;
    cfg->capacity = 4;
    cfg->blk_size = 512;
}

static int disk_init(struct disk_driver *driver, ps_io_ops_t io_ops, void *config)
{
    const raw_diskiface_funcs_t functions = {.raw_xfer = disk_xfer, .low_level_init = disk_tell};

    driver->disk_data = config;
    driver->i_fn = functions;
    driver->io_ops = io_ops;
    driver->dma_alignment = sizeof(uintptr_t);
    return 0;
}

static void test_disk_driver_is_called_through_its_structure(void **state)
{
    diskif_driver_init init = disk_init;
    struct virtio_blk_config cfg = {.capacity = 0};
    struct disk_driver driver;
    char disk[4 * 512] = {0};
    char buf[512] = "as written";
    ps_io_ops_t ops;

    (void)state;
    memset(&ops, 0, sizeof(ops));
    assert_int_equal(ps_new_stdlib_malloc_ops(&ops.malloc_ops), 0);
    assert_int_equal(init(&driver, ops, disk), 0);
    driver.i_fn.low_level_init(&driver, &cfg);
    assert_int_equal(cfg.capacity, 4);
    assert_int_equal(
        driver.i_fn.raw_xfer(&driver, VIRTIO_BLK_T_OUT, 3, sizeof(buf), (uintptr_t)buf),
        VIRTIO_BLK_XFER_COMPLETE);
    assert_string_equal(disk + 3 * 512, "as written");
    assert_int_equal(
        driver.i_fn.raw_xfer(&driver, VIRTIO_BLK_T_FLUSH, 3, sizeof(buf), (uintptr_t)buf),
        VIRTIO_BLK_XFER_FAILED);
}

/* A network driver that gives every packet back to where it came from. */
static int eth_loop(struct eth_driver *driver, unsigned int num, uintptr_t *phys, unsigned int *len,
                    void *cookie)
{
    void *buffer = NULL;
    uintptr_t address = driver->i_cb.allocate_rx_buf(driver->cb_cookie, *len, &buffer);

    if (num != 1 || address == 0) {
        return ETHIF_TX_FAILED;
    }
    memcpy((void *)address, (void *)*phys, *len);
    driver->i_cb.rx_complete(driver->cb_cookie, 1, &buffer, len);
    driver->i_cb.tx_complete(driver->cb_cookie, cookie);
    return ETHIF_TX_ENQUEUED;
}

struct stack {
    char received[64];
    unsigned nr_received;
    void *sent;
};

static uintptr_t give_buffer(void *cb_cookie, size_t buf_size, void **cookie)
{
    struct stack *stack = cb_cookie;

    *cookie = stack;
    return buf_size <= sizeof(stack->received) ? (uintptr_t)stack->received : 0;
}

static void take_packet(void *cb_cookie, unsigned int num_bufs, void **cookies, unsigned int *lens)
{
    struct stack *stack = cb_cookie;

    assert_int_equal(num_bufs, 1);
    assert_ptr_equal(cookies[0], stack);
    stack->nr_received = lens[0];
}

static void take_back(void *cb_cookie, void *cookie)
{
    ((struct stack *)cb_cookie)->sent = cookie;
}

static void test_ethernet_driver_and_stack_call_each_other(void **state)
{
    const struct raw_iface_callbacks callbacks = {take_back, take_packet, give_buffer};
    const struct raw_iface_funcs functions = {.raw_tx = eth_loop};
    struct stack stack = {.nr_received = 0};
    struct eth_driver driver = {.i_fn = functions, .i_cb = callbacks, .cb_cookie = &stack};
    char packet[] = "a packet";
    uintptr_t phys = (uintptr_t)packet;
    unsigned len = sizeof(packet);

    (void)state;
    assert_int_equal(driver.i_fn.raw_tx(&driver, 1, &phys, &len, packet), ETHIF_TX_ENQUEUED);
    assert_string_equal(stack.received, "a packet");
    assert_int_equal(stack.nr_received, sizeof(packet));
    assert_ptr_equal(stack.sent, packet);
    len = 65;
    assert_int_equal(driver.i_fn.raw_tx(&driver, 1, &phys, &len, packet), ETHIF_TX_FAILED);
}

/* A register of configuration space that is patched on its way, as platform support does it. */
static void test_masks_of_configuration_space(void **state)
{
    uint32_t value = 0x12345678;
    int bit_offset = (PCI_INTERRUPT_LINE - 0x3c) * 8;

    (void)state;
    value &= (uint32_t) ~(MASK(8) << bit_offset);
    value |= 11u << bit_offset;
    assert_int_equal(value, 0x1234560b);
    assert_int_equal(BYTES_TO_SIZE_BITS((size_t)0x40), 6);
    assert_int_equal(ROUND_UP(0xffff, BIT(seL4_PageBits)) >> seL4_PageBits, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_of_registers_are_constants),
        cmocka_unit_test(test_queue_lies_as_virtio_says),
        cmocka_unit_test(test_event_index_has_room_before_the_used_ring),
        cmocka_unit_test(test_events_are_due_once_their_index_is_passed),
        cmocka_unit_test(test_disk_driver_is_called_through_its_structure),
        cmocka_unit_test(test_ethernet_driver_and_stack_call_each_other),
        cmocka_unit_test(test_masks_of_configuration_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
