/* The system calls on capability slots. */
#include <errno.h>

#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"

seL4_Error error_of_errno(int err)
{
    switch (-err) {
    case 0:
        return seL4_NoError;
    case ENOENT:
        return seL4_FailedLookup;
    case EBADF:
        return seL4_InvalidCapability;
    case EEXIST:
        return seL4_DeleteFirst;
    case EBUSY:
        return seL4_RevokeFirst;
    case ENOMEM:
        return seL4_NotEnoughMemory;
    case ERANGE:
        return seL4_RangeError;
    case ENOSYS:
        return seL4_IllegalOperation;
    default:
        return seL4_InvalidArgument;
    }
}

/*
 * There is one capability space. A handle finds its slot without root and depth; wrong ones are a
 * mistake.
 */
int check_cspace(seL4_CNode root, seL4_Word depth)
{
    if (root != seL4_CapInitThreadCNode || depth != seL4_WordBits) {
        return fail(-EINVAL,
                    "no capability space 0x%lx of depth %lu: fill paths in with "
                    "vka_cspace_make_path",
                    root, depth);
    }
    return 0;
}

/*
 * The environment of what is to be filled; whether the source is of the same one is for caps.c to
 * find out.
 */
static int check_pair(seL4_CNode dest_root, seL4_CPtr dest, seL4_Word dest_depth,
                      seL4_CNode src_root, seL4_Word src_depth, struct env **ret)
{
    struct env *env;
    int r;

    r = check_cspace(dest_root, dest_depth);
    if (r == 0) {
        r = check_cspace(src_root, src_depth);
    }
    if (r < 0) {
        return r;
    }
    env = captable_env(dest);
    if (env == NULL) {
        return -ENOENT;
    }
    *ret = env;
    return 0;
}

seL4_Error seL4_CNode_Copy(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights)
{
    struct env *env;
    int r;

    r = check_pair(dest_root, dest_index, dest_depth, src_root, src_depth, &env);
    if (r == 0) {
        r = cap_copy(env, dest_index, src_index, rights);
    }
    return error_of_errno(r);
}

seL4_Error seL4_CNode_Mint(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights, seL4_Word badge)
{
    struct env *env;
    int r;

    r = check_pair(dest_root, dest_index, dest_depth, src_root, src_depth, &env);
    if (r == 0) {
        r = cap_mint(env, dest_index, src_index, rights, badge);
    }
    return error_of_errno(r);
}

seL4_Error seL4_CNode_Move(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth)
{
    struct env *env;
    int r;

    r = check_pair(dest_root, dest_index, dest_depth, src_root, src_depth, &env);
    if (r == 0) {
        r = cap_move(env, dest_index, src_index);
    }
    return error_of_errno(r);
}

seL4_Error seL4_CNode_Delete(seL4_CNode root, seL4_Word index, seL4_Uint8 depth)
{
    struct env *env;
    int r;

    r = check_cspace(root, depth);
    if (r < 0) {
        return error_of_errno(r);
    }
    env = captable_env(index);
    return error_of_errno(env == NULL ? -ENOENT : cap_delete(env, index));
}

seL4_Error seL4_CNode_Revoke(seL4_CNode root, seL4_Word index, seL4_Uint8 depth)
{
    (void)root;
    (void)depth;
    return error_of_errno(fail(-ENOSYS,
                               "cannot revoke 0x%lx: who copied what is not recorded; "
                               "delete the copies one by one",
                               index));
}
