/* An older name of virtio/virtio_blk.h. */
#pragma once

#include <virtio/virtio_blk.h>
