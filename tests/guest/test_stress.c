/* Vcpus load and store without pause while memory comes, goes and changes its rights: each
 * access arrives once, where it should. */
#include "support/vm.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "worker.h"

/* Of each test with two vcpus, and with four; HOSTVM_STRESS_ROUNDS says otherwise. All take some
 * fifteen seconds together where KVM emulates what the guest does, with the thread sanitizer as
 * well. */
#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 100, ROUNDS_OF_FOUR = 30 };
#elif defined(__SANITIZE_THREAD__)
enum { ROUNDS = 500, ROUNDS_OF_FOUR = 120 };
#else
enum { ROUNDS = 600, ROUNDS_OF_FOUR = 150 };
#endif

enum {
    PAGE = 4096,
    MAX_VCPUS = 4,
    /* Where the guest works: each step of each vcpu stores to a word that no other one stores to,
     * on whatever page. The vcpus share the steps. */
    ARENA_GPA = 0x200000,
    NR_PAGES = 8,
    ALL_STEPS = 496,
    MAX_STEPS = ALL_STEPS / 2, /* of one vcpu: at least two run */
    FIRST_WORD = 1,            /* of vcpu 0; those of the others follow */
    LABEL_WORD = 511,          /* what the guest loads: says which frame it is */

    /* RAM on both sides, which becomes one memory slot with what comes beside it: the guest's code,
     * and for each vcpu its control block and what it has loaded. */
    BELOW_GPA = 0x1f0000,
    ABOVE_GPA = 0x208000,
    SIDE_SIZE = 0x10000,
    LOG_OFFSET = 0x1000, /* behind the control block */

    NR_FRAMES = 12,
    CAPS_PER_FRAME = 2, /* for the guest; one more is for us */
    NR_CAPS = NR_FRAMES * CAPS_PER_FRAME,
    MAX_SPAN = 3, /* pages of a reservation */
};

#define LABEL_TAG  0xf100000000000000ull /* with a frame's number */
#define DEVICE_TAG 0xd200000000000000ull /* with the number of the read that it answers */
#define TAG_MASK   0xff00000000000000ull

/* --- the guest: step after step stores a word that says which step it is, then loads a label ---
 */

WORKER(worker_0, 0x1f0000,
       WORKER_WAIT(0x20a008) WORKER_WAIT(0x1f2008) WORKER_WAIT(0x20c008) GUEST_EXIT);
WORKER(worker_1, 0x20a000, "");
WORKER(worker_2, 0x1f2000, "");
WORKER(worker_3, 0x20c000, "");

static const struct guest_code *const workers[] = {&worker_0, &worker_1, &worker_2, &worker_3};
static const uintptr_t codes[] = {0x1ff000, 0x208000, 0x1fe000, 0x209000};
static const uintptr_t controls[] = {0x1f0000, 0x20a000, 0x1f2000, 0x20c000};

/* A vcpu's control block, as WORKER has it. */
struct control {
    uint64_t round; /* changes: begin */
    uint64_t done; /* the round that is done; of a vcpu that is not there: always the present one */
    uint64_t nr_steps;
    uint64_t tag; /* of what it stores */
    uint64_t first_word;
};

/* What step of which vcpu stores. */
static uint64_t store_value(unsigned round, unsigned vcpu, unsigned step)
{
    return (uint64_t)round << 32 | (uint64_t)vcpu << 24 | step;
}

static unsigned step_page(unsigned step)
{
    return step % NR_PAGES;
}

/* --- the host's side --- */

enum page_state { HOLE, DEVICE, READONLY, READWRITE, CHANGING };

/* A reservation that the changer has made; kept when it is freed, for nobody may hear of it then.
 */
struct piece {
    vm_memory_reservation_t *handle;
    unsigned first;
    unsigned nr_pages;
    bool is_mapped;
    atomic_bool is_live;
    struct stress *stress;
    struct piece *next; /* all there ever were */
};

struct frame {
    uint64_t *words; /* as this process sees it */
    unsigned nr_mappings;
    unsigned written_through; /* bit per page: the guest could store here through it */
    unsigned read_through;
    uint64_t before[PAGE / 8]; /* its content since nobody has it mapped */
};

/* The answer to a read that reached a callback. */
struct answer {
    unsigned vcpu;
    uint64_t addr;
    bool is_found;
};

