/* Client and server of room rpc, both real, joined by two pipes in memory that cut, delay and
 * break.
 *
 * A seed chooses everything: which calls start, when parts of them are sent, when the server's
 * handlers answer, who is cancelled, how many bytes move which way and when, and when the
 * connection is lost. What must hold: every call ends exactly once; a call that nobody disturbed
 * ends well with the bytes it sent, in order; the server's handlers finish every call that began;
 * all memory is back.
 *
 * Usage: sim_rpc_wire [SEEDS [FIRST]]      or: sim_rpc_wire --corpus FOLDER   (seeds for the fuzzer
 * of the client: what the server sent in ten runs)
 * Memory: the heap. Threads: one. Bounds: STEPS a seed. */
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"
#include "rpc/conn_http1.h"
#include "rpc/http2.h"
#include "tests/support/client_wire.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CALLS = 64,
    PENDING = 256,
    STEPS = 1500,
    MESSAGES_MAX = 12,
    OUT_ROOM = 256 << 10,
    RECORD_BYTES = 20000
};

struct exchange {
    struct tn_client_call *call; /* NULL: over */
    bool grpc, stream, fails, disturbed;
    size_t ended, sent, received; /* messages */
    size_t planned;
    enum tn_err err;
};

struct world {
    uint64_t random;
    bool http2;
    struct tn_lane lane;
    struct tn_router router;
    struct tn_meter meter;
    atomic_size_t buffered;
    struct tn_wire *server;
    struct client_wire client;
    struct tn_buf to_server, to_client;
    struct tn_call *pending[PENDING]; /* calls whose handler answers later */
    size_t pending_count;
    size_t begun, finished;
    struct exchange exchanges[CALLS];
    size_t exchange_count;
    struct tn_buf *record; /* of what the server sends; NULL: not wanted */
    uint8_t out_data[OUT_ROOM];
};

static struct world world;

static size_t below(size_t bound)
{
    world.random ^= world.random >> 12;
    world.random ^= world.random << 25;
    world.random ^= world.random >> 27;
    return (size_t)((world.random * UINT64_C(2685821657736338717)) >> 33) % bound;
}

/* ---- the server's handlers ---- */

static void send_block(struct tn_call *call, struct tn_block *block)
{
    struct tn_piece piece = {tn_bytes_make(block->data, block->size), tn_block_ref(block)};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(block);
    }
}

static void finish(struct tn_call *call)
{
    world.finished++;
    struct tn_str path = tn_call_info(call)->path;
    if (tn_call_info(call)->kind == TN_CALL_HTTP) {
        struct tn_block *body = tn_call_body(call);
        struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
        tn_call_reply(call, 200, TN_STR_OF("a/b"), &piece, 1);
    } else if (tn_str_is(path, "/fail")) {
        tn_call_finish(call, TN_GRPC_ABORTED, TN_STR_OF("as asked"));
    } else {
        if (tn_str_is(path, "/unary")) {
            send_block(call, tn_call_body(call));
        }
        tn_call_finish(call, TN_GRPC_OK, TN_STR_OF(""));
    }
}

static void finish_later(struct tn_call *call)
{
    if (below(2) == 0 || world.pending_count == PENDING) {
        finish(call);
        return;
    }
    world.pending[world.pending_count++] = call;
}

static void finish_pending(size_t at)
{
    struct tn_call *call = world.pending[at];
    world.pending[at] = world.pending[--world.pending_count];
    finish(call);
}

static void on_request(void *context, struct tn_call *call)
{
    (void)context;
    world.begun++;
    if (!tn_str_is(tn_call_info(call)->path, "/stream")) {
        finish_later(call);
    }
}

static void on_stream_message(void *context, struct tn_call *call, struct tn_block *message)
{
    (void)context;
    send_block(call, message);
}

static void on_stream_end(void *context, struct tn_call *call)
{
    (void)context;
    finish_later(call);
}

/* Also for calls that wait in `pending`: those are finished once, here. */
static void on_server_cancel(void *context, struct tn_call *call)
{
    (void)context;
    for (size_t i = 0; i < world.pending_count; i++) {
        if (world.pending[i] == call) {
            finish_pending(i);
            return;
        }
    }
    finish(call);
}

/* ---- the client's calls ---- */

static size_t message_size(size_t exchange, size_t index)
{
    size_t mix = exchange * 7919 + index * 104729;
    return mix % 5 == 0 ? mix % 30000 : mix % 200;
}

