/* The capability table of an environment. */
#include "env/captable.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include "base/futex.h"
#include "base/reason.h"
#include "base/span.h"
#include "env/env.h"

enum {
    TABLE_MAGIC = 0x63617073,
    TABLE_SHIFT = 20, /* tables begin at multiples of 1 MiB */
    TABLE_BITS = 28,  /* so 48 bits of address fit */
    SLOT_BITS = CAP_SLOT_BITS,
    GENERATION_BITS = 12,
    GENERATION_MASK = (1 << GENERATION_BITS) - 1,
    NR_SLOTS_MAX = 1 << SLOT_BITS,
    NR_SLOTS_STEP = 4096, /* committed at a time */
    HEADER_SIZE = 4096,

    /*
     * A handle becomes valid again after 4096 uses of its slot: let at least these be used in
     * between.
     */
    NR_FREE_MIN = 64,

    TAG_TYPE_SHIFT = GENERATION_BITS,
    TAG_IN_USE = 1 << 16,
};

static const size_t table_size = HEADER_SIZE + (size_t)NR_SLOTS_MAX * sizeof(struct cap);

/*
 * At the beginning of a mapping of its own; the slots follow at HEADER_SIZE, committed as far as
 * they are used.
 */
struct captable {
    uint32_t magic;
    struct env *env;
    atomic_uint nr_slots; /* handed out at least once; slot 0 never is */
    unsigned nr_committed;
    unsigned first_generation;
    unsigned nr_free; /* in the queue from free_head to free_tail, linked through addr */
    unsigned free_head;
    unsigned free_tail;
};

static struct cap *slot_of(struct captable *table, unsigned slot)
{
    return (struct cap *)(void *)((char *)table + HEADER_SIZE) + slot;
}

static seL4_CPtr handle_of(struct captable *table, unsigned slot, unsigned generation)
{
    return (uintptr_t)table >> TABLE_SHIFT << (SLOT_BITS + GENERATION_BITS) |
           (seL4_CPtr)slot << GENERATION_BITS | generation;
}

static uintptr_t handle_table(seL4_CPtr cptr)
{
    return cptr >> (SLOT_BITS + GENERATION_BITS) << TABLE_SHIFT;
}

static unsigned handle_slot(seL4_CPtr cptr)
{
    return cptr >> GENERATION_BITS & (NR_SLOTS_MAX - 1);
}

enum cap_type slot_type(const struct cap *cap)
{
    return (enum cap_type)(atomic_load(&cap->tag) >> TAG_TYPE_SHIFT & 0xf);
}

static uint32_t tag_make(enum cap_type type, unsigned generation)
{
    return TAG_IN_USE | (uint32_t)type << TAG_TYPE_SHIFT | generation;
}

void slot_set_type(struct cap *cap, enum cap_type type)
{
    atomic_store(&cap->tag, tag_make(type, atomic_load(&cap->tag) & GENERATION_MASK));
}

bool slot_has_handle(const struct cap *cap, seL4_CPtr cptr)
{
    uint32_t tag = atomic_load(&cap->tag);

    return (tag & TAG_IN_USE) != 0 && (tag & GENERATION_MASK) == (cptr & GENERATION_MASK);
}

