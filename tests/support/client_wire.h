/* The client's protocol cores without a socket, for fuzzers and simulations: a client whose loop
 * never runs, a wire, calls on it, and bytes in and out by hand. */
#ifndef TN_TESTS_CLIENT_WIRE_H
#define TN_TESTS_CLIENT_WIRE_H

#include "rpc/client_state.h"

struct client_wire {
    struct tn_loop *loop;
    struct tn_client *client;
    struct tn_client_wire *wire;
    uint8_t *out_data; /* of `out` */
    struct tn_out out;
};

void client_wire_open(struct client_wire *wire);
void client_wire_close(struct client_wire *wire);

/* A new connection of HTTP/1.1 or HTTP/2; false without memory. */
bool client_wire_connect(struct client_wire *wire, bool http2);

/* Ends what is open, as the loss of the connection does. */
void client_wire_disconnect(struct client_wire *wire);

/* Waiting calls begin as far as the wire takes them; cancelled ones end. */
void client_wire_turn(struct client_wire *wire);

/* What the client sends now, appended to `bytes`. False: the wire failed. */
bool client_wire_collect(struct client_wire *wire, struct tn_buf *bytes);

/* Bytes of the server; they are copied, as the parser may change them. False: broken. */
bool client_wire_receive(struct client_wire *wire, struct tn_bytes bytes);

#endif
