/* One inference as a client does it: tensors out, tensors back.
 * Memory: answers are copied into the arena given. Threads: one. */
#ifndef TN_CMD_EXCHANGE_H
#define TN_CMD_EXCHANGE_H

#include "cmd/remote_model.h"

struct tn_exchange {
    const struct tn_remote_model *model;
    const struct tn_tensor *inputs;
    size_t input_count;
    const struct tn_str *wanted; /* output names; NULL: all */
    size_t wanted_count;
    uint64_t sequence_id; /* 0: none */
    bool sequence_start;
    bool sequence_end;
};

/* Sends and waits. The outputs come in the server's order. */
TN_MUST enum tn_err tn_exchange_run(const struct tn_exchange *exchange, struct tn_session *session,
                                    struct tn_arena *arena, struct tn_tensor **ret_outputs,
                                    size_t *ret_count, struct tn_fault *fault);

/* The request as it goes over the wire, in the arena: for load generators that send it often. */
TN_MUST enum tn_err tn_exchange_encode(const struct tn_exchange *exchange, struct tn_arena *arena,
                                       struct tn_bytes *ret_message, struct tn_fault *fault);

#endif
