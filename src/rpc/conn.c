/* Connections; see conn.h. A readable event costs one read(2) and the end of the turn one
 * writev(2), however many requests and answers they hold. uv_poll with our own read and write is
 * used instead of uv_tcp: no allocation a write, and the same path for TCP, Unix sockets and TLS.
 * Memory: as in conn.h. Threads: the station's loop. Bounds: header_timeout before the first bytes,
 * write_timeout while the socket is full, the wire's own limits. */
#include "rpc/conn.h"

#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"
#include "rpc/conn_http1.h"
#include "rpc/http2.h"
#include "rpc/tls_conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLUSH_ROUNDS = 16 };

static void on_closed(uv_handle_t *handle)
{
    tn_mem_give(TN_CONTAINER(handle, struct tn_conn, poll));
}

static void undirty(struct tn_conn *conn)
{
    struct tn_conn **link = &conn->station->dirty;
    while (conn->dirty && *link != conn) {
        link = &(*link)->dirty_next;
    }
    if (conn->dirty) {
        *link = conn->dirty_next;
        conn->dirty = false;
    }
}

void tn_conn_close(struct tn_conn *conn)
{
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    struct tn_station *station = conn->station;
    undirty(conn);
    tn_timer_disarm(&conn->timer);
    if (conn->wire != NULL) {
        conn->wire->i->destroy(conn->wire);
        conn->wire = NULL;
    }
    tn_out_rest_destroy(conn->rest);
    conn->rest = NULL;
    tn_tls_conn_destroy(conn->tls);
    conn->tls = NULL;
    *conn->link = conn->next;
    if (conn->next != NULL) {
        conn->next->link = conn->link;
    }
    station->conn_count--;
    atomic_fetch_sub_explicit(&station->shared->connections, 1, memory_order_relaxed);
    tn_meter_connection(&station->shared->meter, -1);
    uv_close((uv_handle_t *)&conn->poll, on_closed);
    close(conn->fd);
    tn_station_check_drained(station);
}

static void mark_dirty(struct tn_conn *conn)
{
    if (!conn->dirty && !conn->closing) {
        conn->dirty = true;
        conn->dirty_next = conn->station->dirty;
        conn->station->dirty = conn;
    }
}

static void on_wake(struct tn_wire *wire)
{
    mark_dirty(wire->context);
}

/* ---- input ---- */

static void refuse(struct tn_conn *conn, enum tn_refusal cause)
{
    tn_meter_refused(&conn->station->shared->meter, cause);
    tn_conn_close(conn);
}

static void receive(struct tn_conn *conn, struct tn_bytes bytes)
{
    if (bytes.size > 0) {
        /* An error is remembered by the wire, which says its last words in the flush. */
        enum tn_err err = conn->wire->i->receive(conn->wire, bytes);
        (void)err;
        mark_dirty(conn);
    }
}

static bool open_wire(struct tn_conn *conn, bool http2)
{
    const struct tn_wire_options options = {
        .lane = &conn->station->lane,
        .wake = on_wake,
        .context = conn,
        .peer = tn_str_from(conn->peer),
        .peer_subject = tn_tls_conn_subject(conn->tls),
        .routes = conn->routes,
        .tls = conn->tls != NULL,
    };
    enum tn_err err = http2 ? tn_http2_create(&options, &conn->wire)
                            : tn_conn_http1_create(&options, &conn->wire);
    if (err < 0) {
        conn->wire = NULL;
        refuse(conn, TN_REFUSAL_MEMORY);
        return false;
    }
    if (conn->draining) {
        conn->wire->i->drain(conn->wire);
    }
    mark_dirty(conn);
    return true;
}

/* Decides by the first bytes; the preface of HTTP/2 cannot begin an HTTP/1 request. */
static void sniff(struct tn_conn *conn, struct tn_bytes bytes)
{
    size_t known = conn->sniff_size;
    size_t fresh = TN_CONN_SNIFF - known < bytes.size ? TN_CONN_SNIFF - known : bytes.size;
    bool http2 = memcmp(bytes.data, tn_http2_preface.data + known, fresh) == 0;
    if (http2 && known + fresh < TN_CONN_SNIFF) {
        memcpy(conn->sniff + known, bytes.data, fresh);
        conn->sniff_size = (uint8_t)(known + fresh);
        return;
    }
    if (open_wire(conn, http2)) {
        receive(conn, tn_bytes_make(conn->sniff, known));
        receive(conn, bytes);
    }
}

/* Plain bytes of the peer. */
static void input(struct tn_conn *conn, struct tn_bytes bytes)
{
    if (conn->wire != NULL) {
        receive(conn, bytes);
    } else if (conn->tls != NULL) {
        if (open_wire(conn, tn_tls_conn_is_http2(conn->tls))) {
            receive(conn, bytes);
        }
    } else {
        sniff(conn, bytes);
    }
}

/* Whether a peer that sends no more may still get something: the answer to a whole HTTP/1
 * request. Half a request will never be whole. */
