/* How far a long job is, on stderr: a bar that redraws itself on a terminal, else a plain line now
 * and then, so that a log file stays readable.
 *
 *   warming up  [=============>              ] 46 %  4600/10000  1.2k/s  4s left
 *
 * Memory: the caller's arena. Threads: one at a time. Bounds: ten redraws, or one line in five
 * seconds. */
#ifndef TN_BASE_PROGRESS_H
#define TN_BASE_PROGRESS_H

#include "base/buf.h"
#include "core/arena.h"

struct tn_progress;

/* `total` 0: not known, no bar. NULL when not `enabled` or without memory; the others accept it. */
struct tn_progress *tn_progress_begin(struct tn_arena *arena, const char *label, uint64_t total,
                                      bool enabled);

/* The same for a job of a known length in time: `total` and `done` are nanoseconds, and no rate is
 * shown. */
struct tn_progress *tn_progress_begin_time(struct tn_arena *arena, const char *label,
                                           uint64_t total_ns, bool enabled);

void tn_progress_set(struct tn_progress *progress, uint64_t done); /* some 30 ns between redraws */

/* Erases the bar, or writes the last line where there is no terminal. */
void tn_progress_end(struct tn_progress *progress);

/* One line of it, without line end: the pure part. */
struct tn_progress_view {
    const char *label;
    uint64_t done;
    uint64_t total;
    uint64_t elapsed_ns;
    unsigned width; /* columns; 0: no bar */
    bool time;      /* done and total are nanoseconds */
};
void tn_progress_render(const struct tn_progress_view *view, struct tn_buf *out);

#endif
