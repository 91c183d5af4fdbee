/* The core of devices, and their registers in memory. */
#include "driver.h"
#include "echo.h"

const struct fuzz_target fuzz_target = {
    .transport = FUZZ_MMIO,
    .create = echo_create,
    .destroy = echo_destroy,
    .host = echo_host,
};
