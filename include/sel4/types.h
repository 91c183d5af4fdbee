/* The words, capability pointers, rights and message headers of seL4. */
#pragma once

#include <autoconf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int8_t seL4_Int8;
typedef int16_t seL4_Int16;
typedef int32_t seL4_Int32;
typedef long seL4_Int64;
typedef uint8_t seL4_Uint8;
typedef uint16_t seL4_Uint16;
typedef uint32_t seL4_Uint32;
typedef unsigned long seL4_Uint64;
typedef seL4_Int8 seL4_Bool;

/**
 * The machine word.
 */
typedef unsigned long seL4_Word;

/**
 * A capability: the handle of a hosted object. seL4_CapNull is none. A handle whose object is
 * gone is refused with an error, never followed.
 */
typedef seL4_Word seL4_CPtr;

/* What kind of object a capability is meant to name. */
typedef seL4_CPtr seL4_CNode;
typedef seL4_CPtr seL4_IRQHandler;
typedef seL4_CPtr seL4_TCB;
typedef seL4_CPtr seL4_Untyped;

/* How printf prints a seL4_Word; without the %. */
#define SEL4_PRId_word "ld"
#define SEL4_PRIu_word "lu"
#define SEL4_PRIx_word "lx"

/**
 * What may be done through a capability, or with a mapping. Bit 0 write, 1 read, 2 grant, 3 grant
 * reply.
 *
 * For the guest's memory: read and write is plain memory; read alone makes stores fault; neither,
 * or write alone, makes every access fault.
 */
typedef struct seL4_CapRights {
    seL4_Uint64 words[1];
} seL4_CapRights_t;

/**
 * Makes rights from four flags, of which only the lowest bit counts. Those below take them apart:
 * 0 or 1.
 */
static inline seL4_CapRights_t seL4_CapRights_new(seL4_Uint64 grantReply, seL4_Uint64 grant,
                                                  seL4_Uint64 read, seL4_Uint64 write)
{
    seL4_CapRights_t rights;

    rights.words[0] = (grantReply & 1) << 3 | (grant & 1) << 2 | (read & 1) << 1 | (write & 1);
    return rights;
}

static inline seL4_Uint64 seL4_CapRights_get_capAllowGrantReply(seL4_CapRights_t rights)
{
    return rights.words[0] >> 3 & 1;
}

static inline seL4_Uint64 seL4_CapRights_get_capAllowGrant(seL4_CapRights_t rights)
{
    return rights.words[0] >> 2 & 1;
}

static inline seL4_Uint64 seL4_CapRights_get_capAllowRead(seL4_CapRights_t rights)
{
    return rights.words[0] >> 1 & 1;
}

static inline seL4_Uint64 seL4_CapRights_get_capAllowWrite(seL4_CapRights_t rights)
{
    return rights.words[0] & 1;
}

/*
 * Ready-made rights. They are expressions: good as arguments and as initialisers of automatic
 * variables.
 */
#define seL4_ReadWrite seL4_CapRights_new(0, 0, 1, 1)
#define seL4_AllRights seL4_CapRights_new(1, 1, 1, 1)
#define seL4_CanRead seL4_CapRights_new(0, 0, 1, 0)
#define seL4_CanWrite seL4_CapRights_new(0, 0, 0, 1)
#define seL4_CanGrant seL4_CapRights_new(0, 1, 0, 0)
#define seL4_CanGrantReply seL4_CapRights_new(1, 0, 0, 0)
#define seL4_NoWrite seL4_CapRights_new(1, 1, 1, 0)
#define seL4_NoRead seL4_CapRights_new(1, 1, 0, 1)
#define seL4_NoRights seL4_CapRights_new(0, 0, 0, 0)

/**
 * The header of a message. Bits 6:0 length in words, 8:7 extra capabilities, 11:9 capabilities
 * unwrapped, 63:12 label.
 */
typedef struct seL4_MessageInfo {
    seL4_Uint64 words[1];
} seL4_MessageInfo_t;

/**
 * Makes a message header. Bits that do not fit their field are cut off.
 */
static inline seL4_MessageInfo_t seL4_MessageInfo_new(seL4_Uint64 label, seL4_Uint64 capsUnwrapped,
                                                      seL4_Uint64 extraCaps, seL4_Uint64 length)
{
    seL4_MessageInfo_t info;

    info.words[0] =
        label << 12 | (capsUnwrapped & 0x7) << 9 | (extraCaps & 0x3) << 7 | (length & 0x7f);
    return info;
}

static inline seL4_Uint64 seL4_MessageInfo_get_label(seL4_MessageInfo_t info)
{
    return info.words[0] >> 12;
}

static inline seL4_Uint64 seL4_MessageInfo_get_capsUnwrapped(seL4_MessageInfo_t info)
{
    return info.words[0] >> 9 & 0x7;
}

static inline seL4_Uint64 seL4_MessageInfo_get_extraCaps(seL4_MessageInfo_t info)
{
    return info.words[0] >> 7 & 0x3;
}

static inline seL4_Uint64 seL4_MessageInfo_get_length(seL4_MessageInfo_t info)
{
    return info.words[0] & 0x7f;
}

#ifdef __cplusplus
}
#endif
