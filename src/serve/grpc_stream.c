/* ModelStreamInfer: a stream of requests, answered in their order.
 *
 *   message --> item (its own arena) --submit--> OUT --done--> READY
 *   sending: while the oldest item is READY: send it, next
 *   stream ends when the client has ended and no item is left; errors are answers
 *
 * Memory: items come from the heap and are kept on the stream's free list for the next messages;
 * an item whose bytes are still being sent is returned by the piece that holds it. Threads: the
 * call's loop. Bounds: ITEMS_MAX requests under way a stream, and the output that the call holds
 * back: beyond either the stream takes no more messages until it is below again, so flow control
 * slows the client. */
#include "base/mem.h"
#include "core/assert.h"
#include "core/pb.h"
#include "proto/inference.pb.h"
#include "serve/grpc_answer.h"
#include "serve/grpc_service.h"
#include "serve/tracing.h"

enum { ITEMS_MAX = 256, ITEMS_KEPT = 8 };

enum item_state { ITEM_OUT, ITEM_READY };

struct stream {
    struct tn_service *service;
    struct tn_serve_lane *lane;
    struct tn_call *call; /* NULL once finished */
    struct item *oldest, **newest;
    struct item *free_items;
    size_t free_count;
    size_t refs;  /* the call, and each item that lives */
    size_t count; /* items in order */
    bool ended;
    bool broken; /* no memory for a message: no more is read, the status says so */
    bool paused; /* no more messages until there is room */
    bool choked; /* the client does not read its answers */
};

struct item {
    struct tn_request request;
    struct stream *stream;
    struct item *next;
    struct tn_arena arena;
    struct tn_block *message;
    struct tn_block sent; /* foreign: gives the item back when the last byte is out */
    struct tn_fault fault;
    enum item_state state;
    bool submitted;
};

static void item_destroy(struct item *item)
{
    tn_arena_deinit(&item->arena);
    tn_mem_give(item);
}

static void stream_unref(struct stream *stream)
{
    if (--stream->refs > 0) {
        return;
    }
    while (stream->free_items != NULL) {
        struct item *item = stream->free_items;
        stream->free_items = item->next;
        item_destroy(item);
    }
    tn_mem_give(stream);
}

/* The last reference of its bytes is gone; runs on the loop, where pieces are sent and dropped. */
static void item_release(struct tn_block *sent)
{
    struct item *item = TN_CONTAINER(sent, struct item, sent);
    struct stream *stream = item->stream;
    if (item->submitted) {
        tn_request_release(&item->request);
    }
    tn_block_unref(item->message);
    if (stream->call != NULL && stream->free_count < ITEMS_KEPT) {
        tn_arena_reset(&item->arena);
        item->next = stream->free_items;
        stream->free_items = item;
        stream->free_count++;
    } else {
        item_destroy(item);
    }
    stream_unref(stream);
}

static struct item *item_take(struct stream *stream, struct tn_block *message)
{
    struct item *item = stream->free_items;
    if (item != NULL) {
        stream->free_items = item->next;
        stream->free_count--;
    } else {
        item = tn_mem_take_zeroed(1, sizeof(*item));
        if (item == NULL) {
            return NULL;
        }
        tn_arena_init(&item->arena, &(struct tn_arena_options){.source = tn_mem_source()});
    }
    item->stream = stream;
    item->next = NULL;
    item->message = tn_block_ref(message);
    item->fault.code = TN_OK;
    item->fault.text[0] = '\0';
    item->state = ITEM_OUT;
    item->submitted = false;
    tn_block_init_foreign(&item->sent, tn_bytes_make(NULL, 0), item_release, item);
    stream->refs++;
    return item;
}

static enum tn_err encode(struct item *item, struct tn_piece *pieces, size_t *ret_count)
{
    enum tn_err err = item->fault.code;
    if (err == TN_OK) {
        err = tn_request_classify(&item->request, &item->arena, &item->fault);
    }
    if (err == TN_OK) {
        return tn_grpc_answer(&item->request, &item->arena, true, pieces, ret_count);
    }
    struct tn_oip_model_stream_infer_response response = {
        .error_message =
            tn_str_from(item->fault.text[0] != '\0' ? item->fault.text : tn_err_name(err))};
    size_t size = tn_pb_size(&tn_oip_model_stream_infer_response_pb, &response);
    uint8_t *out = tn_arena_take(&item->arena, size, 1);
    if (out == NULL) {
        return TN_NOMEM;
    }
    tn_pb_encode(&tn_oip_model_stream_infer_response_pb, &response, out, size);
    pieces[0] = (struct tn_piece){.bytes = tn_bytes_make(out, size)};
    *ret_count = 1;
    return TN_OK;
}

static void send_item(struct stream *stream, struct item *item)
{
    struct tn_piece pieces[TN_ANSWER_PIECES_MAX];
    size_t count = 0;
    enum tn_err err = encode(item, pieces, &count);
    for (size_t i = 0; err == TN_OK && i < count; i++) {
        if (pieces[i].owner == NULL) {
            pieces[i].owner = tn_block_ref(&item->sent);
        }
    }
    if (err == TN_OK) {
        err = tn_call_send(stream->call, pieces, count);
    }
    stream->choked = stream->choked || err == TN_AGAIN;
    for (size_t i = 0; err < TN_OK && i < count; i++) {
        tn_block_unref(pieces[i].owner);
    }
    tn_block_unref(&item->sent);
}

/* Takes messages while there is room for their requests and answers. */
static void regulate(struct stream *stream)
{
    bool full = stream->choked || stream->count >= ITEMS_MAX;
    if (full == stream->paused || stream->call == NULL) {
        return;
    }
    stream->paused = full;
    if (full) {
        tn_call_pause(stream->call);
    } else {
        tn_call_resume(stream->call);
    }
}

