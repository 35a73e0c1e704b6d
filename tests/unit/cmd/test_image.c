/* Pictures: PNG and JPEG in, tensors out, and files that are damaged at every byte. */
#include "base/mem.h"
#include "cmd/image.h"
#include "cmd/recipe.h"
#include "core/assert.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <turbojpeg.h>

#include <cmocka.h>

static const struct tn_image_recipe plain = {.scale = 1.0f, .std = {1.0f, 1.0f, 1.0f}};

static int open_arena(void **state)
{
    static struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    *state = &arena;
    return 0;
}

static int close_arena(void **state)
{
    tn_arena_deinit(*state);
    return (int)tn_mem_live();
}

static size_t make_png(uint32_t format, const uint8_t *pixels, unsigned width, unsigned height,
                       uint8_t *out, size_t room)
{
    png_image png = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = format};
    png_alloc_size_t size = room;
    assert_true(png_image_write_to_memory(&png, out, &size, 0, pixels, 0, NULL) != 0);
    return size;
}

static void png_pixels_come_back(void **state)
{
    const uint8_t pixels[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7};
    uint8_t file[1024];
    size_t size = make_png(PNG_FORMAT_RGB, pixels, 2, 2, file, sizeof(file));
    struct tn_image image;
    assert_int_equal(tn_image_read(tn_bytes_make(file, size), *state, &image, NULL), TN_OK);
    assert_int_equal(image.width, 2);
    assert_int_equal(image.height, 2);
    assert_memory_equal(image.pixels, pixels, sizeof(pixels));
}

static void transparency_lies_on_white(void **state)
{
    const uint8_t pixels[4] = {10, 20, 30, 0};
    uint8_t file[1024];
    size_t size = make_png(PNG_FORMAT_RGBA, pixels, 1, 1, file, sizeof(file));
    struct tn_image image;
    assert_int_equal(tn_image_read(tn_bytes_make(file, size), *state, &image, NULL), TN_OK);
    assert_memory_equal(image.pixels, "\377\377\377", 3);
}

static void jpeg_is_near(void **state)
{
    uint8_t pixels[16 * 16 * 3];
    memset(pixels, 200, sizeof(pixels));
    unsigned char *file = NULL;
    unsigned long size = 0;
    tjhandle encoder = tjInitCompress();
    assert_int_equal(
        tjCompress2(encoder, pixels, 16, 0, 16, TJPF_RGB, &file, &size, TJSAMP_444, 90, 0), 0);
    struct tn_image image;
    assert_int_equal(tn_image_read(tn_bytes_make(file, size), *state, &image, NULL), TN_OK);
    assert_int_equal(image.width * image.height, 256);
    for (size_t i = 0; i < sizeof(pixels); i++) {
        assert_in_range(image.pixels[i], 197, 203);
    }
    tjFree(file);
    tjDestroy(encoder);
}

static void damage_never_hurts(void **state)
{
    uint8_t pixels[8 * 8 * 3];
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)(i * 37);
    }
    uint8_t file[2048];
    size_t size = make_png(PNG_FORMAT_RGB, pixels, 8, 8, file, sizeof(file));
    for (size_t i = 0; i < size; i++) {
        struct tn_image image;
        struct tn_fault fault = {0};
        enum tn_err err = tn_image_read(tn_bytes_make(file, i), *state, &image, &fault);
        assert_true(err == TN_OK || fault.text[0] != '\0');
        file[i] ^= 0x41;
        fault.text[0] = '\0';
        err = tn_image_read(tn_bytes_make(file, size), *state, &image, &fault);
        assert_true(err == TN_OK || fault.text[0] != '\0');
        file[i] ^= 0x41;
    }
}

