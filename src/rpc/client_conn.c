/* A client's connection: name look-up, connecting, TLS, the socket, silence; see client_conn.h.
 *
 *   RESOLVING -> CONNECTING (address by address) -> [SHAKING] -> READY -> CLOSED
 *       '--------------'-- failed, timed out ---------'------------^
 *
 * What goes wrong is noted where it is seen and acted upon at the end of the turn (flush), so that
 * a connection never goes away under the code that uses it. The socket is read and written
 * directly, watched by a uv_poll: one recv and one sendmsg for a turn's work.
 * Memory: one struct; the client's input and output runs are shared by all its connections.
 * Threads: the client's loop. Bounds: READS_MAX a turn, connect_timeout_ns. */
#include "rpc/client_conn.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client_lookup.h"
#include "rpc/tls_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum {
    ADDRESSES_MAX = 8,
    READS_MAX = 8,
    WRITES_MAX = 64,
    PROBLEM_MAX = 256,
    RECORD_MAX = 16 << 10
};

enum state { RESOLVING, CONNECTING, SHAKING, READY, CLOSED };

struct tn_client_conn {
    struct tn_client *client;
    struct tn_client_conn *next;
    enum state state;
    int fd;
    int events;  /* watched for */
    bool proved; /* bytes came from the server */
    bool pinged;
    enum tn_err failed; /* TN_OK: not; TN_DONE: an orderly end */
    uint64_t last_ns;   /* when bytes came */
    struct tn_timer timer;
    uv_poll_t *poll;         /* on the heap: libuv lets go of it only after the turn */
    struct tn_tls_conn *tls; /* NULL: plain */
    struct tn_client_wire *wire;
    struct tn_out_rest *rest;
    size_t address_at;
    struct tn_client_lookup lookup;
    char problem[PROBLEM_MAX];
};

static void on_poll(uv_poll_t *poll, int status, int events);

bool tn_client_conn_is_ready(const struct tn_client_conn *conn)
{
    return conn->state == READY && conn->failed == TN_OK;
}

struct tn_client_wire *tn_client_conn_wire(struct tn_client_conn *conn)
{
    return tn_client_conn_is_ready(conn) ? conn->wire : NULL;
}

struct tn_client_conn *tn_client_conn_next(struct tn_client_conn *conn)
{
    return conn->next;
}

/* The first reason counts. */
static void note_failure(struct tn_client_conn *conn, enum tn_err err, const char *what,
                         const char *why)
{
    tn_client_mark_dirty(conn->client);
    if (conn->failed != TN_OK) {
        return;
    }
    conn->failed = err;
    snprintf(conn->problem, sizeof(conn->problem), "%s: %s%s%s", conn->client->options.target, what,
             why[0] != '\0' ? ": " : "", why);
}

static void watch_for(struct tn_client_conn *conn, int events)
{
    if (events != conn->events) {
        conn->events = events;
        uv_poll_start(conn->poll, events, on_poll);
    }
}

/* ---- the socket ---- */

static void free_poll(uv_handle_t *handle)
{
    tn_mem_give(handle);
}

static void close_socket(struct tn_client_conn *conn)
{
    if (conn->poll != NULL) {
        uv_close((uv_handle_t *)conn->poll, free_poll); /* stops watching before the close below */
    }
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn->poll = NULL;
    conn->fd = -1;
}

/* 0, or an errno. */
static int open_socket(struct tn_client_conn *conn, const struct tn_client_address *address)
{
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&address->address;
    conn->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        return errno;
    }
    int on = 1;
    if (to->sa_family != AF_UNIX) {
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (connect(conn->fd, to, address->size) != 0 && errno != EINPROGRESS) {
        return errno;
    }
    uv_poll_t *poll = tn_mem_take_zeroed(1, sizeof(*poll));
    if (poll == NULL) {
        return ENOMEM;
    }
    if (uv_poll_init(tn_loop_uv(conn->client->loop), poll, conn->fd) != 0) {
        tn_mem_give(poll);
        return EMFILE;
    }
    conn->poll = poll;
    poll->data = conn;
    conn->events = 0;
    watch_for(conn, UV_WRITABLE);
    return 0;
}

static void next_address(struct tn_client_conn *conn, int failed)
{
    close_socket(conn);
    conn->state = CONNECTING;
    while (conn->address_at < conn->lookup.count) {
        failed = open_socket(conn, &conn->lookup.addresses[conn->address_at++]);
        if (failed == 0) {
            return;
        }
        close_socket(conn);
    }
    note_failure(conn, TN_UNAVAILABLE, "cannot connect", strerror(failed));
}

