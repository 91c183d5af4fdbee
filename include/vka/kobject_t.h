/* Kinds of kernel objects, and the object type numbers that make them. */
#pragma once

#include <sel4/constants.h>
#include <sel4/objecttype.h>
#include <sel4/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kobject {
    KOBJECT_UNTYPED,
    KOBJECT_TCB,
    KOBJECT_ENDPOINT,
    KOBJECT_NOTIFICATION,
    KOBJECT_CNODE,
    KOBJECT_FRAME,
    KOBJECT_PAGE_TABLE,
    KOBJECT_VSPACE,
    KOBJECT_VCPU,
    NUM_KOBJECT_TYPES
} kobject_t;

/**
 * The object type of a frame.
 *
 * @param size_bits  seL4_PageBits, seL4_LargePageBits or seL4_HugePageBits
 * @return the type; (seL4_Word)-1 for other sizes
 */
static inline seL4_Word kobject_get_frame_type(seL4_Word size_bits)
{
    switch (size_bits) {
    case seL4_PageBits:
        return HOSTVM_FRAME_4K_OBJECT;
    case seL4_LargePageBits:
        return HOSTVM_FRAME_2M_OBJECT;
    case seL4_HugePageBits:
        return HOSTVM_FRAME_1G_OBJECT;
    default:
        return (seL4_Word)-1;
    }
}

/**
 * The object type of a kind of object.
 *
 * @param size_bits  the size of a frame; of no meaning for other kinds
 * @return the type; (seL4_Word)-1 for an unknown kind, or a frame of a size there is not
 */
static inline seL4_Word kobject_get_type(kobject_t type, seL4_Word size_bits)
{
    switch (type) {
    case KOBJECT_UNTYPED:
        return seL4_UntypedObject;
    case KOBJECT_TCB:
        return seL4_TCBObject;
    case KOBJECT_ENDPOINT:
        return seL4_EndpointObject;
    case KOBJECT_NOTIFICATION:
        return seL4_NotificationObject;
    case KOBJECT_CNODE:
        return seL4_CapTableObject;
    case KOBJECT_FRAME:
        return kobject_get_frame_type(size_bits);
    case KOBJECT_PAGE_TABLE:
        return HOSTVM_PAGE_TABLE_OBJECT;
    case KOBJECT_VSPACE:
        return HOSTVM_VSPACE_OBJECT;
    case KOBJECT_VCPU:
        return HOSTVM_VCPU_OBJECT;
    case NUM_KOBJECT_TYPES:
        break;
    }
    return (seL4_Word)-1;
}

#ifdef __cplusplus
}
#endif
