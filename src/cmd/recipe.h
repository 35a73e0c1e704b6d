/* How a file becomes a model's input: the text of a model.yaml parameter "input.NAME".
 *
 *   image resize=320x48 keep-ratio order=bgr layout=nchw scale=1/255 mean=0.5 std=0.5
 *   audio rate=16000 window=512 step=512 scale=32768
 *
 * Pure. Memory: none. Errors name the word that is wrong. */
#ifndef TN_CMD_RECIPE_H
#define TN_CMD_RECIPE_H

#include "cmd/image.h"

enum tn_recipe_kind { TN_RECIPE_NONE, TN_RECIPE_IMAGE, TN_RECIPE_AUDIO };

struct tn_audio_recipe {
    uint32_t rate_hz; /* 0: the file's own */
    size_t window;    /* samples a request; 0: all in one */
    size_t step;      /* samples from one window to the next; 0: window */
    float scale;      /* of -1..1 */
};

struct tn_recipe {
    enum tn_recipe_kind kind;
    struct tn_image_recipe image;
    struct tn_audio_recipe audio;
};

/* Empty text gives TN_RECIPE_NONE with usable defaults of both kinds. */
TN_MUST enum tn_err tn_recipe_parse(struct tn_str text, struct tn_recipe *ret_recipe,
                                    struct tn_fault *fault);

#endif
