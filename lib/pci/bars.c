/* Base addresses: where the guest has put the memory of functions, and whether it is decoded. */
#include "pci/bus.h"

#include <errno.h>
#include <stdlib.h>

#include "base/reason.h"

enum { BAR_TYPE_BITS = 4 }; /* the lowest ones, which are no part of the address */

static unsigned config_offset(unsigned index)
{
    return PCI_BAR + 4 * index;
}

static struct range window_range(const hostvm_pci_window_t *window)
{
    return (struct range){window->start, window->size};
}

/* --- what is decoded --- */

static bool is_in_windows(const struct hostvm_pci_bus *bus, struct range range)
{
    return range_contains(window_range(&bus->config.memory), range) ||
           range_contains(window_range(&bus->config.memory64), range);
}

static struct range wanted_range(const struct pci_bar *bar)
{
    uint64_t value = pci_get(bar->function, config_offset(bar->index), bar->is_64bit ? 8 : 4);

    return (struct range){value & -(uint64_t)(1u << BAR_TYPE_BITS), bar->size};
}

static void connect_doorbell(struct hostvm_pci_function *function, struct pci_doorbell *bell)
{
    const struct pci_bar *bar = &function->bars[bell->bar];
    hostvm_doorbell_t doorbell = bell->doorbell;

    if (bar->is_decoded && !bell->is_connected) {
        doorbell.addr += bar->range.start;
        bell->addr = doorbell.addr;
        /* Where it fails it is logged, and the guest's writes reach the program. */
        bell->is_connected = hostvm_doorbell_add(function->bus->vm, &doorbell, bell->fd) == 0;
    }
}

static void disconnect_doorbell(struct hostvm_pci_function *function, struct pci_doorbell *bell)
{
    hostvm_doorbell_t doorbell = bell->doorbell;

    if (bell->is_connected) {
        doorbell.addr = bell->addr;
        (void)hostvm_doorbell_remove(function->bus->vm, &doorbell, bell->fd); /* it is there */
        bell->is_connected = false;
    }
}

static void decode(struct pci_bar *bar, struct range range)
{
    struct hostvm_pci_function *function = bar->function;

    if (!is_in_windows(function->bus, range) ||
        rangemap_add(&function->bus->decoded, range, bar) != 0) {
        return; /* it overlaps another: there is room for all */
    }
    bar->is_decoded = true;
    bar->range = range;
    for (struct pci_doorbell *bell = function->doorbells; bell != NULL; bell = bell->next) {
        if (bell->bar == bar->index) {
            connect_doorbell(function, bell);
        }
    }
}

static void stop_decoding(struct pci_bar *bar)
{
    struct hostvm_pci_function *function = bar->function;

    for (struct pci_doorbell *bell = function->doorbells; bell != NULL; bell = bell->next) {
        if (bell->bar == bar->index) {
            disconnect_doorbell(function, bell);
        }
    }
    (void)rangemap_remove(&function->bus->decoded, bar->range.start); /* it is there */
    bar->is_decoded = false;
    function->bus->last_bar = NULL;
}

static bool shall_decode(const struct hostvm_pci_function *function, unsigned index)
{
    return function->bars[index].size != 0 &&
           (pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) != 0;
}

/* What was in the way of others may be gone: all are looked at. */
static void decode_all(struct hostvm_pci_bus *bus)
{
    for (unsigned slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        struct hostvm_pci_function *function = bus->functions[slot];

        for (unsigned i = 0; function != NULL && i < HOSTVM_PCI_BARS; i++) {
            if (shall_decode(function, i) && !function->bars[i].is_decoded) {
                decode(&function->bars[i], wanted_range(&function->bars[i]));
            }
        }
    }
}

void pci_bars_update(struct hostvm_pci_function *function)
{
    for (unsigned i = 0; i < HOSTVM_PCI_BARS; i++) {
        struct pci_bar *bar = &function->bars[i];

        if (bar->is_decoded &&
            (!shall_decode(function, i) || wanted_range(bar).start != bar->range.start)) {
            stop_decoding(bar);
        }
    }
    decode_all(function->bus);
}

struct pci_bar *pci_bars_find(struct hostvm_pci_bus *bus, uint64_t addr)
{
    const struct rangemap_entry *entry;

    if (bus->last_bar != NULL && range_has(bus->last_bar->range, addr)) {
        return bus->last_bar;
    }
    entry = rangemap_find(&bus->decoded, addr);
    if (entry == NULL) {
        return NULL;
    }
    bus->last_bar = entry->value;
    return bus->last_bar;
}

/* --- construction --- */

/* A base address that a range may not overlap, if it does. */
static const struct pci_bar *find_overlap(const struct hostvm_pci_bus *bus, struct range range)
{
    for (unsigned slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        const struct hostvm_pci_function *function = bus->functions[slot];

        for (unsigned i = 0; function != NULL && i < HOSTVM_PCI_BARS; i++) {
            const struct pci_bar *bar = &function->bars[i];

            if (bar->size != 0 && range_overlaps(wanted_range(bar), range)) {
                return bar;
            }
        }
    }
    return NULL;
}

