/* Listening sockets; see listener.h. At most ACCEPT_BATCH connections are accepted an event, so
 * that a storm of them leaves time for those that are open. Out of descriptors, a listener sleeps
 * for a moment instead of spinning.
 * Memory: one struct a socket. Threads: as in the header. Bounds: connections_max over the server.
 */
#include "rpc/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ACCEPT_BATCH = 64 };

#define ACCEPT_PAUSE_NS (100 * TN_NS_PER_MS)

struct tn_listener {
    uv_poll_t poll;
    struct tn_station *station;
    struct tn_listener *next;
    struct tn_station_listen listen;
    struct tn_timer timer; /* ends a pause */
};

union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un path;
};

static const char unix_prefix[] = "unix:";

static enum tn_err parse_address(const char *text, unsigned port, union address *address,
                                 socklen_t *size, struct tn_fault *fault)
{
    memset(address, 0, sizeof(*address));
    if (strncmp(text, unix_prefix, sizeof(unix_prefix) - 1) == 0) {
        const char *path = text + sizeof(unix_prefix) - 1;
        if (path[0] == '\0' || strlen(path) >= sizeof(address->path.sun_path)) {
            return tn_fault_set(fault, TN_INVALID,
                                "listen address '%s': the path of a Unix socket has 1 to %zu bytes",
                                text, sizeof(address->path.sun_path) - 1);
        }
        address->path.sun_family = AF_UNIX;
        memcpy(address->path.sun_path, path, strlen(path) + 1);
        *size = sizeof(address->path);
        return TN_OK;
    }
    if (inet_pton(AF_INET, text, &address->ip4.sin_addr) == 1) {
        address->ip4.sin_family = AF_INET;
        address->ip4.sin_port = htons((uint16_t)port);
        *size = sizeof(address->ip4);
        return TN_OK;
    }
    if (inet_pton(AF_INET6, text, &address->ip6.sin6_addr) == 1) {
        address->ip6.sin6_family = AF_INET6;
        address->ip6.sin6_port = htons((uint16_t)port);
        *size = sizeof(address->ip6);
        return TN_OK;
    }
    return tn_fault_set(fault, TN_INVALID,
                        "listen address '%s' is neither an IP address nor unix:PATH", text);
}

