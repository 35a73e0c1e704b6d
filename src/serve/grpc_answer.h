/* A finished inference as the bytes of a ModelInferResponse, ready to send.
 *
 *   [model, version | id | hash | outputs | raw_output_contents: small ones] [large block] ...
 *
 * Written by hand, not by the tables: most of it is prepared in the entry, small outputs are copied
 * behind it, so that the usual answer is one piece; outputs of ANSWER_COPY_MAX bytes and more are
 * pieces that hold a reference of the model's output block. Memory: the arena. Threads: one loop.
 * Bounds: 2 * TN_TENSORS_MAX + 1 pieces. Cost: about 0.1 us for two small outputs. */
#ifndef TN_SERVE_GRPC_ANSWER_H
#define TN_SERVE_GRPC_ANSWER_H

#include "serve/request.h"

enum { TN_ANSWER_PIECES_MAX = 2 * TN_TENSORS_MAX + 2 };

/* With `nested` the response is wrapped as infer_response of a ModelStreamInferResponse. The
 * pieces' references are new ones. TN_NOMEM. */
TN_MUST enum tn_err tn_grpc_answer(const struct tn_request *request, struct tn_arena *arena,
                                   bool nested, struct tn_piece *ret_pieces, size_t *ret_count);

#endif
