/* What guest_memory.h adds per architecture: on x86, nothing. */
#pragma once
