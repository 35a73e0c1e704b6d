/* Addresses of a target; see client_lookup.h. */
#include "rpc/client_lookup.h"

#include "base/mem.h"

#include <stdio.h>
#include <sys/un.h>
#include <uv.h>

struct tn_client_resolve {
    uv_getaddrinfo_t request;
    struct tn_client_lookup *lookup; /* NULL: stopped */
};

static void add(struct tn_client_lookup *lookup, const void *address, size_t size)
{
    if (lookup->count < TN_CLIENT_ADDRESSES_MAX && size <= sizeof(struct sockaddr_storage)) {
        struct tn_client_address *to = &lookup->addresses[lookup->count++];
        memcpy(&to->address, address, size);
        to->size = (socklen_t)size;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct tn_client_resolve *resolve = (struct tn_client_resolve *)(void *)request;
    struct tn_client_lookup *lookup = resolve->lookup;
    if (lookup != NULL) {
        lookup->resolve = NULL;
        for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
            add(lookup, at->ai_addr, at->ai_addrlen);
        }
        const char *empty = lookup->count == 0 ? "the name has no address" : NULL;
        lookup->done(lookup, status != 0 ? uv_strerror(status) : empty);
    }
    uv_freeaddrinfo(found);
    tn_mem_give(resolve);
}

static enum tn_err resolve_name(struct tn_client_lookup *lookup, struct tn_loop *loop,
                                const struct tn_client_target *target)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)target->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct tn_client_resolve *resolve = tn_mem_take_zeroed(1, sizeof(*resolve));
    if (resolve == NULL) {
        return TN_NOMEM;
    }
    resolve->lookup = lookup;
    int failed = uv_getaddrinfo(tn_loop_uv(loop), &resolve->request, on_resolved, target->host,
                                port, &hints);
    if (failed != 0) {
        tn_mem_give(resolve);
        return failed == UV_ENOMEM ? TN_NOMEM : TN_UNAVAILABLE;
    }
    lookup->resolve = resolve;
    return TN_AGAIN;
}

enum tn_err tn_client_lookup_start(struct tn_client_lookup *lookup, struct tn_loop *loop,
                                   const struct tn_client_target *target,
                                   void (*done)(struct tn_client_lookup *lookup,
                                                const char *problem))
{
    lookup->count = 0;
    lookup->done = done;
    lookup->resolve = NULL;
    if (target->is_unix) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, target->host, strlen(target->host));
        add(lookup, &address, sizeof(address));
        return TN_OK;
    }
    if (!target->is_literal) {
        return resolve_name(lookup, loop, target);
    }
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(target->host, target->port, &v4) == 0) {
        add(lookup, &v4, sizeof(v4));
    } else if (uv_ip6_addr(target->host, target->port, &v6) == 0) {
        add(lookup, &v6, sizeof(v6));
    }
    return TN_OK;
}

void tn_client_lookup_stop(struct tn_client_lookup *lookup)
{
    if (lookup->resolve != NULL) {
        lookup->resolve->lookup = NULL;
        (void)uv_cancel((uv_req_t *)&lookup->resolve->request); /* on_resolved comes either way */
        lookup->resolve = NULL;
    }
}
