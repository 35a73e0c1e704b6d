/* One REST request on its way through the handlers: where it came from, the parts of its path, and
 * how it is answered.
 * Memory: the call's arena; an answer's JSON grows in a block that is sent without copying.
 * Threads: the call's loop. Bounds: REST_PARTS_MAX parts of a path, the body by the server. */
#ifndef TN_SERVE_REST_CALL_H
#define TN_SERVE_REST_CALL_H

#include "core/json_write.h"
#include "rpc/call.h"
#include "serve/service.h"

enum { TN_REST_ARGUMENTS_MAX = 2 };

struct tn_rest_call {
    struct tn_call *call;
    struct tn_service_call with; /* with.fault is &fault */
    struct tn_fault fault;
    struct tn_str arguments[TN_REST_ARGUMENTS_MAX]; /* what stood for '*' in the route */
    struct tn_str body;
};

/* An answer under construction. */
struct tn_rest_out {
    struct tn_block *block; /* NULL: no memory, or not begun */
    enum tn_err failed;
    struct tn_json_writer json;
    struct tn_json_sink sink;
};

void tn_rest_out_begin(struct tn_rest_out *out);
void tn_rest_out_drop(struct tn_rest_out *out);

/* Ends the call with the JSON that was written, or with an error when memory ran out. */
void tn_rest_out_reply(struct tn_rest_call *rest, struct tn_rest_out *out);

/* The same for other text, which lies in the arena or is static. */
void tn_rest_reply_text(struct tn_rest_call *rest, unsigned status, struct tn_str type,
                        struct tn_str text);

/* {"error": "..."} with the status that fits rest->fault, and Retry-After where waiting helps. */
void tn_rest_fail(struct tn_rest_call *rest);

/* Ends a call with nothing to say. */
void tn_rest_done(struct tn_rest_call *rest);

/* --- Reading bodies --- */
/* Begins an object that is the whole body; an empty body is an empty object (TN_DONE). */
TN_MUST enum tn_err tn_rest_body_begin(struct tn_rest_call *rest, struct tn_json *reader);

/* The next key of an object (TN_DONE: it ended). `seen` has a bit for each of the `names` (ends
 * with NULL) that came: a second time is refused. *ret_index is the name's, or that of the NULL
 * for another key, whose text is in reader. The value follows. */
TN_MUST enum tn_err tn_rest_next_key(struct tn_rest_call *rest, struct tn_json *reader,
                                     const char *const *names, uint32_t *seen, size_t *ret_index);

/* The value of the key just read. */
TN_MUST enum tn_err tn_rest_read_str(struct tn_rest_call *rest, struct tn_json *reader,
                                     const char *what, struct tn_str *ret_text);
TN_MUST enum tn_err tn_rest_read_u64(struct tn_rest_call *rest, struct tn_json *reader,
                                     const char *what, uint64_t *ret_value);
TN_MUST enum tn_err tn_rest_read_bool(struct tn_rest_call *rest, struct tn_json *reader,
                                      const char *what, bool *ret_value);
TN_MUST enum tn_err tn_rest_skip(struct tn_rest_call *rest, struct tn_json *reader);

/* "line 3 column 7: ..." as a fault; returns TN_INVALID. */
enum tn_err tn_rest_wrong_json(struct tn_rest_call *rest, const struct tn_json *reader);
enum tn_err tn_rest_wrong_value(struct tn_rest_call *rest, const struct tn_json *reader,
                                const char *what, const char *wanted);

/* --- Handlers --- */
void tn_rest_infer(struct tn_rest_call *rest);      /* rest_infer.c; arguments: model, version */
void tn_rest_infer_cancelled(struct tn_call *call); /* the client went away */
void tn_rest_server_metadata(struct tn_rest_call *rest); /* rest_models.c */
void tn_rest_model_metadata(struct tn_rest_call *rest);
void tn_rest_model_config(struct tn_rest_call *rest);
void tn_rest_model_stats(struct tn_rest_call *rest);
void tn_rest_page(struct tn_rest_call *rest);             /* rest_page.c */
void tn_rest_repository_index(struct tn_rest_call *rest); /* rest_manage.c */
void tn_rest_load(struct tn_rest_call *rest);
void tn_rest_unload(struct tn_rest_call *rest);
void tn_rest_shm_status(struct tn_rest_call *rest);
void tn_rest_shm_register(struct tn_rest_call *rest);
void tn_rest_shm_unregister(struct tn_rest_call *rest);
void tn_rest_cuda_status(struct tn_rest_call *rest);
void tn_rest_cuda_register(struct tn_rest_call *rest);
void tn_rest_cuda_unregister(struct tn_rest_call *rest);
void tn_rest_trace(struct tn_rest_call *rest); /* rest_settings.c */
void tn_rest_logging(struct tn_rest_call *rest);

#endif
