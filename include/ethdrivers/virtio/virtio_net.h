/* An older name of virtio/virtio_net.h. */
#pragma once

#include <virtio/virtio_net.h>
