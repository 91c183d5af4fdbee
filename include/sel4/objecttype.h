/* The numbers of the object types that hosted untyped memory can be retyped to. */
#pragma once

#include <autoconf.h>

/**
 * Types that are the same on every architecture: first seL4's own numbers, then what hosting
 * calls the architecture's objects. sel4/arch/objecttype.h gives those the architecture's names.
 */
typedef enum seL4_ObjectType {
    seL4_UntypedObject = 0,
    seL4_TCBObject,
    seL4_EndpointObject,
    seL4_NotificationObject,
    seL4_CapTableObject,
    seL4_NonArchObjectTypeCount,
    HOSTVM_FRAME_4K_OBJECT = seL4_NonArchObjectTypeCount,
    HOSTVM_FRAME_2M_OBJECT,
    HOSTVM_FRAME_1G_OBJECT,
    HOSTVM_PAGE_TABLE_OBJECT,
    HOSTVM_VSPACE_OBJECT,
    HOSTVM_VCPU_OBJECT,
    seL4_ObjectTypeCount
} seL4_ObjectType;

#include <sel4/arch/objecttype.h>
