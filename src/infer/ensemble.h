/* The graph of an ensemble: which step needs what, and what may run next.
 *
 *   inputs --> [step] --> tensor --> [step] --> ... --> outputs
 *
 * Tensors have the outside names of the steps' mappings. Each is given by one step or is an input
 * of the ensemble. Pure: built once in an arena, then constant; a run keeps its own counters.
 * Bounds: TN_STEPS_MAX steps, TN_ENSEMBLE_TENSORS_MAX tensors. */
#ifndef TN_INFER_ENSEMBLE_H
#define TN_INFER_ENSEMBLE_H

#include "infer/model_config.h"

enum { TN_ENSEMBLE_TENSORS_MAX = 256, TN_ENSEMBLE_LINKS_MAX = 16 };

struct tn_ensemble_link {
    struct tn_str inside; /* the member's name */
    uint16_t tensor;      /* index in `tensors` */
};

struct tn_ensemble_step {
    struct tn_str model;
    int64_t version; /* -1: latest */
    struct tn_ensemble_link inputs[TN_ENSEMBLE_LINKS_MAX], outputs[TN_ENSEMBLE_LINKS_MAX];
    size_t input_count, output_count;
    size_t needs; /* inputs that other steps give */
};

struct tn_ensemble {
    struct tn_ensemble_step *steps;
    size_t step_count;
    struct tn_str *tensors; /* names; the ensemble's inputs first, in their order */
    size_t tensor_count;
    size_t input_count;
    uint16_t *outputs; /* tensor of each output of the ensemble */
    size_t output_count;
};

/* TN_INVALID, with the names in the fault: a tensor nobody gives, given twice, an output that is
 * not made, steps in a circle. TN_LIMIT: more tensors than allowed. TN_NOMEM. */
TN_MUST enum tn_err tn_ensemble_init(struct tn_ensemble *ensemble,
                                     const struct tn_model_config *config, struct tn_arena *arena,
                                     struct tn_fault *fault);

/* Steps whose inputs are all there, at the start of a run: calls `ready` for each. `missing` has
 * room for step_count. */
void tn_ensemble_begin(const struct tn_ensemble *ensemble, uint16_t *missing,
                       void (*ready)(void *context, size_t step), void *context);

/* `step` gave its outputs: calls `ready` for each step that can start now. */
void tn_ensemble_ended(const struct tn_ensemble *ensemble, uint16_t *missing, size_t step,
                       void (*ready)(void *context, size_t step), void *context);

#endif
