/* What serving needs on each I/O loop, so that nothing on the hot path is shared or locked: a view
 * of the catalog, the inboxes for answers of models and of the repository, and the models that must
 * be woken at the end of this turn.
 *
 *   call -> prepare -> tn_serve_lane_submit -> (end of turn) tn_infer_flush -> model
 *   model -> replies -> request->done -> answer
 *
 * Memory: fixed, made at init. Threads: the loop's. Bounds: TN_LANE_JOBS_MAX jobs out at once. */
#ifndef TN_SERVE_LANE_H
#define TN_SERVE_LANE_H

#include "base/loop.h"
#include "serve/catalog.h"
#include "serve/repository_store.h"
#include "serve/request.h"

enum { TN_LANE_JOBS_MAX = 16384, TN_LANE_TOUCHED_MAX = 32 };

struct tn_service;

struct tn_serve_lane {
    struct tn_service *service;
    struct tn_loop *loop;
    struct tn_catalog_reader reader;
    struct tn_inbox replies; /* of struct tn_infer_job */
    struct tn_inbox orders;  /* of struct tn_store_order */
    struct tn_turn_hook hook;
    struct tn_entry *touched[TN_LANE_TOUCHED_MAX];
    size_t touched_count;
    size_t jobs_out;
    struct tn_request *newest; /* of the jobs out */
    bool opened;
};

TN_MUST enum tn_err tn_serve_lane_init(struct tn_serve_lane *lane, struct tn_service *service,
                                       struct tn_loop *loop);
/* With its loop stopped: cancels what is out, waits until all of it is back and runs the `done` of
 * requests and orders, so that no job outlives its call. Before the rpc server is destroyed. */
void tn_serve_lane_quit(struct tn_serve_lane *lane);

/* With its loop stopped and no job out. */
void tn_serve_lane_deinit(struct tn_serve_lane *lane);

/* Hands a prepared request to its model; request->done follows on a later turn. On failure it does
 * not, and the request is still the caller's to release. TN_LIMIT and as tn_infer_submit. */
TN_MUST enum tn_err tn_serve_lane_submit(struct tn_serve_lane *lane, struct tn_request *request,
                                         struct tn_fault *fault);

#endif
