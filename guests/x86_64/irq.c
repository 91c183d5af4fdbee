/* Interrupts of devices through the pair of 8259 chips. */
#include "lib/irq.h"

#include "x86_64/exceptions.h"
#include "x86_64/pic.h"

static irq_fn irq_handler;

static void take(unsigned vector)
{
    irq_handler(vector - PIC_VECTOR);
    pic_end(vector - PIC_VECTOR);
}

void irq_init(irq_fn handler)
{
    irq_handler = handler;
    interrupts_handle(take);
    pic_init();
}

void irq_mask(unsigned irq, bool is_masked)
{
    pic_mask(irq, is_masked);
}

void irq_make_level(unsigned irq)
{
    pic_set_level_triggered(irq);
}

void irq_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

void irq_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* `sti` lets an interrupt in only behind the next instruction: none is lost between the two. */
void irq_sleep(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}
