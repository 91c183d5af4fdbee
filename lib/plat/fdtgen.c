/* The filter of device trees: which nodes stay, and taking the others out. */
#include <errno.h>
#include <fdtgen.h>
#include <libfdt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/reason.h"
#include "hostvm/error.h"

/* One wish of the client. */
struct wish {
    char *path;
    bool with_subtree;
    bool is_disabled;
};

struct fdtgen_context {
    void *buf;
    size_t size;
    struct wish *wishes;
    size_t nr_wishes;
    int error; /* a wish could not be noted down */
};

/* A node of the tree being filtered; all of them lie in an array in the order of the tree. */
struct node {
    int offset;
    int parent; /* index; the root's is -1 */
    int depth;
    bool is_kept;
    bool is_disabled;
    bool is_followed; /* its references have been looked at */
};

struct tree {
    const void *fdt;
    struct node *nodes;
    int nr;
};

/*
 * A property that refers to nodes: phandles, each followed by as many cells as the property `cells`
 * of the node referred to says; none: one phandle and nothing else.
 */
struct reference {
    const char *name;
    const char *cells;
};

static const struct reference references[] = {
    {"phy-handle", NULL},       {"next-level-cache", NULL},
    {"interrupt-parent", NULL}, {"interrupts-extended", "#interrupt-cells"},
    {"clocks", "#clock-cells"}, {"power-domains", "#power-domain-cells"},
};

/* --- wishes --- */

fdtgen_context_t *fdtgen_new_context(void *buf, size_t bufsize)
{
    fdtgen_context_t *context;

    if (buf == NULL || bufsize == 0) {
        (void)fail(-EINVAL, "fdtgen_new_context: no buffer given");
        return NULL;
    }
    context = calloc(1, sizeof(*context));
    if (context == NULL) {
        (void)fail(-ENOMEM, "cannot filter a device tree: out of memory");
        return NULL;
    }
    context->buf = buf;
    context->size = bufsize;
    return context;
}

void fdtgen_free_context(fdtgen_context_t *context)
{
    size_t i;

    if (context == NULL) {
        return;
    }
    for (i = 0; i < context->nr_wishes; i++) {
        free(context->wishes[i].path);
    }
    free(context->wishes);
    free(context);
}

static int add_wish(fdtgen_context_t *context, struct wish wish, const char *path)
{
    size_t nr = context->nr_wishes;
    struct wish *wishes = realloc(context->wishes, (nr + 1) * sizeof(*wishes));

    if (wishes == NULL) {
        return fail(-ENOMEM, "cannot keep %s in the device tree: out of memory", path);
    }
    context->wishes = wishes;
    wish.path = strdup(path);
    if (wish.path == NULL) {
        return fail(-ENOMEM, "cannot keep %s in the device tree: out of memory", path);
    }
    context->wishes[nr] = wish;
    context->nr_wishes++;
    return 0;
}

static void add_wishes(fdtgen_context_t *context, struct wish wish, const char **paths, int nr)
{
    int i;

    for (i = 0; context != NULL && paths != NULL && i < nr; i++) {
        if (paths[i] != NULL && add_wish(context, wish, paths[i]) < 0) {
            context->error = -ENOMEM; /* these calls return nothing; fdtgen_generate does */
        }
    }
}

void fdtgen_keep_nodes(fdtgen_context_t *context, const char **nodes_to_keep, int num_nodes)
{
    add_wishes(context, (struct wish){0}, nodes_to_keep, num_nodes);
}

void fdtgen_keep_nodes_and_disable(fdtgen_context_t *context, const char **nodes_to_keep,
                                   int num_nodes)
{
    add_wishes(context, (struct wish){.is_disabled = true}, nodes_to_keep, num_nodes);
}

void fdtgen_keep_node_subtree(fdtgen_context_t *context, const void *ori_fdt, const char *node)
{
    (void)ori_fdt; /* it comes again with fdtgen_generate */
    add_wishes(context, (struct wish){.with_subtree = true}, &node, 1);
}

void fdtgen_keep_node_subtree_disable(fdtgen_context_t *context, const void *ori_fdt,
                                      const char *node)
{
    (void)ori_fdt; /* as above */
    add_wishes(context, (struct wish){.with_subtree = true, .is_disabled = true}, &node, 1);
}

/* --- which nodes stay --- */

static int count_nodes(const void *fdt)
{
    int depth = 0;
    int nr = 0;
    int offset;

    for (offset = 0; offset >= 0 && depth >= 0; offset = fdt_next_node(fdt, offset, &depth)) {
        nr++;
    }
    return nr;
}

static int read_tree(struct tree *tree, const void *fdt)
{
    int depth = 0;
    int last = -1;
    int offset;

    tree->fdt = fdt;
    tree->nr = 0;
    tree->nodes = calloc((size_t)count_nodes(fdt), sizeof(*tree->nodes));
    if (tree->nodes == NULL) {
        return fail(-ENOMEM, "cannot filter a device tree: out of memory");
    }
    for (offset = 0; offset >= 0 && depth >= 0; offset = fdt_next_node(fdt, offset, &depth)) {
        /* the parent is the node before, or one of that node's parents */
        while (last >= 0 && tree->nodes[last].depth >= depth) {
            last = tree->nodes[last].parent;
        }
        tree->nodes[tree->nr] = (struct node){.offset = offset, .parent = last, .depth = depth};
        last = tree->nr++;
    }
    tree->nodes[0].is_kept = true;
    return 0;
}

