/* ONNX Runtime's environment: one a process, shared by all models.
 *
 * The library (38 MB) is opened at create, not linked, so commands that run no model never load it.
 * It is looked for in this order: `library`, the variable TENON_ONNXRUNTIME, ../lib and
 * ../.deps/onnxruntime/lib beside the program, the system's library path.
 * ORT_DISABLE_TELEMETRY=1 is set before the library is opened, and versions from 1.29 on, whose
 * official builds report model names to their maker, are refused unless `any_version` says so.
 * Threads: create before other threads start (it sets a variable); destroy after the last model. */
#ifndef TN_INFER_ENGINE_H
#define TN_INFER_ENGINE_H

#include "base/fault.h"

struct tn_engine;

struct tn_engine_options {
    const char *library; /* path of libonnxruntime.so.1; NULL: search */
    bool any_version;
};

/* TN_NOTFOUND: no library, the fault lists where it was looked for. TN_UNSUPPORTED: its version.
 * `options` may be NULL. */
TN_MUST enum tn_err tn_engine_create(const struct tn_engine_options *options,
                                     struct tn_engine **ret_engine, struct tn_fault *fault);
void tn_engine_destroy(struct tn_engine *engine); /* NULL accepted */

const char *tn_engine_version(const struct tn_engine *engine); /* "1.27.0" */

/* Gives the library's read-only pages back to the system: most were touched only while a session
 * was made, and those still needed come back from the page cache at their next use, some 100 ns a
 * page. Any thread, also while models run. */
void tn_engine_trim(const struct tn_engine *engine);

/* Whether a library of this version may be used without `any_version`. Pure. */
bool tn_engine_version_allowed(const char *version);

#endif