struct stress {
    struct testvm *t;
    unsigned nr_vcpus;
    unsigned nr_steps; /* of each; a multiple of NR_PAGES */
    unsigned round;

    /* the changer's, and the main thread's between rounds */
    struct piece *pieces;          /* all, newest first */
    struct piece *owner[NR_PAGES]; /* of the page's reservation, or NULL */
    struct frame frames[NR_FRAMES];
    seL4_CPtr caps[NR_CAPS];
    int cap_page[NR_CAPS]; /* -1: not mapped */
    uint64_t random;
    unsigned nr_changes;

    atomic_int state[NR_PAGES]; /* enum page_state */
    atomic_bool is_over;        /* the guest is done with the round */

    /* guarded by the VM lock: callbacks */
    unsigned nr_stores[MAX_VCPUS][MAX_STEPS];
    struct answer answers[ALL_STEPS];
    unsigned nr_answers;

    atomic_bool is_wrong;
    char wrong[160]; /* written once */
};

static unsigned step_word(const struct stress *s, unsigned vcpu, unsigned step)
{
    return FIRST_WORD + vcpu * s->nr_steps + step;
}

/* The first thing that goes wrong is kept: vcpus' threads must not leave by a long jump. */
static void __attribute__((format(printf, 2, 3))) wrong(struct stress *s, const char *fmt, ...)
{
    va_list args;

    if (!atomic_exchange(&s->is_wrong, true)) {
        va_start(args, fmt);
        (void)vsnprintf(s->wrong, sizeof(s->wrong), fmt, args);
        va_end(args);
    }
}

/* --- callbacks --- */

static void see_store(struct stress *s, unsigned vcpu, uint64_t addr, uint64_t value)
{
    unsigned step = (unsigned)(value & 0xffffff);

    if (step >= s->nr_steps || value != store_value(s->round, vcpu, step) ||
        addr != ARENA_GPA + step_page(step) * PAGE + step_word(s, vcpu, step) * 8) {
        wrong(s, "vcpu %u stores 0x%llx at 0x%llx", vcpu, (unsigned long long)value,
              (unsigned long long)addr);
        return;
    }
    s->nr_stores[vcpu][step]++;
}

static void see_load(struct stress *s, vm_vcpu_t *vcpu, uint64_t addr)
{
    if (s->nr_answers == s->nr_vcpus * s->nr_steps) {
        wrong(s, "vcpu %u loads too often", vcpu->vcpu_id);
        return;
    }
    (void)set_vcpu_fault_data(vcpu, DEVICE_TAG | s->nr_answers);
    s->answers[s->nr_answers++] = (struct answer){vcpu->vcpu_id, addr, false};
}

/* The VM lock keeps memory as it is while a callback runs: where it is there, nobody may ask us. */
static void see_access(struct stress *s, vm_vcpu_t *vcpu, uint64_t addr)
{
    bool is_read = is_vcpu_read_fault(vcpu);
    unsigned page = (unsigned)((addr - ARENA_GPA) / PAGE);
    int state;

    if (page >= NR_PAGES || get_vcpu_fault_size(vcpu) != 8) {
        wrong(s, "vcpu %u accesses 0x%llx", vcpu->vcpu_id, (unsigned long long)addr);
        return;
    }
    state = atomic_load(&s->state[page]);
    if (state == READWRITE || (state == READONLY && is_read)) {
        wrong(s, "a %s of page %u, which has memory, reached a callback",
              is_read ? "load" : "store", page);
    }
    if (is_read) {
        see_load(s, vcpu, addr);
    } else {
        see_store(s, vcpu->vcpu_id, addr, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
}

static memory_fault_result_t piece_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                         void *cookie)
{
    struct piece *piece = cookie;
    uint64_t start = ARENA_GPA + (uint64_t)piece->first * PAGE;

    (void)vm;
    (void)size;
    if (!atomic_load(&piece->is_live)) {
        wrong(piece->stress, "a reservation is asked that has been freed");
    }
    if (addr < start || addr >= start + (uint64_t)piece->nr_pages * PAGE) {
        wrong(piece->stress, "a reservation is asked for 0x%zx, which is not in it", (size_t)addr);
    }
    see_access(piece->stress, vcpu, addr);
    return FAULT_HANDLED;
}

static memory_fault_result_t hole_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                        void *cookie)
{
    struct stress *s = cookie;
    unsigned page = (unsigned)((addr - ARENA_GPA) / PAGE);

    (void)vm;
    (void)size;
    if (page < NR_PAGES && atomic_load(&s->state[page]) == DEVICE) {
        wrong(s, "an access to page %u, which is reserved, reached nobody", page);
    }
    see_access(s, vcpu, addr);
    return FAULT_HANDLED;
}

