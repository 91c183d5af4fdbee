/* Here live questions about the shape of public headers that the compiler answers: the type, the
 * value and the place of each name. For headers of the architecture that is compiled for. */
#pragma once

#include <stddef.h>

/* A function, or a pointer to one, of exactly this type. */
#define FUNCTION(name, ...)                                                                        \
    _Static_assert(_Generic((name), __VA_ARGS__ : 1, default : 0), #name " has its type")

/* A type name stands for exactly this type. */
#define SAME_TYPE(name, ...)                                                                       \
    _Static_assert(_Generic((name *)0, __typeof__(__VA_ARGS__) * : 1, default : 0),                \
                   #name " is its type")

/* The value, where the language wants a constant. */
#define VALUE(name, value) _Static_assert((name) == (value), #name " has its value")

/* The first member of a structure, and each further one with the one before it: type and place. */
#define MEMBER_TYPE(structure, member, ...)                                                        \
    _Static_assert(                                                                                \
        _Generic(&((structure *)0)->member, __typeof__(__VA_ARGS__) * : 1, default : 0),           \
        #structure "." #member " has its type")
#define FIRST(structure, member, ...)                                                              \
    MEMBER_TYPE(structure, member, __VA_ARGS__);                                                   \
    _Static_assert(offsetof(structure, member) == 0, #structure " begins with " #member)
#define END_OF(structure, member)  (offsetof(structure, member) + sizeof(((structure *)0)->member))
#define ALIGNED(offset, alignment) (((offset) + (alignment)-1) / (alignment) * (alignment))
#define NEXT(structure, before, member, ...)                                                       \
    MEMBER_TYPE(structure, member, __VA_ARGS__);                                                   \
    _Static_assert(offsetof(structure, member) ==                                                  \
                       ALIGNED(END_OF(structure, before), _Alignof(__typeof__(__VA_ARGS__))),      \
                   #structure "." #member " follows " #before)
#define LAST(structure, member)                                                                    \
    _Static_assert(sizeof(structure) == ALIGNED(END_OF(structure, member), _Alignof(structure)),   \
                   #structure " ends with " #member)
