/* Decides when to try again. Touches no clock and no socket, so it runs anywhere.
 *
 *   TRYING --failed--> WAITING --resume--> TRYING     worked --> DONE     attempts spent --> SPENT
 *
 * The pause doubles from pause_ms up to pause_ms_max. Who needs jitter adds it to the due time.
 * Memory: the caller's struct, no allocation. Threads: one loop. Bounds: its limits. */
#ifndef TN_BASE_RETRY_H
#define TN_BASE_RETRY_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tn_retry_state { TN_RETRY_TRYING, TN_RETRY_WAITING, TN_RETRY_DONE, TN_RETRY_SPENT };

struct tn_retry_limits {
    uint32_t attempts_max; /* 0: for ever */
    uint64_t pause_ms;     /* after the first failure, at least 1 */
    uint64_t pause_ms_max; /* at least pause_ms */
};

struct tn_retry {
    enum tn_retry_state state;
    struct tn_retry_limits limits;
    uint32_t attempts; /* begun, with the current one */
    uint64_t pause_ms; /* after the next failure */
};

/* The first attempt is under way. */
void tn_retry_init(struct tn_retry *retry, const struct tn_retry_limits *limits);

/* Report how the attempt ended. TN_AGAIN: resume at *ret_due_ms. TN_OK, TN_LIMIT: over, and
 * *ret_due_ms is untouched. */
TN_MUST enum tn_err tn_retry_ended(struct tn_retry *retry, bool worked, uint64_t now_ms,
                                   uint64_t *ret_due_ms);

/* The pause is over: the next attempt begins. */
void tn_retry_resume(struct tn_retry *retry);

#endif
