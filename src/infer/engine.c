/* Opens ONNX Runtime; see engine.h. Opening costs some 15 ms, once.
 * Memory: one struct; the library's own heap. Threads: create on one, before others exist. */
#include "infer/engine.h"

#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/onnx.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, REFUSED_MINOR = 29 };

static const char library_name[] = "libonnxruntime.so.1";

bool tn_engine_version_allowed(const char *version)
{
    unsigned major = 0;
    unsigned minor = 0;
    return sscanf(version, "%u.%u", &major, &minor) == 2 && major == 1 && minor < REFUSED_MINOR;
}

/* Fills `path` with "<folder of the program>/<below>"; false when it does not fit. */
static bool beside_program(const char *below, char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return false;
    }
    size_t at = (size_t)(slash + 1 - path);
    int added = snprintf(path + at, size - at, "%s/%s", below, library_name);
    return added > 0 && (size_t)added < size - at;
}

static enum tn_err open_named(const char *path, void **ret_library, struct tn_fault *fault)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return tn_fault_set(fault, TN_NOTFOUND, "ONNX Runtime does not open: %s", dlerror());
    }
    *ret_library = library;
    return TN_OK;
}

static enum tn_err open_library(const char *asked, void **ret_library, struct tn_fault *fault)
{
    static const char *const places[] = {"../lib", "../.deps/onnxruntime/lib"};
    const char *named = asked != NULL ? asked : getenv("TENON_ONNXRUNTIME");
    if (named != NULL && named[0] != '\0') {
        return open_named(named, ret_library, fault); /* named: no second guess */
    }
    for (size_t i = 0; i < TN_COUNT(places); i++) {
        char path[PATH_SIZE];
        if (beside_program(places[i], path, sizeof(path)) && access(path, F_OK) == 0) {
            return open_named(path, ret_library, fault);
        }
    }
    if (open_named(library_name, ret_library, NULL) == TN_OK) {
        return TN_OK;
    }
    return tn_fault_set(fault, TN_NOTFOUND,
                        "%s is neither in ../lib nor ../.deps/onnxruntime/lib beside the program "
                        "nor in the system's library path; run tools/setup, or name it with "
                        "--onnxruntime or TENON_ONNXRUNTIME",
                        library_name);
}

static enum tn_err pick_api(struct tn_engine *engine, bool any_version, struct tn_fault *fault)
{
    const OrtApiBase *(*get_base)(void) = NULL;
    void *symbol = dlsym(engine->library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof(symbol)); /* ISO C has no cast between the two kinds */
    if (get_base == NULL || get_base() == NULL) {
        return tn_fault_set(fault, TN_UNSUPPORTED, "the library is not ONNX Runtime");
    }
    snprintf(engine->version, sizeof(engine->version), "%s", get_base()->GetVersionString());
    if (!any_version && !tn_engine_version_allowed(engine->version)) {
        return tn_fault_set(fault, TN_UNSUPPORTED,
                            "ONNX Runtime %s is refused: official builds from 1.%d on report model "
                            "names to their maker; use 1.28 or older, or allow it explicitly",
                            engine->version, REFUSED_MINOR);
    }
    engine->api = get_base()->GetApi(TN_ONNX_API_VERSION);
    if (engine->api == NULL) {
        return tn_fault_set(fault, TN_UNSUPPORTED,
                            "ONNX Runtime %s is too old: it does not offer API version %d",
                            engine->version, TN_ONNX_API_VERSION);
    }
    return TN_OK;
}

enum tn_err tn_onnx_check(const struct tn_engine *engine, OrtStatus *status, const char *doing,
                          struct tn_fault *fault)
{
    static const enum tn_err errs[] = {
        [ORT_FAIL] = TN_INTERNAL,
        [ORT_INVALID_ARGUMENT] = TN_INVALID,
        [ORT_NO_SUCHFILE] = TN_NOTFOUND,
        [ORT_NO_MODEL] = TN_CORRUPT,
        [ORT_ENGINE_ERROR] = TN_INTERNAL,
        [ORT_RUNTIME_EXCEPTION] = TN_INTERNAL,
        [ORT_INVALID_PROTOBUF] = TN_CORRUPT,
        [ORT_MODEL_LOADED] = TN_INTERNAL,
        [ORT_NOT_IMPLEMENTED] = TN_UNSUPPORTED,
        [ORT_INVALID_GRAPH] = TN_CORRUPT,
        [ORT_EP_FAIL] = TN_INTERNAL,
    };
    if (status == NULL) {
        return TN_OK;
    }
    size_t code = (size_t)engine->api->GetErrorCode(status);
    enum tn_err err = code < TN_COUNT(errs) && errs[code] != TN_OK ? errs[code] : TN_INTERNAL;
    tn_fault_set(fault, err, "%s: %s", doing, engine->api->GetErrorMessage(status));
    engine->api->ReleaseStatus(status);
    return err;
}

