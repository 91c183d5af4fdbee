/* An older name of virtio/virtio_pci.h. */
#pragma once

#include <virtio/virtio_pci.h>
