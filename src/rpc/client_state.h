/* The inside of the client, for the files client*.c of this room.
 *
 *   client.c       the user's functions, waiting calls, back-off     (shell)
 *   client_call.c  one call: memory, output, the end                  (core)
 *   client_conn.c  name look-up, socket, TLS, keep-alive              (shell)
 *   client_h1.c, client_h2.c   the protocols, bytes in and bytes out  (cores: tn_client_wire_i)
 *
 * Lists are intrusive and first in, first out. Threads: the client's loop. */
#ifndef TN_RPC_CLIENT_STATE_H
#define TN_RPC_CLIENT_STATE_H

#include "base/buf.h"
#include "base/retry.h"
#include "rpc/client.h"
#include "rpc/client_target.h"
#include "rpc/grpc_frame.h"
#include "rpc/out.h"
#include "rpc/piece_queue.h"

enum {
    TN_CLIENT_INLINE_TEXT = 384,     /* path and headers of a call without a trip to the heap */
    TN_CLIENT_HEADERS_MAX = 64,      /* sent */
    TN_CLIENT_FIELDS_MAX = 128,      /* received in one section */
    TN_CLIENT_OUTPUT_HIGH = 4 << 20, /* unsent bytes of a call: TN_AGAIN above */
    TN_CLIENT_IDLE_CALLS_MAX = 1024, /* kept for reuse */
};

struct tn_client_wire;

struct tn_client_calls {
    struct tn_client_call *first, *last;
    size_t count;
};

enum tn_client_call_state {
    TN_CLIENT_CALL_IDLE,    /* in the pool */
    TN_CLIENT_CALL_WAITING, /* for a connection that can take it */
    TN_CLIENT_CALL_OPEN,    /* on a wire */
    TN_CLIENT_CALL_ENDING,  /* `ended` is due at the end of the turn */
    TN_CLIENT_CALL_ENDED,   /* `ended` runs */
};

struct tn_client_call {
    struct tn_client *client;
    struct tn_client_wire *wire;  /* OPEN */
    struct tn_client_calls *list; /* where it is linked */
    struct tn_client_call *next, *previous;
    const struct tn_client_events *events;
    void *user;
    struct tn_timer timer; /* the deadline */
    uint64_t deadline_ns;
    int32_t stream; /* HTTP/2 */
    uint8_t state;
    uint8_t kind;
    bool wait_for_ready;
    bool no_body;
    bool head_request;
    bool begun_sending;
    bool last_queued;  /* the user sends no more */
    bool last_sent;    /* and all of it is in the output */
    bool blocked;      /* tn_client_send said TN_AGAIN */
    bool stalled;      /* HTTP/2: the stream waits for output */
    bool headers_done; /* the final response headers came */
    bool has_status;   /* grpc_status came */
    bool native;       /* gRPC: the answer's content type says so */
    bool answered;     /* the response is complete */
    bool requeued;     /* went back to waiting once */
    bool sent;
    unsigned http_status;
    enum tn_grpc_status grpc_status;
    char *message; /* grpc-message; NULL: none */
    size_t message_size;
    struct tn_str method, path;
    struct tn_header *headers;
    size_t header_count;
    struct tn_piece_queue queue;
    /* A request that was sent at once, again, while the server may not have looked at it. */
    struct tn_piece replay[TN_PIECE_QUEUE_FEW];
    size_t replay_count;
    bool replayable;
    struct tn_grpc_reader reader; /* gRPC */
    struct tn_block *body;        /* HTTP; NULL: nothing yet */
    struct tn_client_end end;     /* ENDING: message is static or `message` */
    void *text;                   /* on the heap when it did not fit below */
    _Alignas(16) char inline_text[TN_CLIENT_INLINE_TEXT];
};

/* A protocol on one connection. Callbacks of calls run inside receive, collect and eof only. */
struct tn_client_wire_i {
    /* Whether another call can begin now. */
    bool (*is_free)(const struct tn_client_wire *wire);
    /* The call is in wire->calls from now on. An error ends only the call, later, by the caller. */
    enum tn_err (*begin)(struct tn_client_wire *wire, struct tn_client_call *call);
    /* The call has something to send. */
    void (*output)(struct tn_client_wire *wire, struct tn_client_call *call);
    /* The call is over for its user (it is out of wire->calls): stop its stream. */
    void (*drop)(struct tn_client_wire *wire, struct tn_client_call *call);
    /* Bytes may be changed. An error: the connection is broken, `problem` says how. */
    enum tn_err (*receive)(struct tn_client_wire *wire, uint8_t *data, size_t size);
    /* Moves output. TN_DONE: nothing is left; TN_AGAIN: `out` is full, more waits. */
    enum tn_err (*collect)(struct tn_client_wire *wire, struct tn_out *out);
    /* The server sends no more. */
    void (*eof)(struct tn_client_wire *wire);
    /* Ask for a sign of life; false: this protocol has none. */
    bool (*ping)(struct tn_client_wire *wire);
    /* No calls may be left. */
    void (*destroy)(struct tn_client_wire *wire);
};

