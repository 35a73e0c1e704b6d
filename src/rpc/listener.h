/* Listening sockets: address texts, binding, accepting.
 *
 * A TCP port is bound once for each loop with SO_REUSEPORT, so the kernel spreads connections and
 * no loop accepts for another. A Unix socket is bound once and shared by all loops.
 * Threads: binding anywhere, accepting on the station's loop. */
#ifndef TN_RPC_LISTENER_H
#define TN_RPC_LISTENER_H

#include "rpc/station.h"

/* Binds and listens `count` sockets for the same address; fds[i] non-blocking. On failure none is
 * left open. Port 0 picks a free one for all. *ret_port is 0 for Unix sockets. */
TN_MUST enum tn_err tn_listener_bind(const char *address, unsigned port, int *fds, size_t count,
                                     unsigned *ret_port, struct tn_fault *fault);

struct tn_listener;

/* Accepts on `listen->fd` from now on; takes it over. TN_NOMEM, TN_IO: the caller keeps it. */
TN_MUST enum tn_err tn_listener_open(struct tn_station *station,
                                     const struct tn_station_listen *listen);

/* Stops and closes; also takes it off the station's list. */
void tn_listener_close(struct tn_listener *listener);

#endif