/* --- changes --- */

/* Marsaglia, "Xorshift RNGs", 2003. */
static unsigned below(struct stress *s, unsigned end)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (unsigned)(s->random >> 33) % end;
}

/* What no guest has mapped stays as it is. */
static void frame_unmapped(struct stress *s, int cap)
{
    struct frame *frame = &s->frames[cap / CAPS_PER_FRAME];

    s->cap_page[cap] = -1;
    if (--frame->nr_mappings == 0) {
        memcpy(frame->before, frame->words, PAGE);
    }
}

static void frame_mapped(struct stress *s, int cap, unsigned page, enum page_state state)
{
    struct frame *frame = &s->frames[cap / CAPS_PER_FRAME];

    if (frame->nr_mappings++ == 0 && memcmp(frame->before, frame->words, PAGE) != 0) {
        wrong(s, "frame %d has changed while it was mapped nowhere", cap / CAPS_PER_FRAME);
    }
    s->cap_page[cap] = (int)page;
    frame->written_through |= (state == READWRITE ? 1u : 0u) << page;
    frame->read_through |= (state != DEVICE ? 1u : 0u) << page;
}

static void set_state(struct stress *s, const struct piece *piece, enum page_state state)
{
    for (unsigned page = piece->first; page < piece->first + piece->nr_pages; page++) {
        atomic_store(&s->state[page], state);
    }
}

static void free_piece(struct stress *s, struct piece *piece)
{
    set_state(s, piece, CHANGING);
    if (vm_free_reserved_memory(&s->t->vm, piece->handle) != 0) {
        wrong(s, "%s", hostvm_last_error());
        return;
    }
    atomic_store(&piece->is_live, false);
    for (int cap = 0; cap < NR_CAPS; cap++) {
        if (s->cap_page[cap] >= 0 && s->owner[s->cap_page[cap]] == piece) {
            frame_unmapped(s, cap);
        }
    }
    for (unsigned page = piece->first; page < piece->first + piece->nr_pages; page++) {
        s->owner[page] = NULL;
    }
    set_state(s, piece, HOLE);
}

static struct piece *new_piece(struct stress *s, unsigned first, unsigned nr_pages)
{
    struct piece *piece = calloc(1, sizeof(*piece));

    if (piece == NULL) {
        wrong(s, "no memory");
        return NULL;
    }
    *piece = (struct piece){.first = first, .nr_pages = nr_pages, .stress = s, .next = s->pieces};
    s->pieces = piece;
    atomic_store(&piece->is_live, true);
    set_state(s, piece, CHANGING);
    piece->handle = vm_reserve_memory_at(&s->t->vm, ARENA_GPA + (uintptr_t)first * PAGE,
                                         (size_t)nr_pages * PAGE, piece_fault, piece);
    if (piece->handle == NULL) {
        wrong(s, "%s", hostvm_last_error());
        return NULL;
    }
    for (unsigned page = first; page < first + nr_pages; page++) {
        s->owner[page] = piece;
    }
    set_state(s, piece, DEVICE);
    return piece;
}

/* What a piece is to be filled with. */
struct filling {
    struct stress *stress;
    unsigned first;
    int caps[MAX_SPAN];
    enum page_state states[MAX_SPAN];
};

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    const struct filling *filling = cookie;
    unsigned i = (unsigned)((addr - ARENA_GPA) / PAGE) - filling->first;
    enum page_state state = filling->states[i];

    return (vm_frame_t){
        .cptr = filling->stress->caps[filling->caps[i]],
        .rights = seL4_CapRights_new(0, 0, state != DEVICE, state == READWRITE),
        .vaddr = addr,
        .size_bits = 12,
    };
}

