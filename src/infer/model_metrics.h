/* What a model tells of itself: tenon_infer_* and, for dashboards made for Triton, nv_inference_*.
 *
 *   a run ends --tn_model_metrics_ran--> histograms        a scrape --> counters from the model's
 * own
 *
 * Histograms are fed where the times are known, at the end of a run, by the thread that ran it:
 * about 30 ns a request and 40 ns a batch. Everything that the model counts anyway is read at a
 * scrape instead (model_stats.c), so it costs a request nothing. All series of a model are retired
 * when it goes. Memory: one struct a model. Threads: any. */
#ifndef TN_INFER_MODEL_METRICS_H
#define TN_INFER_MODEL_METRICS_H

#include "infer/model.h"

struct tn_model_metrics;

/* With the model's name, version and size known. `ret_metrics` NULL without a registry. TN_NOMEM.
 */
TN_MUST enum tn_err tn_model_metrics_create(struct tn_metrics *registry, struct tn_model *model,
                                            struct tn_model_metrics **ret_metrics,
                                            struct tn_fault *fault);

/* While the model can still be read. NULL accepted. */
void tn_model_metrics_destroy(struct tn_model_metrics *metrics);

/* A run has ended and `jobs` have their times, bytes and faults; `items` ran together. NULL metrics
 * accepted. */
void tn_model_metrics_ran(struct tn_model_metrics *metrics, struct tn_infer_job *const *jobs,
                          size_t count, uint64_t items);

#endif
