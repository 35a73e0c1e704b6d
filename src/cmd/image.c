/* Decodes pictures and makes tensors of them; see image.h. */
#include "cmd/image.h"

#include "core/assert.h"

#include <png.h>
#include <turbojpeg.h>

static enum tn_err take_pixels(struct tn_image *image, struct tn_arena *arena,
                               struct tn_fault *fault)
{
    if (image->width == 0 || image->height == 0 ||
        image->width > TN_IMAGE_PIXELS_MAX / image->height) {
        return tn_fault_set(fault, TN_LIMIT,
                            "a picture of %zux%zu pixels is beyond the limit of %d", image->width,
                            image->height, TN_IMAGE_PIXELS_MAX);
    }
    image->pixels = tn_arena_take(arena, image->width * image->height * 3, 1);
    return image->pixels != NULL ? TN_OK
                                 : tn_fault_set(fault, TN_NOMEM, "no memory for the picture");
}

static enum tn_err read_png(struct tn_bytes file, struct tn_arena *arena,
                            struct tn_image *ret_image, struct tn_fault *fault)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (png_image_begin_read_from_memory(&png, file.data, file.size) == 0) {
        return tn_fault_set(fault, TN_INVALID, "PNG: %s", png.message);
    }
    png.format = PNG_FORMAT_RGB;
    struct tn_image image = {.width = png.width, .height = png.height};
    enum tn_err err = take_pixels(&image, arena, fault);
    png_color white = {255, 255, 255};
    if (err == TN_OK && png_image_finish_read(&png, &white, image.pixels, 0, NULL) == 0) {
        err = tn_fault_set(fault, TN_INVALID, "PNG: %s", png.message);
    }
    png_image_free(&png);
    if (err == TN_OK) {
        *ret_image = image;
    }
    return err;
}

static enum tn_err decode_jpeg(tjhandle decoder, struct tn_bytes file, struct tn_arena *arena,
                               struct tn_image *ret_image, struct tn_fault *fault)
{
    int width = 0;
    int height = 0;
    int subsampling = 0;
    int colours = 0;
    if (tjDecompressHeader3(decoder, file.data, file.size, &width, &height, &subsampling,
                            &colours) != 0) {
        return tn_fault_set(fault, TN_INVALID, "JPEG: %s", tjGetErrorStr2(decoder));
    }
    struct tn_image image = {.width = (size_t)width, .height = (size_t)height};
    enum tn_err err = take_pixels(&image, arena, fault);
    if (err != TN_OK) {
        return err;
    }
    if (tjDecompress2(decoder, file.data, file.size, image.pixels, width, 0, height, TJPF_RGB, 0) !=
        0) {
        return tn_fault_set(fault, TN_INVALID, "JPEG: %s", tjGetErrorStr2(decoder));
    }
    *ret_image = image;
    return TN_OK;
}

static enum tn_err read_jpeg(struct tn_bytes file, struct tn_arena *arena,
                             struct tn_image *ret_image, struct tn_fault *fault)
{
    tjhandle decoder = tjInitDecompress();
    if (decoder == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "JPEG: no memory for a decoder");
    }
    enum tn_err err = decode_jpeg(decoder, file, arena, ret_image, fault);
    tjDestroy(decoder);
    return err;
}

enum tn_err tn_image_read(struct tn_bytes file, struct tn_arena *arena, struct tn_image *ret_image,
                          struct tn_fault *fault)
{
    static const uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (file.size >= sizeof(png_magic) && memcmp(file.data, png_magic, sizeof(png_magic)) == 0) {
        return read_png(file, arena, ret_image, fault);
    }
    if (file.size >= 3 && file.data[0] == 0xff && file.data[1] == 0xd8 && file.data[2] == 0xff) {
        return read_jpeg(file, arena, ret_image, fault);
    }
    return tn_fault_set(fault, TN_UNSUPPORTED, "the file is neither PNG nor JPEG");
}

/* One channel of the picture at a place between pixels. */
static float sample(const struct tn_image *image, double x, double y, size_t channel)
{
    x = x < 0.0 ? 0.0 : x;
    y = y < 0.0 ? 0.0 : y;
    size_t left = (size_t)x;
    size_t top = (size_t)y;
    left = left < image->width ? left : image->width - 1;
    top = top < image->height ? top : image->height - 1;
    size_t right = left + 1 < image->width ? left + 1 : left;
    size_t bottom = top + 1 < image->height ? top + 1 : top;
    float fx = (float)(x - (double)left);
    float fy = (float)(y - (double)top);
    const uint8_t *upper = image->pixels + top * image->width * 3 + channel;
    const uint8_t *lower = image->pixels + bottom * image->width * 3 + channel;
    float a = (float)upper[left * 3] + ((float)upper[right * 3] - (float)upper[left * 3]) * fx;
    float b = (float)lower[left * 3] + ((float)lower[right * 3] - (float)lower[left * 3]) * fx;
    return a + (b - a) * fy;
}

static float pixel_value(const struct tn_image *image, const struct tn_image_recipe *recipe,
                         double x, double y, size_t channel)
{
    float value;
    if (recipe->gray) {
        value = 0.299f * sample(image, x, y, 0) + 0.587f * sample(image, x, y, 1) +
                0.114f * sample(image, x, y, 2);
    } else {
        value = sample(image, x, y, recipe->bgr ? 2 - channel : channel);
    }
    return (value * recipe->scale - recipe->mean[channel]) / recipe->std[channel];
}

enum tn_err tn_image_tensor(const struct tn_image *image, const struct tn_image_recipe *recipe,
                            struct tn_arena *arena, float **ret_values, size_t *ret_width,
                            size_t *ret_height)
{
    size_t height = recipe->height > 0 ? recipe->height : image->height;
    double zoom_y = (double)image->height / (double)height;
    size_t inside = recipe->width > 0 ? recipe->width : image->width;
    if (recipe->keep_ratio) {
        inside = (size_t)((double)image->width / zoom_y + 0.5);
        inside = inside > 0 ? inside : 1;
    }
    size_t width = recipe->width > 0 ? recipe->width : inside;
    double zoom_x = (double)image->width / (double)inside;
    size_t channels = recipe->gray ? 1 : 3;
    if (width > TN_IMAGE_PIXELS_MAX / height) {
        return TN_LIMIT;
    }
    float *values = TN_ARENA_ARRAY(arena, float, channels *width *height);
    if (values == NULL) {
        return TN_NOMEM;
    }
    for (size_t c = 0; c < channels; c++) {
        TN_ASSERT(recipe->std[c] != 0.0f);
        for (size_t y = 0; y < height; y++) {
            for (size_t x = 0; x < width && x < inside; x++) {
                size_t at =
                    recipe->nhwc ? (y * width + x) * channels + c : (c * height + y) * width + x;
                values[at] = pixel_value(image, recipe, ((double)x + 0.5) * zoom_x - 0.5,
                                         ((double)y + 0.5) * zoom_y - 0.5, c);
            }
        }
    }
    *ret_values = values;
    *ret_width = width;
    *ret_height = height;
    return TN_OK;
}
