/* An older name of virtio/virtio_con.h. */
#pragma once

#include <virtio/virtio_con.h>