static void send_next(size_t at)
{
    struct exchange *exchange = &world.exchanges[at];
    size_t size = message_size(at, exchange->sent);
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_create(size, &block);
    TN_ASSERT(err >= 0);
    memset(block->data, (int)(at + exchange->sent), size);
    block->size = size;
    exchange->sent++;
    struct tn_piece piece = {tn_bytes_make(block->data, size), block};
    err = tn_client_send(exchange->call, &piece, 1, exchange->sent == exchange->planned);
    TN_ASSERT(err >= 0);
}

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    struct exchange *exchange = user;
    size_t at = (size_t)(exchange - world.exchanges);
    TN_ASSERT(exchange->call == call && exchange->received < exchange->planned);
    size_t size = message_size(at, exchange->received);
    if (!exchange->grpc) { /* the parts of a body arrive as one */
        size = 0;
        for (size_t i = 0; i < exchange->planned; i++) {
            size += message_size(at, i);
        }
    }
    TN_ASSERT(message->size == size);
    for (size_t i = 0; exchange->grpc && i < size; i++) {
        TN_ASSERT(message->data[i] == (uint8_t)(at + exchange->received));
    }
    exchange->received++;
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    struct exchange *exchange = user;
    TN_ASSERT(exchange->call == call && exchange->ended == 0);
    exchange->ended++;
    exchange->call = NULL;
    exchange->err = end->err;
    size_t expected = exchange->fails ? 0 : exchange->grpc ? exchange->planned : 1;
    if (!exchange->disturbed) {
        TN_ASSERT(end->err == (exchange->fails ? TN_CONFLICT : TN_OK));
    }
    if (end->err == TN_OK) {
        TN_ASSERT(exchange->received == expected && exchange->sent == exchange->planned);
    }
}

static const struct tn_client_events events = {NULL, on_message, NULL, on_ended};

static void start_call(void)
{
    if (world.exchange_count == CALLS) {
        return;
    }
    size_t at = world.exchange_count++;
    struct exchange *exchange = &world.exchanges[at];
    static const char *const paths[] = {"/unary", "/stream", "/fail", "/http"};
    size_t choice = world.http2 ? below(4) : 3;
    exchange->grpc = choice != 3;
    exchange->stream = choice == 1;
    exchange->fails = choice == 2;
    exchange->planned = choice == 1 || choice == 3 ? 1 + below(MESSAGES_MAX) : 1;
    const struct tn_client_request request = {
        .kind = exchange->grpc ? TN_CALL_GRPC : TN_CALL_HTTP,
        .method = TN_STR_OF("POST"),
        .path = tn_str_from(paths[choice]),
        .events = &events,
        .user = exchange,
    };
    enum tn_err err = tn_client_call_create(world.client.client, &request, &exchange->call);
    TN_ASSERT(err >= 0);
    tn_timer_init(&exchange->call->timer, world.client.loop, NULL);
    tn_client_calls_add(&world.client.client->waiting, exchange->call);
    send_next(at);
}

static struct exchange *pick_open(void)
{
    size_t first = below(CALLS);
    for (size_t i = 0; i < CALLS; i++) {
        struct exchange *exchange = &world.exchanges[(first + i) % CALLS];
        if (exchange->call != NULL) {
            return exchange;
        }
    }
    return NULL;
}

static void send_more(void)
{
    struct exchange *exchange = pick_open();
    if (exchange != NULL && exchange->sent < exchange->planned &&
        exchange->call->state != TN_CLIENT_CALL_ENDING) {
        send_next((size_t)(exchange - world.exchanges));
    }
}

static void cancel_one(void)
{
    struct exchange *exchange = pick_open();
    if (exchange == NULL) {
        return;
    }
    exchange->disturbed = true;
    tn_client_cancel(exchange->call);
    /* In HTTP/1.1 the one behind it may lose the connection. */
}

/* ---- pipes ---- */

static void connect_wires(void)
{
    const struct tn_wire_options options = {
        .lane = &world.lane, .peer = TN_STR_OF("sim"), .peer_subject = TN_STR_OF("")};
    enum tn_err err = world.http2 ? tn_http2_create(&options, &world.server)
                                  : tn_conn_http1_create(&options, &world.server);
    TN_ASSERT(err >= 0);
    bool well = client_wire_connect(&world.client, world.http2);
    TN_ASSERT(well);
}

