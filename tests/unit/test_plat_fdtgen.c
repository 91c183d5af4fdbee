/* The device tree filter: what stays, what goes, and what is disabled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fdtgen.h>
#include <hostvm/error.h>
#include <libfdt.h>

#include "support/inject.h"
#include "support/leak.h"

enum { SIZE = 8192, GIC = 1, CLOCK = 2, POWER = 3, PHY = 4, FIXED = 5, NOBODY = 99 };

static uint64_t original[SIZE / 8];
static uint64_t filtered[SIZE / 8];

static int add_node(const char *parent, const char *name, uint32_t phandle)
{
    int node = fdt_add_subnode(original, fdt_path_offset(original, parent), name);

    assert_true(node > 0);
    if (phandle != 0) {
        assert_int_equal(fdt_setprop_u32(original, node, "phandle", phandle), 0);
    }
    return node;
}

static void set_cells(const char *path, const char *name, const uint32_t *cells, int nr)
{
    int i;

    for (i = 0; i < nr; i++) {
        assert_int_equal(
            fdt_appendprop_u32(original, fdt_path_offset(original, path), name, cells[i]), 0);
    }
}

/*
 * A board: the serial port's clock comes from another one, with an argument, and from a fixed one;
 * the network card refers to its phy, a power domain and the interrupt controller.
 */
static int set_up(void **state)
{
    static const uint32_t serial_clocks[] = {CLOCK, 7, FIXED};
    static const uint32_t fixed[] = {FIXED};
    static const uint32_t one = 1;
    static const uint32_t phy = PHY;
    static const uint32_t power[] = {POWER, 0, 0};
    static const uint32_t interrupts[] = {GIC, 0, 9, 4};
    static const uint32_t two = 2;
    static const uint32_t three = 3;
    static const uint32_t zero = 0;
    static const uint32_t gic = GIC;

    (void)state;
    assert_int_equal(fdt_create_empty_tree(original, sizeof(original)), 0);
    (void)add_node("/", "soc", 0);
    (void)add_node("/soc", "gic@0", GIC);
    (void)add_node("/soc", "clock@1", CLOCK);
    (void)add_node("/soc", "power@2", POWER);
    (void)add_node("/soc", "serial@3", 0);
    (void)add_node("/soc", "net@4", 0);
    (void)add_node("/soc/net@4", "mdio", 0);
    (void)add_node("/soc/net@4/mdio", "phy@0", PHY);
    (void)add_node("/soc", "disk@5", 0);
    (void)add_node("/soc/disk@5", "port@0", 0);
    (void)add_node("/soc/disk@5", "port@1", 0);
    (void)add_node("/", "clock-fixed", FIXED);
    (void)add_node("/", "last", 0);
    set_cells("/", "interrupt-parent", &gic, 1);
    set_cells("/soc/gic@0", "#interrupt-cells", &three, 1);
    set_cells("/soc/clock@1", "#clock-cells", &one, 1);
    set_cells("/soc/clock@1", "clocks", fixed, 1);
    set_cells("/clock-fixed", "#clock-cells", &zero, 1);
    set_cells("/soc/power@2", "#power-domain-cells", &two, 1);
    set_cells("/soc/serial@3", "clocks", serial_clocks, 3);
    set_cells("/soc/net@4", "phy-handle", &phy, 1);
    set_cells("/soc/net@4", "power-domains", power, 3);
    set_cells("/soc/net@4", "interrupts-extended", interrupts, 4);
    return 0;
}

static bool is_there(const char *path)
{
    return fdt_path_offset(filtered, path) >= 0;
}

static const char *status_of(const char *path)
{
    return fdt_getprop(filtered, fdt_path_offset(filtered, path), "status", NULL);
}

static void generate(fdtgen_context_t *context)
{
    assert_int_equal(fdtgen_generate(context, original), 0);
    assert_int_equal(fdt_check_full(filtered, sizeof(filtered)), 0);
    fdtgen_free_context(context);
}

static fdtgen_context_t *begin(void)
{
    fdtgen_context_t *context = fdtgen_new_context(filtered, sizeof(filtered));

    assert_non_null(context);
    return context;
}

static void test_without_a_wish_the_root_is_left(void **state)
{
    (void)state;
    generate(begin());
    assert_true(is_there("/"));
    assert_int_equal(fdt_first_subnode(filtered, 0), -FDT_ERR_NOTFOUND);
    assert_non_null(fdt_getprop(filtered, 0, "interrupt-parent", NULL));
}

