/* The configuration of libusbdrivers: nothing beyond autoconf.h. */
#pragma once

#include <autoconf.h>
