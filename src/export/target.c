/* The URL of an exporter's destination: scheme "://" host [":" port] [path]. */
#include "export/target.h"

#include "core/assert.h"

#include <stdio.h>

struct scheme {
    struct tn_str prefix;
    bool grpc, tls;
    unsigned port;
};

static const struct scheme schemes[] = {
    {TN_STR("http://"), false, false, 80},
    {TN_STR("https://"), false, true, 443},
    {TN_STR("grpc://"), true, false, 4317},
    {TN_STR("grpcs://"), true, true, 4317},
};

static bool text_is_printable(struct tn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((uint8_t)text.data[i] <= ' ' || (uint8_t)text.data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Size of the host at the start: in brackets for IPv6, else up to a colon. 0: there is none. */
static size_t host_size(struct tn_str authority)
{
    if (authority.size > 0 && authority.data[0] == '[') {
        const char *end = memchr(authority.data, ']', authority.size);
        return end != NULL && end - authority.data > 1 ? (size_t)(end - authority.data) + 1 : 0;
    }
    const char *colon = memchr(authority.data, ':', authority.size);
    return colon != NULL ? (size_t)(colon - authority.data) : authority.size;
}

static bool port_parse(struct tn_str text, unsigned *ret_port)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i == 5) {
            return false;
        }
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_port = port;
    return port >= 1 && port <= 65535;
}

static enum tn_err authority_parse(struct tn_str authority, unsigned port, struct tn_target *target,
                                   struct tn_fault *fault)
{
    if (authority.size > 0 && memchr(authority.data, '@', authority.size) != NULL) {
        return tn_fault_set(fault, TN_INVALID,
                            "a name and password in a URL end up in logs: use a header instead");
    }
    size_t size = authority.size > 0 ? host_size(authority) : 0;
    if (size == 0) {
        return tn_fault_set(fault, TN_INVALID, "the URL has no host");
    }
    struct tn_str rest = tn_str_from_offset(authority, size);
    bool has_port = rest.size > 0;
    if (has_port && (rest.data[0] != ':' || !port_parse(tn_str_from_offset(rest, 1), &port))) {
        return tn_fault_set(fault, TN_INVALID, "'%.*s' is no port: write host:port",
                            TN_STR_ARG(rest));
    }
    if (size + sizeof(":65535") > sizeof(target->address)) {
        return tn_fault_set(fault, TN_LIMIT, "the host is longer than %d bytes",
                            TN_TARGET_HOST_MAX - 7);
    }
    snprintf(target->address, sizeof(target->address), "%.*s:%u", (int)size, authority.data, port);
    return TN_OK;
}

static enum tn_err path_parse(struct tn_str path, struct tn_target *target, struct tn_fault *fault)
{
    if (path.size > 0 && memchr(path.data, '#', path.size) != NULL) {
        return tn_fault_set(fault, TN_INVALID, "the URL has a fragment (#), which is not sent");
    }
    if (target->grpc && path.size > 0 && !tn_str_is(path, "/")) {
        return tn_fault_set(fault, TN_INVALID,
                            "a gRPC target has no path: leave '%.*s' away, or use http://",
                            TN_STR_ARG(path));
    }
    bool query_first = path.size > 0 && path.data[0] == '?';
    if (path.size + 2 > sizeof(target->path)) {
        return tn_fault_set(fault, TN_LIMIT, "the path is longer than %d bytes",
                            TN_TARGET_PATH_MAX - 2);
    }
    snprintf(target->path, sizeof(target->path), "%s%.*s", path.size == 0 || query_first ? "/" : "",
             TN_STR_ARG(path));
    return TN_OK;
}

enum tn_err tn_target_parse(struct tn_str url, struct tn_target *ret_target, struct tn_fault *fault)
{
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < TN_COUNT(schemes); i++) {
        scheme = tn_str_starts(url, schemes[i].prefix) ? &schemes[i] : scheme;
    }
    if (scheme == NULL || !text_is_printable(url)) {
        return tn_fault_set(fault, TN_INVALID,
                            "'%.*s' is no http://, https://, grpc:// or grpcs:// URL",
                            url.size < 200 ? (int)url.size : 200, url.data != NULL ? url.data : "");
    }
    struct tn_str rest = tn_str_from_offset(url, scheme->prefix.size);
    size_t end = 0;
    while (end < rest.size && strchr("/?#", rest.data[end]) == NULL) {
        end++;
    }
    struct tn_target target = {.grpc = scheme->grpc, .tls = scheme->tls};
    enum tn_err err = authority_parse(tn_str_make(rest.data, end), scheme->port, &target, fault);
    err = err != TN_OK ? err : path_parse(tn_str_from_offset(rest, end), &target, fault);
    if (err == TN_OK) {
        *ret_target = target;
    }
    return err;
}
