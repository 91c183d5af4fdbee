/* An older name of virtio/virtio_ring.h. */
#pragma once

#include <virtio/virtio_ring.h>
