/* A model on a server, as a client sees it: what it takes, what it gives, how to make and read
 * them. Memory: texts lie in the arena given. Threads: one. */
#ifndef TN_CMD_REMOTE_MODEL_H
#define TN_CMD_REMOTE_MODEL_H

#include "cmd/session.h"
#include "infer/tensor.h"

struct tn_remote_tensor {
    struct tn_str name;
    enum tn_dtype dtype;
    struct tn_shape shape;
    struct tn_str recipe; /* parameter "input.NAME" or "output.NAME", may be empty */
    struct tn_str labels; /* parameter "labels.NAME", may be empty */
    bool state;           /* carried by the server from request to request of a sequence */
};

struct tn_remote_model {
    struct tn_str name;
    struct tn_str version; /* empty: the server's choice */
    struct tn_remote_tensor *inputs;
    size_t input_count;
    struct tn_remote_tensor *outputs;
    size_t output_count;
    bool sequence;
    int32_t batch_max; /* 0: does not batch */
};

/* Asks for metadata and configuration. Resets the session's answers. */
TN_MUST enum tn_err tn_remote_model_fetch(struct tn_session *session, struct tn_str name,
                                          struct tn_str version, struct tn_arena *arena,
                                          struct tn_remote_model *ret_model,
                                          struct tn_fault *fault);

/* NULL when there is none. */
const struct tn_remote_tensor *tn_remote_model_input(const struct tn_remote_model *model,
                                                     struct tn_str name);

#endif