/* Sends what is left from an earlier turn. */
static void write_rest(struct tn_client_conn *conn)
{
    struct tn_out_rest *rest = conn->rest;
    struct msghdr message = {.msg_iov = rest->iov + rest->at, .msg_iovlen = rest->count - rest->at};
    ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            note_failure(conn, TN_UNAVAILABLE, "cannot send", strerror(errno));
        }
        return;
    }
    if (tn_out_rest_advance(rest, (size_t)sent)) {
        tn_out_rest_destroy(rest);
        conn->rest = NULL;
        watch_for(conn, UV_READABLE);
        tn_client_mark_dirty(conn->client);
    }
}

static void write_out(struct tn_client_conn *conn)
{
    struct tn_out *out = &conn->client->out;
    struct msghdr message = {.msg_iov = out->iov, .msg_iovlen = out->count};
    ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        note_failure(conn, TN_UNAVAILABLE, "cannot send", strerror(errno));
        tn_out_clear(out);
        return;
    }
    size_t written = sent > 0 ? (size_t)sent : 0;
    if (written == out->bytes) {
        tn_out_clear(out);
        return;
    }
    if (tn_out_keep(out, written, &conn->rest) < 0) {
        note_failure(conn, TN_NOMEM, "no memory for what waits to be sent", "");
        return;
    }
    watch_for(conn, UV_READABLE | UV_WRITABLE);
}

/* ---- the way to READY ---- */

static bool wants_http2(const struct tn_client *client)
{
    if (client->options.protocol != TN_CLIENT_AUTO) {
        return client->options.protocol == TN_CLIENT_HTTP2;
    }
    const struct tn_client_call *first = client->waiting.first;
    return first != NULL && first->kind == TN_CALL_GRPC;
}

static void become_ready(struct tn_client_conn *conn, bool http2)
{
    struct tn_client *client = conn->client;
    enum tn_err err = http2 ? tn_client_h2_create(client, conn->tls != NULL, &conn->wire)
                            : tn_client_h1_create(client, &conn->wire);
    if (err < 0) {
        note_failure(conn, err, "no memory for the connection", "");
        return;
    }
    conn->state = READY;
    conn->last_ns = tn_loop_now_ns(client->loop);
    tn_timer_disarm(&conn->timer);
    tn_client_mark_dirty(client);
    tn_client_conn_ready(client);
}

/* What ALPN may choose: gRPC has no use for HTTP/1.1. */
static unsigned protocols_of(const struct tn_client *client)
{
    if (client->options.protocol == TN_CLIENT_HTTP1) {
        return TN_TLS_HTTP1;
    }
    return wants_http2(client) ? TN_TLS_HTTP2 : TN_TLS_HTTP1 | TN_TLS_HTTP2;
}

static void read_tls(struct tn_client_conn *conn, struct tn_bytes bytes);

static void become_connected(struct tn_client_conn *conn)
{
    struct tn_client *client = conn->client;
    watch_for(conn, UV_READABLE);
    if (client->options.tls == NULL) {
        become_ready(conn, wants_http2(client));
        return;
    }
    const struct tn_tls_conn_options options = {.protocols = protocols_of(client),
                                                .name = client->target.host};
    enum tn_err err = tn_tls_conn_create(client->options.tls, &options, &conn->tls);
    if (err < 0) {
        note_failure(conn, err, "no memory for TLS", "");
        return;
    }
    conn->state = SHAKING;
    read_tls(conn, tn_bytes_make(NULL, 0));
}

static void become_secure(struct tn_client_conn *conn)
{
    bool http2 = tn_tls_conn_is_http2(conn->tls);
    if (!http2 && wants_http2(conn->client)) {
        note_failure(conn, TN_UNAVAILABLE, "the server does not offer HTTP/2 (ALPN)", "");
        return;
    }
    become_ready(conn, http2);
}

/* ---- input ---- */

static void receive(struct tn_client_conn *conn, uint8_t *data, size_t size)
{
    conn->proved = true;
    if (conn->wire->i->receive(conn->wire, data, size) < 0) {
        note_failure(conn, TN_UNAVAILABLE, "broken answer", conn->wire->problem);
    }
}