static void test_node_stays_with_its_parents_and_without_its_children(void **state)
{
    const char *wanted[] = {"/soc/disk@5"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes(context, wanted, 1);
    generate(context);
    assert_true(is_there("/soc/disk@5"));
    assert_false(is_there("/soc/disk@5/port@0"));
    assert_false(is_there("/soc/serial@3"));
    assert_false(is_there("/last"));
    assert_null(status_of("/soc/disk@5"));
}

static void test_subtree_stays_as_a_whole(void **state)
{
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_node_subtree(context, original, "/soc/disk@5");
    generate(context);
    assert_true(is_there("/soc/disk@5/port@0"));
    assert_true(is_there("/soc/disk@5/port@1"));
    assert_false(is_there("/soc/net@4"));
    assert_false(is_there("/last"));
}

static void test_what_a_node_refers_to_stays(void **state)
{
    const char *serial[] = {"/soc/serial@3"};
    const char *net[] = {"/soc/net@4"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes(context, serial, 1);
    generate(context);
    assert_true(is_there("/soc/clock@1"));
    assert_true(is_there("/clock-fixed"));
    assert_false(is_there("/soc/power@2"));
    assert_false(is_there("/soc/gic@0"));

    context = begin();
    fdtgen_keep_nodes(context, net, 1);
    generate(context);
    assert_true(is_there("/soc/net@4/mdio/phy@0"));
    assert_true(is_there("/soc/power@2"));
    assert_true(is_there("/soc/gic@0"));
    assert_false(is_there("/soc/clock@1"));
}

/* The second clock is found only when the first one's argument is skipped. */
static void test_references_of_references_stay(void **state)
{
    const char *clock[] = {"/soc/clock@1"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes(context, clock, 1);
    generate(context);
    assert_true(is_there("/clock-fixed"));
}

static void test_references_to_nobody_are_ignored(void **state)
{
    static const uint32_t clocks[] = {NOBODY, FIXED};
    const char *last[] = {"/last"};
    fdtgen_context_t *context = begin();

    (void)state;
    set_cells("/last", "clocks", clocks, 2);
    assert_int_equal(
        fdt_setprop(original, fdt_path_offset(original, "/last"), "phy-handle", "ab", 2), 0);
    fdtgen_keep_nodes(context, last, 1);
    generate(context);
    assert_true(is_there("/last"));
    assert_false(is_there("/clock-fixed"));
}

static void test_reference_with_more_arguments_than_cells_ends_there(void **state)
{
    static const uint32_t many = 0xffffffff;
    static const uint32_t clocks[] = {FIXED, CLOCK};
    const char *last[] = {"/last"};
    fdtgen_context_t *context = begin();

    (void)state;
    assert_int_equal(
        fdt_setprop_u32(original, fdt_path_offset(original, "/clock-fixed"), "#clock-cells", many),
        0);
    set_cells("/last", "clocks", clocks, 2);
    fdtgen_keep_nodes(context, last, 1);
    generate(context);
    assert_true(is_there("/clock-fixed"));
    assert_false(is_there("/soc/clock@1"));
}

static void test_disabled_nodes_say_so(void **state)
{
    const char *net[] = {"/soc/net@4"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes_and_disable(context, net, 1);
    fdtgen_keep_node_subtree_disable(context, original, "/soc/disk@5");
    generate(context);
    assert_string_equal(status_of("/soc/net@4"), "disabled");
    assert_string_equal(status_of("/soc/disk@5"), "disabled");
    assert_string_equal(status_of("/soc/disk@5/port@1"), "disabled");
    assert_null(status_of("/soc/gic@0"));
}

static void test_the_last_word_on_a_node_counts(void **state)
{
    const char *net[] = {"/soc/net@4"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes_and_disable(context, net, 1);
    fdtgen_keep_nodes(context, net, 1);
    generate(context);
    assert_null(status_of("/soc/net@4"));
}

static void test_paths_that_are_not_there_do_no_harm(void **state)
{
    const char *paths[] = {"/soc/usb@6", NULL, "/last"};
    fdtgen_context_t *context = begin();

    (void)state;
    fdtgen_keep_nodes(context, paths, 3);
    fdtgen_keep_nodes(context, NULL, 3);
    fdtgen_keep_node_subtree(context, original, NULL);
    generate(context);
    assert_true(is_there("/last"));
}

/* Memory and chosen nodes are added to the result. */
static void test_result_has_room_for_more(void **state)
{
    int node;

    (void)state;
    generate(begin());
    assert_int_equal(fdt_totalsize(filtered), sizeof(filtered));
    node = fdt_add_subnode(filtered, 0, "memory");
    assert_true(node > 0);
    assert_int_equal(fdt_appendprop_uint(filtered, node, "reg", 0x40000000, 2), 0);
    assert_int_equal(fdt_appendprop_uint(filtered, node, "reg", 0x1000, 1), 0);
}

static void test_numbers_are_appended_as_cells(void **state)
{
    static const uint8_t both[] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3};
    int len = 0;

    (void)state;
    assert_int_equal(fdt_appendprop_uint(original, 0, "reg", 0x100000002, 2), 0);
    assert_int_equal(fdt_appendprop_uint(original, 0, "reg", 3, 1), 0);
    assert_memory_equal(fdt_getprop(original, 0, "reg", &len), both, sizeof(both));
    assert_int_equal(len, sizeof(both));
    assert_int_equal(fdt_appendprop_uint(original, 0, "reg", 0x100000000, 1), -FDT_ERR_BADVALUE);
    assert_int_equal(fdt_appendprop_uint(original, 0, "reg", 1, 0), -FDT_ERR_BADNCELLS);
    assert_int_equal(fdt_appendprop_uint(original, 0, "reg", 1, 3), -FDT_ERR_BADNCELLS);
}

static void test_bad_trees_and_buffers_are_refused(void **state)
{
    uint64_t small[32];
    fdtgen_context_t *context = begin();

    (void)state;
    assert_int_equal(fdtgen_generate(context, NULL), -1);
    assert_string_equal(hostvm_last_error(),
                        "fdtgen_generate: no context, or no device tree given");
    assert_int_equal(fdtgen_generate(NULL, original), -1);
    fdt_set_magic(original, 1);
    assert_int_equal(fdtgen_generate(context, original), -1);
    assert_string_equal(hostvm_last_error(), "cannot read a device tree: FDT_ERR_BADMAGIC");
    fdt_set_magic(original, FDT_MAGIC);
    fdtgen_free_context(context);

    context = fdtgen_new_context(small, sizeof(small));
    assert_non_null(context);
    assert_int_equal(fdtgen_generate(context, original), -1);
    assert_string_equal(hostvm_last_error(), "cannot read a device tree: FDT_ERR_NOSPACE");
    fdtgen_free_context(context);

    assert_null(fdtgen_new_context(NULL, 64));
    assert_null(fdtgen_new_context(small, 0));
    assert_string_equal(hostvm_last_error(), "fdtgen_new_context: no buffer given");
    fdtgen_free_context(NULL);
    fdtgen_keep_nodes(NULL, NULL, 1);
}

/* The tree fits, but not the status that is to be added. */
static void test_buffer_without_room_for_a_status_is_refused(void **state)
{
    const char *all[] = {"/soc/gic@0"};
    fdtgen_context_t *context;

    (void)state;
    assert_int_equal(fdt_pack(original), 0);
    context = fdtgen_new_context(filtered, fdt_totalsize(original));
    assert_non_null(context);
    fdtgen_keep_node_subtree(context, original, "/");
    fdtgen_keep_nodes_and_disable(context, all, 1);
    assert_int_equal(fdtgen_generate(context, original), -1);
    assert_string_equal(hostvm_last_error(), "cannot filter a device tree: FDT_ERR_NOSPACE");
    fdtgen_free_context(context);
}

static int everything(void)
{
    const char *paths[] = {"/soc/net@4", "/last"};
    fdtgen_context_t *context = fdtgen_new_context(filtered, sizeof(filtered));
    int r;

    if (context == NULL) {
        return -1;
    }
    fdtgen_keep_nodes(context, paths, 2);
    fdtgen_keep_node_subtree(context, original, "/soc/disk@5");
    r = fdtgen_generate(context, original);
    fdtgen_free_context(context);
    return r;
}

static void test_every_allocation_may_fail(void **state)
{
    struct leak_state before;
    unsigned n;

    (void)state;
    leak_begin(&before);
    for (n = 1;; n++) {
        int r;

        inject_fail_nth(n);
        r = everything();
        if (!inject_disarm()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -1);
        leak_check(&before);
    }
    assert_int_equal(n, 1 + 8); /* context, a list and a path for each of three wishes, nodes */
    leak_check(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_a_wish_the_root_is_left, set_up),
        cmocka_unit_test_setup(test_node_stays_with_its_parents_and_without_its_children, set_up),
        cmocka_unit_test_setup(test_subtree_stays_as_a_whole, set_up),
        cmocka_unit_test_setup(test_what_a_node_refers_to_stays, set_up),
        cmocka_unit_test_setup(test_references_of_references_stay, set_up),
        cmocka_unit_test_setup(test_references_to_nobody_are_ignored, set_up),
        cmocka_unit_test_setup(test_reference_with_more_arguments_than_cells_ends_there, set_up),
        cmocka_unit_test_setup(test_disabled_nodes_say_so, set_up),
        cmocka_unit_test_setup(test_the_last_word_on_a_node_counts, set_up),
        cmocka_unit_test_setup(test_paths_that_are_not_there_do_no_harm, set_up),
        cmocka_unit_test_setup(test_result_has_room_for_more, set_up),
        cmocka_unit_test_setup(test_numbers_are_appended_as_cells, set_up),
        cmocka_unit_test_setup(test_bad_trees_and_buffers_are_refused, set_up),
        cmocka_unit_test_setup(test_buffer_without_room_for_a_status_is_refused, set_up),
        cmocka_unit_test_setup(test_every_allocation_may_fail, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
