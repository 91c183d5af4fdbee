/*
 * No driver, however bad, gets a virtio device to do more than to stand still until it is reset.
 *
 * Host: the command with virtio devices; with --virtio pci, the word "pci" on the command line.
 * devices=N says how many there are; second, that there are two processors: then the second one
 * changes what a device reads while that does, for rounds=N rounds. A disk, if there is one, has
 * GUEST_PATTERN(1, i) in its first sector; its second one is overwritten with GUEST_PATTERN(2, i),
 * and nothing else of it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/print.h"
#include "lib/report.h"
#include "mmio.h"

/* Memory that no guest's image reaches: rings of each queue, then what buffers are made of. */
enum {
    PAGE = 0x1000,
    RINGS = GUEST_RAM_BASE + 0x300000,
    QUEUE_STRIDE = 4 * PAGE,
    AVAILABLE = PAGE,
    USED = 2 * PAGE,
    TABLE = 3 * PAGE,
    QUEUES = 4, /* that are used of a device */
    BUFFERS = GUEST_RAM_BASE + 0x380000,
    BUFFERS_SIZE = 0x40000,
    QUEUE_SIZE = 8,
    SECTOR = 512,
    ROUNDS = 40,      /* of a device whose descriptors change */
    LOOKS = 100,      /* at such a device's status, before it is reset */
    TURNS = 1000,     /* of each change */
    PATIENCE = 20000, /* looks at a register, until what should happen counts as not happening */
};

#define NOWHERE       (GUEST_RAM_BASE + 0xffffff000000ull)
#define MEMORY_END    (GUEST_RAM_BASE + (256ull << 20)) /* the command's, unless told */
#define NEARLY_LAST   0xfffffffffffff000ull
#define F_INDIRECT    (1ull << 28)
#define F_EVENTS      (1ull << 29)
#define F_VERSION_1   (1ull << 32)
#define F_PACKED      (1ull << 34)
#define STATUS_BROKEN 64

enum { READY = 3, FEATURES_OK = 8, DRIVER_OK = 4 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, PACKED_AVAILABLE = 1 << 7, PACKED_USED = 1 << 15 };
enum {
    ID_NET = 1,
    ID_DISK = 2,
    ID_CONSOLE = 3,
    ID_RNG = 4,
    ID_BALLOON = 5,
    ID_VSOCK = 19,
    ID_FS = 26
};

/* --- the device, in either transport (virtio 1.2, 4.2.2 and 4.1.4.3) --- */

static bool is_pci;
static uint64_t base; /* its registers */
static unsigned id;
static uint64_t ecam; /* of its function */

enum {
    MMIO_ID = 0x08,
    MMIO_DEVICE_FEATURES = 0x10,
    MMIO_DRIVER_FEATURES = 0x20,
    MMIO_QUEUE_SELECT = 0x30,
    MMIO_QUEUE_SIZE = 0x38,
    MMIO_QUEUE_READY = 0x44,
    MMIO_NOTIFY = 0x50,
    MMIO_STATUS = 0x70,
    MMIO_AREAS = 0x80,
    MMIO_CONFIG = 0x100,
    PCI_DEVICE_FEATURES = 0x00,
    PCI_DRIVER_FEATURES = 0x08,
    PCI_STATUS = 0x14,
    PCI_QUEUE_SELECT = 0x16,
    PCI_QUEUE_SIZE = 0x18,
    PCI_QUEUE_ENABLE = 0x1c,
    PCI_AREAS = 0x20,
    PCI_CONFIG = 0x2000,
    PCI_NOTIFY = 0x3000,
};

static unsigned read_status(void)
{
    return is_pci ? mmio_read8(base + PCI_STATUS) : mmio_read32(base + MMIO_STATUS);
}

static void write_status(unsigned status)
{
    if (is_pci) {
        mmio_write8(base + PCI_STATUS, (uint8_t)status);
    } else {
        mmio_write32(base + MMIO_STATUS, status);
    }
}