struct tn_client_wire {
    const struct tn_client_wire_i *i;
    struct tn_client *client;
    struct tn_client_calls calls;
    bool tls;
    bool draining;       /* takes no new calls; close when the last has ended */
    bool over;           /* close when the output is written */
    const char *problem; /* static text */
    bool pong;           /* a PING was answered since this was cleared */
};

TN_MUST enum tn_err tn_client_h1_create(struct tn_client *client, struct tn_client_wire **ret_wire);
TN_MUST enum tn_err tn_client_h2_create(struct tn_client *client, bool tls,
                                        struct tn_client_wire **ret_wire);

struct tn_client_conn;

struct tn_client {
    struct tn_loop *loop;
    struct tn_client_target target;
    struct tn_client_options options; /* defaults filled in */
    struct tn_str user_agent;
    struct tn_client_calls waiting;
    struct tn_client_calls ending;
    struct tn_client_call *idle; /* the pool, by `next` */
    size_t idle_count;
    size_t call_count;
    struct tn_block_pool blocks;
    struct tn_client_conn *conn;  /* new calls go here; NULL: none */
    struct tn_client_conn *conns; /* all that are open, with draining ones */
    struct tn_turn_hook hook;
    struct tn_timer soon;  /* due at once while there is work: nothing waits for the next event */
    struct tn_timer pause; /* until the next attempt */
    uint64_t pause_end_ms;
    struct tn_retry retry;
    bool retrying;  /* an attempt failed and none worked since */
    bool closing;   /* in tn_client_destroy */
    unsigned depth; /* callbacks that run */
    char last_problem[TN_FAULT_TEXT_MAX];
    struct tn_out out;
    uint8_t *out_data; /* runs of TN_CLIENT_IO_BYTES */
    uint8_t *in_data;
};

enum { TN_CLIENT_IO_BYTES = 64 << 10 };

/* --- client.c --- */
/* The connection can take calls. */
void tn_client_conn_ready(struct tn_client *client);
/* One is gone and its calls have ended: TN_DONE for an orderly end, TN_CANCELLED by ourselves, else
 * what broke. `proved`: it had worked. */
void tn_client_conn_gone(struct tn_client *client, enum tn_err err, bool proved,
                         const char *problem);
/* Gives waiting calls to the connection while it takes them. */
void tn_client_dispatch(struct tn_client *client);
void tn_client_mark_dirty(struct tn_client *client);

/* --- client_call.c --- */
void tn_client_calls_add(struct tn_client_calls *list, struct tn_client_call *call);
void tn_client_calls_remove(struct tn_client_call *call);

TN_MUST enum tn_err tn_client_call_create(struct tn_client *client,
                                          const struct tn_client_request *request,
                                          struct tn_client_call **ret_call);
void tn_client_call_destroy(struct tn_client_call *call);

/* Unlinks the call, runs `ended`, and gives it back. */
void tn_client_call_end(struct tn_client_call *call, const struct tn_client_end *end);

/* How a failure of ours reads to the user. `message` lives as long as the struct is used. */
struct tn_client_end tn_client_end_of(enum tn_err err, const char *message);

/* Received: headers of the final response; bytes of the body; the end of the response. False: the
 * call is over (ended, or ending), the wire must look at it no more. */
bool tn_client_call_headers(struct tn_client_call *call, unsigned http_status,
                            const struct tn_header *headers, size_t count);
bool tn_client_call_data(struct tn_client_call *call, struct tn_bytes bytes);
void tn_client_call_complete(struct tn_client_call *call);

/* Back to waiting, in front, once: the server did not look at it. False: it cannot be sent again.
 */
bool tn_client_call_requeue(struct tn_client_call *call);

/* Ends an open call from a wire's callback; drops the stream first. */
void tn_client_call_fail(struct tn_client_call *call, enum tn_err err, const char *message);

/* Moves `size` bytes of the queue to `out`, which fits them. May run `writable`. */
void tn_client_call_collect(struct tn_client_call *call, struct tn_out *out, size_t size);
bool tn_client_out_fits(const struct tn_out *out, size_t size);

#endif