/* Calls that are open are disturbed from now on. */
static void lose_connection(void)
{
    for (size_t i = 0; i < world.exchange_count; i++) {
        world.exchanges[i].disturbed |= world.exchanges[i].call != NULL;
    }
    world.server->i->destroy(world.server);
    client_wire_disconnect(&world.client);
    tn_buf_reset(&world.to_server);
    tn_buf_reset(&world.to_client);
    connect_wires();
}

static void drop_front(struct tn_buf *pipe, size_t size)
{
    memmove(pipe->data, pipe->data + size, pipe->size - size);
    pipe->size -= size;
}

static void collect_server(void)
{
    struct tn_out out;
    enum tn_err err = TN_AGAIN;
    for (bool more = true; more;) {
        tn_out_init(&out, world.out_data, OUT_ROOM);
        err = world.server->i->collect(world.server, &out);
        for (size_t i = 0; i < out.count; i++) {
            tn_buf_put(&world.to_client, out.iov[i].iov_base, out.iov[i].iov_len);
            if (world.record != NULL && world.record->size + out.iov[i].iov_len < RECORD_BYTES) {
                tn_buf_put(world.record, out.iov[i].iov_base, out.iov[i].iov_len);
            }
        }
        tn_out_clear(&out);
        TN_ASSERT(err >= 0);
        more = err == TN_AGAIN || tn_wire_attend(world.server);
    }
}

static void move_to_server(size_t size)
{
    struct tn_buf *pipe = &world.to_server;
    size = size < pipe->size ? size : pipe->size;
    if (size == 0 || world.server->full) {
        return;
    }
    uint8_t *copy = tn_mem_take(size);
    TN_ASSERT(copy != NULL);
    memcpy(copy, pipe->data, size);
    drop_front(pipe, size);
    enum tn_err err = world.server->i->receive(world.server, tn_bytes_make(copy, size));
    TN_ASSERT(err >= 0);
    tn_mem_give(copy);
}

static void move_to_client(size_t size)
{
    struct tn_buf *pipe = &world.to_client;
    size = size < pipe->size ? size : pipe->size;
    if (size == 0) {
        return;
    }
    bool well = client_wire_receive(&world.client, tn_bytes_make(pipe->data, size));
    TN_ASSERT(well);
    drop_front(pipe, size);
}

static void collect_client(void)
{
    client_wire_turn(&world.client);
    bool well = client_wire_collect(&world.client, &world.to_server);
    TN_ASSERT(well);
    client_wire_turn(&world.client);
}

/* An HTTP/1.1 connection that cannot be used any more is replaced, as client.c does. */
static void replace_if_over(void)
{
    bool over = world.client.wire->over || world.server->i->is_over(world.server);
    if (over && world.client.wire->calls.count == 0 && world.to_client.size == 0) {
        struct tn_client_calls *waiting = &world.client.client->waiting;
        struct tn_client_calls later = *waiting;
        *waiting = (struct tn_client_calls){0}; /* they outlive the connection */
        lose_connection();
        *waiting = later;
        for (struct tn_client_call *call = later.first; call != NULL; call = call->next) {
            ((struct exchange *)call->user)->disturbed = false;
        }
    } else if (over) {
        lose_connection();
    }
}

static void step(bool breaks)
{
    switch (below(12)) {
    case 0:
        start_call();
        break;
    case 1:
    case 2:
        send_more();
        break;
    case 3:
        if (breaks && below(4) == 0) {
            cancel_one();
        }
        break;
    case 4:
        if (breaks && below(60) == 0) {
            lose_connection();
        }
        break;
    case 5:
        if (world.pending_count > 0) {
            finish_pending(below(world.pending_count));
        }
        break;
    case 6:
        collect_client();
        break;
    case 7:
        collect_server();
        break;
    case 8:
        world.lane.now_ns += below(1000000);
        break;
    case 9:
        move_to_server(1 + below(30));
        break;
    case 10:
        move_to_server(1 + below(20000));
        break;
    default:
        move_to_client(below(2) == 0 ? 1 + below(30) : 1 + below(20000));
        break;
    }
    replace_if_over();
}

static bool all_ended(void)
{
    for (size_t i = 0; i < world.exchange_count; i++) {
        if (world.exchanges[i].call != NULL) {
            return false;
        }
    }
    return true;
}

