/* Writes small ONNX models in memory, so that tests need no files: a graph of nodes between typed
 * inputs and outputs. Memory: one buffer; nothing is freed until tn_onnx_end. Threads: one. */
#ifndef TN_TESTS_ONNX_WRITER_H
#define TN_TESTS_ONNX_WRITER_H

#include "base/block.h"
#include "base/buf.h"
#include "infer/tensor.h"

struct onnx_writer {
    struct tn_buf graph;
};

void onnx_begin(struct onnx_writer *writer);

/* op("Add", "a,b", "c"): inputs and outputs as lists. `ints` names one attribute of integers. */
void onnx_node(struct onnx_writer *writer, const char *op, const char *inputs, const char *outputs);
void onnx_node_ints(struct onnx_writer *writer, const char *op, const char *inputs,
                    const char *outputs, const char *attribute, const int64_t *values,
                    size_t count);
void onnx_node_int(struct onnx_writer *writer, const char *op, const char *inputs,
                   const char *outputs, const char *attribute, int64_t value);

/* -1 in `dims` is a free dimension, each with a name of its own. */
void onnx_input(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                const int64_t *dims, size_t rank);
void onnx_output(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                 const int64_t *dims, size_t rank);

/* A constant tensor of floats or 64-bit integers. */
void onnx_constant(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                   const int64_t *dims, size_t rank, const void *values, size_t size);

/* The finished file; the writer is done. Aborts without memory. */
struct tn_block *onnx_end(struct onnx_writer *writer);

/* Two INT32[n,16] in, their sum and difference out. */
struct tn_block *onnx_simple(void);

#endif