/* In PCI the selection comes before what is selected, in memory behind it. */
static uint64_t offered(void)
{
    uint64_t select = base + (is_pci ? PCI_DEVICE_FEATURES : MMIO_DEVICE_FEATURES + 4);
    uint64_t bits = base + (is_pci ? PCI_DEVICE_FEATURES + 4 : MMIO_DEVICE_FEATURES);
    uint64_t low;

    mmio_write32(select, 0);
    low = mmio_read32(bits);
    mmio_write32(select, 1);
    return low | (uint64_t)mmio_read32(bits) << 32;
}

static void accept(uint64_t features)
{
    uint64_t select = base + (is_pci ? PCI_DRIVER_FEATURES : MMIO_DRIVER_FEATURES + 4);
    uint64_t bits = base + (is_pci ? PCI_DRIVER_FEATURES + 4 : MMIO_DRIVER_FEATURES);

    for (unsigned word = 0; word < 2; word++) {
        mmio_write32(select, word);
        mmio_write32(bits, (uint32_t)(features >> 32 * word));
    }
}

static void set_up_queue(unsigned queue, uint32_t size, const uint64_t areas[3])
{
    if (is_pci) {
        mmio_write16(base + PCI_QUEUE_SELECT, (uint16_t)queue);
        mmio_write16(base + PCI_QUEUE_SIZE, (uint16_t)size);
    } else {
        mmio_write32(base + MMIO_QUEUE_SELECT, queue);
        mmio_write32(base + MMIO_QUEUE_SIZE, size);
    }
    for (unsigned i = 0; i < 3; i++) {
        uint64_t place = base + (is_pci ? PCI_AREAS + 8 * i : MMIO_AREAS + 16 * i);

        mmio_write32(place, (uint32_t)areas[i]);
        mmio_write32(place + 4, (uint32_t)(areas[i] >> 32));
    }
    if (is_pci) {
        mmio_write16(base + PCI_QUEUE_ENABLE, 1);
    } else {
        mmio_write32(base + MMIO_QUEUE_READY, 1);
    }
}

static void kick(unsigned queue)
{
    if (is_pci) {
        mmio_write16(base + PCI_NOTIFY + 4 * queue, (uint16_t)queue);
    } else {
        mmio_write32(base + MMIO_NOTIFY, queue);
    }
}

static bool is_alive(void)
{
    if (is_pci) {
        return mmio_read32(ecam) >> 16 == 0x1040 + id;
    }
    return mmio_read32(base) == 0x74726976 && mmio_read32(base + MMIO_ID) == id;
}

/* --- queues --- */

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next; /* packed: id, flags */
};

static bool is_packed;
static unsigned nr_starts;
static uint16_t added[QUEUES];

static uint64_t ring(unsigned queue)
{
    return RINGS + (uint64_t)queue * QUEUE_STRIDE;
}

static void put(uint64_t table, unsigned place, const struct descriptor *d)
{
    uint64_t at = table + 16ull * place;

    mmio_write64(at, d->address);
    mmio_write32(at + 8, d->length);
    mmio_write16(at + 12, is_packed ? (uint16_t)place : d->flags);
    mmio_write16(at + 14, is_packed ? (uint16_t)(d->flags | PACKED_AVAILABLE) : d->next);
}

static void clear(uint64_t from, uint64_t size)
{
    for (uint64_t i = 0; i < size; i += 8) {
        mmio_write64(from + i, 0);
    }
}

static void clear_rings(void)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        clear(ring(queue), QUEUE_SIZE * 16);
        clear(ring(queue) + AVAILABLE, 32);
        clear(ring(queue) + USED, 80);
    }
}

