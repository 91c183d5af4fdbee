/* Units of time. */
#pragma once

#define NS_IN_S 1000000000ull
#define NS_IN_MS 1000000ull
