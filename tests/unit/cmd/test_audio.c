/* WAV files: every format that is read, each refusal, truncation at every byte, and resampling. */
#include "base/mem.h"
#include "cmd/audio.h"
#include "core/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct wave {
    uint8_t bytes[4096];
    size_t size;
};

static void put(struct wave *wave, const void *data, size_t size)
{
    TN_ASSERT(size <= sizeof(wave->bytes) - wave->size);
    memcpy(wave->bytes + wave->size, data, size);
    wave->size += size;
}

static void put_number(struct wave *wave, uint32_t value, size_t size)
{
    put(wave, &value, size);
}

/* A file with `frames` frames of silence but for what the caller writes over. */
static struct wave make(unsigned tag, unsigned channels, uint32_t rate, unsigned bits,
                        size_t data_size)
{
    struct wave wave = {.size = 0};
    put(&wave, "RIFF\0\0\0\0WAVE", 12);
    put(&wave, "LIST\3\0\0\0abc", 11); /* an odd chunk to skip, with its padding */
    put_number(&wave, 0, 1);
    put(&wave, "fmt \20\0\0\0", 8);
    put_number(&wave, tag, 2);
    put_number(&wave, channels, 2);
    put_number(&wave, rate, 4);
    put_number(&wave, rate * channels * bits / 8, 4);
    put_number(&wave, channels * bits / 8, 2);
    put_number(&wave, bits, 2);
    put(&wave, "data", 4);
    put_number(&wave, (uint32_t)data_size, 4);
    return wave;
}

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

static void every_width_says_the_same(void **state)
{
    const struct {
        unsigned tag, bits;
        uint8_t half[8]; /* 0.5 */
    } forms[] = {
        {1, 8, {0xc0}},
        {1, 16, {0x00, 0x40}},
        {1, 24, {0x00, 0x00, 0x40}},
        {1, 32, {0x00, 0x00, 0x00, 0x40}},
        {3, 32, {0x00, 0x00, 0x00, 0x3f}},
        {3, 64, {0, 0, 0, 0, 0, 0, 0xe0, 0x3f}},
    };
    for (size_t i = 0; i < TN_COUNT(forms); i++) {
        size_t size = forms[i].bits / 8;
        struct wave wave = make(forms[i].tag, 1, 16000, forms[i].bits, 2 * size);
        put(&wave, forms[i].half, size);
        put(&wave, forms[i].half, size);
        struct tn_audio audio;
        struct tn_fault fault = {0};
        assert_int_equal(
            tn_audio_read(tn_bytes_make(wave.bytes, wave.size), *state, &audio, &fault), TN_OK);
        assert_int_equal(audio.count, 2);
        assert_int_equal(audio.rate_hz, 16000);
        assert_true(audio.samples[0] == 0.5f && audio.samples[1] == 0.5f);
    }
}

static void channels_are_averaged(void **state)
{
    struct wave wave = make(1, 2, 8000, 16, 4);
    put_number(&wave, 0x4000, 2);
    put_number(&wave, 0, 2);
    struct tn_audio audio;
    assert_int_equal(tn_audio_read(tn_bytes_make(wave.bytes, wave.size), *state, &audio, NULL),
                     TN_OK);
    assert_int_equal(audio.count, 1);
    assert_true(audio.samples[0] == 0.25f);
}

static void refusals_say_why(void **state)
{
    struct tn_audio audio;
    struct tn_fault fault;
    struct wave compressed = make(0x55, 1, 16000, 16, 4);
    put_number(&compressed, 0, 4);
    assert_int_equal(
        tn_audio_read(tn_bytes_make(compressed.bytes, compressed.size), *state, &audio, &fault),
        TN_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "16-bit PCM"));
    struct wave silent = make(1, 1, 16000, 16, 0);
    assert_int_equal(
        tn_audio_read(tn_bytes_make(silent.bytes, silent.size), *state, &audio, &fault),
        TN_INVALID);
    struct wave mute = make(1, 0, 16000, 16, 4);
    put_number(&mute, 0, 4);
    assert_int_equal(tn_audio_read(tn_bytes_make(mute.bytes, mute.size), *state, &audio, &fault),
                     TN_INVALID);
    assert_int_equal(tn_audio_read(tn_bytes_make("ID3", 3), *state, &audio, &fault), TN_INVALID);
}

static void every_truncation_is_answered(void **state)
{
    struct wave wave = make(1, 1, 16000, 16, 64);
    for (size_t i = 0; i < 32; i++) {
        put_number(&wave, 0x1000, 2);
    }
    for (size_t size = 0; size < wave.size; size++) {
        struct tn_audio audio;
        enum tn_err err = tn_audio_read(tn_bytes_make(wave.bytes, size), *state, &audio, NULL);
        /* What is there of the sound is used, as with a recorder that was switched off. */
        assert_true(err == TN_OK ? audio.count == (size - (wave.size - 64)) / 2 : err < TN_OK);
    }
}

static void resampling_keeps_a_tone(void **state)
{
    struct tn_arena *arena = *state;
    float *tone = TN_ARENA_ARRAY(arena, float, 48000);
    for (size_t i = 0; i < 48000; i++) {
        tone[i] = sinf(2.0f * (float)M_PI * 440.0f * (float)i / 48000.0f);
    }
    struct tn_audio audio = {.samples = tone, .count = 48000, .rate_hz = 48000};
    struct tn_audio down;
    assert_int_equal(tn_audio_resample(&audio, 16000, arena, &down), TN_OK);
    assert_int_equal(down.count, 16000);
    double error = 0.0;
    for (size_t i = 0; i < down.count; i++) {
        /* The average over three source samples is centred one sample later. */
        double wanted = sin(2.0 * M_PI * 440.0 * ((double)i * 3.0 + 1.0) / 48000.0);
        error = fmax(error, fabs(wanted - (double)down.samples[i]));
    }
    assert_true(error < 0.01);
    struct tn_audio up;
    assert_int_equal(tn_audio_resample(&down, 44100, arena, &up), TN_OK);
    assert_in_range(up.count, 44099, 44101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_width_says_the_same, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(channels_are_averaged, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refusals_say_why, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(every_truncation_is_answered, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(resampling_keeps_a_tone, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
