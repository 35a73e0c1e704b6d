/* What goes out of a call: pieces in a list, the status, and how they move into a connection's
 * output; see call_state.h.
 *
 * Bytes of TN_OUT_BORROW_MIN and more are never copied: the output refers to the piece's block, or
 * holds the call whose arena they lie in. Nodes of sent pieces are used again, so a long stream
 * does not grow its arena.
 * Memory: nodes in the arena. Threads: the lane's loop. Bounds: output_bytes_high says when to hold
 * back. */
#include "base/clock.h"
#include "base/log.h"
#include "core/assert.h"
#include "rpc/call_state.h"

enum { HTTP_NO_CONTENT = 204, HTTP_NOT_MODIFIED = 304, HTTP_TIMEOUT = 504, HTTP_NO_MEMORY = 503 };

/* ---- header fields ---- */

/* Names that say how the connection works are not a handler's business. */
static bool is_reserved(struct tn_str name)
{
    static const struct tn_str reserved[] = {
        TN_STR("connection"), TN_STR("transfer-encoding"), TN_STR("content-length"),
        TN_STR("keep-alive"), TN_STR("upgrade"),           TN_STR("proxy-connection"),
    };
    for (size_t i = 0; i < TN_COUNT(reserved); i++) {
        if (tn_str_equal(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

static enum tn_err add_field(struct tn_call *call, struct tn_call_field **list, struct tn_str name,
                             struct tn_str value)
{
    if (!tn_header_name_is_valid(name) || !tn_header_value_is_valid(value) || is_reserved(name)) {
        return TN_INVALID;
    }
    struct tn_call_field *field = TN_ARENA_NEW(&call->arena, struct tn_call_field);
    char *name_copy = tn_arena_copy_str(&call->arena, name);
    char *value_copy = tn_arena_copy_str(&call->arena, value);
    if (field == NULL || name_copy == NULL || value_copy == NULL) {
        return TN_NOMEM;
    }
    tn_header_name_lower(name_copy, name.size);
    field->name = tn_str_make(name_copy, name.size);
    field->value = tn_str_make(value_copy, value.size);
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = field;
    return TN_OK;
}

enum tn_err tn_call_add_header(struct tn_call *call, struct tn_str name, struct tn_str value)
{
    TN_ASSERT(call->cancelled || !call->headers_out);
    enum tn_err err = add_field(call, &call->fields, name, value);
    call->field_count += err == TN_OK;
    return err;
}

enum tn_err tn_call_add_trailer(struct tn_call *call, struct tn_str name, struct tn_str value)
{
    enum tn_err err = add_field(call, &call->trailers, name, value);
    call->trailer_count += err == TN_OK;
    return err;
}

/* ---- pieces ---- */

static void spare(struct tn_call *call, struct tn_call_piece *node)
{
    node->next = call->out_spare;
    call->out_spare = node;
}

static struct tn_call_piece *take_node(struct tn_call *call)
{
    struct tn_call_piece *node = call->out_spare;
    if (node != NULL) {
        call->out_spare = node->next;
    } else {
        node = tn_arena_take(&call->arena, sizeof(*node), _Alignof(struct tn_call_piece));
    }
    if (node != NULL) {
        *node = (struct tn_call_piece){0};
    }
    return node;
}

/* `count` nodes in a list, or NULL and all of them spare again. */
static struct tn_call_piece *take_nodes(struct tn_call *call, size_t count)
{
    struct tn_call_piece *list = NULL;
    for (size_t i = 0; i < count; i++) {
        struct tn_call_piece *node = take_node(call);
        if (node == NULL) {
            while (list != NULL) {
                struct tn_call_piece *next = list->next;
                spare(call, list);
                list = next;
            }
            return NULL;
        }
        node->next = list;
        list = node;
    }
    return list;
}

static size_t pieces_size(const struct tn_piece *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(size, pieces[i].bytes.size, &size)) {
            return SIZE_MAX;
        }
    }
    return size;
}

static void append(struct tn_call *call, struct tn_call_piece *node)
{
    if (call->out_tail != NULL) {
        call->out_tail->next = node;
    } else {
        call->out_head = node;
        call->output_ns = call->lane->now_ns;
    }
    call->out_tail = node;
    node->next = NULL;
    call->out_bytes += node->piece.bytes.size;
}

/* Queues the pieces, behind a message prefix for gRPC. References pass on success only. */
static enum tn_err queue(struct tn_call *call, const struct tn_piece *pieces, size_t count)
{
    bool grpc = call->info.kind == TN_CALL_GRPC;
    size_t size = pieces_size(pieces, count);
    if (grpc && size > UINT32_MAX) {
        return TN_LIMIT;
    }
    size_t nodes = count + (grpc ? 1 : 0);
    struct tn_call_piece *node = take_nodes(call, nodes);
    if (node == NULL && nodes > 0) {
        return TN_NOMEM;
    }
    if (grpc) {
        TN_ASSERT(node != NULL);
        struct tn_call_piece *next = node->next;
        tn_grpc_prefix_put(node->prefix, (uint32_t)size);
        node->piece.bytes = tn_bytes_make(node->prefix, TN_GRPC_PREFIX_SIZE);
        append(call, node);
        node = next;
    }
    for (size_t i = 0; i < count; i++) {
        struct tn_call_piece *next = node->next;
        node->piece = pieces[i];
        append(call, node);
        node = next;
    }
    return TN_OK;
}

static void unref_pieces(const struct tn_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tn_block_unref(pieces[i].owner);
    }
}

/* Whether what the handler sends can still reach anybody. */
static bool is_heard(const struct tn_call *call)
{
    return call->wire != NULL && !call->cancelled && !call->ended;
}

enum tn_err tn_call_send(struct tn_call *call, const struct tn_piece *pieces, size_t count)
{
    TN_ASSERT(!call->finished);
    if (!is_heard(call)) {
        return TN_CLOSED;
    }
    enum tn_err err = queue(call, pieces, count);
    if (err < 0) {
        return err;
    }
    call->streamed = true;
    call->wire->i->output(call->wire, call);
    if (call->out_bytes > call->lane->limits.output_bytes_high) {
        call->wants_room = true;
        call->wire->attention = true;
        return TN_AGAIN;
    }
    return TN_OK;
}

static void pop(struct tn_call *call)
{
    struct tn_call_piece *node = call->out_head;
    call->out_head = node->next;
    if (call->out_head == NULL) {
        call->out_tail = NULL;
    }
    spare(call, node);
}

void tn_call_drop_output(struct tn_call *call)
{
    while (call->out_head != NULL) {
        tn_block_unref(call->out_head->piece.owner);
        pop(call);
    }
    call->out_bytes = 0;
}

/* Moves the front `size` bytes of the first piece, by reference. */
static void borrow(struct tn_call *call, struct tn_out *out, size_t size)
{
    struct tn_piece *piece = &call->out_head->piece;
    struct tn_bytes bytes = tn_bytes_make(piece->bytes.data, size);
    struct tn_out_hold hold = {0};
    if (piece->owner != NULL) {
        hold.block = tn_block_ref(piece->owner);
    } else {
        hold.call = call;
        call->holds++;
    }
    tn_out_borrow(out, bytes, hold);
}

size_t tn_call_take_output(struct tn_call *call, struct tn_out *out, size_t size)
{
    size_t moved = 0;
    while (moved < size && call->out_head != NULL) {
        struct tn_piece *piece = &call->out_head->piece;
        size_t take = piece->bytes.size < size - moved ? piece->bytes.size : size - moved;
        if (take >= TN_OUT_BORROW_MIN) {
            if (!tn_out_can_borrow(out)) {
                break;
            }
            borrow(call, out, take);
        } else {
            size_t room = tn_out_room(out);
            take = take < room ? take : room;
            if (take == 0 && piece->bytes.size > 0) {
                break;
            }
            tn_out_copy(out, piece->bytes.data, take);
        }
        if (take > 0) { /* an empty piece may have no address */
            piece->bytes = tn_bytes_make(piece->bytes.data + take, piece->bytes.size - take);
        }
        moved += take;
        if (piece->bytes.size == 0) {
            tn_block_unref(piece->owner);
            pop(call);
        }
    }
    call->out_bytes -= moved;
    call->output_ns = call->lane->now_ns;
    return moved;
}

void tn_call_tell_writable(struct tn_call *call)
{
    if (!call->wants_room || call->out_bytes > call->lane->limits.output_bytes_high / 2) {
        return;
    }
    call->wants_room = false;
    const struct tn_handler *handler = &call->route->handler;
    if (is_heard(call) && !call->finished && handler->writable != NULL) {
        handler->writable(handler->context, call);
    }
}

/* ---- the end ---- */

static void write_access_line(const struct tn_call *call, unsigned code, uint64_t duration_ns)
{
    bool grpc = call->info.kind == TN_CALL_GRPC;
    const struct tn_log_field fields[] = {
        TN_LOG_VIEW("peer", call->info.peer),
        TN_LOG_VIEW("method", call->info.method),
        TN_LOG_VIEW("path", call->info.path),
        TN_LOG_STR("kind", grpc ? "grpc" : "http"),
        TN_LOG_U64("code", code),
        TN_LOG_U64("us", duration_ns / TN_NS_PER_US),
    };
    tn_log_batch_add(&call->lane->access_lines, TN_LOG_INFO, "call", fields, TN_COUNT(fields));
}

void tn_call_count(struct tn_call *call, unsigned code)
{
    if (call->counted) {
        return;
    }
    call->counted = true;
    uint64_t now_ns = call->lane->loop != NULL ? tn_clock_mono_ns() : call->lane->now_ns;
    uint64_t start_ns = call->info.start_ns;
    uint64_t duration_ns = now_ns > start_ns ? now_ns - start_ns : 0;
    tn_meter_call(call->lane->meter, call->info.kind, code, call->route, duration_ns);
    if (call->lane->access_log) {
        write_access_line(call, code, duration_ns);
    }
}

/* Sets the final status; the wire sends what is queued and then this. */
static void end_grpc(struct tn_call *call, enum tn_grpc_status status, struct tn_str message)
{
    call->ended = true;
    call->status = status;
    if (message.size > 0 && message.size <= SIZE_MAX / 3) {
        char *encoded = tn_arena_take(&call->arena, 3 * message.size, 1);
        size_t size = encoded != NULL ? tn_grpc_message_encode(message, encoded) : 0;
        call->message = tn_str_make(encoded, size);
    }
    tn_call_count(call, status);
    call->wire->i->output(call->wire, call);
}

static void handler_done(struct tn_call *call)
{
    if (call->dispatched) {
        call->finished = true;
        call->input_over = true; /* nobody is left to hear it */
        tn_call_let_go(call);
    }
}

void tn_call_finish(struct tn_call *call, enum tn_grpc_status status, struct tn_str message)
{
    TN_ASSERT(!call->finished);
    if (is_heard(call)) {
        TN_ASSERT(call->info.kind == TN_CALL_GRPC);
        end_grpc(call, status, message);
    }
    handler_done(call);
}

void tn_call_set_http_status(struct tn_call *call, unsigned http_status, struct tn_str content_type)
{
    TN_ASSERT(call->cancelled || !call->headers_out);
    call->http_status = http_status;
    char *copy = tn_arena_copy_str(&call->arena, content_type);
    call->content_type = tn_str_make(copy, copy != NULL ? content_type.size : 0);
}

static void end_http(struct tn_call *call)
{
    call->ended = true;
    tn_call_count(call, call->http_status);
    call->wire->i->output(call->wire, call);
}

void tn_call_reply(struct tn_call *call, unsigned http_status, struct tn_str content_type,
                   const struct tn_piece *pieces, size_t count)
{
    TN_ASSERT(!call->finished);
    if (!is_heard(call)) {
        unref_pieces(pieces, count);
        handler_done(call);
        return;
    }
    TN_ASSERT(call->info.kind == TN_CALL_HTTP);
    if (!call->streamed) {
        tn_call_set_http_status(call, http_status, content_type);
        call->length_out = pieces_size(pieces, count);
        if (call->head || http_status == HTTP_NO_CONTENT || http_status == HTTP_NOT_MODIFIED) {
            unref_pieces(pieces, count);
        } else if (queue(call, pieces, count) < 0) {
            unref_pieces(pieces, count);
            call->http_status = HTTP_NO_MEMORY;
            call->length_out = 0;
        }
    } else if (count > 0 && queue(call, pieces, count) < 0) {
        unref_pieces(pieces, count);
        call->close = true; /* a body cut short must not look complete */
        call->broken = true;
    }
    end_http(call);
    handler_done(call);
}

static void tell_cancelled(struct tn_call *call)
{
    const struct tn_handler *handler = &call->route->handler;
    if (call->dispatched && !call->finished && handler->cancelled != NULL) {
        handler->cancelled(handler->context, call);
    }
}

void tn_call_abort(struct tn_call *call, enum tn_grpc_status status, const char *message)
{
    if (!is_heard(call)) {
        return;
    }
    call->input_over = true;
    if (call->info.kind == TN_CALL_GRPC) {
        tn_call_drop_output(call);
        end_grpc(call, status, tn_str_from(message));
    } else if (!call->headers_out) {
        tn_call_drop_output(call);
        tn_call_set_http_status(call, HTTP_TIMEOUT, tn_str_make("", 0));
        call->length_out = 0;
        end_http(call);
    } else {
        call->close = true;
        call->broken = true;
        end_http(call);
    }
    call->cancelled = true;
    tell_cancelled(call);
}

void tn_call_expire(struct tn_call *call)
{
    static const char message[] = "the deadline passed";
    if (call->dispatched) {
        tn_call_abort(call, TN_GRPC_DEADLINE_EXCEEDED, message);
    } else {
        tn_call_refuse(call, TN_REFUSAL_COUNT, TN_GRPC_DEADLINE_EXCEEDED, HTTP_TIMEOUT, message);
    }
}
