/* Shared memory calls: the system's regions by serve/shm.h; CUDA's are known by name only, since
 * this server has no GPU. Memory: the arena of the call. */
#include "core/assert.h"
#include "proto/inference.pb.h"
#include "serve/service.h"

static enum tn_err no_memory(const struct tn_service_call *call)
{
    return tn_fault_set(call->fault, TN_NOMEM, "no memory for this answer");
}

enum tn_err tn_service_shm_status(const struct tn_service_call *call,
                                  const struct tn_oip_system_shared_memory_status_request *request,
                                  struct tn_oip_system_shared_memory_status_response *ret_response)
{
    size_t room = request->name.size > 0 ? 1 : TN_SHM_REGIONS_MAX;
    struct tn_shm_status *status = TN_ARENA_ARRAY(call->arena, struct tn_shm_status, room);
    struct tn_oip_system_shared_memory_status_response_region_status *regions = TN_ARENA_ARRAY(
        call->arena, struct tn_oip_system_shared_memory_status_response_region_status, room);
    struct tn_oip_system_shared_memory_status_response_region_status_entry *entries =
        TN_ARENA_ARRAY(call->arena,
                       struct tn_oip_system_shared_memory_status_response_region_status_entry,
                       room);
    if (status == NULL || regions == NULL || entries == NULL) {
        return no_memory(call);
    }
    size_t count = tn_shm_list(call->service->shm, request->name, status, room);
    if (request->name.size > 0 && count == 0) {
        return tn_fault_set(call->fault, TN_NOTFOUND,
                            "no shared memory region '%.*s' is registered",
                            TN_STR_ARG(request->name));
    }
    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        regions[i].name = tn_str_from(status[i].name);
        regions[i].key = tn_str_from(status[i].key);
        regions[i].offset = status[i].offset;
        regions[i].byte_size = status[i].size;
        entries[i].key = regions[i].name;
        entries[i].value = &regions[i];
    }
    ret_response->regions = entries;
    ret_response->regions_count = count;
    return TN_OK;
}

enum tn_err tn_service_shm_register(
    const struct tn_service_call *call,
    const struct tn_oip_system_shared_memory_register_request *request,
    struct tn_oip_system_shared_memory_register_response *ret_response)
{
    (void)ret_response;
    struct tn_shm_register_options options = {request->name, request->key, request->offset,
                                              request->byte_size};
    return tn_shm_register(call->service->shm, &options, call->fault);
}

enum tn_err tn_service_shm_unregister(
    const struct tn_service_call *call,
    const struct tn_oip_system_shared_memory_unregister_request *request,
    struct tn_oip_system_shared_memory_unregister_response *ret_response)
{
    (void)ret_response;
    if (request->name.size == 0) {
        tn_shm_unregister_all(call->service->shm);
        return TN_OK;
    }
    /* Triton's clients unregister what may not be there, to start clean. */
    enum tn_err err = tn_shm_unregister(call->service->shm, request->name, call->fault);
    return err == TN_NOTFOUND ? TN_OK : err;
}

enum tn_err tn_service_cuda_status(const struct tn_service_call *call,
                                   const struct tn_oip_cuda_shared_memory_status_request *request,
                                   struct tn_oip_cuda_shared_memory_status_response *ret_response)
{
    (void)ret_response;
    if (request->name.size > 0) {
        return tn_fault_set(call->fault, TN_NOTFOUND,
                            "no CUDA shared memory region '%.*s' is registered: this server uses "
                            "no GPU",
                            TN_STR_ARG(request->name));
    }
    return TN_OK;
}

enum tn_err tn_service_cuda_register(
    const struct tn_service_call *call,
    const struct tn_oip_cuda_shared_memory_register_request *request,
    struct tn_oip_cuda_shared_memory_register_response *ret_response)
{
    (void)request;
    (void)ret_response;
    return tn_fault_set(call->fault, TN_UNSUPPORTED,
                        "CUDA shared memory is not supported: this server uses no GPU; use system "
                        "shared memory");
}

enum tn_err tn_service_cuda_unregister(
    const struct tn_service_call *call,
    const struct tn_oip_cuda_shared_memory_unregister_request *request,
    struct tn_oip_cuda_shared_memory_unregister_response *ret_response)
{
    (void)call;
    (void)request;
    (void)ret_response;
    return TN_OK;
}