int captable_create(struct env *env, struct captable **ret)
{
    struct captable *table = span_reserve(table_size, UINT64_C(1) << TABLE_SHIFT);
    struct timespec now;

    if (table == NULL) {
        return fail(
            -ENOMEM,
            "cannot reserve %zu MiB of addresses for capabilities; is there a limit (ulimit -v)?",
            table_size >> 20);
    }
    if ((uintptr_t)table >> (TABLE_SHIFT + TABLE_BITS) != 0) {
        munmap(table, table_size);
        return fail(-ENOMEM, "cannot use %p for capabilities: it needs more than %d bits",
                    (void *)table, TABLE_SHIFT + TABLE_BITS);
    }
    if (mprotect(table, HEADER_SIZE, PROT_READ | PROT_WRITE) < 0) {
        munmap(table, table_size);
        return fail(-ENOMEM, "cannot commit the table of capabilities: out of memory");
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    table->env = env;
    table->nr_slots = 1;
    table->first_generation = (unsigned)(now.tv_nsec >> 6) & GENERATION_MASK;
    table->magic = TABLE_MAGIC;
    *ret = table;
    return 0;
}

void slot_clear(struct cap *cap)
{
    enum cap_type type = slot_type(cap);

    slot_set_type(cap, CAP_EMPTY);
    switch (type) {
    case CAP_FRAME:
    case CAP_UNTYPED:
        block_drop(cap->block);
        break;
    case CAP_NOTIFICATION:
    case CAP_ENDPOINT:
        ntfn_cap_gone(atomic_load(&cap->ntfn));
        break;
    case CAP_EMPTY:
    case CAP_TOKEN:
        break;
    }
}

void captable_destroy(struct captable *table)
{
    if (table == NULL) {
        return;
    }
    for (unsigned slot = 1; slot < table->nr_slots; slot++) {
        slot_clear(slot_of(table, slot));
    }
    table->magic = 0;
    munmap(table, table_size);
}

static int commit_slots(struct captable *table)
{
    unsigned nr_wanted = table->nr_committed + NR_SLOTS_STEP;

    if (table->nr_committed == NR_SLOTS_MAX) {
        return fail(-ENOMEM, "cannot allocate a capability slot: all %d are taken",
                    NR_SLOTS_MAX - 1);
    }
    if (mprotect(table, HEADER_SIZE + nr_wanted * sizeof(struct cap), PROT_READ | PROT_WRITE) < 0) {
        return fail(-ENOMEM, "cannot allocate a capability slot: out of memory");
    }
    table->nr_committed = nr_wanted;
    return 0;
}

static int take_fresh_slot(struct captable *table, unsigned *ret)
{
    unsigned slot = table->nr_slots;

    if (slot >= table->nr_committed) {
        int r = commit_slots(table);

        if (r < 0) {
            return r;
        }
    }
    atomic_store(&slot_of(table, slot)->tag, table->first_generation);
    atomic_store(&table->nr_slots, slot + 1);
    *ret = slot;
    return 0;
}

static unsigned take_freed_slot(struct captable *table)
{
    unsigned slot = table->free_head;

    table->free_head = (unsigned)slot_of(table, slot)->addr;
    table->nr_free--;
    return slot;
}

int cap_slot_alloc(struct env *env, seL4_CPtr *ret)
{
    struct captable *table = env->caps;
    struct cap *cap;
    unsigned slot;
    unsigned generation;
    int r = 0;

    env_lock(env);
    if (table->nr_free >= NR_FREE_MIN) {
        slot = take_freed_slot(table);
    } else {
        r = take_fresh_slot(table, &slot);
        if (r < 0 && table->nr_free > 0) {
            slot = take_freed_slot(table);
            r = 0;
        }
    }
    if (r == 0) {
        cap = slot_of(table, slot);
        generation = atomic_load(&cap->tag) & GENERATION_MASK;
        cap->space = NULL;
        atomic_store(&cap->tag, tag_make(CAP_EMPTY, generation));
        *ret = handle_of(table, slot, generation);
    }
    env_unlock(env);
    return r;
}

static void release_slot(struct captable *table, struct cap *cap, unsigned slot)
{
    uint32_t next_generation = (atomic_load(&cap->tag) + 1) & GENERATION_MASK;

    atomic_store(&cap->tag, next_generation);
    if (table->nr_free == 0) {
        table->free_head = slot;
    } else {
        slot_of(table, table->free_tail)->addr = slot;
    }
    table->free_tail = slot;
    table->nr_free++;
}

/* Tells whether there was something left in it. */
static int release_if_empty(struct env *env, seL4_CPtr cptr, enum cap_type *ret_type)
{
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find_slot(env, cptr, &cap);
    if (r == 0) {
        *ret_type = slot_type(cap);
        if (*ret_type == CAP_EMPTY) {
            release_slot(env->caps, cap, handle_slot(cptr));
        }
    }
    env_unlock(env);
    return r;
}

int cap_slot_free(struct env *env, seL4_CPtr cptr)
{
    enum cap_type type = CAP_EMPTY;
    int r = release_if_empty(env, cptr, &type);

    while (r == 0 && type != CAP_EMPTY) {
        log_at(env_log(env), HOSTVM_LOG_WARN,
               "slot 0x%lx is freed with a capability in it (%s): deleted", cptr,
               cap_type_name(type));
        r = cap_delete(env, cptr);
        if (r == 0) {
            r = release_if_empty(env, cptr, &type);
        }
    }
    return r;
}

int cap_find_slot(struct env *env, seL4_CPtr cptr, struct cap **ret)
{
    struct captable *table = env->caps;
    unsigned slot = handle_slot(cptr);
    struct cap *cap = slot_of(table, slot);

    if (cptr == seL4_CapNull) {
        return fail(-ENOENT, "no capability given: it is seL4_CapNull");
    }
    if (handle_table(cptr) != (uintptr_t)table || slot == 0 ||
        slot >= atomic_load(&table->nr_slots)) {
        return fail(-ENOENT, "0x%lx is not a capability of this environment", cptr);
    }
    if (!slot_has_handle(cap, cptr)) {
        return fail(-ENOENT, "capability 0x%lx is stale: its slot was freed", cptr);
    }
    *ret = cap;
    return 0;
}

/* What a handle could lead to, asked of the kernel, since any number may be given. */
static struct captable *table_of(seL4_CPtr cptr)
{
    uintptr_t table = handle_table(cptr);

    return table != 0 && futex_word_is(table, TABLE_MAGIC) ? (struct captable *)table : NULL;
}

struct env *captable_env(seL4_CPtr cptr)
{
    struct captable *table = table_of(cptr);

    if (table == NULL) {
        fail(-ENOENT, "0x%lx is not a capability of any environment", cptr);
        return NULL;
    }
    return table->env;
}

struct cap *captable_peek(seL4_CPtr cptr)
{
    struct captable *table = table_of(cptr);
    unsigned slot = handle_slot(cptr);
    struct cap *cap;

    if (table == NULL || slot == 0 || slot >= atomic_load(&table->nr_slots)) {
        return NULL;
    }
    cap = slot_of(table, slot);
    return slot_has_handle(cap, cptr) ? cap : NULL;
}
