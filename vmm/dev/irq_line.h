/* An interrupt line, as a device sees it: a wire. */
#ifndef DEV_IRQ_LINE_H
#define DEV_IRQ_LINE_H

struct irq_line {
    void (*set)(void *cookie, int level);
    void *cookie;
};

static inline void irq_line_set(const struct irq_line *line, int level)
{
    line->set(line->cookie, level);
}

#endif