static void layouts_agree(void **state)
{
    uint8_t pixels[6] = {1, 2, 3, 4, 5, 6}; /* two pixels side by side */
    struct tn_image image = {.pixels = pixels, .width = 2, .height = 1};
    float *values = NULL;
    size_t width = 0;
    size_t height = 0;
    assert_int_equal(tn_image_tensor(&image, &plain, *state, &values, &width, &height), TN_OK);
    const float nchw[] = {1, 4, 2, 5, 3, 6};
    assert_memory_equal(values, nchw, sizeof(nchw));
    struct tn_image_recipe recipe = plain;
    recipe.nhwc = true;
    recipe.bgr = true;
    assert_int_equal(tn_image_tensor(&image, &recipe, *state, &values, &width, &height), TN_OK);
    const float nhwc_bgr[] = {3, 2, 1, 6, 5, 4};
    assert_memory_equal(values, nhwc_bgr, sizeof(nhwc_bgr));
    assert_int_equal(width, 2);
    assert_int_equal(height, 1);
}

/* A ramp stays a ramp at every size, which nearest-pixel or shifted sampling would break. */
static void scaling_keeps_a_ramp(void **state)
{
    uint8_t pixels[64 * 3];
    for (size_t i = 0; i < 64; i++) {
        memset(pixels + i * 3, (int)(i * 4), 3);
    }
    struct tn_image image = {.pixels = pixels, .width = 64, .height = 1};
    for (size_t wanted = 1; wanted <= 256; wanted += 5) {
        struct tn_image_recipe recipe = plain;
        recipe.width = wanted;
        float *values = NULL;
        size_t width = 0;
        size_t height = 0;
        assert_int_equal(tn_image_tensor(&image, &recipe, *state, &values, &width, &height), TN_OK);
        for (size_t i = 0; i < wanted; i++) {
            double place = ((double)i + 0.5) * 64.0 / (double)wanted - 0.5;
            double ramp = fmin(fmax(place, 0.0), 63.0) * 4.0;
            assert_true(fabs(ramp - (double)values[i]) < 0.01);
        }
    }
}

static void keep_ratio_pads_with_zeros(void **state)
{
    uint8_t pixels[4 * 2 * 3];
    memset(pixels, 100, sizeof(pixels));
    struct tn_image image = {.pixels = pixels, .width = 4, .height = 2};
    struct tn_recipe recipe;
    assert_int_equal(
        tn_recipe_parse(TN_STR_OF("image resize=12x4 keep-ratio scale=1"), &recipe, NULL), TN_OK);
    float *values = NULL;
    size_t width = 0;
    size_t height = 0;
    assert_int_equal(tn_image_tensor(&image, &recipe.image, *state, &values, &width, &height),
                     TN_OK);
    assert_int_equal(width, 12);
    assert_int_equal(height, 4);
    for (size_t x = 0; x < 12; x++) {
        assert_true(values[x] == (x < 8 ? 100.0f : 0.0f));
    }
}

static void recipes_are_read_or_refused(void **unused)
{
    (void)unused;
    const struct {
        const char *text;
        bool right;
    } rows[] = {
        {"", true},
        {"image", true},
        {"image resize=320x48 keep-ratio order=bgr scale=1/255 mean=0.5 std=0.5", true},
        {"image mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nhwc", true},
        {"audio rate=16000 window=512 step=256 scale=32768", true},
        {"video", false},
        {"image resize=320", false},
        {"image resize=x48", false},
        {"image std=0", false},
        {"image mean=1,2", false},
        {"image scale=1/0", false},
        {"image order=rbg", false},
        {"audio rate=-1", false},
        {"audio window=0", false},
        {"audio resize=1x1", false},
        {"image =", false},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_recipe recipe;
        struct tn_fault fault = {0};
        enum tn_err err = tn_recipe_parse(tn_str_from(rows[i].text), &recipe, &fault);
        if ((err == TN_OK) != rows[i].right || (err != TN_OK && fault.text[0] == '\0')) {
            fail_msg("recipe '%s' gave %s '%s'", rows[i].text, tn_err_name(err), fault.text);
        }
    }
    struct tn_recipe recipe;
    assert_int_equal(tn_recipe_parse(TN_STR_OF("image scale=1/255 mean=0.5"), &recipe, NULL),
                     TN_OK);
    assert_true(recipe.image.scale == 1.0f / 255.0f && recipe.image.mean[2] == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(png_pixels_come_back, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(transparency_lies_on_white, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(jpeg_is_near, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(damage_never_hurts, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(layouts_agree, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(scaling_keeps_a_ramp, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(keep_ratio_pads_with_zeros, open_arena, close_arena),
        cmocka_unit_test(recipes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
