/* One call of a client: its memory, its output, its end; see client_state.h.
 *
 *   IDLE -create-> WAITING -begin-> OPEN -end-> ENDED -> IDLE
 *                     '--- cancel ---'--> ENDING -turn ends-> ENDED
 *
 * A small gRPC message is copied behind its prefix into one pooled block, so it costs one iovec and
 * mostly no iovec at all (the output copies it again beside the HEADERS frame); a large one keeps
 * the caller's blocks. Memory: pooled structs; the heap for long headers, long queues, messages of
 * errors. Threads: the client's loop. Bounds: calls_max, message_bytes_max, header count. */
#include "rpc/client_state.h"

#include "base/mem.h"
#include "core/assert.h"

enum { MESSAGE_COPY_MAX = 4096, BODY_ROOM_FIRST = 4096 };

void tn_client_calls_add(struct tn_client_calls *list, struct tn_client_call *call)
{
    TN_ASSERT(call->list == NULL);
    call->list = list;
    call->next = NULL;
    call->previous = list->last;
    if (list->last != NULL) {
        list->last->next = call;
    } else {
        list->first = call;
    }
    list->last = call;
    list->count++;
}

static void calls_add_first(struct tn_client_calls *list, struct tn_client_call *call)
{
    TN_ASSERT(call->list == NULL);
    call->list = list;
    call->previous = NULL;
    call->next = list->first;
    *(list->first != NULL ? &list->first->previous : &list->last) = call;
    list->first = call;
    list->count++;
}

void tn_client_calls_remove(struct tn_client_call *call)
{
    struct tn_client_calls *list = call->list;
    if (list == NULL) {
        return;
    }
    *(call->previous != NULL ? &call->previous->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->previous : &list->last) = call->previous;
    list->count--;
    call->list = NULL;
}

/* ---- begin ---- */

static bool path_is_valid(struct tn_str path)
{
    for (size_t i = 0; i < path.size; i++) {
        if ((uint8_t)path.data[i] <= ' ' || (uint8_t)path.data[i] >= 0x7f || path.data[i] == '#') {
            return false;
        }
    }
    return path.size > 0 && path.data[0] == '/';
}

static bool header_is_valid(const struct tn_header *header)
{
    bool upper = false;
    for (size_t i = 0; i < header->name.size; i++) {
        upper |= header->name.data[i] >= 'A' && header->name.data[i] <= 'Z';
    }
    return !upper && tn_header_name_is_valid(header->name) &&
           tn_header_value_is_valid(header->value);
}

static bool request_is_valid(const struct tn_client_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (!header_is_valid(&request->headers[i])) {
            return false;
        }
    }
    bool method = request->kind == TN_CALL_GRPC || tn_header_name_is_valid(request->method);
    return method && path_is_valid(request->path) && request->header_count <= TN_CLIENT_HEADERS_MAX;
}

static struct tn_str copy_text(char **at, struct tn_str text)
{
    struct tn_str copy = tn_str_make(*at, text.size);
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return copy;
}

/* Method, path and headers in one run, which is inside the call when it is short. */
static enum tn_err copy_request(struct tn_client_call *call,
                                const struct tn_client_request *request)
{
    struct tn_str method = request->kind == TN_CALL_GRPC ? TN_STR_OF("POST") : request->method;
    size_t size =
        request->header_count * sizeof(struct tn_header) + method.size + request->path.size;
    for (size_t i = 0; i < request->header_count; i++) {
        size += request->headers[i].name.size + request->headers[i].value.size;
    }
    char *at = call->inline_text;
    if (size > sizeof(call->inline_text)) {
        call->text = tn_mem_take(size);
        if (call->text == NULL) {
            return TN_NOMEM;
        }
        at = call->text;
    }
    call->headers = (struct tn_header *)(void *)at;
    call->header_count = request->header_count;
    at += request->header_count * sizeof(struct tn_header);
    call->method = copy_text(&at, method);
    call->path = copy_text(&at, request->path);
    for (size_t i = 0; i < request->header_count; i++) {
        call->headers[i].name = copy_text(&at, request->headers[i].name);
        call->headers[i].value = copy_text(&at, request->headers[i].value);
    }
    return TN_OK;
}

