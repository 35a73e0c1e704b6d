/* A model's answer in words: by the model.yaml parameter "output.NAME", or as plain numbers.
 *
 *   classes [top=3]                             the best classes with their labels
 *   ctc [blank=0] [space=last]                  text by connectionist temporal classification
 *   score threshold=0.5 [over=WORD] [under=WORD] [seconds=0.032]
 *                                               one number a request, over the requests of a file
 *   (none)                                      type, shape and the first elements
 *
 * Source of ctc: Graves et al. 2006, best-path decoding. Pure: writes into a buffer.
 * Memory: the caller's buffer. Threads: any. */
#ifndef TN_CMD_ANSWER_H
#define TN_CMD_ANSWER_H

#include "base/buf.h"
#include "infer/tensor.h"

/* One output over all requests that a file was cut into. */
struct tn_answer {
    struct tn_str name;
    struct tn_str recipe; /* may be empty */
    struct tn_str labels; /* one a line, may be empty */
    const struct tn_tensor *tensors;
    size_t count;
};

/* Appends lines, each ending with a newline. TN_INVALID: the recipe does not fit the tensor. */
TN_MUST enum tn_err tn_answer_print(const struct tn_answer *answer, struct tn_buf *out,
                                    struct tn_fault *fault);

#endif
