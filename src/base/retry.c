/* When to try again; see retry.h for the machine. Memory: the caller's. Threads: one. Bounds: its
 * limits; a count of attempts that would wrap stays at its maximum. */
#include "base/retry.h"

#include "core/assert.h"

#define TO(state) (1u << TN_RETRY_##state)

static const uint8_t moves[] = {
    [TN_RETRY_TRYING] = TO(WAITING) | TO(DONE) | TO(SPENT),
    [TN_RETRY_WAITING] = TO(TRYING),
    [TN_RETRY_DONE] = 0,
    [TN_RETRY_SPENT] = 0,
};

static void retry_move(struct tn_retry *retry, enum tn_retry_state to)
{
    TN_ASSERT((moves[retry->state] & (1u << to)) != 0);
    retry->state = to;
}

void tn_retry_init(struct tn_retry *retry, const struct tn_retry_limits *limits)
{
    TN_ASSERT(limits->pause_ms > 0 && limits->pause_ms <= limits->pause_ms_max);

    *retry = (struct tn_retry){
        .state = TN_RETRY_TRYING, .limits = *limits, .attempts = 1, .pause_ms = limits->pause_ms};
}

enum tn_err tn_retry_ended(struct tn_retry *retry, bool worked, uint64_t now_ms,
                           uint64_t *ret_due_ms)
{
    TN_ASSERT(retry->state == TN_RETRY_TRYING);
    TN_ASSERT(ret_due_ms != NULL);

    if (worked) {
        retry_move(retry, TN_RETRY_DONE);
        return TN_OK;
    }
    if (retry->limits.attempts_max != 0 && retry->attempts >= retry->limits.attempts_max) {
        retry_move(retry, TN_RETRY_SPENT);
        return TN_LIMIT;
    }
    retry_move(retry, TN_RETRY_WAITING);
    *ret_due_ms = now_ms <= UINT64_MAX - retry->pause_ms ? now_ms + retry->pause_ms : UINT64_MAX;
    /* Compare with half the cap first: doubling first could wrap. */
    bool capped = retry->pause_ms > retry->limits.pause_ms_max / 2;
    retry->pause_ms = capped ? retry->limits.pause_ms_max : retry->pause_ms * 2;
    return TN_AGAIN;
}

void tn_retry_resume(struct tn_retry *retry)
{
    retry_move(retry, TN_RETRY_TRYING);
    if (retry->attempts < UINT32_MAX) {
        retry->attempts++;
    }
}
