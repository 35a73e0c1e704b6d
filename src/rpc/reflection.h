/* gRPC server reflection (v1 and v1alpha), so that grpcurl and its like know the services without
 * .proto files. It shows the files it is given, and the files those import.
 *
 * Memory: one table of symbols on the heap; an arena and a block a request. Threads: create before
 * listen, destroy after the server; read only in between. Bounds: REQUEST_BYTES_MAX a request. */
#ifndef TN_RPC_REFLECTION_H
#define TN_RPC_REFLECTION_H

#include "core/pb.h"
#include "rpc/server.h"

struct tn_reflection;

/* Registers the routes and shows `files` (which must be static), and reflection itself. TN_NOMEM,
 * TN_EXISTS. */
TN_MUST enum tn_err tn_reflection_create(struct tn_server *server,
                                         const struct tn_pb_file *const *files, size_t file_count,
                                         struct tn_reflection **ret_reflection);
void tn_reflection_destroy(struct tn_reflection *reflection); /* NULL accepted */

#endif
