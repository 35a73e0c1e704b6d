/* Signals on the loop; see loop.h. libuv's handler writes the number to a pipe of the loop, so
 * `fire` runs as an ordinary callback. libuv's handle must outlive its closing, hence it is not
 * part of the caller's struct. Memory: one handle each. Threads: the loop's. */
#include "base/loop.h"

#include "base/mem.h"

#include <uv.h>

static void on_signal(uv_signal_t *handle, int signum)
{
    struct tn_signal *signal = handle->data;
    signal->fire(signal, signum);
}

static void on_closed(uv_handle_t *handle)
{
    tn_mem_give(handle);
}

enum tn_err tn_signal_watch(struct tn_signal *signal, struct tn_loop *loop, int signum,
                            void (*fire)(struct tn_signal *signal, int signum))
{
    *signal = (struct tn_signal){.fire = fire};
    uv_signal_t *handle = tn_mem_take(sizeof(*handle));
    if (handle == NULL) {
        return TN_NOMEM;
    }
    if (uv_signal_init(tn_loop_uv(loop), handle) != 0) {
        tn_mem_give(handle);
        return TN_IO;
    }
    handle->data = signal;
    int failed = uv_signal_start(handle, on_signal, signum);
    if (failed != 0) {
        uv_close((uv_handle_t *)handle, on_closed);
        return failed == UV_EINVAL ? TN_INVALID : TN_IO;
    }
    signal->impl = handle;
    return TN_OK;
}

void tn_signal_unwatch(struct tn_signal *signal)
{
    if (signal != NULL && signal->impl != NULL) {
        uv_signal_t *handle = signal->impl;
        signal->impl = NULL;
        uv_signal_stop(handle);
        uv_close((uv_handle_t *)handle, on_closed);
    }
}