/* A socket left by a process that died is in the way; a live one is not ours to remove. */
static void remove_stale(const union address *address)
{
    struct stat status;
    if (stat(address->path.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        if (connect(fd, &address->any, sizeof(address->path)) != 0 && errno == ECONNREFUSED) {
            unlink(address->path.sun_path);
        }
        close(fd);
    }
}

static enum tn_err bind_fault(struct tn_fault *fault, const char *text, unsigned port)
{
    int errnum = errno;
    if (errnum == EADDRINUSE) {
        return tn_fault_set(fault, TN_IO,
                            "cannot listen on %s port %u: another process uses it; find it with "
                            "'ss -ltnp sport = :%u', or choose another port",
                            text, port, port);
    }
    enum tn_err err = tn_fault_errno(fault, errnum, "cannot listen on %s port %u", text, port);
    (void)err;
    if (fault != NULL) {
        fault->code = TN_IO;
    }
    return TN_IO;
}

/* A bound socket that listens, or -1 and errno. */
static int bind_one(union address *address, socklen_t size)
{
    int family = address->any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    bool ok = true;
    if (family != AF_UNIX) {
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
             setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    }
    if (ok && family == AF_INET6) {
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
    }
    if (!ok || bind(fd, &address->any, size) != 0 || listen(fd, BACKLOG) != 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

/* SO_REUSEPORT would let two servers of one user share a port and split the clients between them,
 * which nobody wants by accident: a first socket without it proves that the port is free. */
static int probe(const union address *address, socklen_t size)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->any.sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    int failed = bind(fd, &address->any, size);
    int errnum = errno;
    close(fd);
    errno = errnum;
    return failed;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
        fds[i] = -1;
    }
}

static unsigned port_of(int fd, union address *address)
{
    socklen_t size = sizeof(*address);
    if (address->any.sa_family == AF_UNIX || getsockname(fd, &address->any, &size) != 0) {
        return 0;
    }
    /* The port lies at the same place in both families. */
    return ntohs(address->ip4.sin_port);
}

enum tn_err tn_listener_bind(const char *text, unsigned port, int *fds, size_t count,
                             unsigned *ret_port, struct tn_fault *fault)
{
    union address address;
    socklen_t size = 0;
    if (port > UINT16_MAX) {
        return tn_fault_set(fault, TN_INVALID, "port %u is not one: 0 to 65535", port);
    }
    enum tn_err err = parse_address(text, port, &address, &size, fault);
    if (err < 0) {
        return err;
    }
    bool path = address.any.sa_family == AF_UNIX;
    if (path) {
        remove_stale(&address);
    } else if (port != 0 && probe(&address, size) != 0) {
        return bind_fault(fault, text, port);
    }
    for (size_t i = 0; i < count; i++) {
        fds[i] = path && i > 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : bind_one(&address, size);
        if (fds[i] < 0) {
            err = bind_fault(fault, text, port);
            close_all(fds, i);
            return err;
        }
        if (i == 0) {
            port = port_of(fds[0], &address); /* also puts it into the address for the others */
        }
    }
    *ret_port = port;
    return TN_OK;
}

/* ---- accepting ---- */

static void peer_text(const union address *address, char text[TN_CONN_PEER])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->ip4.sin_addr, host, sizeof(host));
        snprintf(text, TN_CONN_PEER, "%s:%u", host, ntohs(address->ip4.sin_port));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->ip6.sin6_addr, host, sizeof(host));
        snprintf(text, TN_CONN_PEER, "[%s]:%u", host, ntohs(address->ip6.sin6_port));
    } else {
        snprintf(text, TN_CONN_PEER, "unix:");
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void resume(struct tn_timer *timer)
{
    struct tn_listener *listener = TN_CONTAINER(timer, struct tn_listener, timer);
    if (uv_poll_start(&listener->poll, UV_READABLE, on_poll) != 0) {
        tn_timer_arm(timer, tn_loop_now_ns(listener->station->lane.loop) + ACCEPT_PAUSE_NS);
    }
}

static void pause_accepting(struct tn_listener *listener)
{
    tn_meter_refused(&listener->station->shared->meter, TN_REFUSAL_CONNECTIONS);
    tn_log_warn("no descriptors or memory left to accept a connection; pausing for a moment");
    uv_poll_stop(&listener->poll);
    tn_timer_arm(&listener->timer, tn_loop_now_ns(listener->station->lane.loop) + ACCEPT_PAUSE_NS);
}

static void admit(struct tn_listener *listener, int fd, const union address *address)
{
    struct tn_station *station = listener->station;
    size_t open = atomic_load_explicit(&station->shared->connections, memory_order_relaxed);
    if (open >= station->lane.limits.connections_max) {
        tn_meter_refused(&station->shared->meter, TN_REFUSAL_CONNECTIONS);
        close(fd);
        return;
    }
    char peer[TN_CONN_PEER] = "";
    peer_text(address, peer);
    if (address->any.sa_family != AF_UNIX) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    tn_conn_open(station, fd, &listener->listen, peer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct tn_listener *listener = TN_CONTAINER(poll, struct tn_listener, poll);
    struct tn_station *station = listener->station;
    station->lane.now_ns = tn_loop_now_ns(station->lane.loop);
    for (size_t i = 0; i < ACCEPT_BATCH; i++) {
        union address address = {.any.sa_family = AF_UNIX};
        socklen_t size = sizeof(address);
        int fd = accept4(listener->listen.fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(listener, fd, &address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_closed(uv_handle_t *handle)
{
    tn_mem_give(TN_CONTAINER(handle, struct tn_listener, poll));
}

enum tn_err tn_listener_open(struct tn_station *station, const struct tn_station_listen *listen)
{
    struct tn_listener *listener = tn_mem_take_zeroed(1, sizeof(*listener));
    if (listener == NULL) {
        return TN_NOMEM;
    }
    listener->station = station;
    listener->listen = *listen;
    if (uv_poll_init_socket(tn_loop_uv(station->lane.loop), &listener->poll, listen->fd) != 0) {
        tn_mem_give(listener);
        return TN_IO;
    }
    tn_timer_init(&listener->timer, station->lane.loop, resume);
    listener->next = station->listeners;
    station->listeners = listener;
    resume(&listener->timer);
    return TN_OK;
}

void tn_listener_close(struct tn_listener *listener)
{
    struct tn_listener **link = &listener->station->listeners;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    tn_timer_disarm(&listener->timer);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    close(listener->listen.fd);
}
