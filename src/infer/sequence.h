/* Which requests of a sequence may run now: the bookkeeping of carried state, without the state.
 *
 *   (none) --START--> BUSY --leave, none waits--> IDLE --enter--> BUSY     END or idle too long:
 * gone
 *                      '--leave, one waits--> BUSY with the next
 *
 * At most one request of a sequence runs; the others wait in the order they came. The first must
 * carry START; a START on a known sequence begins it anew; END ends it when that request leaves.
 * When the table is full, sequences idle beyond the time-out go first; they also go whenever
 * another request enters. Pure: slots and buckets are the caller's memory. Bounds: the slots. */
#ifndef TN_INFER_SEQUENCE_H
#define TN_INFER_SEQUENCE_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TN_SEQUENCE_START = 1, TN_SEQUENCE_END = 2 };

struct tn_sequence;

/* Embedded in a job. */
struct tn_sequence_request {
    unsigned flags;
    struct tn_sequence *sequence; /* NULL: none */
    struct tn_sequence_request *next;
};

struct tn_sequence {
    uint64_t key[2];
    struct tn_sequence *chain;                /* same bucket, or next free slot */
    struct tn_sequence *older, *newer;        /* by last use, while idle */
    struct tn_sequence_request *first, *last; /* waiting */
    uint64_t used_ns;
    bool taken;
    bool busy;
    bool started; /* a START was seen and no END since */
    bool fresh;   /* the request that may run now begins with initial state */
};

struct tn_sequences {
    struct tn_sequence *slots;
    size_t slot_count;
    struct tn_sequence **buckets;
    size_t bucket_mask; /* count - 1, a power of two */
    uint64_t idle_timeout_ns;
    struct tn_sequence *unused;
    struct tn_sequence *oldest, *newest; /* idle */
    size_t count;
};

/* `buckets` holds `bucket_count` (a power of two) zeroed pointers, `slots` zeroed slots. */
struct tn_sequences_memory {
    struct tn_sequence *slots;
    size_t slot_count;
    struct tn_sequence **buckets;
    size_t bucket_count;
};
void tn_sequences_init(struct tn_sequences *sequences, const struct tn_sequences_memory *memory,
                       uint64_t idle_timeout_ns);

/* A request comes. TN_OK: run it; TN_AGAIN: it waits its turn and comes out of a later leave.
 * TN_INVALID: unknown sequence and no START. TN_LIMIT: too many sequences. */
TN_MUST enum tn_err tn_sequences_enter(struct tn_sequences *sequences, const uint64_t key[2],
                                       struct tn_sequence_request *request, uint64_t now_ns);

/* The running request is over. Returns the one whose turn it is now, or NULL. It may be found to
 * belong to no started sequence (after an END): then `sequence->started` is false, and the caller
 * refuses it and lets it leave. */
struct tn_sequence_request *tn_sequences_leave(struct tn_sequences *sequences,
                                               struct tn_sequence_request *request,
                                               uint64_t now_ns);

/* Takes a waiting request out of its line. False when it was not waiting. */
bool tn_sequences_forget(struct tn_sequences *sequences, struct tn_sequence_request *request);

#endif
