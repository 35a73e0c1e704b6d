/* What model.yaml may say; see model_config.h. */
#include "infer/model_config.h"

#include "base/clock.h"

void tn_model_config_init(struct tn_model_config *config)
{
    static const struct tn_model_config defaults = {
        .platform = TN_STR("onnxruntime_onnx"),
        .instances = 1,
        .batching = {.mode = TN_BATCHING_AUTO, .queue_max = 1024},
        .session = {.intra_op_threads = 1,
                    .inter_op_threads = 1,
                    .arena = true,
                    .memory_pattern = true,
                    .optimization = 99},
        .cache = {.ttl_ns = 300 * TN_NS_PER_S, .size_max = 64 << 20},
        .sequence = {.sequences_max = 4096, .idle_timeout_ns = 60 * TN_NS_PER_S},
        .version_policy = TN_VERSIONS_LATEST,
        .versions_latest = 1,
    };
    *config = defaults;
}
