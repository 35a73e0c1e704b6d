/* Which dimension of each tensor is the batch, and the proof that it is one.
 *
 *   guess (names and free dimensions) --> probe: items run apart and together --> plan
 *
 * Requests are batched along one dimension of each input, mostly the first, but silero's state has
 * its batch second and its rate has none. A guess from the signature is not enough: the first
 * dimension of a spectrogram model's output is time, and a model may mix its rows. So at load two
 * random items run apart and together, and only when each gets the same answer both ways are
 * requests ever put together.
 * The guess and the comparisons are pure; the probe runs the model a few times. */
#ifndef TN_INFER_PLAN_H
#define TN_INFER_PLAN_H

#include "infer/backend.h"

enum { TN_PLAN_SHARED = -1 }; /* no batch dimension: equal values may share a run */

struct tn_plan {
    bool batchable;
    bool first; /* every axis is 0 */
    int8_t input_axes[TN_TENSORS_MAX];
    int8_t output_axes[TN_TENSORS_MAX];
};

/* Axes by the signature alone: what `batch_axis` of a tensor says, or when that is TN_AXIS_AUTO the
 * first dimension if it is free, else the only free one. `batchable` says whether there is a batch
 * dimension on both sides. TN_INVALID: a named axis that the tensor does not have. */
TN_MUST enum tn_err tn_plan_guess(const struct tn_program_info *info, struct tn_plan *ret_plan,
                                  struct tn_fault *fault);

/* Runs the model to confirm a guess and to find the outputs' axes. Clears `batchable` when the
 * model does not treat items apart, or cannot be run on made-up inputs. TN_NOMEM. */
TN_MUST enum tn_err tn_plan_probe(const struct tn_backend *backend, void *runner,
                                  const struct tn_program_info *info, struct tn_plan *plan);

#endif
