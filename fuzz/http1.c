/* HTTP/1 parser: no bytes crash it, and what comes out does not depend on how they were cut.
 *
 * Byte 0 chooses the direction and the seed of the cuts, the rest is the wire. */
#include "core/assert.h"
#include "tests/support/http1_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t cut(void *context, size_t left)
{
    uint32_t *state = context;
    *state = *state * 1664525u + 1013904223u;
    size_t size = 1 + (*state >> 24) % 9;
    return size < left ? size : left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint32_t seed = data[0];
    struct http1_play play = {.response = (data[0] & 1) != 0,
                              .head_request = (data[0] & 2) != 0,
                              .eof = true,
                              .limits = {.line_bytes_max = 300, .head_bytes_max = 600}};
    struct tn_buf whole, pieces;
    tn_buf_init(&whole, 0);
    tn_buf_init(&pieces, 0);
    struct tn_bytes bytes = tn_bytes_make(data + 1, size - 1);
    http1_play(&play, bytes, &whole);
    play.next_cut = cut;
    play.context = &seed;
    http1_play(&play, bytes, &pieces);
    TN_ASSERT(tn_bytes_equal(tn_buf_bytes(&whole), tn_buf_bytes(&pieces)));
    tn_buf_deinit(&whole);
    tn_buf_deinit(&pieces);
    return 0;
}
