/* Pictures from PNG and JPEG files, and the tensor that a vision model wants of them.
 *
 * Decoding is libpng's and libjpeg-turbo's; an alpha channel is laid on white.
 * Memory: pixels lie in the arena. Bounds: TN_IMAGE_PIXELS_MAX. Threads: any. */
#ifndef TN_CMD_IMAGE_H
#define TN_CMD_IMAGE_H

#include "base/fault.h"
#include "core/arena.h"

enum { TN_IMAGE_PIXELS_MAX = 64 * 1024 * 1024 };

struct tn_image {
    uint8_t *pixels; /* RGB, row by row, no padding */
    size_t width;
    size_t height;
};

TN_MUST enum tn_err tn_image_read(struct tn_bytes file, struct tn_arena *arena,
                                  struct tn_image *ret_image, struct tn_fault *fault);

/* How pixels become numbers: (value * scale - mean) / std for each channel, value in 0..255. */
struct tn_image_recipe {
    size_t width, height; /* of the tensor; 0: the picture's own */
    bool keep_ratio;      /* scale to the height, pad the right with zeros, cut what is wider */
    bool bgr;
    bool nhwc; /* [height, width, channel] instead of [channel, height, width] */
    bool gray; /* one channel, Rec. 601 luma */
    float scale, mean[3], std[3];
};

/* Values row-major by the recipe's layout: channels * height * width floats in the arena; the sides
 * used go to ret_width and ret_height. Bilinear between pixel centres. */
TN_MUST enum tn_err tn_image_tensor(const struct tn_image *image,
                                    const struct tn_image_recipe *recipe, struct tn_arena *arena,
                                    float **ret_values, size_t *ret_width, size_t *ret_height);

#endif
