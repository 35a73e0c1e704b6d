/* Serving's part of one I/O loop: see lane.h. */
#include "serve/lane.h"

#include "core/assert.h"

#include <unistd.h>

static void flush(struct tn_turn_hook *hook)
{
    struct tn_serve_lane *lane = TN_CONTAINER(hook, struct tn_serve_lane, hook);
    while (lane->touched_count > 0) {
        struct tn_entry *entry = lane->touched[--lane->touched_count];
        tn_infer_flush(entry->model);
        tn_entry_unref(entry);
    }
}

/* The reference keeps the model until the end of the turn, also when its answer comes before. */
static void touch(struct tn_serve_lane *lane, struct tn_entry *entry)
{
    for (size_t i = 0; i < lane->touched_count; i++) {
        if (lane->touched[i] == entry) {
            return;
        }
    }
    if (lane->touched_count == TN_LANE_TOUCHED_MAX) {
        flush(&lane->hook);
    }
    lane->touched[lane->touched_count++] = tn_entry_ref(entry);
}

static void link_request(struct tn_serve_lane *lane, struct tn_request *request)
{
    request->links[0] = NULL;
    request->links[1] = lane->newest;
    if (lane->newest != NULL) {
        lane->newest->links[0] = request;
    }
    lane->newest = request;
    lane->jobs_out++;
}

static void unlink_request(struct tn_serve_lane *lane, struct tn_request *request)
{
    if (request->links[0] != NULL) {
        request->links[0]->links[1] = request->links[1];
    } else {
        lane->newest = request->links[1];
    }
    if (request->links[1] != NULL) {
        request->links[1]->links[0] = request->links[0];
    }
    lane->jobs_out--;
}

static void on_replies(struct tn_inbox *inbox, void **items, size_t count)
{
    struct tn_serve_lane *lane = TN_CONTAINER(inbox, struct tn_serve_lane, replies);
    for (size_t i = 0; i < count; i++) {
        struct tn_request *request = TN_CONTAINER(items[i], struct tn_request, job);
        unlink_request(lane, request);
        request->done(request);
    }
}

static void on_orders(struct tn_inbox *inbox, void **items, size_t count)
{
    struct tn_serve_lane *lane = TN_CONTAINER(inbox, struct tn_serve_lane, orders);
    /* Whatever came, the catalog may have changed: let go of entries that left it. */
    (void)tn_catalog_read(&lane->reader);
    for (size_t i = 0; i < count; i++) {
        struct tn_store_order *order = items[i];
        if (order->done != NULL) {
            order->done(order);
        }
    }
}

enum tn_err tn_serve_lane_init(struct tn_serve_lane *lane, struct tn_service *service,
                               struct tn_loop *loop)
{
    *lane = (struct tn_serve_lane){.service = service, .loop = loop, .hook = {.run = flush}};
    enum tn_err err = tn_inbox_init(&lane->replies, loop, TN_LANE_JOBS_MAX, on_replies);
    if (err != TN_OK) {
        return err;
    }
    err = tn_inbox_init(&lane->orders, loop, TN_STORE_ORDERS_MAX, on_orders);
    if (err != TN_OK) {
        tn_inbox_deinit(&lane->replies);
        return err;
    }
    tn_loop_add_turn_hook(loop, &lane->hook);
    lane->opened = true;
    return TN_OK;
}

static bool drain_one(struct tn_inbox *inbox)
{
    void *items[32];
    size_t count = tn_chan_drain(&inbox->chan, items, TN_COUNT(items));
    if (count > 0) {
        inbox->receive(inbox, items, count);
    }
    return count > 0;
}

void tn_serve_lane_quit(struct tn_serve_lane *lane)
{
    if (!lane->opened) {
        return;
    }
    flush(&lane->hook);
    for (struct tn_request *request = lane->newest; request != NULL; request = request->links[1]) {
        tn_infer_cancel(&request->job);
    }
    while (drain_one(&lane->orders) || drain_one(&lane->replies) || lane->jobs_out > 0) {
        if (lane->jobs_out > 0) {
            usleep(1000); /* a run that has begun is waited for */
        }
    }
    tn_infer_settle(); /* an instance may be about to wake the inbox once more */
}

void tn_serve_lane_deinit(struct tn_serve_lane *lane)
{
    if (!lane->opened) {
        return;
    }
    flush(&lane->hook);
    tn_loop_remove_turn_hook(lane->loop, &lane->hook);
    tn_inbox_deinit(&lane->orders);
    tn_infer_settle(); /* an instance may be about to wake this loop once more */
    tn_inbox_deinit(&lane->replies);
    if (lane->reader.catalog != NULL) {
        tn_catalog_reader_close(&lane->reader);
    }
    lane->opened = false;
}

enum tn_err tn_serve_lane_submit(struct tn_serve_lane *lane, struct tn_request *request,
                                 struct tn_fault *fault)
{
    if (lane->jobs_out >= TN_LANE_JOBS_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "%d requests are under way: try again later",
                            TN_LANE_JOBS_MAX);
    }
    request->job.reply = &lane->replies.chan;
    enum tn_err err = tn_infer_submit(request->entry->model, &request->job, fault);
    if (err == TN_OK) {
        link_request(lane, request);
        touch(lane, request->entry);
    }
    return err;
}
