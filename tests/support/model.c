/* Guest memory as plain arrays. */
#include "support/model.h"

#include <string.h>

void model_init(struct model *model, uint64_t base)
{
    memset(model, 0, sizeof(*model));
    model->base = base;
    for (int i = 0; i < MODEL_PAGES; i++) {
        model->pages[i] =
            (struct model_page){.owner = MODEL_NONE, .pool = MODEL_NONE, .content = MODEL_NONE};
    }
    for (int i = 0; i < MODEL_CAPS; i++) {
        model->caps[i].page = MODEL_NONE;
    }
}

void model_span_pages(struct model_span span, unsigned *ret_first, unsigned *ret_end)
{
    *ret_first = span.start / MODEL_UNITS_PER_PAGE;
    *ret_end = (span.start + span.size - 1) / MODEL_UNITS_PER_PAGE + 1;
}

bool model_is_unclaimed(const struct model *model, struct model_span span)
{
    unsigned page;
    unsigned end;

    for (model_span_pages(span, &page, &end); page < end; page++) {
        if (model->pages[page].owner != MODEL_NONE || model->pages[page].pool != MODEL_NONE) {
            return false;
        }
    }
    return true;
}

/* --- anonymous regions --- */

static bool is_available(const struct model *model, unsigned page, int pool)
{
    const struct model_page *p = &model->pages[page];

    return p->pool == pool && p->owner == MODEL_NONE && !p->is_lost;
}

static bool is_room(const struct model *model, unsigned first, unsigned nr_pages)
{
    int pool = model->pages[first].pool;

    if (pool == MODEL_NONE || first + nr_pages > MODEL_PAGES) {
        return false;
    }
    for (unsigned page = first; page < first + nr_pages; page++) {
        if (!is_available(model, page, pool)) {
            return false;
        }
    }
    return true;
}

int model_place(const struct model *model, unsigned nr_pages, uint64_t align)
{
    for (unsigned page = 0; page < MODEL_PAGES; page++) {
        if ((model->base + page * (uint64_t)MODEL_PAGE) % align == 0 &&
            is_room(model, page, nr_pages)) {
            return (int)page;
        }
    }
    return MODEL_NONE;
}

/* Only what nothing behind it was handed out of is passed over for good. */
void model_take_place(struct model *model, unsigned page)
{
    int pool = model->pages[page].pool;
    unsigned end = page;

    while (end < MODEL_PAGES && is_available(model, end, pool)) {
        end++;
    }
    if (end < MODEL_PAGES && model->pages[end].pool == pool) {
        return;
    }
    while (page > 0 && is_available(model, page - 1, pool)) {
        page--;
        model->pages[page].is_lost = true;
    }
}

void model_make_pool(struct model *model, struct model_span span)
{
    unsigned page;
    unsigned end;

    for (model_span_pages(span, &page, &end); page < end; page++) {
        unsigned first_unit = page * MODEL_UNITS_PER_PAGE;
        bool is_whole =
            span.start <= first_unit && first_unit + MODEL_UNITS_PER_PAGE <= span.start + span.size;

        model->pages[page].pool = is_whole ? model->nr_pools : MODEL_EDGE;
        model->pages[page].is_lost = !is_whole;
    }
    model->nr_pools++;
}

/* --- reservations --- */

void model_reserve(struct model *model, int owner, struct model_span span)
{
    unsigned page;
    unsigned end;

    if (owner < MODEL_RESERVATIONS) {
        model->reservations[owner] = (struct model_reservation){.is_used = true, .span = span};
    }
    for (model_span_pages(span, &page, &end); page < end; page++) {
        model->pages[page].owner = owner;
    }
}

void model_free(struct model *model, int reservation)
{
    for (int i = 0; i < MODEL_CAPS; i++) {
        int page = model->caps[i].page;

        if (page != MODEL_NONE && model->pages[page].owner == reservation) {
            model_unmap_cap(model, i);
        }
    }
    for (int i = 0; i < MODEL_PAGES; i++) {
        if (model->pages[i].owner == reservation) {
            model->pages[i].owner = MODEL_NONE;
        }
    }
    model->reservations[reservation].is_used = false;
}

/* --- mapping --- */

bool model_can_map(const struct model *model, const struct model_frame *frames, unsigned nr_frames)
{
    for (unsigned i = 0; i < nr_frames; i++) {
        if (model->caps[frames[i].cap].page != MODEL_NONE) {
            return false;
        }
        for (unsigned k = 0; k < i; k++) {
            if (frames[k].cap == frames[i].cap) {
                return false;
            }
        }
    }
    return true;
}

void model_map(struct model *model, struct model_span span, const struct model_frame *frames)
{
    unsigned page;
    unsigned end;

    for (model_span_pages(span, &page, &end); page < end; page++, frames++) {
        struct model_cap *cap = &model->caps[frames->cap];

        cap->page = (int)page;
        model->pages[page].content = frames->can_read ? frames->cap / 2 : MODEL_NONE;
        model->pages[page].is_readonly = cap->is_readonly || !frames->can_write;
    }
}

void model_unmap_cap(struct model *model, int cap)
{
    int page = model->caps[cap].page;

    if (page != MODEL_NONE) {
        model->pages[page].content = MODEL_NONE;
        model->caps[cap].page = MODEL_NONE;
    }
}

void model_map_zeroed(struct model *model, struct model_span span)
{
    unsigned page;
    unsigned end;

    for (model_span_pages(span, &page, &end); page < end; page++) {
        int content = MODEL_CAPS / 2 + (int)page;

        model->pages[page].content = content;
        model->pages[page].is_readonly = false;
        memset(model->contents[content], 0, sizeof(model->contents[content]));
    }
}

/* --- RAM --- */

bool model_next_region(const struct model *model, unsigned *at, struct model_span *ret,
                       enum model_ram *ret_kind)
{
    unsigned start = *at;
    unsigned end;

    while (start < MODEL_UNITS && model->ram[start] == MODEL_NOT_RAM) {
        start++;
    }
    if (start == MODEL_UNITS) {
        return false;
    }
    for (end = start; end < MODEL_UNITS && model->ram[end] == model->ram[start]; end++) {
    }
    *at = end;
    *ret = (struct model_span){start, end - start};
    *ret_kind = (enum model_ram)model->ram[start];
    return true;
}

bool model_is_all(const struct model *model, struct model_span span, enum model_ram kind)
{
    for (unsigned i = 0; i < span.size; i++) {
        if (model->ram[span.start + i] != kind) {
            return false;
        }
    }
    return span.size > 0;
}

void model_set_ram(struct model *model, struct model_span span, enum model_ram kind)
{
    memset(&model->ram[span.start], (int)kind, span.size);
}

bool model_is_ram(const struct model *model, struct model_span span)
{
    unsigned size = span.size == 0 ? 1 : span.size;

    for (unsigned i = span.start; i < span.start + size; i++) {
        if (model->ram[i] == MODEL_NOT_RAM) {
            return false;
        }
    }
    return true;
}

bool model_has_memory(const struct model *model, struct model_span span)
{
    unsigned page;
    unsigned end;

    if (span.size == 0) {
        span.size = 1;
    }
    for (model_span_pages(span, &page, &end); page < end; page++) {
        if (model->pages[page].content == MODEL_NONE) {
            return false;
        }
    }
    return true;
}

uint8_t *model_byte(struct model *model, unsigned unit)
{
    int content = model->pages[unit / MODEL_UNITS_PER_PAGE].content;

    return &model->contents[content][unit % MODEL_UNITS_PER_PAGE];
}