/* Sends what is ready at the head; finishes the call when nothing will come any more. */
static void advance(struct stream *stream)
{
    while (stream->oldest != NULL && stream->oldest->state == ITEM_READY) {
        struct item *item = stream->oldest;
        stream->oldest = item->next;
        if (stream->oldest == NULL) {
            stream->newest = &stream->oldest;
        }
        stream->count--;
        send_item(stream, item);
    }
    if (stream->ended && stream->oldest == NULL) {
        struct tn_call *call = stream->call;
        stream->call = NULL;
        tn_call_set_user(call, NULL);
        tn_call_finish(call, stream->broken ? TN_GRPC_RESOURCE_EXHAUSTED : TN_GRPC_OK,
                       stream->broken ? TN_STR_OF("no memory for a message of this stream")
                                      : TN_STR_OF(""));
        stream_unref(stream);
        return;
    }
    regulate(stream);
}

static void on_done(struct tn_request *request)
{
    struct item *item = TN_CONTAINER(request, struct item, request);
    tn_tracing_note(request);
    if (request->job.fault.code != TN_OK) {
        item->fault = request->job.fault;
    }
    item->state = ITEM_READY;
    advance(item->stream);
}

static enum tn_err begin(struct stream *stream, struct item *item)
{
    const struct tn_call_info *info = tn_call_info(stream->call);
    struct tn_fault *fault = &item->fault;
    struct tn_oip_model_infer_request *message =
        TN_ARENA_NEW(&item->arena, struct tn_oip_model_infer_request);
    if (message == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for this request");
    }
    enum tn_err err = tn_pb_decode(&tn_oip_model_infer_request_pb,
                                   tn_bytes_make(item->message->data, item->message->size),
                                   &item->arena, message);
    if (err != TN_OK) {
        return tn_fault_set(fault, err, "the message is not a ModelInferRequest: %s",
                            tn_err_name(err));
    }
    struct tn_entry *entry = NULL;
    err = tn_catalog_resolve(tn_catalog_read(&stream->lane->reader), message->model_name,
                             message->model_version, &entry, fault);
    if (err == TN_OK) {
        err =
            tn_entry_allows(entry, tn_call_header(stream->call, TN_STR_OF("authorization")), fault);
    }
    if (err != TN_OK) {
        return err;
    }
    struct tn_request_source source = {
        .message = message,
        .arena = &item->arena,
        .shm = stream->service->shm,
        .now_ns = tn_loop_now_ns(stream->lane->loop),
        .deadline_ns = info->deadline_ns,
    };
    item->request.done = on_done;
    err = tn_request_prepare(&item->request, &source, entry, fault);
    if (err != TN_OK) {
        return err;
    }
    tn_tracing_begin(stream->service, &item->request, stream->call, &item->arena);
    err = tn_serve_lane_submit(stream->lane, &item->request, fault);
    if (err != TN_OK) {
        item->request.job.output_count = 0;
        tn_request_release(&item->request);
        return err;
    }
    item->submitted = true;
    return TN_OK;
}

static void on_request(void *context, struct tn_call *call)
{
    struct tn_service *service = context;
    struct stream *stream = tn_mem_take_zeroed(1, sizeof(*stream));
    if (stream == NULL) {
        tn_call_finish(call, TN_GRPC_RESOURCE_EXHAUSTED, TN_STR_OF("no memory for this stream"));
        return;
    }
    stream->service = service;
    stream->lane = tn_service_lane(service, tn_call_loop(call));
    stream->call = call;
    stream->newest = &stream->oldest;
    stream->refs = 1;
    tn_call_set_user(call, stream);
}

static void on_message(void *context, struct tn_call *call, struct tn_block *message)
{
    (void)context;
    struct stream *stream = tn_call_user(call);
    if (stream == NULL || stream->ended) {
        return;
    }
    struct item *item = item_take(stream, message);
    if (item == NULL) {
        stream->ended = stream->broken = true; /* end after what is under way */
        advance(stream);
        return;
    }
    *stream->newest = item;
    stream->newest = &item->next;
    stream->count++;
    enum tn_err err =
        stream->count <= ITEMS_MAX
            ? begin(stream, item)
            : tn_fault_set(&item->fault, TN_LIMIT,
                           "%d requests of this stream are under way: read answers", ITEMS_MAX);
    if (err != TN_OK) {
        item->fault.code = err;
        item->state = ITEM_READY;
        advance(stream);
    }
}

static void on_ended(void *context, struct tn_call *call)
{
    (void)context;
    struct stream *stream = tn_call_user(call);
    if (stream != NULL) {
        stream->ended = true;
        advance(stream);
    }
}

static void on_cancelled(void *context, struct tn_call *call)
{
    (void)context;
    struct stream *stream = tn_call_user(call);
    if (stream == NULL) {
        return;
    }
    for (struct item *item = stream->oldest; item != NULL; item = item->next) {
        if (item->state == ITEM_OUT && item->submitted) {
            tn_infer_cancel(&item->request.job);
        }
    }
    stream->ended = true;
    advance(stream);
}

static void on_writable(void *context, struct tn_call *call)
{
    (void)context;
    struct stream *stream = tn_call_user(call);
    if (stream != NULL) {
        stream->choked = false;
        regulate(stream);
    }
}

const struct tn_handler tn_grpc_stream_handler = {
    .request = on_request,
    .message = on_message,
    .ended = on_ended,
    .writable = on_writable,
    .cancelled = on_cancelled,
    .streaming = true,
};
