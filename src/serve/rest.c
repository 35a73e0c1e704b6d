/* REST: which path means what. See rest.h. */
#include "serve/rest.h"

#include "core/assert.h"
#include "serve/rest_call.h"

enum { GET = 1, POST = 2, PARTS_MAX = 8, PART_BYTES_MAX = 512 };

static void on_live(struct tn_rest_call *rest)
{
    tn_rest_done(rest);
}

static void on_ready(struct tn_rest_call *rest)
{
    if (!tn_service_ready(rest->with.service)) {
        tn_fault_set(&rest->fault, TN_UNAVAILABLE, "the server is not ready");
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

static void on_model_ready(struct tn_rest_call *rest)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_service_entry(&rest->with, rest->arguments[0], rest->arguments[1], &entry);
    if (err == TN_OK && atomic_load(&rest->with.service->draining)) {
        err = tn_fault_set(&rest->fault, TN_UNAVAILABLE, "the server is shutting down");
    }
    if (err != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

static const struct route {
    const char *path; /* '*' stands for one part */
    unsigned methods;
    void (*run)(struct tn_rest_call *rest);
} routes[] = {
    {"v2/models/*/infer", POST, tn_rest_infer},
    {"v2/models/*/versions/*/infer", POST, tn_rest_infer},
    {"v2/health/live", GET, on_live},
    {"v2/health/ready", GET, on_ready},
    {"v2", GET, tn_rest_server_metadata},
    {"v2/models/stats", GET, tn_rest_model_stats},
    {"v2/models/*", GET, tn_rest_model_metadata},
    {"v2/models/*/versions/*", GET, tn_rest_model_metadata},
    {"v2/models/*/ready", GET, on_model_ready},
    {"v2/models/*/versions/*/ready", GET, on_model_ready},
    {"v2/models/*/config", GET, tn_rest_model_config},
    {"v2/models/*/versions/*/config", GET, tn_rest_model_config},
    {"v2/models/*/stats", GET, tn_rest_model_stats},
    {"v2/models/*/versions/*/stats", GET, tn_rest_model_stats},
    {"v2/models/*/trace/setting", GET | POST, tn_rest_trace},
    {"v2/trace/setting", GET | POST, tn_rest_trace},
    {"v2/logging", GET | POST, tn_rest_logging},
    {"v2/repository/index", GET | POST, tn_rest_repository_index},
    {"v2/repository/models/*/load", POST, tn_rest_load},
    {"v2/repository/models/*/unload", POST, tn_rest_unload},
    {"v2/systemsharedmemory/status", GET, tn_rest_shm_status},
    {"v2/systemsharedmemory/region/*/status", GET, tn_rest_shm_status},
    {"v2/systemsharedmemory/region/*/register", POST, tn_rest_shm_register},
    {"v2/systemsharedmemory/region/*/unregister", POST, tn_rest_shm_unregister},
    {"v2/systemsharedmemory/unregister", POST, tn_rest_shm_unregister},
    {"v2/cudasharedmemory/status", GET, tn_rest_cuda_status},
    {"v2/cudasharedmemory/region/*/status", GET, tn_rest_cuda_status},
    {"v2/cudasharedmemory/region/*/register", POST, tn_rest_cuda_register},
    {"v2/cudasharedmemory/region/*/unregister", POST, tn_rest_cuda_unregister},
    {"v2/cudasharedmemory/unregister", POST, tn_rest_cuda_unregister},
    {"", GET, tn_rest_page},
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-encoding away; false: a wrong escape or a zero byte. */
static bool decode(struct tn_str part, struct tn_arena *arena, struct tn_str *ret)
{
    if (memchr(part.data, '%', part.size) == NULL) {
        *ret = part;
        return true;
    }
    char *out = tn_arena_take(arena, part.size, 1);
    size_t size = 0;
    for (size_t i = 0; out != NULL && i < part.size; i++) {
        if (part.data[i] != '%') {
            out[size++] = part.data[i];
            continue;
        }
        int high = i + 2 < part.size ? hex_digit(part.data[i + 1]) : -1;
        int low = i + 2 < part.size ? hex_digit(part.data[i + 2]) : -1;
        if (high < 0 || low < 0 || (high | low) == 0) {
            return false;
        }
        out[size++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret = tn_str_make(out, size);
    return out != NULL;
}

/* Takes the part up to the next '/'. */
static struct tn_str take_part(struct tn_str *rest)
{
    const char *slash = rest->size > 0 ? memchr(rest->data, '/', rest->size) : NULL;
    size_t size = slash != NULL ? (size_t)(slash - rest->data) : rest->size;
    struct tn_str part = tn_str_make(rest->data, size);
    *rest = tn_str_from_offset(*rest, size + 1);
    return part;
}

static bool matches(const struct route *route, struct tn_str path, struct tn_rest_call *rest)
{
    struct tn_str pattern = tn_str_from(route->path);
    size_t arguments = 0;
    while (pattern.size > 0 && path.size > 0) {
        struct tn_str expected = take_part(&pattern);
        struct tn_str part = take_part(&path);
        if (!tn_str_is(expected, "*")) {
            if (!tn_str_equal(expected, part)) {
                return false;
            }
        } else if (part.size == 0 ||
                   !decode(part, rest->with.arena, &rest->arguments[arguments++])) {
            return false;
        }
    }
    return pattern.size == 0 && path.size == 0;
}

static unsigned method_of(struct tn_str method)
{
    return tn_str_is(method, "GET") || tn_str_is(method, "HEAD") ? GET
           : tn_str_is(method, "POST")                           ? POST
                                                                 : 0;
}

static void dispatch(struct tn_rest_call *rest)
{
    const struct tn_call_info *info = tn_call_info(rest->call);
    struct tn_str path = tn_str_from_offset(info->path, 1);
    unsigned method = method_of(info->method);
    bool known = false;
    for (size_t i = 0; i < TN_COUNT(routes); i++) {
        if (!matches(&routes[i], path, rest)) {
            rest->arguments[0] = rest->arguments[1] = (struct tn_str){0};
            continue;
        }
        if ((routes[i].methods & method) != 0) {
            routes[i].run(rest);
            return;
        }
        known = true;
        break;
    }
    if (known) {
        struct tn_str text = TN_STR("{\"error\":\"this path has no such method\"}");
        tn_rest_reply_text(rest, 405, TN_STR_OF("application/json"), text);
        return;
    }
    tn_fault_set(&rest->fault, TN_NOTFOUND, "no such path: %.*s", TN_STR_ARG(info->path));
    tn_rest_fail(rest);
}

static void on_request(void *context, struct tn_call *call)
{
    struct tn_service *service = context;
    struct tn_block *body = tn_call_body(call);
    struct tn_rest_call *rest = TN_ARENA_NEW(tn_call_arena(call), struct tn_rest_call);
    if (rest == NULL) {
        tn_call_reply(call, 503, TN_STR_OF("text/plain"), NULL, 0);
        return;
    }
    rest->call = call;
    rest->body = tn_str_make((const char *)body->data, body->size);
    rest->with = (struct tn_service_call){
        .service = service,
        .lane = tn_service_lane(service, tn_call_loop(call)),
        .arena = tn_call_arena(call),
        .authorization = tn_call_header(call, TN_STR_OF("authorization")),
        .fault = &rest->fault,
    };
    dispatch(rest);
}

static void on_cancelled(void *context, struct tn_call *call)
{
    (void)context;
    tn_rest_infer_cancelled(call);
}

enum tn_err tn_rest_route(struct tn_service *service, struct tn_server *server)
{
    struct tn_handler handler = {
        .request = on_request, .cancelled = on_cancelled, .context = service};
    return tn_server_route_http(server, TN_STR_OF("/"), &handler);
}