/* A capability that is mapped nowhere: there are more than pages. */
static int unmapped_cap(struct stress *s, const int *taken, unsigned nr_taken)
{
    int cap = (int)below(s, NR_CAPS);

    for (;; cap = (cap + 1) % NR_CAPS) {
        bool is_taken = s->cap_page[cap] >= 0;

        for (unsigned i = 0; i < nr_taken; i++) {
            is_taken |= taken[i] == cap;
        }
        if (!is_taken) {
            return cap;
        }
    }
}

static void map_piece(struct stress *s, struct piece *piece)
{
    static const enum page_state states[] = {DEVICE, READONLY, READWRITE, READWRITE};
    struct filling filling = {.stress = s, .first = piece->first};

    for (unsigned i = 0; i < piece->nr_pages; i++) {
        filling.caps[i] = unmapped_cap(s, filling.caps, i);
        filling.states[i] = i > 0 && below(s, 2) == 0 ? filling.states[i - 1] : states[below(s, 4)];
    }
    set_state(s, piece, CHANGING);
    for (unsigned i = 0; i < piece->nr_pages; i++) {
        frame_mapped(s, filling.caps[i], piece->first + i, filling.states[i]);
    }
    if (vm_map_reservation(&s->t->vm, piece->handle, next_frame, &filling) != 0) {
        wrong(s, "%s", hostvm_last_error());
        return;
    }
    piece->is_mapped = true;
    for (unsigned i = 0; i < piece->nr_pages; i++) {
        atomic_store(&s->state[piece->first + i], filling.states[i]);
    }
}

/* A capability that is deleted takes its memory out of the guest; its page becomes a device's. */
static void replace_cap(struct stress *s)
{
    int cap = (int)below(s, NR_CAPS);
    int page = s->cap_page[cap];
    seL4_CPtr copy = envs_copy(&s->t->env, s->caps[cap], seL4_AllRights);

    if (page >= 0) {
        atomic_store(&s->state[page], CHANGING);
    }
    envs_delete(&s->t->env, s->caps[cap]);
    s->caps[cap] = copy;
    if (page >= 0) {
        frame_unmapped(s, cap);
        atomic_store(&s->state[page], DEVICE);
    }
}

static void change(struct stress *s)
{
    unsigned nr_pages = 1 + below(s, MAX_SPAN);
    unsigned first = below(s, NR_PAGES - nr_pages + 1);
    struct piece *piece;

    s->nr_changes++;
    if (below(s, 6) == 0) {
        replace_cap(s);
        return;
    }
    for (unsigned page = first; page < first + nr_pages; page++) {
        if (s->owner[page] != NULL) {
            free_piece(s, s->owner[page]);
        }
    }
    if (below(s, 8) == 0) {
        return;
    }
    piece = new_piece(s, first, nr_pages);
    if (piece != NULL && below(s, 8) != 0) {
        map_piece(s, piece);
    }
}

static void *change_until_over(void *arg)
{
    struct stress *s = arg;

    while (!atomic_load(&s->is_over) && !atomic_load(&s->is_wrong)) {
        change(s);
    }
    return NULL;
}

/* --- what has come of a round --- */

static void check_memory(struct stress *s, unsigned nr_found[MAX_VCPUS][MAX_STEPS])
{
    for (unsigned f = 0; f < NR_FRAMES; f++) {
        for (unsigned word = 0; word < LABEL_WORD; word++) {
            uint64_t value = s->frames[f].words[word];
            unsigned vcpu = (unsigned)(value >> 24 & 0xff);
            unsigned step = (unsigned)(value & 0xffffff);

            if (value == 0) {
                continue;
            }
            if (vcpu >= s->nr_vcpus || step >= s->nr_steps ||
                value != store_value(s->round, vcpu, step) || word != step_word(s, vcpu, step) ||
                (s->frames[f].written_through >> step_page(step) & 1) == 0) {
                fail_msg("round %u: 0x%llx is in word %u of frame %u", s->round,
                         (unsigned long long)value, word, f);
            }
            nr_found[vcpu][step]++;
        }
    }
}

