/* HTTP/1.0 and 1.1 of a server on one connection: the parser of http1.h and answers in the order of
 * the requests. See wire.h for what it offers.
 *
 *   WAITING --head--> READING --end--> ANSWERING --answer out--> WAITING ...
 *                        '--- refused ---> ANSWERING --> LINGERING (reads and forgets) --> over
 *
 * One call at a time: bytes of pipelined requests wait (wire.full stops the reading), so the
 * answers need no order of their own.
 * Memory: one struct, a text buffer, waiting bytes up to one read. Threads: the lane's loop.
 * Bounds: the parser's, and in time the header, body and idle limits. */
#ifndef TN_RPC_CONN_HTTP1_H
#define TN_RPC_CONN_HTTP1_H

#include "rpc/wire.h"

/* TN_NOMEM. The wire's destroy frees it. */
TN_MUST enum tn_err tn_conn_http1_create(const struct tn_wire_options *options,
                                         struct tn_wire **ret_wire);

#endif
