/* The elements of one input, from the form in which they came to the form models take; and of one
 * output, to the form of the classification extension.
 * Memory: the arena. Threads: one. Bounds: the tensor's shape. */
#ifndef TN_SERVE_REQUEST_CONTENTS_H
#define TN_SERVE_REQUEST_CONTENTS_H

#include "serve/entry.h"

struct tn_oip_infer_tensor_contents;

struct tn_contents {
    struct tn_tensor *tensor; /* name, dtype and shape are set; data is filled */
    struct tn_arena *arena;
    struct tn_fault *fault;
};

/* Classification ranks on the loop and writes a text for each class: both are bounded. */
enum { TN_CLASSES_MAX = 1000 };

/* In place when aligned, else copied. The length is checked by the model. TN_NOMEM. */
TN_MUST enum tn_err tn_contents_raw(const struct tn_contents *contents, struct tn_bytes raw);

/* The same for memory that its owner may change meanwhile: copied where a change could harm others
 * than its owner, so always when answers may be `kept`. */
TN_MUST enum tn_err tn_contents_shared(const struct tn_contents *contents, struct tn_bytes shared,
                                       bool kept);

/* Packs typed contents; NULL is fine for a tensor without elements. TN_INVALID: the wrong member
 * for the datatype, too many or few elements, or one out of the type's range. */
TN_MUST enum tn_err tn_contents_typed(const struct tn_contents *contents,
                                      const struct tn_oip_infer_tensor_contents *typed);

/* Whether elements of this type can be ranked. */
bool tn_classes_known(enum tn_dtype dtype);

/* Replaces a tensor by its `count` best classes, "score:index" or "score:index:label" each, as
 * BYTES of shape [count], or [batch, count] when `batched`. Ties: the lower index first. */
TN_MUST enum tn_err tn_contents_classify(const struct tn_contents *contents, size_t count,
                                         bool batched, const struct tn_entry_labels *labels);

#endif