static void check_stores(struct stress *s)
{
    static unsigned nr_found[MAX_VCPUS][MAX_STEPS];

    memset(nr_found, 0, sizeof(nr_found));
    check_memory(s, nr_found);
    for (unsigned vcpu = 0; vcpu < s->nr_vcpus; vcpu++) {
        for (unsigned step = 0; step < s->nr_steps; step++) {
            if (nr_found[vcpu][step] + s->nr_stores[vcpu][step] != 1) {
                fail_msg("round %u: store %u of vcpu %u is %u times in memory and was seen by "
                         "callbacks %u times",
                         s->round, step, vcpu, nr_found[vcpu][step], s->nr_stores[vcpu][step]);
            }
        }
    }
}

static bool is_right_load(struct stress *s, unsigned vcpu, unsigned step, uint64_t value)
{
    uint64_t addr = ARENA_GPA + step_page(step) * PAGE + LABEL_WORD * 8;
    uint64_t number = value & ~TAG_MASK;

    if ((value & TAG_MASK) == LABEL_TAG) {
        return number < NR_FRAMES && (s->frames[number].read_through >> step_page(step) & 1) != 0;
    }
    if ((value & TAG_MASK) != DEVICE_TAG || number >= s->nr_answers ||
        s->answers[number].is_found || s->answers[number].vcpu != vcpu ||
        s->answers[number].addr != addr) {
        return false;
    }
    s->answers[number].is_found = true;
    return true;
}

static void check_loads(struct stress *s)
{
    for (unsigned vcpu = 0; vcpu < s->nr_vcpus; vcpu++) {
        const uint64_t *log = testvm_pointer(s->t, controls[vcpu] + LOG_OFFSET, s->nr_steps * 8ul);

        for (unsigned step = 0; step < s->nr_steps; step++) {
            if (!is_right_load(s, vcpu, step, log[step])) {
                fail_msg("round %u: load %u of vcpu %u gave 0x%llx", s->round, step, vcpu,
                         (unsigned long long)log[step]);
            }
        }
    }
    for (unsigned i = 0; i < s->nr_answers; i++) {
        if (!s->answers[i].is_found) {
            fail_msg("round %u: vcpu %u never got the answer to its load at 0x%llx", s->round,
                     s->answers[i].vcpu, (unsigned long long)s->answers[i].addr);
        }
    }
}

/* --- rounds --- */

static void begin_round(struct stress *s)
{
    s->round++;
    s->nr_answers = 0;
    memset(s->nr_stores, 0, sizeof(s->nr_stores));
    for (unsigned f = 0; f < NR_FRAMES; f++) {
        memset(s->frames[f].words, 0, LABEL_WORD * sizeof(uint64_t));
        memcpy(s->frames[f].before, s->frames[f].words, PAGE);
        s->frames[f].written_through = 0;
        s->frames[f].read_through = 0;
    }
    for (int cap = 0; cap < NR_CAPS; cap++) {
        if (s->cap_page[cap] >= 0) {
            int state = atomic_load(&s->state[s->cap_page[cap]]);

            s->frames[cap / CAPS_PER_FRAME].written_through |= (state == READWRITE ? 1u : 0u)
                                                               << s->cap_page[cap];
            s->frames[cap / CAPS_PER_FRAME].read_through |= (state != DEVICE ? 1u : 0u)
                                                            << s->cap_page[cap];
        }
    }
    atomic_store(&s->is_over, false);
}

static struct control *control_of(struct stress *s, unsigned vcpu)
{
    return testvm_pointer(s->t, controls[vcpu], sizeof(struct control));
}

static void start_workers(struct stress *s)
{
    for (unsigned vcpu = s->nr_vcpus; vcpu < MAX_VCPUS; vcpu++) {
        control_of(s, vcpu)->done = s->round;
    }
    for (unsigned vcpu = 0; vcpu < s->nr_vcpus; vcpu++) {
        control_of(s, vcpu)->round = s->round;
    }
}

static void run_round(struct stress *s)
{
    pthread_t changer;
    int r;

    begin_round(s);
    start_workers(s);
    assert_int_equal(pthread_create(&changer, NULL, change_until_over, s), 0);
    r = testvm_run(s->t);
    atomic_store(&s->is_over, true);
    assert_int_equal(pthread_join(changer, NULL), 0);
    if (r != 0) {
        fail_msg("round %u: %s", s->round, hostvm_last_error());
    }
    assert_int_equal(s->t->nr_exits, s->round);
    if (atomic_load(&s->is_wrong)) {
        fail_msg("round %u: %s", s->round, s->wrong);
    }
    check_stores(s);
    check_loads(s);
}

