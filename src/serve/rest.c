/* REST: paths to functions. See rest.h. */
#include "serve/rest.h"

#include "core/assert.h"

static void on_request(void *context, struct tn_call *call)
{
    struct tn_service *service = context;
    struct tn_str path = tn_call_info(call)->path;
    unsigned status = 404;
    if (tn_str_is(path, "/v2/health/live")) {
        status = 200;
    } else if (tn_str_is(path, "/v2/health/ready")) {
        status = tn_service_ready(service) ? 200 : 503;
    }
    tn_call_reply(call, status, TN_STR_OF("application/json"), NULL, 0);
}

enum tn_err tn_rest_route(struct tn_service *service, struct tn_server *server)
{
    struct tn_handler handler = {.request = on_request, .context = service};
    return tn_server_route_http(server, TN_STR_OF("/"), &handler);
}
