/* Paths to handlers; see router.h. FNV-1a over some 40 bytes and one comparison: about 40 ns.
 * An HTTP path costs one look-up for each '/' in it, at most PREFIXES_MAX, so that a path made of
 * slashes does not become work; a prefix has fewer segments than that. Memory: heap. Threads:
 * readers after the last add. */
#include "rpc/router.h"

#include "base/mem.h"
#include "core/assert.h"

enum { ROOM_FIRST = 64, PREFIXES_MAX = 32 };

static uint64_t hash_of(enum tn_call_kind kind, struct tn_str path)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)kind;
    for (size_t i = 0; i < path.size; i++) {
        hash = (hash ^ (uint8_t)path.data[i]) * UINT64_C(1099511628211);
    }
    return hash ^ hash >> 32;
}

void tn_router_init(struct tn_router *router)
{
    *router = (struct tn_router){0};
}

void tn_router_deinit(struct tn_router *router)
{
    if (router == NULL) {
        return;
    }
    for (size_t i = 0; i < router->room; i++) {
        tn_mem_give(router->slots[i]);
    }
    tn_mem_give(router->slots);
    *router = (struct tn_router){0};
}

/* The slot of this path, or the empty one where it would go. */
static struct tn_route **slot_of(struct tn_route **slots, size_t room, enum tn_call_kind kind,
                                 struct tn_str path, uint64_t hash)
{
    size_t at = hash & (room - 1);
    while (slots[at] != NULL) {
        struct tn_route *route = slots[at];
        if (route->hash == hash && route->kind == kind && tn_str_equal(route->path, path)) {
            break;
        }
        at = (at + 1) & (room - 1);
    }
    return &slots[at];
}

static enum tn_err grow(struct tn_router *router)
{
    size_t room = router->room > 0 ? router->room * 2 : ROOM_FIRST;
    struct tn_route **slots = tn_mem_take_zeroed(room, sizeof(*slots));
    if (slots == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < router->room; i++) {
        struct tn_route *route = router->slots[i];
        if (route != NULL) {
            *slot_of(slots, room, route->kind, route->path, route->hash) = route;
        }
    }
    tn_mem_give(router->slots);
    router->slots = slots;
    router->room = room;
    return TN_OK;
}

enum tn_err tn_router_add(struct tn_router *router, enum tn_call_kind kind, struct tn_str path,
                          const struct tn_handler *handler, struct tn_route **ret_route)
{
    if (path.size == 0 || path.data[0] != '/') {
        return TN_INVALID;
    }
    if (router->count * 2 >= router->room) {
        enum tn_err err = grow(router);
        if (err < 0) {
            return err;
        }
    }
    /* "/v2/" and "/v2" are one prefix; the root is the empty one. */
    while (kind == TN_CALL_HTTP && path.size > 0 && path.data[path.size - 1] == '/') {
        path.size--;
    }
    uint64_t hash = hash_of(kind, path);
    struct tn_route **slot = slot_of(router->slots, router->room, kind, path, hash);
    if (*slot != NULL) {
        return TN_EXISTS;
    }
    struct tn_route *route = tn_mem_take(sizeof(*route) + path.size + 1);
    if (route == NULL) {
        return TN_NOMEM;
    }
    char *copy = (char *)(route + 1);
    memcpy(copy, path.data, path.size);
    copy[path.size] = '\0';
    *route = (struct tn_route){
        .path = tn_str_make(copy, path.size), .hash = hash, .kind = kind, .handler = *handler};
    *slot = route;
    router->count++;
    *ret_route = route;
    return TN_OK;
}

static const struct tn_route *find(const struct tn_router *router, enum tn_call_kind kind,
                                   struct tn_str path)
{
    return router->room == 0
               ? NULL
               : *slot_of(router->slots, router->room, kind, path, hash_of(kind, path));
}

const struct tn_route *tn_router_grpc(const struct tn_router *router, struct tn_str path)
{
    return find(router, TN_CALL_GRPC, path);
}

const struct tn_route *tn_router_http(const struct tn_router *router, struct tn_str path)
{
    const struct tn_route *best = find(router, TN_CALL_HTTP, tn_str_make("", 0));
    size_t tries = 0;
    for (size_t end = 1; end <= path.size && tries < PREFIXES_MAX; end++) {
        if (end == path.size || path.data[end] == '/') {
            const struct tn_route *route = find(router, TN_CALL_HTTP, tn_str_make(path.data, end));
            best = route != NULL ? route : best;
            tries++;
        }
    }
    return best;
}
