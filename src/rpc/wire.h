/* A protocol on one connection: bytes in, bytes out, calls in between. Two of them exist, HTTP/1.1
 * and HTTP/2; the connection (sockets, TLS) sees only this.
 *
 *   receive --> calls --> handlers --> output --> wake --(end of the loop's turn)--> collect
 *
 * A wire is a core: no socket, no clock (lane->now_ns), so tests and fuzzers feed it by hand.
 * Memory: the wire's. Threads: the lane's loop. */
#ifndef TN_RPC_WIRE_H
#define TN_RPC_WIRE_H

#include "rpc/lane.h"

struct tn_wire;

struct tn_wire_i {
    /* TN_OK, or an error: collect what is left to say, then close. Bytes that HTTP/1.1 must keep
     * for later are copied. */
    enum tn_err (*receive)(struct tn_wire *wire, struct tn_bytes bytes);
    /* Moves output to `out`. TN_DONE: nothing is left; TN_AGAIN: `out` is full, more waits. An
     * error: close now. */
    enum tn_err (*collect)(struct tn_wire *wire, struct tn_out *out);
    /* Nothing will be read or written any more: close. */
    bool (*is_over)(const struct tn_wire *wire);
    /* Looks at every limit in time; sets due_ns anew. */
    void (*tick)(struct tn_wire *wire);
    /* Take no new calls; over when the last has been answered. */
    void (*drain)(struct tn_wire *wire);
    /* Cuts all calls. */
    void (*destroy)(struct tn_wire *wire);

    /* From calls: something was queued, or the answer is complete. */
    void (*output)(struct tn_wire *wire, struct tn_call *call);
    /* From calls: `size` received bytes were used up, the sender may send as many more. */
    void (*consumed)(struct tn_wire *wire, struct tn_call *call, size_t size);
};

struct tn_wire_options {
    struct tn_lane *lane;
    void (*wake)(struct tn_wire *wire); /* collect soon, and look at due_ns; may be NULL */
    void *context;
    struct tn_str peer; /* views live as long as the wire */
    struct tn_str peer_subject;
    unsigned routes; /* TN_LISTEN_*; 0: all */
    bool tls;
};

struct tn_wire {
    const struct tn_wire_i *i;
    struct tn_lane *lane;
    void (*wake)(struct tn_wire *wire);
    void *context;
    struct tn_str peer;
    struct tn_str peer_subject;
    unsigned routes;
    bool tls;
    bool http2;
    bool draining;
    bool last_words;       /* nothing follows what is queued: the sending half may close */
    bool full;             /* reads no more until answers are out */
    bool attention;        /* some call waits for tn_call_resumed or tn_call_tell_writable */
    struct tn_call *calls; /* open ones, newest first */
    size_t call_count;
    uint64_t due_ns;  /* call tick then at the latest; UINT64_MAX: never */
    uint64_t idle_ns; /* since when there is no call */
};

void tn_wire_init(struct tn_wire *wire, const struct tn_wire_i *i,
                  const struct tn_wire_options *options);
void tn_wire_wake(struct tn_wire *wire);

/* Makes due_ns at most this. */
void tn_wire_due(struct tn_wire *wire, uint64_t due_ns);

/* The part of `tick` that is alike: deadlines and bodies that do not come. */
void tn_wire_tick_calls(struct tn_wire *wire);

/* Delivers what calls wait for; at the end of a collection, no handler is active. True: handlers
 * may have queued more. */
bool tn_wire_attend(struct tn_wire *wire);

/* The part of `destroy` that is alike. */
void tn_wire_cut_calls(struct tn_wire *wire);

#endif