static bool awaits_answer(const struct tn_conn *conn)
{
    if (conn->wire == NULL || conn->wire->http2) {
        return false;
    }
    const struct tn_call *call = conn->wire->calls;
    while (call != NULL && !call->input_ended && !call->ended) {
        call = call->next;
    }
    return call != NULL;
}

/* The peer sends no more: HTTP/1.1 may still wait for its answer, anything else is over. */
static void end_input(struct tn_conn *conn)
{
    conn->ended = true;
    if (!awaits_answer(conn) && conn->rest == NULL) {
        tn_conn_close(conn);
        return;
    }
    mark_dirty(conn);
}

static void read_tls(struct tn_conn *conn, struct tn_bytes bytes)
{
    uint8_t plain[16 << 10];
    size_t size = 0;
    tn_tls_conn_feed(conn->tls, bytes);
    enum tn_err err = tn_tls_conn_read(conn->tls, plain, sizeof(plain), &size);
    while (err == TN_OK) {
        input(conn, tn_bytes_make(plain, size));
        if (conn->closing) {
            return;
        }
        err = tn_tls_conn_read(conn->tls, plain, sizeof(plain), &size);
    }
    mark_dirty(conn); /* handshake messages may wait */
    if (err == TN_DONE) {
        end_input(conn);
    } else if (err < 0) {
        refuse(conn, TN_REFUSAL_TLS);
    }
}

static void readable(struct tn_conn *conn)
{
    struct tn_station *station = conn->station;
    ssize_t size = read(conn->fd, station->in, TN_STATION_IN);
    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            tn_conn_close(conn);
        }
        return;
    }
    if (size == 0) {
        end_input(conn);
        return;
    }
    tn_meter_bytes(&station->shared->meter, (size_t)size, 0);
    struct tn_bytes bytes = tn_bytes_make(station->in, (size_t)size);
    if (conn->tls != NULL) {
        read_tls(conn, bytes);
    } else {
        input(conn, bytes);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct tn_conn *conn = TN_CONTAINER(poll, struct tn_conn, poll);
    conn->station->lane.now_ns = tn_loop_now_ns(conn->station->lane.loop);
    if (status < 0) {
        tn_conn_close(conn);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        mark_dirty(conn);
    }
    if ((events & UV_READABLE) != 0 && !conn->ended) {
        readable(conn);
    }
}

static void poll_for(struct tn_conn *conn, int events)
{
    if (conn->events == events || conn->closing) {
        return;
    }
    conn->events = events;
    int code =
        events != 0 ? uv_poll_start(&conn->poll, events, on_poll) : uv_poll_stop(&conn->poll);
    if (code != 0) {
        tn_conn_close(conn);
    }
}

/* ---- output ---- */

/* TN_OK: all is written. TN_AGAIN: the socket is full. */
static enum tn_err write_rest(struct tn_conn *conn)
{
    struct tn_out_rest *rest = conn->rest;
    while (rest != NULL) {
        ssize_t size = writev(conn->fd, rest->iov + rest->at, (int)(rest->count - rest->at));
        if (size < 0) {
            return errno == EAGAIN || errno == EINTR ? TN_AGAIN : TN_CLOSED;
        }
        conn->rest_ns = conn->station->lane.now_ns;
        tn_meter_bytes(&conn->station->shared->meter, 0, (size_t)size);
        if (tn_out_rest_advance(rest, (size_t)size)) {
            tn_out_rest_destroy(rest);
            conn->rest = NULL;
            return TN_OK;
        }
    }
    return TN_OK;
}

static enum tn_err write_out(struct tn_conn *conn, struct tn_out *out)
{
    if (out->bytes == 0) {
        tn_out_clear(out);
        return TN_OK;
    }
    ssize_t size = writev(conn->fd, out->iov, (int)out->count);
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        tn_out_clear(out);
        return TN_CLOSED;
    }
    size_t written = size < 0 ? 0 : (size_t)size;
    tn_meter_bytes(&conn->station->shared->meter, 0, written);
    if (written == out->bytes) {
        tn_out_clear(out);
        return TN_OK;
    }
    conn->rest_ns = conn->station->lane.now_ns;
    enum tn_err err = tn_out_keep(out, written, &conn->rest);
    return err < 0 ? err : TN_AGAIN;
}

