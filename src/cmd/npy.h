/* NumPy's .npy files, versions 1.0 to 3.0, little-endian and C order: what numpy.save writes.
 * Source: numpy.lib.format, "The NPY format". Pure: views into the file's bytes. */
#ifndef TN_CMD_NPY_H
#define TN_CMD_NPY_H

#include "infer/tensor.h"

/* dtype, shape and data of the one array in `file`; name and owner stay empty. TN_UNSUPPORTED for
 * Fortran order, big-endian and object arrays, with words that say what to do. */
TN_MUST enum tn_err tn_npy_read(struct tn_bytes file, struct tn_tensor *ret_tensor,
                                struct tn_fault *fault);

enum { TN_NPY_HEADER_SIZE = 256 };

/* The header before `tensor`'s bytes, TN_NPY_HEADER_SIZE bytes. TN_UNSUPPORTED for BYTES and BF16.
 */
TN_MUST enum tn_err tn_npy_header(const struct tn_tensor *tensor,
                                  char ret_header[TN_NPY_HEADER_SIZE]);

#endif