static struct tn_client_call *take_call(struct tn_client *client)
{
    struct tn_client_call *call = client->idle;
    if (call != NULL) {
        client->idle = call->next;
        client->idle_count--;
    } else {
        call = tn_mem_take_aligned(sizeof(*call), _Alignof(struct tn_client_call));
        if (call == NULL) {
            return NULL;
        }
    }
    memset(call, 0, offsetof(struct tn_client_call, inline_text));
    return call;
}

enum tn_err tn_client_call_create(struct tn_client *client, const struct tn_client_request *request,
                                  struct tn_client_call **ret_call)
{
    TN_ASSERT(request->events != NULL && request->events->ended != NULL);
    if (!request_is_valid(request)) {
        return TN_INVALID;
    }
    if (client->call_count >= client->options.calls_max) {
        return TN_LIMIT;
    }
    struct tn_client_call *call = take_call(client);
    if (call == NULL) {
        return TN_NOMEM;
    }
    client->call_count++;
    call->client = client;
    call->state = TN_CLIENT_CALL_WAITING;
    call->kind = (uint8_t)request->kind;
    call->wait_for_ready = request->wait_for_ready;
    call->deadline_ns = request->deadline_ns;
    call->events = request->events;
    call->user = request->user;
    call->no_body = request->kind == TN_CALL_HTTP && request->no_body;
    call->last_queued = call->no_body;
    call->replayable = call->no_body;
    call->head_request = request->kind == TN_CALL_HTTP && tn_str_is(request->method, "HEAD");
    tn_piece_queue_init(&call->queue);
    tn_grpc_reader_init(&call->reader, &client->blocks, client->options.message_bytes_max,
                        TN_GRPC_IDENTITY);
    enum tn_err err = copy_request(call, request);
    if (err < 0) {
        tn_client_call_destroy(call);
        return err;
    }
    *ret_call = call;
    return TN_OK;
}

static void drop_replay(struct tn_client_call *call)
{
    for (size_t i = 0; i < call->replay_count; i++) {
        tn_block_unref(call->replay[i].owner);
    }
    call->replay_count = 0;
    call->replayable = false;
}

void tn_client_call_destroy(struct tn_client_call *call)
{
    struct tn_client *client = call->client;
    TN_ASSERT(call->list == NULL);
    drop_replay(call);
    tn_piece_queue_deinit(&call->queue);
    tn_grpc_reader_deinit(&call->reader);
    tn_block_pool_give(&client->blocks, call->body);
    tn_mem_give(call->message);
    tn_mem_give(call->text);
    call->state = TN_CLIENT_CALL_IDLE;
    client->call_count--;
    if (client->idle_count == TN_CLIENT_IDLE_CALLS_MAX) {
        tn_mem_give(call);
        return;
    }
    call->next = client->idle;
    client->idle = call;
    client->idle_count++;
}

/* ---- output ---- */

static size_t pieces_size(const struct tn_piece *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].bytes.size;
    }
    return size;
}

/* Everything into one block; the references are dropped. */
static enum tn_err queue_copied(struct tn_client_call *call, const struct tn_piece *pieces,
                                size_t count, size_t size)
{
    bool grpc = call->kind == TN_CALL_GRPC;
    size_t prefix = grpc ? TN_GRPC_PREFIX_SIZE : 0;
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_create(prefix + size, &block);
    if (err < 0) {
        return err;
    }
    if (grpc) {
        tn_grpc_prefix_put(block->data, (uint32_t)size);
    }
    block->size = prefix;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].bytes.size > 0) {
            memcpy(block->data + block->size, pieces[i].bytes.data, pieces[i].bytes.size);
        }
        block->size += pieces[i].bytes.size;
        tn_block_unref(pieces[i].owner);
    }
    struct tn_bytes bytes = tn_bytes_make(block->data, block->size);
    tn_piece_queue_push(&call->queue, (struct tn_piece){bytes, block});
    return TN_OK;
}

