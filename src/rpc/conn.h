/* One accepted connection: socket, TLS, sniffing, and the wire behind them.
 *
 *   ACCEPTED --[TLS handshake]--> SNIFFING --first bytes--> WIRE --over, error, time--> CLOSED
 *
 * Memory: this struct (some 500 bytes), a wire once bytes came. Threads: the station's loop. */
#ifndef TN_RPC_CONN_H
#define TN_RPC_CONN_H

#include "rpc/station.h"
#include "rpc/wire.h"

#include <uv.h>

struct tn_tls_conn;

enum { TN_CONN_SNIFF = 24, TN_CONN_PEER = 64 };

struct tn_conn {
    uv_poll_t poll;
    struct tn_station *station;
    struct tn_conn *next;
    struct tn_conn **link;
    struct tn_conn *dirty_next;
    struct tn_wire *wire; /* NULL: nothing came yet */
    struct tn_tls_conn *tls;
    struct tn_out_rest *rest; /* what the socket did not take */
    uint64_t rest_ns;         /* when it last took something */
    uint64_t start_ns;
    struct tn_timer timer;
    int fd;
    int events; /* that are polled for */
    unsigned routes;
    uint8_t sniff_size;
    bool dirty;
    bool closing;
    bool ended; /* the peer sends no more */
    bool shut;  /* we send no more */
    bool draining;
    char sniff[TN_CONN_SNIFF];
    char peer[TN_CONN_PEER];
};

/* Takes over an accepted, non-blocking socket; closes it on failure. */
void tn_conn_open(struct tn_station *station, int fd, const struct tn_station_listen *listen,
                  const char *peer);

/* End of the turn. */
void tn_conn_flush(struct tn_conn *conn);

void tn_conn_drain(struct tn_conn *conn);
void tn_conn_close(struct tn_conn *conn);

#endif