static void begin(uint64_t features)
{
    is_packed = (features & F_PACKED) != 0;
    write_status(0);
    write_status(READY);
    accept(features & offered());
    write_status(READY | FEATURES_OK);
    clear_rings();
    for (unsigned i = 0; i < QUEUES; i++) {
        added[i] = 0;
    }
    __atomic_store_n(&nr_starts, nr_starts + 1, __ATOMIC_RELEASE);
}

/* With good queues. */
static void start(uint64_t features)
{
    begin(features);
    for (unsigned i = 0; i < QUEUES; i++) {
        const uint64_t areas[3] = {ring(i), ring(i) + AVAILABLE, ring(i) + USED};

        set_up_queue(i, QUEUE_SIZE, areas);
    }
    write_status(READY | FEATURES_OK | DRIVER_OK);
}

/* Descriptors from the ring's first one on, once after each start. */
static void add(unsigned queue, const struct descriptor *chain, unsigned nr)
{
    for (unsigned i = nr; i-- > 0;) { /* packed: the first one last */
        put(ring(queue), i, &chain[i]);
    }
    if (!is_packed) {
        mmio_write16(ring(queue) + AVAILABLE + 4, 0);
        mmio_write16(ring(queue) + AVAILABLE + 2, ++added[queue]);
    }
    kick(queue);
}

static bool is_used(unsigned queue)
{
    if (is_packed) {
        return (mmio_read16(ring(queue) + 14) & (PACKED_AVAILABLE | 1 << 15)) ==
               (PACKED_AVAILABLE | 1 << 15);
    }
    return mmio_read16(ring(queue) + USED + 2) == added[queue];
}

static bool wait_for_use(unsigned queue)
{
    for (unsigned i = 0; i < PATIENCE && !is_used(queue); i++) {
        (void)read_status(); /* the host gets its turn */
    }
    return is_used(queue);
}

static bool wait_for_break(void)
{
    for (unsigned i = 0; i < PATIENCE && (read_status() & STATUS_BROKEN) == 0; i++) {
    }
    return (read_status() & STATUS_BROKEN) != 0;
}

/* --- what is tried, and what has to come of it --- */

static void check_reset(const char *name)
{
    write_status(0);
    check(name, (uint64_t)read_status() << 1 | is_alive(), 1);
}

/* Queues that the device looks at whenever it is told to. */
static bool looks_at(unsigned queue)
{
    switch (id) {
    case ID_NET:
    case ID_BALLOON:
        return queue < 2;
    case ID_DISK:
    case ID_RNG:
        return queue == 0;
    case ID_CONSOLE:
    case ID_VSOCK:
        return queue == 1;
    default:
        return false;
    }
}

struct bad_chain {
    const char *name;
    struct descriptor chain[3];
    unsigned nr;
    bool is_split_only; /* packed descriptors have no such link */
};

static const struct bad_chain bad_chains[] = {
    {"a buffer outside of memory", {{NOWHERE, 64, 0, 0}}, 1, false},
    {"a buffer that reaches out of memory",
     {{GUEST_RAM_BASE + 0x1000, 0xf0000000, WRITE, 0}},
     1,
     false},
    {"a buffer at the end of all addresses", {{NEARLY_LAST, 0x2000, WRITE, 0}}, 1, false},
    {"a buffer over its own device", {{GUEST_VIRTIO_BASE, 64, 0, 0}}, 1, false},
    {"to read behind to write", {{BUFFERS, 64, WRITE | NEXT, 1}, {BUFFERS, 64, 0, 0}}, 2, false},
    {"a loop", {{BUFFERS, 16, NEXT, 1}, {BUFFERS + 64, 16, NEXT, 0}}, 2, true},
    {"a link out of the queue", {{BUFFERS, 16, NEXT, 0xffff}}, 1, true},
    {"a table outside of memory", {{NOWHERE, 32, INDIRECT, 0}}, 1, false},
    {"a table of no size", {{BUFFERS, 0, INDIRECT, 0}}, 1, false},
    {"a table of odd size", {{BUFFERS, 17, INDIRECT, 0}}, 1, false},
    {"a table that goes on", {{BUFFERS, 32, INDIRECT | NEXT, 1}, {BUFFERS, 16, 0, 0}}, 2, false},
    {"a table not aligned", {{BUFFERS + 1, 32, INDIRECT, 0}}, 1, false},
    {"a table of 4 GiB", {{BUFFERS, 0xfffffff0, INDIRECT, 0}}, 1, false},
};