/* The prefix and, behind it, copies of the pieces nobody owns, in one block; the others as they
 * are. */
static enum tn_err queue_borrowed(struct tn_client_call *call, const struct tn_piece *pieces,
                                  size_t count, size_t size)
{
    bool grpc = call->kind == TN_CALL_GRPC;
    size_t room = grpc ? TN_GRPC_PREFIX_SIZE : 0;
    for (size_t i = 0; i < count; i++) {
        room += pieces[i].owner == NULL ? pieces[i].bytes.size : 0;
    }
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_create(room, &block);
    if (err < 0) {
        return err;
    }
    uint8_t *at = block->data;
    if (grpc) {
        tn_grpc_prefix_put(at, (uint32_t)size);
        tn_piece_queue_push(&call->queue, (struct tn_piece){tn_bytes_make(at, TN_GRPC_PREFIX_SIZE),
                                                            tn_block_ref(block)});
        at += TN_GRPC_PREFIX_SIZE;
    }
    for (size_t i = 0; i < count; i++) {
        struct tn_piece piece = pieces[i];
        if (piece.owner == NULL && piece.bytes.size > 0) {
            memcpy(at, piece.bytes.data, piece.bytes.size);
            piece = (struct tn_piece){tn_bytes_make(at, piece.bytes.size), tn_block_ref(block)};
            at += piece.bytes.size;
        }
        tn_piece_queue_push(&call->queue, piece);
    }
    block->size = (size_t)(at - block->data);
    tn_block_unref(block);
    return TN_OK;
}

static enum tn_err queue_pieces(struct tn_client_call *call, const struct tn_piece *pieces,
                                size_t count)
{
    size_t size = pieces_size(pieces, count);
    if (call->kind == TN_CALL_GRPC && size > UINT32_MAX) {
        return TN_LIMIT;
    }
    enum tn_err err = tn_piece_queue_reserve(&call->queue, count + 1);
    if (err < 0) {
        return err;
    }
    return size <= MESSAGE_COPY_MAX ? queue_copied(call, pieces, count, size)
                                    : queue_borrowed(call, pieces, count, size);
}

/* Holds the request while nobody has seen it: everything that is queued, when that is all. */
static void keep_replay(struct tn_client_call *call)
{
    const struct tn_piece_queue *queue = &call->queue;
    call->replayable = queue->more == NULL;
    for (size_t i = 0; call->replayable && i < queue->count; i++) {
        size_t at = (queue->first + i) & (queue->room - 1);
        call->replay[call->replay_count++] =
            (struct tn_piece){queue->few[at].bytes, tn_block_ref(queue->few[at].owner)};
    }
}

enum tn_err tn_client_send(struct tn_client_call *call, const struct tn_piece *pieces, size_t count,
                           bool last)
{
    if (call->state != TN_CLIENT_CALL_WAITING && call->state != TN_CLIENT_CALL_OPEN) {
        return TN_CLOSED;
    }
    TN_ASSERT(!call->last_queued);
    bool whole = last && !call->begun_sending;
    call->begun_sending = true;
    if (count > 0) {
        enum tn_err err = queue_pieces(call, pieces, count);
        if (err < 0) {
            return err;
        }
    }
    call->last_queued = last;
    if (whole) {
        keep_replay(call);
    }
    if (call->wire != NULL) {
        call->wire->i->output(call->wire, call);
        tn_client_mark_dirty(call->client);
    }
    if (last || call->queue.bytes <= TN_CLIENT_OUTPUT_HIGH) {
        return TN_OK;
    }
    call->blocked = true;
    return TN_AGAIN;
}

