/* Handling of secrets: comparing without telling by time how much was right, and forgetting. */
#ifndef TN_BASE_SECRET_H
#define TN_BASE_SECRET_H

#include "core/bytes.h"

/* Whether both are equal, in a time that depends on the sizes alone. */
bool tn_secret_equal(struct tn_bytes a, struct tn_bytes b);

/* Zeroes the memory; not optimised away. */
void tn_secret_wipe(void *data, size_t size);

#endif
