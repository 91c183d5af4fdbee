/* Threads of seL4: a hosted program starts its own. */
#pragma once

#include <sel4/sel4.h>
#include <vka/object.h>
#include <vspace/vspace.h>
