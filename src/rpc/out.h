/* What goes to a socket next: copied bytes and borrowed ones, in order, ready for writev.
 *
 *   data: [HEADERS|DATA head|small body|...]   copied, one run of memory
 *   iov:   -> data[0..n), -> a tensor's block, -> data[n..m), ...
 *
 * One `tn_out` a loop is filled from a connection and written at once; what the socket does not
 * take moves into a `tn_out_rest` of the connection. So an idle connection owns no output memory.
 * Memory: the caller's run. Threads: the loop's. Bounds: the run and TN_OUT_IOV_MAX. */
#ifndef TN_RPC_OUT_H
#define TN_RPC_OUT_H

#include "base/block.h"

#include <sys/uio.h>

enum { TN_OUT_IOV_MAX = 256, TN_OUT_BORROW_MIN = 4096 };

struct tn_call;

/* What an iovec keeps alive until it is written; both may be NULL. */
struct tn_out_hold {
    struct tn_block *block;
    struct tn_call *call;
};

struct tn_out {
    uint8_t *data;
    size_t size;
    size_t room;
    size_t bytes; /* over all iovecs */
    size_t count;
    struct iovec iov[TN_OUT_IOV_MAX];
    struct tn_out_hold holds[TN_OUT_IOV_MAX];
};

void tn_out_init(struct tn_out *out, void *data, size_t room);

/* Bytes that can still be copied; 0 when the iovecs are used up. */
size_t tn_out_room(const struct tn_out *out);

/* Copies; `size` fits tn_out_room. */
void tn_out_copy(struct tn_out *out, const void *data, size_t size);

/* Adds bytes in place. The hold passes to the output. Needs two free iovecs: tn_out_can_borrow. */
bool tn_out_can_borrow(const struct tn_out *out);
void tn_out_borrow(struct tn_out *out, struct tn_bytes bytes, struct tn_out_hold hold);

/* Lets go of everything. */
void tn_out_clear(struct tn_out *out);

/* What is left of an output after `written` bytes; NULL: nothing. */
struct tn_out_rest {
    size_t at; /* first iovec not fully written */
    size_t count;
    size_t bytes;
    struct tn_out_hold *holds;
    struct iovec iov[];
};

/* Moves the unwritten part into a rest of its own and clears the output. TN_NOMEM: the output is
 * cleared too, the connection cannot go on. */
TN_MUST enum tn_err tn_out_keep(struct tn_out *out, size_t written, struct tn_out_rest **ret_rest);

/* After `written` bytes more. True: nothing is left. */
bool tn_out_rest_advance(struct tn_out_rest *rest, size_t written);
void tn_out_rest_destroy(struct tn_out_rest *rest); /* NULL accepted */

#endif
