/* One connection of a client: from the target's name to a wire that takes calls.
 *
 *   create -> (client.c is told: tn_client_conn_ready) -> flush each turn -> (tn_client_conn_gone)
 *
 * Threads: the client's loop. */
#ifndef TN_RPC_CLIENT_CONN_H
#define TN_RPC_CLIENT_CONN_H

#include "rpc/client_state.h"

/* Whether bytes, an end or an error wait in the socket. */
bool tn_client_conn_has_news(const struct tn_client_conn *conn);

/* Begins to connect; everything else is told later. */
TN_MUST enum tn_err tn_client_conn_create(struct tn_client *client,
                                          struct tn_client_conn **ret_conn);
bool tn_client_conn_is_ready(const struct tn_client_conn *conn);
struct tn_client_wire *tn_client_conn_wire(struct tn_client_conn *conn); /* NULL: not ready */
/* The end of the turn: writes what the wire has, notices what failed. */
void tn_client_conn_flush(struct tn_client_conn *conn);
struct tn_client_conn *tn_client_conn_next(struct tn_client_conn *conn);
/* A call was given to it: watch for silence. */
void tn_client_conn_watch(struct tn_client_conn *conn);
/* Ends its calls and closes at once. */
void tn_client_conn_break(struct tn_client_conn *conn, enum tn_err err, const char *problem);

#endif
