/* Targets of clients; see client_target.h. Bounds: TN_TARGET_HOST_MAX, and a unix path that fits
 * sockaddr_un. */
#include "rpc/client_target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

static enum tn_err refuse(struct tn_fault *fault, const char *text)
{
    return tn_fault_set(fault, TN_INVALID,
                        "'%s' is no target: write host:port, [ipv6]:port or unix:/path", text);
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++) {
        port = port * 10 + (unsigned)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || port == 0 || port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* What may stand in a Host header and in a name. */
static bool host_is_clean(struct tn_str host)
{
    for (size_t i = 0; i < host.size; i++) {
        uint8_t byte = (uint8_t)host.data[i];
        if (byte <= ' ' || byte >= 0x7f || strchr("/?#@,\\[]", byte) != NULL) {
            return false;
        }
    }
    return host.size > 0 && host.size <= TN_TARGET_HOST_MAX;
}

enum tn_err tn_client_target_parse(const char *text, struct tn_client_target *ret_target,
                                   struct tn_fault *fault)
{
    struct tn_client_target target = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        struct sockaddr_un address;
        size_t size = strlen(text + 5);
        if (size == 0 || size >= sizeof(address.sun_path)) {
            return refuse(fault, text);
        }
        memcpy(target.host, text + 5, size);
        target.is_unix = true;
        snprintf(target.authority, sizeof(target.authority), "localhost");
        *ret_target = target;
        return TN_OK;
    }
    bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *end = strrchr(host, bracketed ? ']' : ':');
    if (end == NULL || (bracketed && end[1] != ':')) {
        return refuse(fault, text);
    }
    struct tn_str name = tn_str_make(host, (size_t)(end - host));
    bool colons = name.size > 0 && memchr(name.data, ':', name.size) != NULL;
    if (!host_is_clean(name) || colons != bracketed ||
        !parse_port(end + (bracketed ? 2 : 1), &target.port)) {
        return refuse(fault, text);
    }
    memcpy(target.host, name.data, name.size);
    uint8_t address[sizeof(struct in6_addr)];
    target.is_literal = inet_pton(bracketed ? AF_INET6 : AF_INET, target.host, address) == 1;
    if (bracketed && !target.is_literal) {
        return refuse(fault, text);
    }
    snprintf(target.authority, sizeof(target.authority), bracketed ? "[%s]:%u" : "%s:%u",
             target.host, (unsigned)target.port);
    *ret_target = target;
    return TN_OK;
}
