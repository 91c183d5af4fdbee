/* What the files of this folder share. */
#ifndef ARM64_VIRT_H
#define ARM64_VIRT_H

#include <stdint.h>

/* PSCI (Arm DEN 0022, 5.1), by HVC. */
enum { PSCI_SYSTEM_OFF = 0x84000008, PSCI_SYSTEM_RESET = 0x84000009 };
#define PSCI_CPU_ON 0xc4000003u

/* Was a device tree there at the start? Then the machine is QEMU's virt, or like it. */
extern int has_device_tree;

#endif
