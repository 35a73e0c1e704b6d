/* gRPC health checking (grpc.health.v1: Check, List, Watch): one status a service, and "" for the
 * server as a whole, which starts as NOT_SERVING.
 *
 *   set (any thread) --> table --> an inbox a loop --> watchers of that loop whose status differs
 *
 * A watcher is told the newest status, not each one in between. Memory: one table on the heap,
 * watchers in their calls' arenas. Threads: set and remove from any; create before listen, destroy
 * after tn_server_destroy, which still cancels the watchers, and before the loops go.
 * Bounds: TN_HEALTH_SERVICES_MAX services; watchers are streams of the server's limits. */
#ifndef TN_RPC_HEALTH_H
#define TN_RPC_HEALTH_H

#include "rpc/server.h"

enum { TN_HEALTH_SERVICES_MAX = 4096 };

struct tn_health;

/* Registers the routes. TN_NOMEM, TN_EXISTS. */
TN_MUST enum tn_err tn_health_create(struct tn_server *server, struct tn_health **ret_health);
void tn_health_destroy(struct tn_health *health); /* NULL accepted */

/* `service` is copied. TN_NOMEM, TN_LIMIT. */
TN_MUST enum tn_err tn_health_set(struct tn_health *health, struct tn_str service, bool serving);

/* The service is unknown from now on. */
void tn_health_remove(struct tn_health *health, struct tn_str service);

/* Everything is NOT_SERVING and stays so: the server drains. */
void tn_health_shut(struct tn_health *health);

#endif