/* Moves what the wire has to say into the socket. TN_DONE: it is silent now. */
static enum tn_err pump(struct tn_conn *conn)
{
    struct tn_out *out = &conn->station->out;
    enum tn_err collected = TN_DONE;
    if (conn->wire != NULL) {
        collected = conn->wire->i->collect(conn->wire, out);
        if (collected == TN_DONE && tn_wire_attend(conn->wire)) {
            collected = conn->wire->i->collect(conn->wire, out);
        }
    }
    if (collected >= 0 && conn->tls != NULL) {
        enum tn_err err = tn_tls_conn_encrypt(conn->tls, out);
        collected = err < 0 ? err : collected;
    }
    if (collected < 0) {
        tn_out_clear(out);
        return collected;
    }
    enum tn_err err = write_out(conn, out);
    if (err != TN_OK) {
        return err;
    }
    return collected == TN_AGAIN ? TN_OK : TN_DONE;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm_timer(struct tn_conn *conn)
{
    const struct tn_server_limits *limits = &conn->station->lane.limits;
    uint64_t due_ns =
        conn->wire != NULL ? conn->wire->due_ns : conn->start_ns + limits->header_timeout_ns;
    if (conn->rest != NULL) {
        due_ns = earlier(due_ns, conn->rest_ns + limits->write_timeout_ns);
    }
    if (due_ns != UINT64_MAX && (conn->timer.due_ns == 0 || due_ns < conn->timer.due_ns)) {
        tn_timer_arm(&conn->timer, due_ns);
    }
}

static bool is_over(const struct tn_conn *conn)
{
    if (conn->rest != NULL) {
        return false;
    }
    if (conn->wire == NULL) {
        return conn->draining || conn->ended;
    }
    return conn->wire->i->is_over(conn->wire) || (conn->ended && !awaits_answer(conn));
}

void tn_conn_flush(struct tn_conn *conn)
{
    enum tn_err err = write_rest(conn);
    /* Rounds are bounded, so that one fast reader of a long answer does not starve the loop. */
    for (size_t round = 0; err == TN_OK && round < FLUSH_ROUNDS; round++) {
        err = pump(conn);
    }
    if (err < 0) {
        tn_conn_close(conn);
        return;
    }
    if (is_over(conn)) {
        tn_conn_close(conn);
        return;
    }
    if (err == TN_DONE && conn->wire != NULL && conn->wire->last_words && !conn->shut) {
        conn->shut = true; /* the peer sees the end now, while we still take what it sends */
        shutdown(conn->fd, SHUT_WR);
    }
    bool reads = !conn->ended && (conn->wire == NULL || !conn->wire->full);
    poll_for(conn, (reads ? UV_READABLE : 0) | (err == TN_DONE ? 0 : UV_WRITABLE));
    if (!conn->closing) {
        arm_timer(conn);
    }
}

/* ---- time and life ---- */

static void on_timer(struct tn_timer *timer)
{
    struct tn_conn *conn = TN_CONTAINER(timer, struct tn_conn, timer);
    struct tn_lane *lane = &conn->station->lane;
    lane->now_ns = tn_loop_now_ns(lane->loop);
    if (conn->rest != NULL && conn->rest_ns + lane->limits.write_timeout_ns <= lane->now_ns) {
        refuse(conn, TN_REFUSAL_WRITE_TIMEOUT);
        return;
    }
    if (conn->wire != NULL) {
        conn->wire->i->tick(conn->wire);
    } else if (conn->start_ns + lane->limits.header_timeout_ns <= lane->now_ns) {
        bool shaking = conn->tls != NULL && !tn_tls_conn_is_ready(conn->tls);
        refuse(conn, shaking ? TN_REFUSAL_TLS_TIMEOUT : TN_REFUSAL_HEADER_TIMEOUT);
        return;
    }
    mark_dirty(conn); /* flushes, and arms the timer anew */
}

void tn_conn_drain(struct tn_conn *conn)
{
    conn->draining = true;
    if (conn->wire != NULL) {
        conn->wire->i->drain(conn->wire);
    }
    mark_dirty(conn);
}

static void join_station(struct tn_conn *conn)
{
    struct tn_station *station = conn->station;
    conn->next = station->conns;
    conn->link = &station->conns;
    if (conn->next != NULL) {
        conn->next->link = &conn->next;
    }
    station->conns = conn;
    station->conn_count++;
    atomic_fetch_add_explicit(&station->shared->connections, 1, memory_order_relaxed);
    tn_meter_connection(&station->shared->meter, 1);
}

void tn_conn_open(struct tn_station *station, int fd, const struct tn_station_listen *listen,
                  const char *peer)
{
    struct tn_conn *conn = tn_mem_take_zeroed(1, sizeof(*conn));
    if (conn == NULL) {
        goto fail;
    }
    conn->station = station;
    conn->fd = fd;
    conn->routes = listen->routes;
    conn->start_ns = station->lane.now_ns;
    memcpy(conn->peer, peer, strnlen(peer, sizeof(conn->peer) - 1));
    if (listen->tls != NULL && tn_tls_conn_create(listen->tls, NULL, &conn->tls) < 0) {
        goto fail;
    }
    if (uv_poll_init_socket(tn_loop_uv(station->lane.loop), &conn->poll, fd) != 0) {
        goto fail;
    }
    tn_timer_init(&conn->timer, station->lane.loop, on_timer);
    join_station(conn);
    poll_for(conn, UV_READABLE);
    if (!conn->closing) {
        arm_timer(conn);
    }
    return;
fail:
    tn_meter_refused(&station->shared->meter, TN_REFUSAL_MEMORY);
    if (conn != NULL) {
        tn_tls_conn_destroy(conn->tls);
        tn_mem_give(conn);
    }
    close(fd);
}
