/* What every program tells of itself: CPU, memory, descriptors, start time, version.
 *
 * The names are those of the Prometheus client libraries (process_*), and tenon_build_info. Read at
 * each collection from /proc and the clocks: about 20 us and, with many descriptors, 0.2 us each.
 * Memory: one struct. Threads: create and destroy from one; collection from any. */
#ifndef TN_EXPORT_PROCESS_METRICS_H
#define TN_EXPORT_PROCESS_METRICS_H

#include "core/err.h"

struct tn_metrics;
struct tn_process_metrics;

/* `version` as in "0.1.0", static. TN_NOMEM. */
TN_MUST enum tn_err tn_process_metrics_create(struct tn_metrics *metrics, const char *version,
                                              struct tn_process_metrics **ret_process);

/* Before the registry goes. NULL accepted. */
void tn_process_metrics_destroy(struct tn_process_metrics *process);

#endif