/* The first place in a window. */
static bool find_place(const struct hostvm_pci_bus *bus, const hostvm_pci_window_t *window,
                       uint64_t size, uint64_t *ret_start)
{
    uint64_t start = align_up(window->start, size);

    while (start >= window->start &&
           range_contains(window_range(window), (struct range){start, size})) {
        const struct pci_bar *other = find_overlap(bus, (struct range){start, size});

        if (other == NULL) {
            *ret_start = start;
            return true;
        }
        start = align_up(range_end(wanted_range(other)), size);
    }
    return false;
}

/* Below 4 GiB, where that is possible: every guest reaches it there. */
static void choose_place(const struct hostvm_pci_bus *bus, struct pci_bar *bar)
{
    uint64_t start;

    if (find_place(bus, &bus->config.memory, bar->size, &start) ||
        (bar->is_64bit && find_place(bus, &bus->config.memory64, bar->size, &start))) {
        start |= pci_get(bar->function, config_offset(bar->index), 1);
        pci_set(bar->function, config_offset(bar->index), bar->is_64bit ? 8 : 4, start);
    }
}

static bool is_valid(const hostvm_pci_bar_t *bar, unsigned index, bool is_upper_half)
{
    static const uint64_t max_of_32bit = 1u << 31;

    if (is_upper_half) {
        return false;
    }
    return bar->size >= 1u << BAR_TYPE_BITS && (bar->size & (bar->size - 1)) == 0 &&
           (bar->is_64bit ? index + 1 < HOSTVM_PCI_BARS : bar->size <= max_of_32bit);
}

int pci_bars_init(struct hostvm_pci_function *function, const hostvm_pci_bar_t *bars)
{
    for (unsigned i = 0; i < HOSTVM_PCI_BARS; i++) {
        struct pci_bar *bar = &function->bars[i];
        uint64_t mask = -bars[i].size;
        unsigned offset = config_offset(i);

        if (bars[i].size == 0) {
            continue;
        }
        if (!is_valid(&bars[i], i, i > 0 && function->bars[i - 1].is_64bit)) {
            return fail(-EINVAL,
                        "cannot add a PCI function: base address %u is not as described, of 0x%llx "
                        "bytes",
                        i, (unsigned long long)bars[i].size);
        }
        *bar = (struct pci_bar){function, i, bars[i].size, bars[i].is_64bit, false, {0, 0}};
        pci_set(function, offset, 1,
                (bar->is_64bit ? PCI_BAR_64BIT : 0) |
                    (bars[i].is_prefetchable ? PCI_BAR_PREFETCHABLE : 0));
        for (unsigned k = 0; k < (bar->is_64bit ? 8 : 4); k++) {
            function->writable[offset + k] = (uint8_t)(mask >> 8 * k);
        }
        choose_place(function->bus, bar);
    }
    return 0;
}

void pci_bars_fini(struct hostvm_pci_function *function)
{
    for (unsigned i = 0; i < HOSTVM_PCI_BARS; i++) {
        if (function->bars[i].is_decoded) {
            stop_decoding(&function->bars[i]);
        }
    }
    while (function->doorbells != NULL) {
        struct pci_doorbell *bell = function->doorbells;

        function->doorbells = bell->next;
        free(bell);
    }
}

/* --- doorbells --- */

static int check_doorbell(const struct hostvm_pci_function *function, unsigned bar,
                          const hostvm_doorbell_t *doorbell)
{
    if (bar >= HOSTVM_PCI_BARS || function->bars[bar].size == 0) {
        return fail(-EINVAL, "cannot add a doorbell: the PCI function has no base address %u", bar);
    }
    if (doorbell->is_port ||
        !range_contains((struct range){0, function->bars[bar].size},
                        (struct range){doorbell->addr, doorbell->size == 0 ? 1 : doorbell->size})) {
        return fail(-EINVAL, "cannot add a doorbell: it is not in the memory of base address %u",
                    bar);
    }
    return 0;
}

static int add_doorbell(struct hostvm_pci_function *function, unsigned bar,
                        const hostvm_doorbell_t *doorbell, int fd, struct pci_doorbell **ret)
{
    struct pci_doorbell *bell;
    int r = check_doorbell(function, bar, doorbell);

    if (r < 0) {
        return r;
    }
    bell = malloc(sizeof(*bell));
    if (bell == NULL) {
        return fail(-ENOMEM, "cannot add a doorbell: out of memory");
    }
    *bell = (struct pci_doorbell){bar, *doorbell, 0, fd, false, function->doorbells};
    function->doorbells = bell;
    *ret = bell;
    return 0;
}

int hostvm_pci_doorbell_add(hostvm_pci_function_t *function, unsigned int bar,
                            const hostvm_doorbell_t *doorbell, int fd)
{
    struct pci_doorbell *bell = NULL;
    int r;

    if (function == NULL || doorbell == NULL) {
        return pci_status(
            NULL, fail(-EINVAL, "hostvm_pci_doorbell_add: no function or no doorbell given"));
    }
    r = add_doorbell(function, bar, doorbell, fd, &bell);
    if (r < 0) {
        return pci_status(function->bus->vm, r);
    }
    connect_doorbell(function, bell);
    if (function->bars[bar].is_decoded && !bell->is_connected) { /* and that was said */
        function->doorbells = bell->next;
        free(bell);
        return -1;
    }
    return 0;
}