/* Worst case: every few kilobytes a borrowed run between two copied ones. */
bool tn_client_out_fits(const struct tn_out *out, size_t size)
{
    size_t iovecs = 2 * (size / TN_OUT_BORROW_MIN) + 3;
    return size <= tn_out_room(out) && out->count + iovecs <= TN_OUT_IOV_MAX;
}

void tn_client_call_collect(struct tn_client_call *call, struct tn_out *out, size_t size)
{
    struct tn_piece_queue *queue = &call->queue;
    call->sent = true;
    while (size > 0) {
        struct tn_piece piece = tn_piece_queue_front(queue);
        size_t part = piece.bytes.size < size ? piece.bytes.size : size;
        if (part >= TN_OUT_BORROW_MIN) {
            struct tn_out_hold hold = {.block = tn_block_ref(piece.owner)};
            tn_out_borrow(out, tn_bytes_make(piece.bytes.data, part), hold);
        } else {
            tn_out_copy(out, piece.bytes.data, part);
        }
        tn_piece_queue_advance(queue, part);
        size -= part;
    }
    if (call->blocked && queue->bytes <= TN_CLIENT_OUTPUT_HIGH / 2) {
        call->blocked = false;
        if (call->events->writable != NULL) {
            call->events->writable(call->user, call);
        }
    }
}

/* ---- input ---- */

bool tn_client_call_headers(struct tn_client_call *call, unsigned http_status,
                            const struct tn_header *headers, size_t count)
{
    drop_replay(call);
    call->headers_done = true;
    call->http_status = http_status;
    if (call->events->headers != NULL) {
        call->events->headers(call->user, call, http_status, headers, count);
    }
    return call->state == TN_CLIENT_CALL_OPEN;
}

static bool fail(struct tn_client_call *call, enum tn_err err, const char *message)
{
    tn_client_call_fail(call, err, message);
    return false;
}

static bool take_messages(struct tn_client_call *call, struct tn_bytes bytes)
{
    for (;;) {
        struct tn_block *message = NULL;
        enum tn_err err = tn_grpc_reader_feed(&call->reader, &bytes, &message);
        if (err == TN_AGAIN) {
            return true;
        }
        if (err == TN_LIMIT) {
            return fail(call, err, "a received message is larger than message_bytes_max");
        }
        if (err < 0) {
            return fail(call, err == TN_NOMEM ? err : TN_INTERNAL,
                        "a received message is not gRPC, or does not decompress");
        }
        if (call->events->message != NULL) {
            call->events->message(call->user, call, message);
        }
        tn_block_pool_give(&call->client->blocks, message);
        if (call->state != TN_CLIENT_CALL_OPEN) {
            return false;
        }
    }
}

/* Room for `more` bytes of the body, doubling. */
static enum tn_err grow_body(struct tn_client_call *call, size_t more)
{
    struct tn_block *old = call->body;
    size_t size = old != NULL ? old->size : 0;
    if (old != NULL && old->room - size >= more) {
        return TN_OK;
    }
    size_t room = old != NULL ? 2 * old->room : BODY_ROOM_FIRST;
    room = room - size >= more ? room : size + more;
    struct tn_block *grown = NULL;
    enum tn_err err = tn_block_pool_take(&call->client->blocks, room, &grown);
    if (err < 0) {
        return err;
    }
    if (size > 0) {
        memcpy(grown->data, old->data, size);
    }
    grown->size = size;
    tn_block_pool_give(&call->client->blocks, old);
    call->body = grown;
    return TN_OK;
}

bool tn_client_call_data(struct tn_client_call *call, struct tn_bytes bytes)
{
    if (call->kind == TN_CALL_GRPC) {
        return take_messages(call, bytes);
    }
    size_t size = call->body != NULL ? call->body->size : 0;
    if (bytes.size > call->client->options.message_bytes_max - size) {
        return fail(call, TN_LIMIT, "the answer is larger than message_bytes_max");
    }
    if (grow_body(call, bytes.size) < 0) {
        return fail(call, TN_NOMEM, "no memory for the answer");
    }
    if (bytes.size > 0) {
        memcpy(call->body->data + size, bytes.data, bytes.size);
    }
    call->body->size = size + bytes.size;
    return true;
}