static void read_tls(struct tn_client_conn *conn, struct tn_bytes bytes)
{
    uint8_t plain[RECORD_MAX];
    enum tn_err err = TN_OK;
    tn_tls_conn_feed(conn->tls, bytes);
    while (err == TN_OK && conn->failed == TN_OK) {
        size_t size = 0;
        err = tn_tls_conn_read(conn->tls, plain, sizeof(plain), &size);
        if (conn->state == SHAKING && err >= 0 && tn_tls_conn_is_ready(conn->tls)) {
            become_secure(conn);
        }
        if (err == TN_OK && size > 0 && conn->state == READY) {
            receive(conn, plain, size);
        }
    }
    if (err == TN_DONE) {
        note_failure(conn, conn->proved ? TN_DONE : TN_UNAVAILABLE,
                     "the server closed the connection", "");
    } else if (err < 0) {
        note_failure(conn, err == TN_NOMEM ? err : TN_UNAVAILABLE, "TLS",
                     tn_tls_conn_problem(conn->tls));
    }
    tn_client_mark_dirty(conn->client);
}

/* False: no more for now. */
static bool read_once(struct tn_client_conn *conn)
{
    struct tn_client *client = conn->client;
    ssize_t got = recv(conn->fd, client->in_data, TN_CLIENT_IO_BYTES, 0);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            note_failure(conn, TN_UNAVAILABLE, "the connection broke", strerror(errno));
        }
        return false;
    }
    if (got == 0) {
        note_failure(conn, conn->proved ? TN_DONE : TN_UNAVAILABLE,
                     "the server closed the connection", "");
        return false;
    }
    conn->last_ns = tn_loop_now_ns(client->loop);
    tn_client_mark_dirty(client);
    if (conn->tls != NULL) {
        read_tls(conn, tn_bytes_make(client->in_data, (size_t)got));
    } else {
        receive(conn, client->in_data, (size_t)got);
    }
    return (size_t)got == TN_CLIENT_IO_BYTES;
}

static void finish_connecting(struct tn_client_conn *conn)
{
    int failed = 0;
    socklen_t size = sizeof(failed);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) {
        failed = errno;
    }
    if (failed != 0) {
        next_address(conn, failed);
        return;
    }
    become_connected(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct tn_client_conn *conn = poll->data;
    if (conn->failed != TN_OK) {
        return;
    }
    if (conn->state == CONNECTING) {
        finish_connecting(conn);
        return;
    }
    if (status < 0) { /* libuv saw an error and watches no more; what came before it counts */
        while (conn->failed == TN_OK && read_once(conn)) {
        }
        note_failure(conn, TN_UNAVAILABLE, "the connection broke", "");
        return;
    }
    if ((events & UV_WRITABLE) != 0 && conn->rest != NULL) {
        write_rest(conn);
    }
    if ((events & UV_READABLE) == 0) {
        return;
    }
    for (int i = 0; i < READS_MAX && conn->failed == TN_OK && read_once(conn); i++) {
    }
}

static void on_looked_up(struct tn_client_lookup *lookup, const char *problem)
{
    struct tn_client_conn *conn = TN_CONTAINER(lookup, struct tn_client_conn, lookup);
    if (problem != NULL) {
        note_failure(conn, TN_UNAVAILABLE, "the name is not known", problem);
        return;
    }
    next_address(conn, EADDRNOTAVAIL);
}

/* Before READY: the time to connect is over. After: see whether the server is alive. */
static void on_timer(struct tn_timer *timer)
{
    struct tn_client_conn *conn = TN_CONTAINER(timer, struct tn_client_conn, timer);
    if (conn->state != READY) {
        note_failure(conn, TN_UNAVAILABLE, "cannot connect in time", "");
        return;
    }
    if (conn->wire->calls.count == 0 || conn->failed != TN_OK) {
        conn->pinged = false;
        return; /* the next call arms it again */
    }
    uint64_t period = conn->client->options.keepalive_ns;
    uint64_t now = tn_loop_now_ns(conn->client->loop);
    if (now - conn->last_ns < period) {
        conn->pinged = false;
        tn_timer_arm(timer, conn->last_ns + period);
        return;
    }
    if (conn->pinged && !conn->wire->pong) {
        note_failure(conn, TN_UNAVAILABLE, "the server does not answer a PING", "");
        return;
    }
    conn->wire->pong = false;
    conn->pinged = conn->wire->i->ping(conn->wire);
    tn_client_mark_dirty(conn->client);
    tn_timer_arm(timer, now + period);
}

void tn_client_conn_watch(struct tn_client_conn *conn)
{
    if (conn->timer.due_ns == 0) {
        uint64_t now = tn_loop_now_ns(conn->client->loop);
        conn->last_ns = now;
        tn_timer_arm(&conn->timer, now + conn->client->options.keepalive_ns);
    }
}

