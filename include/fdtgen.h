/* Making a smaller device tree out of a large one: the nodes to keep, and what they depend on. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Linking any of this takes -lfdt. */

typedef struct fdtgen_context fdtgen_context_t;

/**
 * Begins.
 *
 * @param buf      receives the new tree; aligned to 8 bytes; the caller's, and to be kept until
 *                 fdtgen_generate has returned
 * @param bufsize  bytes; the new tree takes all of them, so that nodes can be added later
 * @return a context, until fdtgen_free_context; NULL when something is missing or memory is
 */
fdtgen_context_t *fdtgen_new_context(void *buf, size_t bufsize);

/**
 * Ends; buf stays as it is. NULL is fine.
 */
void fdtgen_free_context(fdtgen_context_t *context);

/*
 * Say which nodes to keep. They may be called several times; what is said of a node last counts.
 * Paths are whole and copied. Those that the tree does not have are told of by fdtgen_generate, in
 * the log, and do no harm. Where memory is short, fdtgen_generate fails.
 */

/**
 * Nodes, without their children.
 */
void fdtgen_keep_nodes(fdtgen_context_t *context, const char **nodes_to_keep, int num_nodes);

/**
 * The same; they get the status "disabled".
 */
void fdtgen_keep_nodes_and_disable(fdtgen_context_t *context, const char **nodes_to_keep,
                                   int num_nodes);

/**
 * A node and everything below it.
 *
 * @param ori_fdt  the tree given to fdtgen_generate
 */
void fdtgen_keep_node_subtree(fdtgen_context_t *context, const void *ori_fdt, const char *node);

/**
 * The same; all of them get the status "disabled".
 */
void fdtgen_keep_node_subtree_disable(fdtgen_context_t *context, const void *ori_fdt,
                                      const char *node);

/**
 * Makes the new tree: the root, the nodes to keep, their parents, and whatever a kept node refers
 * to by phandle in "phy-handle", "next-level-cache", "interrupt-parent", "interrupts-extended",
 * "clocks" or "power-domains", with its parents and what it refers to in turn. References of the
 * root itself keep nothing. References to what is not there are ignored.
 *
 * Differs from seL4's libfdtgen, which follows them and ends the program when a step fails.
 *
 * @param ori_fdt  a whole, valid tree; not changed
 * @return 0; -1 when something is missing, the tree is not valid, buf is too small for it, or
 *         memory is short, with a reason in hostvm_last_error()
 */
int fdtgen_generate(fdtgen_context_t *context, const void *ori_fdt);

#ifdef __cplusplus
}
#endif
