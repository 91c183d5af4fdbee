/* An older name of virtio/virtio_vsock.h. */
#pragma once

#include <virtio/virtio_vsock.h>
