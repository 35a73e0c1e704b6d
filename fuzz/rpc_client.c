/* The client of HTTP/1.1 and HTTP/2 against a server that sends anything: no bytes crash it, each
 * call ends exactly once, and its memory comes back.
 *
 * Byte 0 chooses the protocol, the kinds of the calls, and the seed of the cuts; the rest is what
 * the server sends. */
#include "base/mem.h"
#include "core/assert.h"
#include "tests/support/client_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 3 };

static struct client_wire world;
static unsigned ended[CALLS];
static bool cancels;

static void on_headers(void *user, struct tn_client_call *call, unsigned http_status,
                       const struct tn_header *headers, size_t count)
{
    (void)user;
    (void)http_status;
    for (size_t i = 0; i < count; i++) {
        TN_ASSERT(tn_header_value_is_valid(headers[i].value));
    }
    if (cancels && count > 3) {
        tn_client_cancel(call);
    }
}

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)user;
    TN_ASSERT(message->size <= 1 << 20);
    if (cancels && message->size > 3) {
        tn_client_cancel(call);
    }
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    TN_ASSERT(end->err <= TN_OK && (unsigned)end->grpc_status <= TN_GRPC_UNAUTHENTICATED);
    (*(unsigned *)user)++;
}

static const struct tn_client_events events = {on_headers, on_message, NULL, on_ended};

static void start_call(size_t index, uint8_t choice)
{
    bool grpc = (choice & 1) != 0 && (choice >> index & 8) != 0;
    const struct tn_client_request request = {
        .kind = grpc ? TN_CALL_GRPC : TN_CALL_HTTP,
        .method = index == 1 ? TN_STR_OF("HEAD") : TN_STR_OF("POST"),
        .path = TN_STR_OF("/t.E/Unary"),
        .no_body = index == 1,
        .events = &events,
        .user = &ended[index],
    };
    struct tn_client_call *call = NULL;
    enum tn_err err = tn_client_call_create(world.client, &request, &call);
    TN_ASSERT(err >= 0);
    tn_timer_init(&call->timer, world.loop, NULL);
    tn_client_calls_add(&world.client->waiting, call);
    if (!request.no_body || grpc) {
        struct tn_piece piece = {tn_bytes_make("hello", 5), NULL};
        err = tn_client_send(call, &piece, 1, index != 2);
        TN_ASSERT(err >= 0);
    }
}

static size_t cut(uint32_t *state, size_t left)
{
    *state = *state * 1664525u + 1013904223u;
    size_t size = 1 + (*state >> 24) * (*state >> 24) / 64;
    return size < left ? size : left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (world.client == NULL) {
        client_wire_open(&world);
    }
    memset(ended, 0, sizeof(ended));
    cancels = (data[0] & 4) != 0;
    bool well = client_wire_connect(&world, (data[0] & 1) != 0);
    TN_ASSERT(well);
    for (size_t i = 0; i < CALLS; i++) {
        start_call(i, data[0]);
    }
    struct tn_buf sent;
    tn_buf_init(&sent, 0);
    uint32_t state = data[0];
    for (size_t at = 1; at < size && well && !world.wire->over;) {
        client_wire_turn(&world);
        well = client_wire_collect(&world, &sent);
        size_t part = (data[0] & 2) != 0 ? size - at : cut(&state, size - at);
        well = well && client_wire_receive(&world, tn_bytes_make(data + at, part));
        at += part;
    }
    client_wire_disconnect(&world);
    for (size_t i = 0; i < CALLS; i++) {
        TN_ASSERT(ended[i] == 1);
    }
    TN_ASSERT(world.client->call_count == 0);
    tn_buf_deinit(&sent);
    return 0;
}
