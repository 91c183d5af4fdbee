/* The lines of a bus: levels, each shared by the functions of every fourth slot. */
#include "pci/bus.h"

#include <hostvm/chipset.h>

/* The bus's lock held. */
static void settle(struct hostvm_pci_function *function)
{
    struct hostvm_pci_bus *bus = function->bus;
    unsigned line = function->slot % HOSTVM_PCI_LINES;
    bool raises = function->wants_line && function->may_raise;

    if (raises == function->is_raising) {
        return;
    }
    function->is_raising = raises;
    bus->nr_raising[line] += raises ? 1u : -1u;
    if (bus->nr_raising[line] == (raises ? 1 : 0)) {
        /* Where it fails it is logged; the guest loses an interrupt, nothing more can be done. */
        (void)hostvm_irq_line(bus->vm, bus->config.gsi[line], raises);
    }
}

void hostvm_pci_set_irq(hostvm_pci_function_t *function, bool level)
{
    if (function == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&function->bus->lock);
    function->wants_line = level && function->has_line;
    settle(function);
    (void)pthread_mutex_unlock(&function->bus->lock);
}

void pci_line_update(struct hostvm_pci_function *function)
{
    bool is_allowed = (pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_NO_LINE) == 0;

    (void)pthread_mutex_lock(&function->bus->lock);
    function->may_raise = is_allowed && !atomic_load(&function->msix.is_enabled);
    settle(function);
    (void)pthread_mutex_unlock(&function->bus->lock);
}

void pci_line_fini(struct hostvm_pci_function *function)
{
    hostvm_pci_set_irq(function, false);
}
