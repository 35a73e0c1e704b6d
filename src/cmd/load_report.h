/* What a load test found: counts, throughput, latency percentiles.
 * Memory: one histogram. Pure but for printing. Threads: one. */
#ifndef TN_CMD_LOAD_REPORT_H
#define TN_CMD_LOAD_REPORT_H

#include "core/hist.h"
#include "rpc/call.h"

#include <stdio.h>

enum { TN_LOAD_STATUS_COUNT = 17 };

struct tn_load_report {
    struct tn_hist latency; /* nanoseconds */
    bool open_loop;
    uint64_t ended;
    uint64_t bytes;
    uint64_t by_status[TN_LOAD_STATUS_COUNT];
    uint64_t wrong;    /* answers unlike the first */
    uint64_t given_up; /* due, but no room to begin */
    uint64_t measured_ns;
    char error[200]; /* text of the first failure */
};

struct tn_load_sample {
    uint64_t latency_ns;
    size_t bytes;
    enum tn_grpc_status status;
    bool wrong;
    struct tn_str text;
};

TN_MUST enum tn_err tn_load_report_init(struct tn_load_report *report, bool open_loop);
void tn_load_report_deinit(struct tn_load_report *report);
void tn_load_report_add(struct tn_load_report *report, const struct tn_load_sample *sample);

/* Both return whether anything failed: a status but OK, a wrong answer, no answer at all. */
bool tn_load_report_table(const struct tn_load_report *report, FILE *out);
bool tn_load_report_json(const struct tn_load_report *report, FILE *out);

#endif
