/* Reads WAV files and changes their rate; see audio.h.
 *
 * A file is a list of chunks: 4 letters, a length, bytes, padded to even. "fmt " must come before
 * "data"; others are skipped. A data chunk that claims more than the file holds is cut to what is
 * there, as streaming recorders write 0xffffffff. Memory: the arena. Threads: any. */
#include "cmd/audio.h"

#include "core/assert.h"

enum { WAVE_PCM = 1, WAVE_FLOAT = 3, WAVE_EXTENSIBLE = 0xfffe, CHANNELS_MAX = 64 };

struct wave_format {
    unsigned tag;
    unsigned channels;
    unsigned bits;
    uint32_t rate_hz;
};

static unsigned load_le16(const uint8_t *at)
{
    return (unsigned)at[0] | (unsigned)at[1] << 8;
}

static enum tn_err read_format(struct tn_bytes chunk, struct wave_format *ret,
                               struct tn_fault *fault)
{
    if (chunk.size < 16) {
        return tn_fault_set(fault, TN_TRUNCATED, "WAV: the format chunk has %zu of 16 bytes",
                            chunk.size);
    }
    struct wave_format format = {
        .tag = load_le16(chunk.data),
        .channels = load_le16(chunk.data + 2),
        .rate_hz = tn_load_le32(chunk.data + 4),
        .bits = load_le16(chunk.data + 14),
    };
    if (format.tag == WAVE_EXTENSIBLE && chunk.size >= 26) {
        format.tag = load_le16(chunk.data + 24);
    }
    bool known = (format.tag == WAVE_PCM && (format.bits == 8 || format.bits == 16 ||
                                             format.bits == 24 || format.bits == 32)) ||
                 (format.tag == WAVE_FLOAT && (format.bits == 32 || format.bits == 64));
    if (!known) {
        return tn_fault_set(fault, TN_UNSUPPORTED,
                            "WAV: format %u with %u bits is not read here; convert to 16-bit PCM",
                            format.tag, format.bits);
    }
    if (format.channels == 0 || format.channels > CHANNELS_MAX || format.rate_hz == 0) {
        return tn_fault_set(fault, TN_INVALID, "WAV: %u channels at %u Hz", format.channels,
                            format.rate_hz);
    }
    *ret = format;
    return TN_OK;
}

static float sample_at(const uint8_t *at, const struct wave_format *format)
{
    if (format->tag == WAVE_FLOAT && format->bits == 32) {
        uint32_t word = tn_load_le32(at);
        float value;
        memcpy(&value, &word, sizeof(value));
        return value;
    }
    if (format->tag == WAVE_FLOAT) {
        uint64_t word = tn_load_le64(at);
        double value;
        memcpy(&value, &word, sizeof(value));
        return (float)value;
    }
    switch (format->bits) {
    case 8: /* the only unsigned one */
        return ((float)at[0] - 128.0f) / 128.0f;
    case 16:
        return (float)(int16_t)load_le16(at) / 32768.0f;
    case 24: {
        uint32_t word = (uint32_t)at[0] << 8 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 24;
        return (float)(int32_t)word / 2147483648.0f;
    }
    default:
        return (float)(int32_t)tn_load_le32(at) / 2147483648.0f;
    }
}

static enum tn_err read_samples(struct tn_bytes data, const struct wave_format *format,
                                struct tn_arena *arena, struct tn_audio *ret_audio,
                                struct tn_fault *fault)
{
    size_t sample_size = format->bits / 8;
    size_t frame_size = sample_size * format->channels;
    size_t count = data.size / frame_size;
    if (count == 0) {
        return tn_fault_set(fault, TN_INVALID, "WAV: there is no sound in it");
    }
    float *samples = TN_ARENA_ARRAY(arena, float, count);
    if (samples == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "WAV: no memory for %zu samples", count);
    }
    for (size_t i = 0; i < count; i++) {
        float sum = 0.0f;
        for (unsigned c = 0; c < format->channels; c++) {
            sum += sample_at(data.data + i * frame_size + c * sample_size, format);
        }
        samples[i] = sum / (float)format->channels;
    }
    *ret_audio = (struct tn_audio){.samples = samples, .count = count, .rate_hz = format->rate_hz};
    return TN_OK;
}

enum tn_err tn_audio_read(struct tn_bytes file, struct tn_arena *arena, struct tn_audio *ret_audio,
                          struct tn_fault *fault)
{
    if (file.size < 12 || memcmp(file.data, "RIFF", 4) != 0 ||
        memcmp(file.data + 8, "WAVE", 4) != 0) {
        return tn_fault_set(fault, TN_INVALID, "this is no WAV file: it does not begin with RIFF");
    }
    struct wave_format format = {0};
    size_t at = 12;
    while (file.size - at >= 8) {
        const uint8_t *chunk = file.data + at;
        size_t size = tn_load_le32(chunk + 4);
        size_t there = file.size - at - 8;
        struct tn_bytes body = tn_bytes_make(chunk + 8, size < there ? size : there);
        if (memcmp(chunk, "fmt ", 4) == 0) {
            enum tn_err err = read_format(body, &format, fault);
            if (err != TN_OK) {
                return err;
            }
        } else if (memcmp(chunk, "data", 4) == 0) {
            return format.tag != 0 ? read_samples(body, &format, arena, ret_audio, fault)
                                   : tn_fault_set(fault, TN_INVALID, "WAV: data before its format");
        }
        size_t step = 8 + body.size + (body.size & 1);
        at += step < file.size - at ? step : file.size - at;
    }
    return tn_fault_set(fault, TN_TRUNCATED, "WAV: the file ends before its sound begins");
}

enum tn_err tn_audio_resample(const struct tn_audio *audio, uint32_t rate_hz,
                              struct tn_arena *arena, struct tn_audio *ret_audio)
{
    TN_ASSERT(rate_hz > 0 && audio->rate_hz > 0 && audio->count > 0);

    if (rate_hz == audio->rate_hz) {
        *ret_audio = *audio;
        return TN_OK;
    }
    double step = (double)audio->rate_hz / (double)rate_hz;
    size_t count = (size_t)((double)audio->count / step);
    count = count > 0 ? count : 1;
    float *samples = TN_ARENA_ARRAY(arena, float, count);
    if (samples == NULL) {
        return TN_NOMEM;
    }
    size_t width = step > 1.0 ? (size_t)(step + 0.5) : 1;
    for (size_t i = 0; i < count; i++) {
        double position = (double)i * step;
        size_t left = (size_t)position;
        float part = (float)(position - (double)left);
        float sum = 0.0f;
        for (size_t k = 0; k < width; k++) {
            size_t a = left + k < audio->count ? left + k : audio->count - 1;
            size_t b = a + 1 < audio->count ? a + 1 : audio->count - 1;
            sum += audio->samples[a] + (audio->samples[b] - audio->samples[a]) * part;
        }
        samples[i] = sum / (float)width;
    }
    *ret_audio = (struct tn_audio){.samples = samples, .count = count, .rate_hz = rate_hz};
    return TN_OK;
}