static void try_chain(const struct bad_chain *bad, uint64_t features)
{
    bool is_broken = false;
    bool may_break = false;

    for (unsigned queue = 0; queue < QUEUES; queue++) {
        if (bad->is_split_only && (features & F_PACKED) != 0) {
            return;
        }
        start(features);
        add(queue, bad->chain, bad->nr);
        if (looks_at(queue)) {
            may_break = true;
            is_broken = wait_for_break();
        }
        write_status(0);
    }
    check(bad->name, (uint64_t)is_broken << 1 | is_alive(), (uint64_t)may_break << 1 | 1);
}

/* A table in a table, or a loop in one. */
static void try_tables(uint64_t features)
{
    static const struct descriptor inner[] = {
        {BUFFERS, 16, INDIRECT, 0},
        {BUFFERS, 16, NEXT, 0},
        {BUFFERS, 16, NEXT, 0xffff},
    };

    for (unsigned i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        for (unsigned queue = 0; queue < QUEUES; queue++) {
            const struct descriptor outer = {ring(queue) + TABLE, 16, INDIRECT, 0};

            start(features);
            put(ring(queue) + TABLE, 0, &inner[i]);
            add(queue, &outer, 1);
            if (looks_at(queue) && (i == 0 || !is_packed)) {
                check(i == 0 ? "a table in a table" : "a loop or a bad link in a table",
                      wait_for_break(), 1);
            }
        }
    }
    check_reset("a reset after tables");
}

static void try_counters(void)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        start(F_VERSION_1);
        mmio_write16(ring(queue) + AVAILABLE + 2, 0x8000);
        kick(queue);
        if (looks_at(queue)) {
            check("more buffers than the queue holds", wait_for_break(), 1);
        }
        start(F_VERSION_1 | F_EVENTS);
        mmio_write16(ring(queue) + AVAILABLE + 4, QUEUE_SIZE);
        mmio_write16(ring(queue) + AVAILABLE + 2, 1);
        kick(queue);
        if (looks_at(queue)) {
            check("a buffer of a number that is none", wait_for_break(), 1);
        }
    }
    check_reset("a reset after counters");
}

/* The rings themselves. Sizes that are none are not taken: what is, is the device's own. */
static void try_rings(uint64_t features)
{
    static const uint64_t places[][3] = {
        {NOWHERE, RINGS, RINGS},
        {RINGS, NEARLY_LAST, RINGS},
        {RINGS, RINGS, GUEST_VIRTIO_BASE},
        {RINGS + 1, RINGS + PAGE, RINGS + 2 * PAGE},
        {RINGS, RINGS + PAGE + 1, RINGS + 2 * PAGE},
        {RINGS, RINGS + PAGE, RINGS + 2 * PAGE + 1},
    };
    static const uint32_t sizes[] = {0, 3, 0x8000, 0xffff, 0x10000, 0xffffffff};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        begin(features);
        set_up_queue(0, QUEUE_SIZE, places[i]);
        write_status(READY | FEATURES_OK | DRIVER_OK);
        check("rings where none can be", read_status() & STATUS_BROKEN, STATUS_BROKEN);
        kick(0);
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint64_t areas[3] = {BUFFERS, BUFFERS + 0x8000, BUFFERS + 0x10000};

        begin(features);
        for (unsigned queue = 0; queue < 2 * QUEUES; queue++) {
            set_up_queue(queue, sizes[i], areas);
        }
        write_status(READY | FEATURES_OK | DRIVER_OK);
        kick(0);
        kick(0xffff);
    }
    check_reset("a reset after rings");
}