/* The index of the node at an offset; -1 for an error instead of an offset. */
static int find_node(const struct tree *tree, int offset)
{
    int low = 0;
    int high = tree->nr - 1;

    while (low <= high) {
        int middle = low + (high - low) / 2;

        if (tree->nodes[middle].offset == offset) {
            return middle;
        }
        if (tree->nodes[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    return -1;
}

static void keep_with_parents(struct tree *tree, int node)
{
    for (; node >= 0 && !tree->nodes[node].is_kept; node = tree->nodes[node].parent) {
        tree->nodes[node].is_kept = true;
    }
}

static void grant(struct tree *tree, const struct wish *wish)
{
    int node = find_node(tree, fdt_path_offset(tree->fdt, wish->path));
    int i = node;

    if (node < 0) {
        log_at(NULL, HOSTVM_LOG_WARN, "the device tree has no %s to keep", wish->path);
        return;
    }
    do {
        keep_with_parents(tree, i);
        tree->nodes[i].is_disabled = wish->is_disabled;
        i++;
    } while (wish->with_subtree && i < tree->nr && tree->nodes[i].depth > tree->nodes[node].depth);
}

/* The cells behind a phandle; 0 when the node referred to does not say. */
static uint32_t nr_argument_cells(const void *fdt, int node, const char *cells)
{
    int len = 0;
    const void *value = fdt_getprop(fdt, node, cells, &len);

    return value != NULL && len == (int)sizeof(fdt32_t) ? fdt32_ld(value) : 0;
}

/* True when that kept a node that was not kept before. */
static bool follow_reference(struct tree *tree, int node, const struct reference *reference)
{
    int len = 0;
    const fdt32_t *cell = fdt_getprop(tree->fdt, tree->nodes[node].offset, reference->name, &len);
    uint32_t nr = cell == NULL ? 0 : (uint32_t)len / sizeof(*cell);
    bool has_changed = false;
    uint32_t i = 0;

    while (i < nr) {
        int offset = fdt_node_offset_by_phandle(tree->fdt, fdt32_ld(&cell[i]));
        int to = find_node(tree, offset);
        uint32_t skip;

        if (to >= 0 && !tree->nodes[to].is_kept) {
            keep_with_parents(tree, to);
            has_changed = true;
        }
        if (reference->cells == NULL || to < 0) {
            break; /* of what is not there, nobody knows the arguments */
        }
        skip = nr_argument_cells(tree->fdt, offset, reference->cells);
        i = skip < nr - i ? i + 1 + skip : nr;
    }
    return has_changed;
}

static bool follow_references(struct tree *tree)
{
    bool has_changed = false;
    size_t r;
    int i;

    for (i = 1; i < tree->nr; i++) {
        if (!tree->nodes[i].is_kept || tree->nodes[i].is_followed) {
            continue;
        }
        tree->nodes[i].is_followed = true;
        for (r = 0; r < sizeof(references) / sizeof(references[0]); r++) {
            has_changed |= follow_reference(tree, i, &references[r]);
        }
    }
    return has_changed;
}

/* --- the new tree --- */

/* From the end to the beginning: what is done to a node moves only what lies behind it. */
static int trim(const struct tree *tree, void *fdt)
{
    int r = 0;
    int i;

    for (i = tree->nr - 1; i > 0 && r == 0; i--) {
        const struct node *node = &tree->nodes[i];

        if (!node->is_kept) {
            r = fdt_del_node(fdt, node->offset);
        } else if (node->is_disabled) {
            r = fdt_setprop_string(fdt, node->offset, "status", "disabled");
        }
    }
    return r;
}

static int fdt_failure(const char *what, int err)
{
    return fail(err == -FDT_ERR_NOSPACE ? -ENOSPC : -EINVAL, "cannot %s a device tree: %s", what,
                fdt_strerror(err));
}

static int generate(fdtgen_context_t *context, const void *fdt)
{
    int size = context->size > INT_MAX ? INT_MAX : (int)context->size;
    struct tree tree;
    size_t i;
    int r;

    r = fdt_check_full(fdt, fdt_totalsize(fdt));
    if (r == 0) {
        r = fdt_open_into(fdt, context->buf, size);
    }
    if (r != 0) {
        return fdt_failure("read", r);
    }
    /* the offsets of the copy, which open_into may have brought into another version */
    r = read_tree(&tree, context->buf);
    if (r < 0) {
        return r;
    }
    for (i = 0; i < context->nr_wishes; i++) {
        grant(&tree, &context->wishes[i]);
    }
    while (follow_references(&tree)) {
        continue;
    }
    r = trim(&tree, context->buf);
    free(tree.nodes);
    return r == 0 ? 0 : fdt_failure("filter", r);
}

int fdtgen_generate(fdtgen_context_t *context, const void *ori_fdt)
{
    if (context == NULL || ori_fdt == NULL) {
        (void)fail(-EINVAL, "fdtgen_generate: no context, or no device tree given");
        return -1;
    }
    if (context->error != 0) {
        (void)fail(context->error, "cannot filter a device tree: a node to keep was lost");
        return -1;
    }
    return generate(context, ori_fdt) == 0 ? 0 : -1;
}
