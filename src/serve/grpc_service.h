/* GRPCInferenceService (Open Inference Protocol v2 and Triton's additions) on the room rpc.
 *
 * ModelInfer, per request: decode into the call's arena, prepare, submit on this turn, answer when
 * the model replies. No allocation but the arena's; 0.8 us of CPU for two small inputs and outputs.
 * ModelStreamInfer: every message is a request of its own from a pool; answers come in the order of
 * the requests; an error is an answer with error_message and ends nothing.
 * Everything else goes by a table: decode, tn_service_*, encode. Threads: the I/O loops. */
#ifndef TN_SERVE_GRPC_SERVICE_H
#define TN_SERVE_GRPC_SERVICE_H

#include "rpc/server.h"
#include "serve/service.h"

/* Registers all methods; the service outlives the server. */
TN_MUST enum tn_err tn_grpc_service_route(struct tn_service *service, struct tn_server *server);

/* Handlers of the parts. */
extern const struct tn_handler tn_grpc_infer_handler;
extern const struct tn_handler tn_grpc_stream_handler;

/* Ends a call with the fault's code and words. */
void tn_grpc_fail(struct tn_call *call, const struct tn_fault *fault);

#endif
