/* A small number for the calling thread, so that a value can keep one cell per thread.
 *
 *   thread --first use--> slot 0..63, its own while it lives --thread ends--> free again
 *
 * The owner of a slot is the only writer of its cells, which makes an update a plain load, add and
 * store. Threads beyond the 64th get TN_SLOT_NONE and share a cell by atomic adds.
 * Memory: one word for the process. Threads: any. */
#ifndef TN_TELEMETRY_SLOT_H
#define TN_TELEMETRY_SLOT_H

enum { TN_SLOT_COUNT = 64, TN_SLOT_NONE = TN_SLOT_COUNT, TN_SLOT_UNKNOWN = TN_SLOT_COUNT + 1 };

extern _Thread_local unsigned tn_slot_mine;

/* Claims one. Called once a thread. */
unsigned tn_slot_claim(void);

static inline unsigned tn_slot_current(void)
{
    unsigned slot = tn_slot_mine;
    return __builtin_expect(slot == TN_SLOT_UNKNOWN, 0) ? tn_slot_claim() : slot;
}

#endif
