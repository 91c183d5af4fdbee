/* Guest memory as plain arrays: what a call comes to, found by looking at every page or piece. */
#ifndef SUPPORT_MODEL_H
#define SUPPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODEL_PAGE = 4096,
    MODEL_UNIT = 64, /* bytes: the smallest piece that is told apart */
    MODEL_UNITS_PER_PAGE = MODEL_PAGE / MODEL_UNIT,
    MODEL_PAGES = 48,
    MODEL_UNITS = MODEL_PAGES * MODEL_UNITS_PER_PAGE,
    MODEL_CAPS = 24, /* to frames of a page; an odd one is a copy of the even one before it */
    MODEL_CONTENTS = MODEL_CAPS / 2 + MODEL_PAGES, /* of those frames, and of RAM without caps */
    MODEL_RESERVATIONS = 24,
    MODEL_POOLS = 3,
    MODEL_NONE = -1,
    MODEL_EDGE = -2,
    MODEL_RAM_OWNER = MODEL_RESERVATIONS, /* RAM's reservation is not shown to anybody */
};

/* Units from the beginning of the arrays. */
struct model_span {
    unsigned start;
    unsigned size;
};

struct model_page {
    int owner;    /* a reservation's number, MODEL_RAM_OWNER or MODEL_NONE */
    int pool;     /* the anonymous region that all of it is in, or MODEL_NONE; MODEL_EDGE: partly */
    bool is_lost; /* an edge, or passed over for an alignment: its region never hands it out */
    int content;  /* what the guest has here, or MODEL_NONE */
    bool is_readonly;
};

struct model_reservation {
    bool is_used;
    bool is_mapped;
    struct model_span span;
};

struct model_cap {
    int page; /* where it is mapped, or MODEL_NONE */
    bool is_readonly;
};

enum model_ram { MODEL_NOT_RAM, MODEL_FREE, MODEL_TAKEN };

struct model {
    uint64_t base; /* guest-physical address of the first page */
    struct model_page pages[MODEL_PAGES];
    struct model_reservation reservations[MODEL_RESERVATIONS];
    struct model_cap caps[MODEL_CAPS];
    int nr_pools;
    uint8_t ram[MODEL_UNITS];                               /* enum model_ram */
    uint8_t contents[MODEL_CONTENTS][MODEL_UNITS_PER_PAGE]; /* the byte that fills the unit */
};

/* A frame for a page of a reservation that is being mapped. */
struct model_frame {
    int cap;
    bool can_read;
    bool can_write;
};

void model_init(struct model *model, uint64_t base);

/* The pages that a span, not empty, touches: [*ret_first, *ret_end). */
void model_span_pages(struct model_span span, unsigned *ret_first, unsigned *ret_end);

/* No page of it belongs to a reservation or a region. */
bool model_is_unclaimed(const struct model *model, struct model_span span);

/* The page that an anonymous reservation gets, or MODEL_NONE. */
int model_place(const struct model *model, unsigned nr_pages, uint64_t align);

/* What becomes of the pages in front of it, where the place was found by model_place. */
void model_take_place(struct model *model, unsigned page);

void model_make_pool(struct model *model, struct model_span span);
void model_reserve(struct model *model, int owner, struct model_span span);
void model_free(struct model *model, int reservation);

/* Every capability can be mapped: it is nowhere else, and in the list once. */
bool model_can_map(const struct model *model, const struct model_frame *frames, unsigned nr_frames);
void model_map(struct model *model, struct model_span span, const struct model_frame *frames);
void model_unmap_cap(struct model *model, int cap);

/* New, zeroed memory of its own for each page. */
void model_map_zeroed(struct model *model, struct model_span span);

/* Entries of RAM, as vm_t.mem.ram_regions has them; *at is where to go on, at first 0. */
bool model_next_region(const struct model *model, unsigned *at, struct model_span *ret,
                       enum model_ram *ret_kind);

/* All of it is this. False for an empty span. */
bool model_is_all(const struct model *model, struct model_span span, enum model_ram kind);
void model_set_ram(struct model *model, struct model_span span, enum model_ram kind);

/* There is memory at every address of it; an empty span stands for the one where it begins. */
bool model_has_memory(const struct model *model, struct model_span span);

/* All of it is RAM; an empty span stands for the unit where it begins. */
bool model_is_ram(const struct model *model, struct model_span span);

/* The byte that fills a unit of memory. */
uint8_t *model_byte(struct model *model, unsigned unit);

#endif
