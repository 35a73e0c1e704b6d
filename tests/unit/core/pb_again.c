/* Reads a test.Batch on stdin and writes it anew on stdout: the codec as seen from outside, for
 * test_pb_protoc.py. Ends with 1 when the input is refused. */
#include "base/mem.h"
#include "pb_every.pb.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_SIZE_MAX = 64 << 20 };

int main(void)
{
    uint8_t *input = malloc(INPUT_SIZE_MAX);
    if (input == NULL) {
        return 2;
    }
    size_t input_size = fread(input, 1, INPUT_SIZE_MAX, stdin);
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_test_batch batch;
    enum tn_err err =
        tn_pb_decode(&tn_test_batch_pb, tn_bytes_make(input, input_size), &arena, &batch);
    int status = 1;
    if (err == TN_OK) {
        size_t size = tn_pb_size(&tn_test_batch_pb, &batch);
        uint8_t *output = malloc(size + 1);
        if (output != NULL) {
            tn_pb_encode(&tn_test_batch_pb, &batch, output, size);
            status = fwrite(output, 1, size, stdout) == size ? 0 : 2;
        }
        free(output);
    }
    tn_arena_deinit(&arena);
    free(input);
    return status;
}
