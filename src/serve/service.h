/* What the server can do, independent of the protocol: every call of the Open Inference Protocol
 * and of Triton's additions but for inference itself, from decoded message to message.
 *
 *   gRPC: bytes -> message --tn_service_*--> message -> bytes
 *   REST: path and JSON -> message --tn_service_*--> message -> JSON
 *
 * Memory: answers lie in the arena of the call. Threads: the I/O loops; the parts are safe to share
 * as their own headers say. */
#ifndef TN_SERVE_SERVICE_H
#define TN_SERVE_SERVICE_H

#include "serve/lane.h"
#include "serve/settings.h"

struct tn_oip_cuda_shared_memory_register_request;
struct tn_oip_cuda_shared_memory_register_response;
struct tn_oip_cuda_shared_memory_status_request;
struct tn_oip_cuda_shared_memory_status_response;
struct tn_oip_cuda_shared_memory_unregister_request;
struct tn_oip_cuda_shared_memory_unregister_response;
struct tn_oip_log_settings_request;
struct tn_oip_log_settings_response;
struct tn_oip_model_config_request;
struct tn_oip_model_config_response;
struct tn_oip_model_metadata_request;
struct tn_oip_model_metadata_response;
struct tn_oip_model_ready_request;
struct tn_oip_model_ready_response;
struct tn_oip_model_statistics_request;
struct tn_oip_model_statistics_response;
struct tn_oip_repository_index_request;
struct tn_oip_repository_index_response;
struct tn_oip_repository_model_load_request;
struct tn_oip_repository_model_unload_request;
struct tn_oip_server_live_request;
struct tn_oip_server_live_response;
struct tn_oip_server_metadata_request;
struct tn_oip_server_metadata_response;
struct tn_oip_server_ready_request;
struct tn_oip_server_ready_response;
struct tn_oip_system_shared_memory_register_request;
struct tn_oip_system_shared_memory_register_response;
struct tn_oip_system_shared_memory_status_request;
struct tn_oip_system_shared_memory_status_response;
struct tn_oip_system_shared_memory_unregister_request;
struct tn_oip_system_shared_memory_unregister_response;
struct tn_oip_trace_setting_request;
struct tn_oip_trace_setting_response;

enum { TN_SERVICE_LANES_MAX = 64 };

struct tn_tracing;

struct tn_service {
    struct tn_str version; /* of the server */
    struct tn_catalog catalog;
    struct tn_store *store;
    struct tn_shm *shm;
    struct tn_settings settings;
    struct tn_tracing *tracing; /* NULL: no trace file, no exporter */
    struct tn_serve_lane *lanes;
    size_t lane_count;
    bool strict_readiness; /* ready only when every wanted model serves */
    atomic_bool draining;
};

/* One call: where it runs and what it may use. */
struct tn_service_call {
    struct tn_service *service;
    struct tn_serve_lane *lane;
    struct tn_arena *arena;
    struct tn_str authorization; /* header, may be empty */
    struct tn_fault *fault;
};

/* The lane of a loop. */
struct tn_serve_lane *tn_service_lane(struct tn_service *service, const struct tn_loop *loop);

bool tn_service_ready(struct tn_service *service);

/* A model by name and version, with its token checked. Borrowed from the lane's view. */
TN_MUST enum tn_err tn_service_entry(const struct tn_service_call *call, struct tn_str name,
                                     struct tn_str version, struct tn_entry **ret_entry);

TN_MUST enum tn_err tn_service_server_live(const struct tn_service_call *call,
                                           const struct tn_oip_server_live_request *request,
                                           struct tn_oip_server_live_response *ret_response);
TN_MUST enum tn_err tn_service_server_ready(const struct tn_service_call *call,
                                            const struct tn_oip_server_ready_request *request,
                                            struct tn_oip_server_ready_response *ret_response);
TN_MUST enum tn_err tn_service_model_ready(const struct tn_service_call *call,
                                           const struct tn_oip_model_ready_request *request,
                                           struct tn_oip_model_ready_response *ret_response);
TN_MUST enum tn_err tn_service_server_metadata(
    const struct tn_service_call *call, const struct tn_oip_server_metadata_request *request,
    struct tn_oip_server_metadata_response *ret_response);
TN_MUST enum tn_err tn_service_model_metadata(const struct tn_service_call *call,
                                              const struct tn_oip_model_metadata_request *request,
                                              struct tn_oip_model_metadata_response *ret_response);
TN_MUST enum tn_err tn_service_model_config(const struct tn_service_call *call,
                                            const struct tn_oip_model_config_request *request,
                                            struct tn_oip_model_config_response *ret_response);
TN_MUST enum tn_err tn_service_model_statistics(
    const struct tn_service_call *call, const struct tn_oip_model_statistics_request *request,
    struct tn_oip_model_statistics_response *ret_response);
TN_MUST enum tn_err tn_service_repository_index(
    const struct tn_service_call *call, const struct tn_oip_repository_index_request *request,
    struct tn_oip_repository_index_response *ret_response);
TN_MUST enum tn_err tn_service_shm_status(
    const struct tn_service_call *call,
    const struct tn_oip_system_shared_memory_status_request *request,
    struct tn_oip_system_shared_memory_status_response *ret_response);
TN_MUST enum tn_err tn_service_shm_register(
    const struct tn_service_call *call,
    const struct tn_oip_system_shared_memory_register_request *request,
    struct tn_oip_system_shared_memory_register_response *ret_response);
TN_MUST enum tn_err tn_service_shm_unregister(
    const struct tn_service_call *call,
    const struct tn_oip_system_shared_memory_unregister_request *request,
    struct tn_oip_system_shared_memory_unregister_response *ret_response);
TN_MUST enum tn_err tn_service_cuda_status(
    const struct tn_service_call *call,
    const struct tn_oip_cuda_shared_memory_status_request *request,
    struct tn_oip_cuda_shared_memory_status_response *ret_response);
TN_MUST enum tn_err tn_service_cuda_register(
    const struct tn_service_call *call,
    const struct tn_oip_cuda_shared_memory_register_request *request,
    struct tn_oip_cuda_shared_memory_register_response *ret_response);
TN_MUST enum tn_err tn_service_cuda_unregister(
    const struct tn_service_call *call,
    const struct tn_oip_cuda_shared_memory_unregister_request *request,
    struct tn_oip_cuda_shared_memory_unregister_response *ret_response);
TN_MUST enum tn_err tn_service_trace_setting(const struct tn_service_call *call,
                                             const struct tn_oip_trace_setting_request *request,
                                             struct tn_oip_trace_setting_response *ret_response);
TN_MUST enum tn_err tn_service_log_settings(const struct tn_service_call *call,
                                            const struct tn_oip_log_settings_request *request,
                                            struct tn_oip_log_settings_response *ret_response);

/* Load and unload take their time: the order is filled for tn_store_ask. Parameters `config` and
 * `file:...` are refused in words: what is served is what lies in the repository, so that its hash
 * means something. */
TN_MUST enum tn_err tn_service_load_order(
    const struct tn_service_call *call, const struct tn_oip_repository_model_load_request *request,
    struct tn_store_order *order);
TN_MUST enum tn_err tn_service_unload_order(
    const struct tn_service_call *call,
    const struct tn_oip_repository_model_unload_request *request, struct tn_store_order *order);

#endif
