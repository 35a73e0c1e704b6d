/* Runs ensembles: one thread an ensemble, which passes tensors by reference from member to member.
 *
 *   queue of jobs --> run: ready steps submitted --members' replies--> next steps --> job back
 *
 * Steps that are ready at the same time run in parallel in their models. Deadline, priority and
 * sequence of the request go to every member; when one step fails, the others of that request are
 * cancelled and the job comes back with the step's fault.
 * Memory: one block a run, kept for reuse. Bounds: the ensemble's queue_max runs. */
#ifndef TN_INFER_ENSEMBLE_RUN_H
#define TN_INFER_ENSEMBLE_RUN_H

#include "infer/ensemble.h"
#include "infer/model.h"

struct tn_ensemble_runner;

/* `model` is half built: its arena, queue and instance are there. Fills its signature. */
TN_MUST enum tn_err tn_ensemble_runner_create(struct tn_model *model,
                                              const struct tn_model_options *options,
                                              struct tn_ensemble_runner **ret_runner,
                                              struct tn_fault *fault);
void tn_ensemble_runner_destroy(struct tn_ensemble_runner *runner); /* NULL accepted */

void tn_ensemble_thread(void *runner);

/* Any thread: a job of this ensemble was marked as cancelled. */
void tn_ensemble_cancel(struct tn_ensemble_runner *runner, struct tn_infer_job *job);

#endif
