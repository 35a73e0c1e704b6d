/* Sound from a WAV file, for people who type `--input input=@speech.wav`.
 *
 * Reads RIFF/WAVE with PCM of 8, 16, 24 or 32 bits, float of 32 or 64, and the extensible header;
 * several channels are averaged into one. Source: Microsoft, "Multimedia Programming Interface and
 * Data Specifications 1.0" (1991), and RFC 2361 for the format tags.
 * Memory: samples lie in the arena. Pure. */
#ifndef TN_CMD_AUDIO_H
#define TN_CMD_AUDIO_H

#include "base/fault.h"
#include "core/arena.h"

struct tn_audio {
    float *samples; /* mono, -1..1 */
    size_t count;
    uint32_t rate_hz;
};

/* TN_INVALID or TN_TRUNCATED with words, TN_UNSUPPORTED for a compressed format, TN_NOMEM. */
TN_MUST enum tn_err tn_audio_read(struct tn_bytes file, struct tn_arena *arena,
                                  struct tn_audio *ret_audio, struct tn_fault *fault);

/* The same sound at another rate, by linear interpolation after averaging over the source interval
 * when the rate falls. Good enough to look at a model's answer, not for mastering. */
TN_MUST enum tn_err tn_audio_resample(const struct tn_audio *audio, uint32_t rate_hz,
                                      struct tn_arena *arena, struct tn_audio *ret_audio);

#endif
