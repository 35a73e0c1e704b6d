/* ModelInfer, the hot path of the server.
 *
 *   DECODED --submit--> OUT --done--> answered, finished
 *      '--fault--> finished       OUT --cancelled--> job cancelled, still waits for done
 *
 * Memory: the call's arena holds request, job and answer until the call is finished; the body's
 * block holds the raw inputs. Threads: the call's loop. Bounds: those of prepare. */
#include "core/assert.h"
#include "core/pb.h"
#include "proto/inference.pb.h"
#include "serve/grpc_answer.h"
#include "serve/grpc_service.h"
#include "serve/tracing.h"

struct unary {
    struct tn_request request;
    struct tn_call *call;
};

/* The answer is sent, the call is not finished. */
static enum tn_err answer(struct unary *unary, struct tn_fault *fault)
{
    struct tn_piece pieces[TN_ANSWER_PIECES_MAX];
    size_t count = 0;
    struct tn_arena *arena = tn_call_arena(unary->call);
    enum tn_err err = tn_request_classify(&unary->request, arena, fault);
    if (err == TN_OK) {
        err = tn_grpc_answer(&unary->request, arena, false, pieces, &count);
    }
    if (err != TN_OK) {
        return err;
    }
    err = tn_call_send(unary->call, pieces, count);
    for (size_t i = 0; err < TN_OK && i < count; i++) {
        tn_block_unref(pieces[i].owner);
    }
    return err;
}

/* Finishing ends the call's arena, in which the request lies: that comes last. */
static void on_done(struct tn_request *request)
{
    struct unary *unary = TN_CONTAINER(request, struct unary, request);
    struct tn_call *call = unary->call;
    struct tn_fault fault;
    fault.code = request->job.fault.code;
    fault.text[0] = '\0';
    tn_call_set_user(call, NULL);
    tn_tracing_note(request);
    if (fault.code != TN_OK) {
        fault = request->job.fault;
    } else {
        enum tn_err err = answer(unary, &fault);
        fault.code = err < TN_OK ? err : TN_OK;
    }
    tn_request_release(request);
    if (fault.code != TN_OK) {
        tn_grpc_fail(call, &fault);
    } else {
        tn_call_finish(call, TN_GRPC_OK, TN_STR_OF(""));
    }
}

static enum tn_err begin(struct tn_service *service, struct tn_call *call, struct tn_fault *fault)
{
    const struct tn_call_info *info = tn_call_info(call);
    struct tn_arena *arena = tn_call_arena(call);
    struct tn_block *body = tn_call_body(call);
    struct unary *unary = tn_arena_take(arena, sizeof(*unary), _Alignof(struct unary));
    struct tn_oip_model_infer_request *message =
        tn_arena_take(arena, sizeof(*message), _Alignof(struct tn_oip_model_infer_request));
    if (unary == NULL || message == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for this request");
    }
    enum tn_err err = tn_pb_decode(&tn_oip_model_infer_request_pb,
                                   tn_bytes_make(body->data, body->size), arena, message);
    if (err != TN_OK) {
        return tn_fault_set(fault, err == TN_TRUNCATED ? TN_INVALID : err,
                            "the body is not a ModelInferRequest: %s", tn_err_name(err));
    }
    struct tn_service_call with = {
        .service = service,
        .lane = tn_service_lane(service, tn_call_loop(call)),
        .arena = arena,
        .fault = fault,
    };
    struct tn_entry *entry = NULL;
    err = tn_catalog_resolve(tn_catalog_read(&with.lane->reader), message->model_name,
                             message->model_version, &entry, fault);
    if (err == TN_OK && entry->token_count > 0) {
        err = tn_entry_allows(entry, tn_call_header(call, TN_STR_OF("authorization")), fault);
    }
    if (err != TN_OK) {
        return err;
    }
    struct tn_request_source source = {
        .message = message,
        .arena = arena,
        .shm = service->shm,
        .now_ns = info->start_ns,
        .deadline_ns = info->deadline_ns,
    };
    unary->call = call;
    unary->request.done = on_done;
    err = tn_request_prepare(&unary->request, &source, entry, fault);
    if (err != TN_OK) {
        return err;
    }
    tn_tracing_begin(service, &unary->request, call, arena);
    err = tn_serve_lane_submit(with.lane, &unary->request, fault);
    if (err != TN_OK) {
        unary->request.job.output_count = 0;
        tn_request_release(&unary->request);
        return err;
    }
    tn_call_set_user(call, unary);
    return TN_OK;
}

static void on_request(void *context, struct tn_call *call)
{
    struct tn_fault fault;
    fault.code = TN_OK;
    fault.text[0] = '\0';
    if (begin(context, call, &fault) != TN_OK) {
        tn_grpc_fail(call, &fault);
    }
}

static void on_cancelled(void *context, struct tn_call *call)
{
    (void)context;
    struct unary *unary = tn_call_user(call);
    if (unary != NULL) {
        tn_infer_cancel(&unary->request.job);
    }
}

const struct tn_handler tn_grpc_infer_handler = {.request = on_request, .cancelled = on_cancelled};