static void access(uint64_t at, uint64_t value)
{
    mmio_write8(at, (uint8_t)value);
    mmio_write16(at, (uint16_t)value);
    mmio_write32(at, (uint32_t)value);
    mmio_write64(at, value);
    (void)mmio_read8(at);
    (void)mmio_read16(at);
    (void)mmio_read32(at);
    (void)mmio_read64(at);
}

/* Registers, and a configuration space, of any width anywhere, also across their ends. */
static void try_registers(void)
{
    uint64_t config = base + (is_pci ? PCI_CONFIG : MMIO_CONFIG);

    start(F_VERSION_1);
    for (uint64_t offset = 0; offset < 0x110; offset++) {
        access(config + offset, 0x4141414141414141);
    }
    check_reset("a reset after writes to the configuration");
    for (uint64_t offset = 0; offset < 0x100; offset++) {
        access(base + offset, offset % 2 == 0 ? UINT64_MAX : 0x0f0f0f0f0f0f0f0f);
    }
    access(base + (is_pci ? 0x4000 : 0x1000) - 8, UINT64_MAX);
    check_reset("a reset after writes to registers");
}

/* What cannot be undone, a reset has to wait for; nothing is written afterwards. */
static void try_resets(uint64_t features)
{
    struct descriptor chain[3] = {
        {BUFFERS, 16, NEXT, 1},
        {BUFFERS + PAGE, BUFFERS_SIZE - PAGE, WRITE, 2},
        {0, 0, 0, 0},
    };
    uint64_t changed = 0;

    for (unsigned round = 0; round < 30; round++) {
        start(features);
        clear(BUFFERS, 64);
        for (unsigned queue = 0; queue < QUEUES; queue++) {
            add(queue, chain, 2);
        }
        write_status(0);
        clear(BUFFERS + PAGE, 256);
        clear_rings();
        (void)read_status();
        for (unsigned i = 0; i < 256; i += 8) {
            changed |= mmio_read64(BUFFERS + PAGE + i);
        }
        for (unsigned i = 0; i < QUEUES * 80; i += 8) {
            changed |= mmio_read64(ring(i / 80) + USED + i % 80);
        }
    }
    check("nothing is written after a reset", changed, 0);
    check_reset("a reset after resets");
}

/* --- the second processor: it changes what the device looks at, at the same time --- */

static bool is_second_wanted;
static bool is_second_at_work;
static bool is_fed_by_second;
static unsigned nr_changes; /* that it made */