/* Warnings and errors of the library, as lines of ours. */
static void ORT_API_CALL log_line(void *param, OrtLoggingLevel severity, const char *category,
                                  const char *logid, const char *location, const char *message)
{
    (void)param;
    (void)category;
    (void)logid;
    if (severity >= ORT_LOGGING_LEVEL_ERROR) {
        tn_log_error("onnxruntime", TN_LOG_STR("text", message), TN_LOG_STR("at", location));
    } else {
        tn_log_warn("onnxruntime", TN_LOG_STR("text", message), TN_LOG_STR("at", location));
    }
}

static enum tn_err open_environment(struct tn_engine *engine, struct tn_fault *fault)
{
    const OrtApi *api = engine->api;
    enum tn_err err =
        tn_onnx_check(engine,
                      api->CreateEnvWithCustomLogger(log_line, NULL, ORT_LOGGING_LEVEL_WARNING,
                                                     "tenon", &engine->env),
                      "creating ONNX Runtime's environment", fault);
    if (err == TN_OK) {
        err = tn_onnx_check(engine, api->DisableTelemetryEvents(engine->env),
                            "switching telemetry off", fault);
    }
    if (err == TN_OK) {
        err = tn_onnx_check(
            engine, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &engine->memory),
            "describing memory", fault);
    }
    if (err == TN_OK) {
        err = tn_onnx_check(engine, api->GetAllocatorWithDefaultOptions(&engine->allocator),
                            "finding the allocator", fault);
    }
    return err;
}

enum tn_err tn_engine_create(const struct tn_engine_options *options, struct tn_engine **ret_engine,
                             struct tn_fault *fault)
{
    static const struct tn_engine_options defaults;
    const struct tn_engine_options *use = options != NULL ? options : &defaults;
    if (setenv("ORT_DISABLE_TELEMETRY", "1", 1) != 0) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the environment variable");
    }
    struct tn_engine *engine = tn_mem_take_zeroed(1, sizeof(*engine));
    if (engine == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the engine");
    }
    enum tn_err err = open_library(use->library, &engine->library, fault);
    if (err == TN_OK) {
        err = pick_api(engine, use->any_version, fault);
    }
    if (err == TN_OK) {
        err = open_environment(engine, fault);
    }
    if (err != TN_OK) {
        tn_engine_destroy(engine);
        return err;
    }
    *ret_engine = engine;
    return TN_OK;
}

void tn_engine_destroy(struct tn_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->memory != NULL) {
        engine->api->ReleaseMemoryInfo(engine->memory);
    }
    if (engine->env != NULL) {
        engine->api->ReleaseEnv(engine->env);
    }
    tn_mem_give(engine);
}

/* Only segments that the loader maps read-only for good: those with relocations were written once,
 * and their contents exist nowhere else. */
static int trim_object(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    uintptr_t inside = (uintptr_t)context;
    bool found = false;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = (uintptr_t)(object->dlpi_addr + segment->p_vaddr);
        found = found || (segment->p_type == PT_LOAD && inside >= start &&
                          inside - start < (uintptr_t)segment->p_memsz);
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; found && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue;
        }
        uintptr_t start = (uintptr_t)(object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = (uintptr_t)(object->dlpi_addr + segment->p_vaddr + segment->p_filesz);
        /* A refusal costs memory, nothing else. */
        (void)madvise((void *)start, (size_t)(end - start), MADV_DONTNEED);
    }
    return found;
}

void tn_engine_trim(const struct tn_engine *engine)
{
    dl_iterate_phdr(trim_object, (void *)(uintptr_t)engine->api);
}

const char *tn_engine_version(const struct tn_engine *engine)
{
    return engine->version;
}
