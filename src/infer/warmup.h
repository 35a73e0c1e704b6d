/* Runs before a model is ready, so that the first request does not pay for planning memory and
 * touching pages. What model.yaml lists is run on the first instance's runner; a sample that the
 * model refuses is a fault of the load. Threads: the loading one, before the instances start. */
#ifndef TN_INFER_WARMUP_H
#define TN_INFER_WARMUP_H

#include "infer/model.h"

/* TN_INVALID: a sample does not fit the model. */
TN_MUST enum tn_err tn_warmup_run(struct tn_model *model, const struct tn_model_options *options,
                                  struct tn_fault *fault);

#endif