/* ---- the end ---- */

struct tn_client_end tn_client_end_of(enum tn_err err, const char *message)
{
    return (struct tn_client_end){
        .err = err, .grpc_status = tn_grpc_status_of(err), .message = tn_str_from(message)};
}

void tn_client_call_end(struct tn_client_call *call, const struct tn_client_end *end)
{
    struct tn_client *client = call->client;
    struct tn_client_end last = *end;
    tn_client_calls_remove(call);
    tn_timer_disarm(&call->timer);
    call->wire = NULL;
    call->state = TN_CLIENT_CALL_ENDED;
    last.http_status = call->http_status;
    last.sent = call->sent;
    client->depth++;
    call->events->ended(call->user, call, &last);
    client->depth--;
    tn_client_call_destroy(call);
}

void tn_client_call_fail(struct tn_client_call *call, enum tn_err err, const char *message)
{
    struct tn_client_wire *wire = call->wire;
    struct tn_client_end end = tn_client_end_of(err, message);
    tn_client_calls_remove(call);
    wire->i->drop(wire, call);
    tn_client_call_end(call, &end);
}

bool tn_client_call_requeue(struct tn_client_call *call)
{
    if (!call->replayable || call->requeued) {
        return false;
    }
    tn_piece_queue_deinit(&call->queue);
    if (tn_piece_queue_reserve(&call->queue, call->replay_count) < 0) {
        return false;
    }
    for (size_t i = 0; i < call->replay_count; i++) {
        tn_piece_queue_push(&call->queue, call->replay[i]); /* the reference passes */
    }
    call->replay_count = 0;
    tn_client_calls_remove(call);
    call->wire = NULL;
    call->state = TN_CLIENT_CALL_WAITING;
    call->requeued = true;
    call->replayable = false;
    call->last_sent = false;
    call->stalled = false;
    call->answered = false;
    calls_add_first(&call->client->waiting, call);
    tn_client_mark_dirty(call->client);
    return true;
}

static struct tn_client_end grpc_end(const struct tn_client_call *call)
{
    if (!call->has_status && (call->http_status != 200 || !call->native)) {
        enum tn_grpc_status status =
            call->http_status != 200 ? tn_grpc_status_of_http(call->http_status) : TN_GRPC_UNKNOWN;
        return (struct tn_client_end){
            .err = tn_err_of_grpc(status),
            .grpc_status = status,
            .message = TN_STR_OF("the server answered in HTTP, not in gRPC"),
        };
    }
    if (!call->has_status) {
        return tn_client_end_of(TN_INTERNAL, "the answer has no grpc-status");
    }
    if (call->grpc_status == TN_GRPC_OK && !tn_grpc_reader_is_between(&call->reader)) {
        return tn_client_end_of(TN_INTERNAL, "the answer ends inside a message");
    }
    return (struct tn_client_end){.err = tn_err_of_grpc(call->grpc_status),
                                  .grpc_status = call->grpc_status,
                                  .message = tn_str_make(call->message, call->message_size)};
}

void tn_client_call_complete(struct tn_client_call *call)
{
    if (call->kind == TN_CALL_GRPC) {
        struct tn_client_end end = grpc_end(call);
        tn_client_call_end(call, &end);
        return;
    }
    if (call->body == NULL && grow_body(call, 0) < 0) {
        struct tn_client_end end = tn_client_end_of(TN_NOMEM, "no memory for the answer");
        tn_client_call_end(call, &end);
        return;
    }
    call->wire = NULL;
    if (call->events->message != NULL) {
        call->events->message(call->user, call, call->body);
    }
    if (call->state == TN_CLIENT_CALL_OPEN) { /* else cancelled meanwhile: `ended` is due */
        tn_client_call_end(call, &(struct tn_client_end){.grpc_status = TN_GRPC_OK});
    }
}
