/* An older name of virtio/virtio_config.h. */
#pragma once

#include <virtio/virtio_config.h>
