/* What a person gives a model: `--input NAME=VALUE` becomes tensors.
 *
 *   VALUE            gives
 *   @file.wav        sound by the model's recipe, cut into windows when it asks for them
 *   @file.png .jpg   a picture by the model's recipe
 *   @file.npy        the array as it is
 *   @file.json       a JSON array
 *   @file.txt        BYTES: one element a line
 *   @file            raw little-endian elements
 *   [[1,2],[3,4]]    a JSON array; a single number or text stands for one element
 *   zeros, ones, random   generated; free dimensions are 1 unless --shape says otherwise
 *
 * Memory: tensors lie in the arena. Threads: any. */
#ifndef TN_CMD_INPUT_H
#define TN_CMD_INPUT_H

#include "core/arena.h"
#include "infer/tensor.h"

struct tn_input_spec {
    struct tn_str name;
    enum tn_dtype dtype;
    struct tn_shape shape;  /* of the model, -1 is free */
    struct tn_str recipe;   /* of the model's configuration, may be empty */
    struct tn_shape wanted; /* --shape; rank 0: none */
    uint64_t seed;          /* for `random` */
};

/* One tensor a request. */
struct tn_input {
    struct tn_str name;
    struct tn_tensor *tensors;
    size_t count;
};

TN_MUST enum tn_err tn_input_read(const struct tn_input_spec *spec, struct tn_str value,
                                  struct tn_arena *arena, struct tn_input *ret_input,
                                  struct tn_fault *fault);

#endif