enum tn_err tn_client_conn_create(struct tn_client *client, struct tn_client_conn **ret_conn)
{
    struct tn_client_conn *conn = tn_mem_take_zeroed(1, sizeof(*conn));
    if (conn == NULL) {
        return TN_NOMEM;
    }
    conn->client = client;
    conn->fd = -1;
    tn_timer_init(&conn->timer, client->loop, on_timer);
    enum tn_err err =
        tn_client_lookup_start(&conn->lookup, client->loop, &client->target, on_looked_up);
    if (err < 0) {
        tn_mem_give(conn);
        return err;
    }
    if (err == TN_OK) {
        next_address(conn, EADDRNOTAVAIL);
    }
    tn_timer_arm(&conn->timer, tn_loop_now_ns(client->loop) + client->options.connect_timeout_ns);
    conn->next = client->conns;
    client->conns = conn;
    *ret_conn = conn;
    return TN_OK;
}

/* ---- the end of a turn, and of the connection ---- */

/* One run of output. TN_DONE: there is no more. */
static enum tn_err pump(struct tn_client_conn *conn)
{
    struct tn_out *out = &conn->client->out;
    enum tn_err more = TN_DONE;
    if (conn->wire != NULL) {
        more = conn->wire->i->collect(conn->wire, out);
    }
    if (more >= 0 && conn->tls != NULL) {
        enum tn_err err = tn_tls_conn_encrypt(conn->tls, out);
        more = err < 0 ? err : more;
    }
    if (more < 0) {
        tn_out_clear(out);
        note_failure(conn, more, "cannot go on", "no memory");
        return more;
    }
    if (out->bytes > 0) {
        write_out(conn);
    } else {
        tn_out_clear(out);
    }
    return more;
}

static void pump_all(struct tn_client_conn *conn)
{
    enum tn_err more = TN_AGAIN;
    for (int i = 0; i < WRITES_MAX && more == TN_AGAIN && conn->rest == NULL; i++) {
        more = pump(conn);
    }
    if (more == TN_AGAIN && conn->rest == NULL) {
        tn_client_mark_dirty(conn->client); /* other connections first */
    }
    if (conn->state != READY || conn->rest != NULL) {
        return;
    }
    if (conn->wire->over || (conn->wire->draining && conn->wire->calls.count == 0)) {
        note_failure(conn, TN_DONE, "the server closed the connection", "");
    }
}

bool tn_client_conn_has_news(const struct tn_client_conn *conn)
{
    uint8_t byte = 0;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

void tn_client_conn_flush(struct tn_client_conn *conn)
{
    if ((conn->state == READY || conn->state == SHAKING) && conn->failed == TN_OK) {
        pump_all(conn);
    }
    if (conn->failed != TN_OK) {
        tn_client_conn_break(conn, conn->failed, conn->problem);
    }
}

static void unlink_conn(struct tn_client_conn *conn)
{
    struct tn_client *client = conn->client;
    struct tn_client_conn **link = &client->conns;
    while (*link != conn) {
        link = &(*link)->next;
    }
    *link = conn->next;
    if (client->conn == conn) {
        client->conn = NULL;
    }
}

static void end_calls(struct tn_client_conn *conn, enum tn_err err, const char *problem)
{
    struct tn_client_wire *wire = conn->wire;
    if (wire == NULL) {
        return;
    }
    wire->draining = true;
    if (err != TN_CANCELLED) {
        wire->i->eof(wire);
    }
    while (wire->calls.first != NULL) {
        struct tn_client_end end = tn_client_end_of(err < 0 ? err : TN_UNAVAILABLE, problem);
        tn_client_call_end(wire->calls.first, &end);
    }
    wire->i->destroy(wire);
}

void tn_client_conn_break(struct tn_client_conn *conn, enum tn_err err, const char *problem)
{
    struct tn_client *client = conn->client;
    struct tn_fault why;
    tn_fault_set(&why, err, "%s", problem);
    bool proved = conn->proved;
    conn->state = CLOSED;
    conn->failed = err;
    unlink_conn(conn);
    tn_timer_disarm(&conn->timer);
    tn_client_lookup_stop(&conn->lookup);
    close_socket(conn);
    tn_out_rest_destroy(conn->rest);
    end_calls(conn, err, why.text);
    tn_tls_conn_destroy(conn->tls);
    tn_mem_give(conn);
    tn_client_conn_gone(client, err, proved, why.text);
}
