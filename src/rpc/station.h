/* One loop's shell of a server: listeners, connections and the end of the turn.
 *
 *   readable -> one read(2) into `in` -> wire -> handlers -> marked dirty
 *   end of turn: each dirty connection is collected into `out` and written by one writev(2)
 *
 * Memory: two buffers a loop, shared by all its connections. Threads: the loop's; other threads
 * push commands to the inbox. Bounds: the server's limits. */
#ifndef TN_RPC_STATION_H
#define TN_RPC_STATION_H

#include "base/loop.h"
#include "rpc/lane.h"

enum { TN_STATION_IN = 256 << 10, TN_STATION_OUT = 256 << 10 };

struct tn_conn;
struct tn_listener;
struct tn_tls;

/* What the stations of a server share. */
struct tn_station_shared {
    struct tn_meter meter;
    struct tn_router router;
    atomic_size_t buffered_bytes;
    atomic_size_t connections;
};

struct tn_station {
    struct tn_lane lane;
    struct tn_station_shared *shared;
    struct tn_turn_hook hook;
    struct tn_inbox inbox;
    struct tn_conn *conns;
    size_t conn_count;
    struct tn_conn *dirty;
    struct tn_listener *listeners;
    uint8_t *in;
    struct tn_out out;
    bool inbox_ready;
    bool hooked;
    bool draining;
    /* Set while draining: called once, when the last connection is gone. */
    void (*drained)(struct tn_station *station);
    struct tn_timer drain_timer;
    size_t cut; /* calls cut off by the end of the drain */
};

/* Station on a loop that does not run yet, or on the calling one. TN_NOMEM. */
TN_MUST enum tn_err tn_station_init(struct tn_station *station, const struct tn_lane_options *lane,
                                    struct tn_station_shared *shared);

/* Closes its listeners and connections at once. */
void tn_station_cut(struct tn_station *station);

/* Closes everything; handles finish closing when the loop ends or runs on. */
void tn_station_deinit(struct tn_station *station);

/* Any thread: the loop takes over the listening socket `fd`. On failure the caller keeps it. */
struct tn_station_listen {
    int fd;
    struct tn_tls *tls;
    unsigned routes;
};
TN_MUST enum tn_err tn_station_listen(struct tn_station *station,
                                      const struct tn_station_listen *listen);

/* Any thread: drain until empty or `deadline_ns`, then `drained` on the loop. */
TN_MUST enum tn_err tn_station_drain(struct tn_station *station, uint64_t deadline_ns,
                                     void (*drained)(struct tn_station *station));

/* From a connection that went away. */
void tn_station_check_drained(struct tn_station *station);

#endif