static bool flag_of(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void set_flag(bool *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

/* One field of a descriptor, good and bad by turns; most often where a buffer is. */
static void change_descriptor(uint64_t table, unsigned place, unsigned n)
{
    static const uint64_t addresses[] = {NOWHERE, GUEST_VIRTIO_BASE, NEARLY_LAST, BUFFERS + PAGE};
    static const uint32_t lengths[] = {0xf0000000, SECTOR, 0x1000, 0, 1};
    static const uint16_t flags[] = {INDIRECT, WRITE | NEXT, 0, INDIRECT | NEXT, WRITE};
    static const uint16_t nexts[] = {2, 0xffff, 0, QUEUE_SIZE, 3};
    const unsigned links = is_packed ? 12 : 14;
    const uint16_t more = is_packed ? PACKED_AVAILABLE : 0;
    uint64_t at = table + 16ull * place;

    for (unsigned i = 0; i < TURNS; i++) {
        switch (n % 8) {
        default:
            mmio_write64(at, addresses[n / 8 % 4]);
            mmio_write64(at, n / 32 % 4 != 0 ? BUFFERS : ring(0) + TABLE);
            break;
        case 5:
            mmio_write32(at + 8, lengths[n / 8 % 5]);
            mmio_write32(at + 8, 16);
            break;
        case 6:
            mmio_write16(at + 26 - links, flags[n / 8 % 5] | more);
            mmio_write16(at + 26 - links, NEXT | more);
            break;
        case 7:
            mmio_write16(at + links, nexts[n / 8 % 5]);
            mmio_write16(at + links, (uint16_t)(place + 1));
            break;
        }
    }
}

/* --- good buffers, as fast as the device takes them, in front of the end of memory: what it looks
 * at twice may lie outside by then --- */

struct feeder {
    unsigned start; /* that it began after */
    unsigned next;
    bool is_odd_round;
};

static void feed_split(unsigned queue)
{
    uint16_t used = mmio_read16(ring(queue) + USED + 2);

    mmio_write16(ring(queue) + AVAILABLE + 2, (uint16_t)(used + 1));
}

static void feed_packed(unsigned queue, struct feeder *feeder)
{
    const uint16_t both = PACKED_AVAILABLE | PACKED_USED;
    uint64_t at = ring(queue) + 16ull * feeder->next + 14;

    if ((mmio_read16(at) & both) != (feeder->is_odd_round ? both : 0)) {
        mmio_write16(at, INDIRECT | (feeder->is_odd_round ? PACKED_AVAILABLE : PACKED_USED));
        return;
    }
    feeder->next = (feeder->next + 1) % QUEUE_SIZE;
    feeder->is_odd_round ^= feeder->next == 0;
}

static void begin_to_feed(unsigned queue)
{
    static const struct descriptor inner[2] = {{BUFFERS, 64, NEXT, 1},
                                               {BUFFERS + PAGE, 513, WRITE, 0}};

    for (unsigned i = 0; i < 2; i++) {
        put(ring(queue) + TABLE, i, &inner[i]);
    }
    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        mmio_write64(ring(queue) + 16ull * i, ring(queue) + TABLE);
        mmio_write32(ring(queue) + 16ull * i + 8, sizeof(inner));
        if (!is_packed) {
            mmio_write16(ring(queue) + 16ull * i + 12, INDIRECT);
        }
    }
}

static void feed(unsigned queue, unsigned piece)
{
    static struct feeder feeders[QUEUES];
    struct feeder *feeder = &feeders[queue];
    unsigned start = __atomic_load_n(&nr_starts, __ATOMIC_ACQUIRE);
    uint64_t at = ring(queue) + TABLE + 16ull * piece;

    if (feeder->start != start) {
        *feeder = (struct feeder){.start = start, .is_odd_round = true};
    }
    begin_to_feed(queue);
    for (unsigned i = 0; i < TURNS; i++) {
        mmio_write64(at, MEMORY_END - 64);
        mmio_write64(at, BUFFERS + piece * PAGE);
        mmio_write32(at + 8, 513);
        mmio_write32(at + 8, 64);
        if (is_packed) {
            feed_packed(queue, feeder);
        } else {
            feed_split(queue);
        }
    }
    kick(queue);
}

/* Most devices look at one of their first two queues. */
static void change(unsigned n)
{
    static const uint8_t queues[] = {0, 1, 0, 1, 2, 1, 0, 3, 1};
    static const uint8_t places[] = {0, 0, 1, 0, 2, 0, 1};
    unsigned queue = queues[n % sizeof(queues)];

    if (flag_of(&is_fed_by_second)) {
        feed(n % 2, n / 2 % 2);
        return;
    }
    change_descriptor(n % 5 == 0 ? ring(queue) + TABLE : ring(queue), places[n % sizeof(places)],
                      n);
    if (n % 16 == 0) {
        mmio_write16(ring(queue) + AVAILABLE + 4, (uint16_t)(n / 16 % 9));
        (void)mmio_read32(base + (is_pci ? PCI_CONFIG : MMIO_CONFIG));
    }
    if (n % 256 == 255) {
        write_status(0);
    }
}

static void run_second(void)
{
    for (unsigned n = 0;; n++) {
        while (!flag_of(&is_second_wanted)) {
            set_flag(&is_second_at_work, false);
        }
        set_flag(&is_second_at_work, true);
        change(n);
        __atomic_store_n(&nr_changes, n, __ATOMIC_RELAXED);
    }
}

static void have_second_work(bool wanted)
{
    set_flag(&is_second_wanted, wanted);
    while (flag_of(&is_second_at_work) != wanted) {
    }
}

/* Requests that are good as they are added: a disk's is to read its first sector. */
static unsigned nr_rounds = ROUNDS;

static void try_changes(uint64_t features)
{
    static const struct descriptor chain[3] = {
        {BUFFERS, 16, NEXT, 1},
        {BUFFERS + PAGE, SECTOR, NEXT | WRITE, 2},
        {BUFFERS + 2 * PAGE, 1, WRITE, 0},
    };
    unsigned before = nr_changes;

    clear(BUFFERS, 64);
    begin(features);
    have_second_work(true);
    for (unsigned round = 0; round < nr_rounds; round++) {
        set_flag(&is_fed_by_second, round % 2 == 1);
        start(features);
        for (unsigned i = 0; i < QUEUE_SIZE && round % 2 == 0; i++) {
            add(i % QUEUES, chain, 3);
        }
        for (unsigned i = 0; i < LOOKS && (read_status() & STATUS_BROKEN) == 0; i++) {
        }
    }
    have_second_work(false);
    check("the second processor has changed something", nr_changes != before, 1);
    check_reset("a reset after changes");
}

/* --- after all that, it works --- */

enum { DISK_READ = 0, DISK_WRITE = 1 };

static unsigned disk_request(uint32_t type, uint64_t sector, uint16_t data_flags)
{
    const struct descriptor chain[3] = {
        {BUFFERS, 16, NEXT, 1},
        {BUFFERS + PAGE, SECTOR, (uint16_t)(NEXT | data_flags), 2},
        {BUFFERS + 2 * PAGE, 1, WRITE, 0},
    };

    mmio_write32(BUFFERS, type);
    mmio_write32(BUFFERS + 4, 0);
    mmio_write64(BUFFERS + 8, sector);
    mmio_write8(BUFFERS + 2 * PAGE, 0xff);
    start(F_VERSION_1);
    add(0, chain, 3);
    return wait_for_use(0) ? mmio_read8(BUFFERS + 2 * PAGE) : 0x100;
}

static void check_disk(void)
{
    unsigned nr_wrong = 0;

    check("the disk reads", disk_request(DISK_READ, 0, WRITE), 0);
    for (unsigned i = 0; i < SECTOR / 8; i++) {
        nr_wrong += mmio_read64(BUFFERS + PAGE + 8ull * i) != GUEST_PATTERN(1, i);
        mmio_write64(BUFFERS + PAGE + 8ull * i, GUEST_PATTERN(2, i));
    }
    check("what was on it", nr_wrong, 0);
    check("the disk writes", disk_request(DISK_WRITE, 1, 0), 0);
    check("the disk has an end", disk_request(DISK_WRITE, 1ull << 54, 0), 1);
}

static void check_rng(uint64_t features)
{
    const struct descriptor chain = {BUFFERS, 64, WRITE, 0};
    uint64_t bits = 0;

    clear(BUFFERS, 64);
    start(features);
    add(0, &chain, 1);
    check("the entropy device answers", wait_for_use(0), 1);
    for (unsigned i = 0; i < 64; i += 8) {
        bits |= mmio_read64(BUFFERS + i);
    }
    check("with something", bits != 0, 1);
}

static void try_all(uint64_t features)
{
    for (unsigned i = 0; i < sizeof(bad_chains) / sizeof(bad_chains[0]); i++) {
        try_chain(&bad_chains[i], features);
    }
    try_tables(features);
    try_rings(features);
    try_resets(features);
}

static void check_function(void)
{
    if (id == ID_DISK) {
        check_disk();
    }
    if (id == ID_RNG) {
        check_rng(F_VERSION_1);
        check_rng(F_VERSION_1 | F_PACKED);
    }
    write_status(0);
}

static bool begin_device(void)
{
    print("device ");
    print_decimal(id);
    print("\n");
    write_status(0);
    return (offered() & F_PACKED) != 0;
}

static void try_device_with_second(void)
{
    bool has_packed = begin_device();

    try_changes(F_VERSION_1 | F_INDIRECT);
    try_changes(F_VERSION_1 | F_INDIRECT | F_EVENTS);
    if (has_packed) {
        try_changes(F_VERSION_1 | F_INDIRECT | F_PACKED);
        try_changes(F_VERSION_1 | F_INDIRECT | F_EVENTS | F_PACKED);
    }
    check_function();
}

static void try_device(void)
{
    bool has_packed = begin_device();

    try_all(F_VERSION_1 | F_INDIRECT);
    try_counters();
    if (has_packed) {
        try_all(F_VERSION_1 | F_INDIRECT | F_EVENTS | F_PACKED);
    }
    if (id != ID_DISK) { /* whose registers, at random, write somewhere */
        try_registers();
    }
    check_function();
}

/* --- finding devices --- */

enum { PCI_COMMAND = 4, PCI_MEMORY_AND_MASTER = 6, PCI_BAR = 0x10, VIRTIO_VENDOR = 0x1af4 };

static bool find_in_slot(unsigned slot)
{
    uint32_t name;

    ecam = GUEST_ECAM_BASE + ((uint64_t)slot << 15);
    name = mmio_read32(ecam);
    if ((name & 0xffff) != VIRTIO_VENDOR || name >> 16 < 0x1040) {
        return false;
    }
    id = (name >> 16) - 0x1040;
    base = mmio_read32(ecam + PCI_BAR) & ~15u;
    mmio_write16(ecam + PCI_COMMAND, PCI_MEMORY_AND_MASTER);
    return true;
}

static bool find_at_place(unsigned place)
{
    base = GUEST_VIRTIO_BASE + (uint64_t)place * PAGE;
    id = mmio_read32(base + MMIO_ID);
    return mmio_read32(base) == 0x74726976;
}

/* Configuration space of all slots, and base addresses over each other and over RAM. */
static void try_bus(void)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        uint64_t function = GUEST_ECAM_BASE + ((uint64_t)slot << 15);
        unsigned nr_bytes = mmio_read32(function) == UINT32_MAX ? 0x20 : 0x100;

        for (unsigned offset = 0; offset < nr_bytes; offset++) {
            access(function + offset, slot % 2 == 0 ? UINT64_MAX : GUEST_RAM_BASE + 0x100000);
        }
        access(function + 0xff8, UINT64_MAX);
    }
    check("the bus is there", mmio_read32(GUEST_ECAM_BASE + (31 << 15)), UINT32_MAX);
}

static void try_devices(unsigned nr, void (*try)(void))
{
    unsigned nr_found = 0;

    for (unsigned i = 0; i < (is_pci ? 32 : nr); i++) {
        if (is_pci ? find_in_slot(i) : find_at_place(i)) {
            nr_found++;
            try();
        }
    }
    check("devices", nr_found, nr);
}

void guest_main(void)
{
    unsigned nr = 0;

    is_pci = boot_has_word("pci");
    (void)boot_find_number("devices=", &nr);
    try_devices(nr, try_device);
    if (boot_has_word("second")) {
        (void)boot_find_number("rounds=", &nr_rounds);
        machine_start_second(run_second);
        try_devices(nr, try_device_with_second);
    }
    if (is_pci) {
        try_bus();
    }
    report_end();
}
