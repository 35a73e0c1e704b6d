/* Output of a connection; see out.h. A message below TN_OUT_BORROW_MIN is copied: one copy costs
 * less than an iovec in the kernel. Memory: the caller's, a rest on the heap only when the socket
 * is full. Threads: the loop's. Bounds: room, TN_OUT_IOV_MAX. */
#include "rpc/out.h"

#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"

void tn_out_init(struct tn_out *out, void *data, size_t room)
{
    out->data = data;
    out->room = room;
    out->size = 0;
    out->bytes = 0;
    out->count = 0;
}

size_t tn_out_room(const struct tn_out *out)
{
    return out->count < TN_OUT_IOV_MAX ? out->room - out->size : 0;
}

static void let_go(struct tn_out_hold *hold)
{
    tn_block_unref(hold->block);
    if (hold->call != NULL) {
        tn_call_let_go(hold->call);
    }
    *hold = (struct tn_out_hold){0};
}

static void add(struct tn_out *out, const uint8_t *data, size_t size, struct tn_out_hold hold)
{
    TN_ASSERT(out->count < TN_OUT_IOV_MAX);
    out->iov[out->count] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    out->holds[out->count] = hold;
    out->count++;
    out->bytes += size;
}

void tn_out_copy(struct tn_out *out, const void *data, size_t size)
{
    TN_ASSERT(size <= out->room - out->size);
    if (size == 0) {
        return;
    }
    uint8_t *at = out->data + out->size;
    memcpy(at, data, size);
    out->size += size;
    if (out->count > 0) {
        struct iovec *last = &out->iov[out->count - 1];
        if ((uint8_t *)last->iov_base + last->iov_len == at) {
            last->iov_len += size;
            out->bytes += size;
            return;
        }
    }
    add(out, at, size, (struct tn_out_hold){0});
}

bool tn_out_can_borrow(const struct tn_out *out)
{
    return out->count + 2 <= TN_OUT_IOV_MAX;
}

void tn_out_borrow(struct tn_out *out, struct tn_bytes bytes, struct tn_out_hold hold)
{
    add(out, bytes.data, bytes.size, hold);
}

void tn_out_clear(struct tn_out *out)
{
    for (size_t i = 0; i < out->count; i++) {
        let_go(&out->holds[i]);
    }
    tn_out_init(out, out->data, out->room);
}

/* Whether the iovec's bytes were copied into the output's own run. */
static bool is_copied(const struct tn_out *out, const struct iovec *iov)
{
    const uint8_t *at = iov->iov_base;
    return at >= out->data && at < out->data + out->room;
}

enum tn_err tn_out_keep(struct tn_out *out, size_t written, struct tn_out_rest **ret_rest)
{
    TN_ASSERT(written < out->bytes);
    size_t first = 0;
    while (written >= out->iov[first].iov_len) {
        written -= out->iov[first].iov_len;
        first++;
    }
    size_t count = out->count - first;
    size_t copied = 0;
    for (size_t i = first; i < out->count; i++) {
        copied += is_copied(out, &out->iov[i]) ? out->iov[i].iov_len : 0;
    }
    size_t each = sizeof(struct iovec) + sizeof(struct tn_out_hold);
    struct tn_out_rest *rest = tn_mem_take(sizeof(*rest) + count * each + copied);
    if (rest == NULL) {
        tn_out_clear(out);
        return TN_NOMEM;
    }
    *rest = (struct tn_out_rest){.count = count};
    rest->holds = (struct tn_out_hold *)(void *)(rest->iov + count);
    uint8_t *data = (uint8_t *)(rest->holds + count);
    for (size_t i = 0; i < count; i++) {
        struct iovec *from = &out->iov[first + i];
        struct iovec *to = &rest->iov[i];
        *to = *from;
        if (is_copied(out, from)) {
            memcpy(data, from->iov_base, from->iov_len);
            to->iov_base = data;
            data += from->iov_len;
        }
        rest->bytes += to->iov_len;
        rest->holds[i] = out->holds[first + i];
        out->holds[first + i] = (struct tn_out_hold){0};
    }
    rest->iov[0].iov_base = (uint8_t *)rest->iov[0].iov_base + written;
    rest->iov[0].iov_len -= written;
    rest->bytes -= written;
    tn_out_clear(out);
    *ret_rest = rest;
    return TN_OK;
}

bool tn_out_rest_advance(struct tn_out_rest *rest, size_t written)
{
    TN_ASSERT(written <= rest->bytes);
    rest->bytes -= written;
    while (rest->at < rest->count && written >= rest->iov[rest->at].iov_len) {
        written -= rest->iov[rest->at].iov_len;
        let_go(&rest->holds[rest->at]);
        rest->at++;
    }
    if (written > 0) {
        struct iovec *iov = &rest->iov[rest->at];
        iov->iov_base = (uint8_t *)iov->iov_base + written;
        iov->iov_len -= written;
    }
    return rest->at == rest->count;
}

void tn_out_rest_destroy(struct tn_out_rest *rest)
{
    if (rest == NULL) {
        return;
    }
    for (size_t i = rest->at; i < rest->count; i++) {
        let_go(&rest->holds[i]);
    }
    tn_mem_give(rest);
}
