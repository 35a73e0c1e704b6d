/* The REST side of the Open Inference Protocol v2, with Triton's additions.
 *
 *   GET  /v2  /v2/health/{live,ready}  /v2/models/M[/versions/V][/ready|/config|/stats]
 *        /v2/models/stats  /v2/repository/index (POST too)  /v2/{system,cuda}sharedmemory[/...]
 *        /v2/trace/setting  /v2/models/M/trace/setting  /v2/logging  / (a page for people)
 *   POST /v2/models/M[/versions/V]/infer  /v2/repository/models/M/{load,unload}
 *        /v2/systemsharedmemory/{region/R/register, region/R/unregister, unregister}  settings
 *
 * Bodies are JSON; infer also takes and gives binary tensors behind the JSON
 * (Inference-Header-Content-Length). Errors are {"error": "..."}.
 * Memory: the call's arena. Threads: the I/O loops. */
#ifndef TN_SERVE_REST_H
#define TN_SERVE_REST_H

#include "rpc/server.h"
#include "serve/service.h"

TN_MUST enum tn_err tn_rest_route(struct tn_service *service, struct tn_server *server);

#endif