static void make_frames(struct stress *s)
{
    for (int f = 0; f < NR_FRAMES; f++) {
        seL4_CPtr cap = envs_frame(&s->t->env, 12);

        for (int i = 0; i < CAPS_PER_FRAME; i++) {
            s->caps[f * CAPS_PER_FRAME + i] = envs_copy(&s->t->env, cap, seL4_AllRights);
            s->cap_page[f * CAPS_PER_FRAME + i] = -1;
        }
        s->frames[f].words =
            vspace_map_pages(&s->t->env.vspace, &cap, NULL, seL4_AllRights, 1, 12, 1);
        assert_non_null(s->frames[f].words);
        s->frames[f].words[LABEL_WORD] = LABEL_TAG | (unsigned)f;
    }
}

static void boot_worker(struct stress *s, unsigned vcpu)
{
    struct control *control = control_of(s, vcpu);

    control->nr_steps = s->nr_steps;
    control->tag = store_value(0, vcpu, 0);
    control->first_word = ARENA_GPA + step_word(s, vcpu, 0) * 8ul;
    testvm_load(s->t, codes[vcpu], workers[vcpu]);
    testvm_boot_vcpu(s->t, s->t->vm.vcpus[vcpu], codes[vcpu], STACK_GPA - (uintptr_t)vcpu * PAGE);
}

/* All are there before the first is started: an Arm VM's have to be. */
static void boot(struct stress *s)
{
    testvm_boot(s->t, &worker_0);
    assert_int_equal(vm_ram_register_at(&s->t->vm, BELOW_GPA, SIDE_SIZE, false), 0);
    assert_int_equal(vm_ram_register_at(&s->t->vm, ABOVE_GPA, SIDE_SIZE, false), 0);
    for (unsigned vcpu = 1; vcpu < s->nr_vcpus; vcpu++) {
        assert_non_null(vm_create_vcpu(&s->t->vm, 0));
    }
    for (unsigned vcpu = 0; vcpu < s->nr_vcpus; vcpu++) {
        boot_worker(s, vcpu);
    }
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&s->t->vm, hole_fault, s), 0);
    for (unsigned vcpu = 1; vcpu < s->nr_vcpus; vcpu++) {
        assert_int_equal(vcpu_start(s->t->vm.vcpus[vcpu]), 0);
    }
}

static unsigned nr_rounds(unsigned otherwise)
{
    const char *text = getenv("HOSTVM_STRESS_ROUNDS");
    unsigned long nr = text == NULL ? otherwise : strtoul(text, NULL, 10);

    if (nr == 0) {
        fail_msg("HOSTVM_STRESS_ROUNDS is '%s', not a number above 0", text);
    }
    return (unsigned)nr;
}

static void run_stress(struct testvm *t, unsigned nr_vcpus, unsigned rounds)
{
    struct stress *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->t = t;
    s->nr_vcpus = nr_vcpus;
    s->nr_steps = ALL_STEPS / nr_vcpus / NR_PAGES * NR_PAGES;
    s->random = 88172645463325252u; /* any but 0 */
    make_frames(s);
    boot(s);
    for (unsigned i = nr_rounds(rounds); i > 0; i--) {
        run_round(s);
    }
    assert_true(s->nr_changes > s->round / 10); /* else nothing has been tried */
    while (s->pieces != NULL) {
        struct piece *next = s->pieces->next;

        free(s->pieces);
        s->pieces = next;
    }
    free(s);
}

static void test_changes_under_two_vcpus_lose_and_misdirect_nothing(void **state)
{
    run_stress(*state, 2, ROUNDS);
}

static void test_changes_under_four_vcpus_lose_and_misdirect_nothing(void **state)
{
    run_stress(*state, 4, ROUNDS_OF_FOUR);
}

static void test_changes_with_kicks_that_have_a_handler_lose_nothing(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.kick_signal = SIGUSR1});

    (void)state;
    run_stress(t, 2, ROUNDS);
    testvm_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_changes_under_two_vcpus_lose_and_misdirect_nothing),
        vm_test(test_changes_under_four_vcpus_lose_and_misdirect_nothing),
        cmocka_unit_test(test_changes_with_kicks_that_have_a_handler_lose_nothing),
    };

    return run_vm_tests(tests);
}