/* No more chance: everything that was begun is brought to its end. */
static void settle(void)
{
    for (size_t round = 0; round < 20000 && !all_ended(); round++) {
        for (size_t i = 0; i < world.exchange_count; i++) {
            struct exchange *exchange = &world.exchanges[i];
            if (exchange->call != NULL && exchange->sent < exchange->planned &&
                exchange->call->state != TN_CLIENT_CALL_ENDING) {
                send_next(i);
            }
        }
        while (world.pending_count > 0) {
            finish_pending(0);
        }
        collect_client();
        move_to_server(SIZE_MAX);
        collect_server();
        move_to_client(SIZE_MAX);
        replace_if_over();
    }
    TN_ASSERT(all_ended());
}

/* ---- one seed ---- */

static void open_world(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world.http2 = seed % 3 != 0;
    tn_router_init(&world.router);
    enum tn_err err = tn_meter_init(&world.meter, NULL);
    TN_ASSERT(err >= 0);
    const struct tn_lane_options options = {
        .router = &world.router, .meter = &world.meter, .buffered_bytes = &world.buffered};
    tn_lane_init(&world.lane, &options);
    world.lane.now_ns = UINT64_C(1000000000000);
    const struct tn_handler plain = {.request = on_request, .cancelled = on_server_cancel};
    const struct tn_handler stream = {.request = on_request,
                                      .message = on_stream_message,
                                      .ended = on_stream_end,
                                      .cancelled = on_server_cancel,
                                      .streaming = true};
    struct tn_route *route = NULL;
    err = tn_router_add(&world.router, TN_CALL_GRPC, TN_STR_OF("/unary"), &plain, &route);
    TN_ASSERT(err >= 0);
    err = tn_router_add(&world.router, TN_CALL_GRPC, TN_STR_OF("/fail"), &plain, &route);
    TN_ASSERT(err >= 0);
    err = tn_router_add(&world.router, TN_CALL_GRPC, TN_STR_OF("/stream"), &stream, &route);
    TN_ASSERT(err >= 0);
    err = tn_router_add(&world.router, TN_CALL_HTTP, TN_STR_OF("/http"), &plain, &route);
    TN_ASSERT(err >= 0);
    tn_buf_init(&world.to_server, 0);
    tn_buf_init(&world.to_client, 0);
    client_wire_open(&world.client);
    connect_wires();
}

static void close_world(void)
{
    world.server->i->destroy(world.server);
    client_wire_close(&world.client);
    while (world.pending_count > 0) {
        finish_pending(0);
    }
    TN_ASSERT(world.begun == world.finished);
    TN_ASSERT(atomic_load(&world.buffered) == 0);
    tn_lane_deinit(&world.lane);
    tn_router_deinit(&world.router);
    tn_buf_deinit(&world.to_server);
    tn_buf_deinit(&world.to_client);
}

static void run_seed(uint64_t seed, struct tn_buf *record, size_t *total, size_t *well)
{
    size_t live = tn_mem_live();
    open_world(seed);
    world.record = record;
    for (size_t i = 0; i < STEPS; i++) {
        step(seed % 4 != 0);
    }
    settle();
    for (size_t i = 0; i < world.exchange_count; i++) {
        TN_ASSERT(world.exchanges[i].ended == 1);
        *total += 1;
        *well += world.exchanges[i].err == TN_OK;
    }
    close_world();
    TN_ASSERT(tn_mem_live() == live);
}

static int write_corpus(const char *folder)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct tn_buf record;
        tn_buf_init(&record, RECORD_BYTES);
        TN_ASSERT(tn_buf_reserve(&record, RECORD_BYTES) != NULL); /* not counted as a leak */
        size_t total = 0;
        size_t well = 0;
        run_seed(seed, &record, &total, &well);
        char path[400];
        snprintf(path, sizeof(path), "%s/seed-%02u", folder, (unsigned)seed);
        FILE *file = fopen(path, "wb");
        if (file == NULL) {
            return 1;
        }
        fputc(seed % 3 != 0 ? 0x39 : 0x00, file);
        fwrite(record.data, 1, record.size, file);
        if (fclose(file) != 0) {
            return 1;
        }
        tn_buf_deinit(&record);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0) {
        return write_corpus(argv[2]);
    }
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    size_t total = 0;
    size_t well = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        fprintf(stderr, "\rseed %llu ", (unsigned long long)seed); /* the last one on a failure */
        run_seed(seed, NULL, &total, &well);
    }
    fprintf(stderr, "\n");
    printf("%llu seeds, %zu calls, %zu ended well\n", (unsigned long long)seeds, total, well);
    return well > total / 4 ? 0 : 1;
}
