/* The JSON form of an inference, in and out.
 *
 *   body: JSON [+ binary tensors] --tn_rest_message--> ModelInferRequest --> request.h
 *   request --tn_rest_answer--> JSON [+ binary tensors]
 *
 * Memory: the call's arena; binary inputs stay in the body. Threads: the loop. Bounds: as
 * request.h; REST_PARAMETERS_MAX parameters an object. */
#ifndef TN_SERVE_REST_INFER_H
#define TN_SERVE_REST_INFER_H

#include "serve/request.h"
#include "serve/rest_call.h"

struct tn_oip_model_infer_request;

struct tn_rest_message {
    struct tn_oip_model_infer_request *message;
    bool binary_output; /* for outputs that do not say */
};

/* Reads the body. The JSON ends after `json_size` bytes, binary tensors follow. TN_INVALID,
 * TN_NOMEM; the fault is rest->fault. */
TN_MUST enum tn_err tn_rest_message_read(struct tn_rest_call *rest, size_t json_size,
                                         struct tn_rest_message *ret_message);

/* Parameters as a JSON object, after its key. `count` grows; `room` is the most. */
TN_MUST enum tn_err tn_rest_read_parameters(struct tn_rest_call *rest, struct tn_json *reader,
                                            struct tn_oip_infer_parameter_entry **ret_entries,
                                            size_t *ret_count);

/* Answers and ends the call. */
void tn_rest_answer(struct tn_rest_call *rest, struct tn_request *request);

#endif
