/* Capabilities: finding, filling, copying, deleting them. */
#include "env/caps.h"

#include <errno.h>

#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"
#include "env/space.h"

static const char *const type_names[] = {
    [CAP_EMPTY] = "empty slot",       [CAP_FRAME] = "frame",
    [CAP_UNTYPED] = "untyped memory", [CAP_NOTIFICATION] = "notification",
    [CAP_ENDPOINT] = "endpoint",      [CAP_TOKEN] = "token",
};

const char *cap_type_name(enum cap_type type)
{
    return type_names[type];
}

enum cap_type cap_common_type(enum cap_type type)
{
    return type == CAP_ENDPOINT ? CAP_NOTIFICATION : type;
}

int cap_find(struct env *env, seL4_CPtr cptr, enum cap_type type, struct cap **ret)
{
    enum cap_type found;
    int r = cap_find_slot(env, cptr, ret);

    if (r < 0) {
        return r;
    }
    found = slot_type(*ret);
    if (found == CAP_EMPTY) {
        return fail(-ENOENT, "slot 0x%lx is empty: a %s is wanted", cptr, cap_type_name(type));
    }
    if (cap_common_type(found) != cap_common_type(type)) {
        return fail(-EBADF, "capability 0x%lx is a %s: a %s is wanted", cptr, cap_type_name(found),
                    cap_type_name(type));
    }
    return 0;
}

int cap_find_empty(struct env *env, seL4_CPtr cptr, struct cap **ret)
{
    enum cap_type found;
    int r = cap_find_slot(env, cptr, ret);

    if (r < 0) {
        return r;
    }
    found = slot_type(*ret);
    if (found != CAP_EMPTY) {
        return fail(-EEXIST, "slot 0x%lx is occupied (%s): delete that first", cptr,
                    cap_type_name(found));
    }
    return 0;
}

int cap_type(struct env *env, seL4_CPtr cptr)
{
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find_slot(env, cptr, &cap);
    if (r == 0) {
        r = (int)slot_type(cap);
    }
    env_unlock(env);
    return r;
}

static void fill(struct cap *cap, enum cap_type type, unsigned bits)
{
    cap->bits = (uint8_t)bits;
    cap->rights = (uint8_t)seL4_AllRights.words[0];
    cap->space = NULL;
    slot_set_type(cap, type);
}

void cap_fill_frame(struct cap *cap, struct block *block, uint64_t offset, unsigned bits)
{
    cap->block = block;
    cap->offset = offset;
    fill(cap, CAP_FRAME, bits);
}

void cap_fill_untyped(struct cap *cap, struct block *block, unsigned bits)
{
    cap->block = block;
    cap->offset = 0;
    fill(cap, CAP_UNTYPED, bits);
}

void cap_fill_ntfn(struct cap *cap, struct ntfn *ntfn)
{
    atomic_store(&cap->ntfn, ntfn);
    atomic_store(&cap->badge, 0);
    fill(cap, ntfn->kind, 0);
}

void cap_fill_token(struct cap *cap, seL4_Word object_type)
{
    fill(cap, CAP_TOKEN, (unsigned)object_type);
}

/* The same object; where it is mapped belongs to the one capability. */
static void duplicate(struct cap *dest, const struct cap *src, seL4_CapRights_t rights,
                      seL4_Word badge)
{
    dest->bits = src->bits;
    dest->rights = src->rights & (uint8_t)rights.words[0];
    dest->space = NULL;
    dest->block = src->block;
    dest->offset = src->offset;
    atomic_store(&dest->ntfn, atomic_load(&src->ntfn));
    atomic_store(&dest->badge, badge);
    slot_set_type(dest, slot_type(src));
}

static void count_one_more(struct cap *cap, enum cap_type type)
{
    switch (type) {
    case CAP_FRAME:
    case CAP_UNTYPED:
        cap->block->nr_refs++;
        break;
    case CAP_NOTIFICATION:
    case CAP_ENDPOINT:
        ntfn_cap_added(atomic_load(&cap->ntfn));
        break;
    case CAP_EMPTY:
    case CAP_TOKEN:
        break;
    }
}

/* Both ends of a copy or move, checked. */
static int find_pair(struct env *env, seL4_CPtr dest, seL4_CPtr src, struct cap **ret_dest,
                     struct cap **ret_src)
{
    int r = cap_find_slot(env, src, ret_src);

    if (r < 0) {
        return r;
    }
    if (slot_type(*ret_src) == CAP_EMPTY) {
        return fail(-ENOENT, "cannot copy or move from slot 0x%lx: it is empty", src);
    }
    return cap_find_empty(env, dest, ret_dest);
}

static int copy_with_badge(struct env *env, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights,
                           const seL4_Word *badge)
{
    struct cap *to;
    struct cap *from;
    enum cap_type type;
    int r;

    env_lock(env);
    r = find_pair(env, dest, src, &to, &from);
    if (r < 0) {
        goto unlock;
    }
    type = slot_type(from);
    if (badge != NULL && *badge != 0 && cap_common_type(type) != CAP_NOTIFICATION) {
        r = fail(-EINVAL, "cannot give 0x%lx a badge: it is a %s", src, cap_type_name(type));
        goto unlock;
    }
    count_one_more(from, type);
    duplicate(to, from, rights, badge != NULL ? *badge : atomic_load(&from->badge));

unlock:
    env_unlock(env);
    return r;
}

int cap_copy(struct env *env, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights)
{
    return copy_with_badge(env, dest, src, rights, NULL);
}

int cap_mint(struct env *env, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights,
             seL4_Word badge)
{
    return copy_with_badge(env, dest, src, rights, &badge);
}

int cap_move(struct env *env, seL4_CPtr dest, seL4_CPtr src)
{
    struct cap *to;
    struct cap *from;
    int r;

    env_lock(env);
    r = find_pair(env, dest, src, &to, &from);
    if (r == 0 && from->space != NULL) {
        r = fail(-EBUSY, "cannot move capability 0x%lx: it is mapped at 0x%lx; unmap it first", src,
                 from->addr);
    }
    if (r == 0) {
        duplicate(to, from, seL4_AllRights, atomic_load(&from->badge));
        slot_set_type(from, CAP_EMPTY);
    }
    env_unlock(env);
    return r;
}

int cap_delete(struct env *env, seL4_CPtr cptr)
{
    struct cap *cap;
    int r;

    for (;;) {
        struct space *space;
        uint64_t addr;

        env_lock(env);
        r = cap_find_slot(env, cptr, &cap);
        if (r < 0 || cap->space == NULL) {
            break;
        }
        /* the owner's lock comes before ours: let go, and look again afterwards */
        space = cap->space;
        addr = cap->addr;
        space_visit(space);
        env_unlock(env);
        r = space_unmap_cap(space, addr, cptr);
        if (r < 0) {
            return r;
        }
    }
    if (r == 0) {
        slot_clear(cap);
    }
    env_unlock(env);
    return r;
}
