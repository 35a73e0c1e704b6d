/* The pairing heap of timers; see timer.h. Source: M. Fredman, R. Sedgewick, D. Sleator, R. Tarjan,
 * "The pairing heap" (1986), the two-pass variant, written without recursion: a heap of 100,000
 * deadlines may be a list. Memory: none. Threads: one at a time. */
#include "base/timer.h"

#include "core/assert.h"

static bool before(const struct tn_timer *a, const struct tn_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

/* Joins two roots without siblings; either may be NULL. */
static struct tn_timer *meld(struct tn_timer *a, struct tn_timer *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    struct tn_timer *top = before(a, b) ? a : b;
    struct tn_timer *low = top == a ? b : a;
    low->back = top;
    low->next = top->child;
    if (low->next != NULL) {
        low->next->back = low;
    }
    top->child = low;
    return top;
}

static struct tn_timer *pop_list(struct tn_timer **list)
{
    struct tn_timer *timer = *list;
    if (timer != NULL) {
        *list = timer->next;
        timer->next = NULL;
        timer->back = NULL;
    }
    return timer;
}

/* One root out of a list of siblings: meld them in pairs, then the pairs from the last on. */
static struct tn_timer *meld_list(struct tn_timer *list)
{
    struct tn_timer *pairs = NULL;
    while (list != NULL) {
        struct tn_timer *a = pop_list(&list);
        struct tn_timer *pair = meld(a, pop_list(&list));
        pair->next = pairs;
        pairs = pair;
    }
    struct tn_timer *root = NULL;
    while (pairs != NULL) {
        root = meld(root, pop_list(&pairs));
    }
    return root;
}

void tn_timer_heap_add(struct tn_timer_heap *heap, struct tn_timer *timer, uint64_t due_ns)
{
    TN_ASSERT(timer->due_ns == 0 && due_ns > 0);

    timer->due_ns = due_ns;
    timer->order = ++heap->order;
    timer->child = timer->next = timer->back = NULL;
    heap->first = meld(heap->first, timer);
}

void tn_timer_heap_remove(struct tn_timer_heap *heap, struct tn_timer *timer)
{
    TN_ASSERT(timer->due_ns > 0);

    struct tn_timer *orphans = meld_list(timer->child);
    if (heap->first == timer) {
        heap->first = orphans;
    } else {
        struct tn_timer **link =
            timer->back->child == timer ? &timer->back->child : &timer->back->next;
        *link = timer->next;
        if (timer->next != NULL) {
            timer->next->back = timer->back;
        }
        heap->first = meld(heap->first, orphans);
    }
    timer->child = timer->next = timer->back = NULL;
    timer->due_ns = 0;
}
