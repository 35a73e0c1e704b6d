/* Traces of single requests: see tracing.h. */
#include "serve/tracing.h"

#include "serve/service.h"

void tn_tracing_begin(struct tn_service *service, struct tn_request *request,
                      const struct tn_call *call)
{
    (void)service;
    (void)request;
    (void)call;
}

void tn_tracing_note(struct tn_request *request)
{
    (void)request;
}
