/* One inference on its way, independent of the protocol it came by.
 *
 *   ModelInferRequest (decoded from gRPC, or built from JSON) --prepare--> tn_infer_job --> model
 *   --done--> outputs (classes instead of scores where asked for) --> gRPC or REST answer --release
 *
 * prepare checks what the wire can get wrong: datatypes, ranks, raw and typed contents (never
 * both), counts and lengths, shared memory, outputs that do not exist, parameters. What belongs to
 * the model (names, shapes, batch) is checked by tn_infer_submit.
 *
 * Raw contents are handed over in place when they are aligned to their elements, else copied into
 * the arena; typed contents are packed there. Memory: the caller's arena, which must live until
 * release. Threads: one loop. Bounds: TN_TENSORS_MAX inputs and outputs. Cost: 0.2 us for two small
 * inputs; no allocation but the arena's. */
#ifndef TN_SERVE_REQUEST_H
#define TN_SERVE_REQUEST_H

#include "serve/entry.h"
#include "serve/shm.h"

struct tn_oip_infer_parameter;
struct tn_oip_infer_parameter_entry;
struct tn_oip_model_infer_request;

struct tn_trace_mark;

/* How one output shall be answered. */
struct tn_request_output {
    size_t index;         /* of the model's outputs */
    uint32_t classes;     /* classification extension: so many best; 0: the tensor itself */
    bool binary;          /* REST: raw bytes after the JSON */
    struct tn_str region; /* shared memory, or empty */
    uint64_t region_offset;
};

struct tn_request {
    struct tn_infer_job job;
    void (*done)(struct tn_request *request); /* on its loop, when the job is back */
    struct tn_entry *entry;                   /* a reference */
    struct tn_str id;
    struct tn_request_output *asked; /* parallel to job.outputs */
    struct tn_shm_region **regions;
    size_t region_count;
    struct tn_request *links[2]; /* of the lane: before and after, while the job is out */
    struct tn_trace_mark *trace; /* NULL: not traced; serve/tracing.h */
};

struct tn_request_source {
    const struct tn_oip_model_infer_request *message; /* lives until release */
    struct tn_arena *arena;
    struct tn_shm *shm;
    uint64_t now_ns;
    uint64_t deadline_ns; /* of the call, 0: none */
};

/* Fills the request for submission and takes a reference of the entry. On failure everything is
 * released. TN_INVALID, TN_NOTFOUND (shared memory), TN_NOMEM. */
TN_MUST enum tn_err tn_request_prepare(struct tn_request *request,
                                       const struct tn_request_source *source,
                                       struct tn_entry *entry, struct tn_fault *fault);

/* After the job came back well: replaces outputs by their best classes where asked for. The arena
 * is the one of prepare. */
TN_MUST enum tn_err tn_request_classify(struct tn_request *request, struct tn_arena *arena,
                                        struct tn_fault *fault);

/* Gives back outputs, regions and the entry. */
void tn_request_release(struct tn_request *request);

/* Value of a parameter; NULL when it is not there. */
const struct tn_oip_infer_parameter *tn_request_parameter(
    const struct tn_oip_infer_parameter_entry *entries, size_t count, struct tn_str name);

/* A parameter as a number or truth. TN_INVALID: another kind, or negative. */
TN_MUST enum tn_err tn_parameter_u64(const struct tn_oip_infer_parameter *parameter,
                                     uint64_t *ret_value);
TN_MUST enum tn_err tn_parameter_bool(const struct tn_oip_infer_parameter *parameter,
                                      bool *ret_value);

#endif
