/* The client's cores by hand; see client_wire.h. The functions of client.c that reach for a
 * connection are not called: no call is started while the client could connect. */
#include "tests/support/client_wire.h"

#include "base/mem.h"
#include "core/assert.h"

enum { OUT_ROOM = 256 << 10 };

void client_wire_open(struct client_wire *wire)
{
    memset(wire, 0, sizeof(*wire));
    struct tn_fault fault = {0};
    enum tn_err err = tn_loop_create("wire", &wire->loop, &fault);
    TN_ASSERT(err >= 0);
    const struct tn_client_options options = {
        .loop = wire->loop, .target = "unix:/nowhere", .message_bytes_max = 1 << 20};
    err = tn_client_create(&options, &wire->client, &fault);
    TN_ASSERT(err >= 0);
    wire->client->closing = true; /* it makes no connection of its own */
    wire->out_data = tn_mem_take(OUT_ROOM);
    TN_ASSERT(wire->out_data != NULL);
    tn_out_init(&wire->out, wire->out_data, OUT_ROOM);
}

void client_wire_close(struct client_wire *wire)
{
    client_wire_disconnect(wire);
    tn_client_destroy(wire->client);
    tn_loop_destroy(wire->loop);
    tn_mem_give(wire->out_data);
}

bool client_wire_connect(struct client_wire *wire, bool http2)
{
    TN_ASSERT(wire->wire == NULL);
    enum tn_err err = http2 ? tn_client_h2_create(wire->client, false, &wire->wire)
                            : tn_client_h1_create(wire->client, &wire->wire);
    return err >= 0;
}

static void end_all(struct tn_client_calls *calls, enum tn_err err)
{
    for (size_t left = calls->count; left > 0; left--) {
        struct tn_client_call *call = calls->first;
        struct tn_client_end end = call->end;
        if (call->state != TN_CLIENT_CALL_ENDING) {
            end = tn_client_end_of(err, "disconnected");
        }
        tn_client_call_end(call, &end);
    }
}

void client_wire_disconnect(struct client_wire *wire)
{
    if (wire->wire != NULL) {
        wire->wire->draining = true;
        wire->wire->i->eof(wire->wire);
        end_all(&wire->wire->calls, TN_UNAVAILABLE);
        wire->wire->i->destroy(wire->wire);
        wire->wire = NULL;
    }
    end_all(&wire->client->waiting, TN_UNAVAILABLE);
    end_all(&wire->client->ending, TN_UNAVAILABLE);
}

void client_wire_turn(struct client_wire *wire)
{
    struct tn_client_calls *waiting = &wire->client->waiting;
    end_all(&wire->client->ending, TN_UNAVAILABLE);
    while (wire->wire != NULL && waiting->first != NULL && wire->wire->i->is_free(wire->wire)) {
        struct tn_client_call *call = waiting->first;
        tn_client_calls_remove(call);
        enum tn_err err = wire->wire->i->begin(wire->wire, call);
        if (err < 0) {
            struct tn_client_end end = tn_client_end_of(err, "could not begin");
            tn_client_call_end(call, &end);
            continue;
        }
        call->state = TN_CLIENT_CALL_OPEN;
        call->wire = wire->wire;
        tn_client_calls_add(&wire->wire->calls, call);
    }
}

bool client_wire_collect(struct client_wire *wire, struct tn_buf *bytes)
{
    enum tn_err err = TN_AGAIN;
    while (err == TN_AGAIN) {
        err = wire->wire->i->collect(wire->wire, &wire->out);
        for (size_t i = 0; i < wire->out.count; i++) {
            tn_buf_put(bytes, wire->out.iov[i].iov_base, wire->out.iov[i].iov_len);
        }
        tn_out_clear(&wire->out);
    }
    return err >= 0;
}

bool client_wire_receive(struct client_wire *wire, struct tn_bytes bytes)
{
    uint8_t *copy = tn_mem_take(bytes.size);
    TN_ASSERT(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    enum tn_err err = wire->wire->i->receive(wire->wire, copy, bytes.size);
    tn_mem_give(copy);
    return err >= 0;
}
