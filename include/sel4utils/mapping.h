/* Mapping of frames by hand: vspace/vspace.h has what takes its place. */
#pragma once

#include <sel4/sel4.h>
#include <vka/object.h>
#include <vspace/vspace.h>
