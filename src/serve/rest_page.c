/* The page at "/": what is served here and how to ask, for people. Memory: one buffer an answer. */
#include "base/buf.h"
#include "serve/rest_call.h"

#include <stdio.h>

static void put_escaped(struct tn_buf *page, struct tn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        switch (text.data[i]) {
        case '<':
            tn_buf_put_text(page, "&lt;");
            break;
        case '>':
            tn_buf_put_text(page, "&gt;");
            break;
        case '&':
            tn_buf_put_text(page, "&amp;");
            break;
        case '"':
            tn_buf_put_text(page, "&quot;");
            break;
        default:
            tn_buf_put_byte(page, (uint8_t)text.data[i]);
        }
    }
}

static void put_tensors(struct tn_buf *page, const struct tn_signature *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tn_buf_put_text(page, i > 0 ? "<br>" : "");
        put_escaped(page, tensors[i].name);
        tn_buf_printf(page, " %s [", tn_dtype_name(tensors[i].dtype));
        for (size_t k = 0; k < tensors[i].shape.rank; k++) {
            tn_buf_printf(page, "%s%lld", k > 0 ? "," : "", (long long)tensors[i].shape.dims[k]);
        }
        tn_buf_put_text(page, "]");
    }
}

static void put_models(struct tn_buf *page, const struct tn_catalog_view *view)
{
    tn_buf_put_text(page, "<table><tr><th>model<th>version<th>inputs<th>outputs<th>batch"
                          "<th>SHA-256</tr>\n");
    for (size_t i = 0; i < view->count; i++) {
        const struct tn_entry *entry = view->entries[i];
        tn_buf_put_text(page, "<tr><td><a href=\"/v2/models/");
        put_escaped(page, entry->info->name);
        tn_buf_put_text(page, "\">");
        put_escaped(page, entry->info->name);
        tn_buf_put_text(page, "</a><td>");
        put_escaped(page, entry->version);
        tn_buf_put_text(page, "<td>");
        put_tensors(page, entry->info->inputs, entry->info->input_count);
        tn_buf_put_text(page, "<td>");
        put_tensors(page, entry->info->outputs, entry->info->output_count);
        tn_buf_printf(page, "<td>%zu<td><code>%.12s</code></tr>\n", entry->info->batch_max,
                      entry->sha256.data);
    }
    tn_buf_put_text(page, "</table>\n");
}

static const char head[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>tenon serve</title>\n"
    "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.3em .8em;"
    "text-align:left;vertical-align:top}code{font-size:90%}</style>\n";

static const char foot[] =
    "<h2>Ask</h2>\n<p>This is the Open Inference Protocol v2; Triton's clients work unchanged.\n"
    "<ul><li><a href=\"/v2\">/v2</a>: the server\n"
    "<li><a href=\"/v2/health/ready\">/v2/health/ready</a>: 200 when ready\n"
    "<li><a href=\"/v2/repository/index\">/v2/repository/index</a>: every model and its state\n"
    "<li><a href=\"/v2/models/stats\">/v2/models/stats</a>: counts and times\n"
    "<li>/v2/models/NAME, /v2/models/NAME/config\n"
    "<li>POST /v2/models/NAME/infer with {\"inputs\": [{\"name\": ..., \"shape\": [...], "
    "\"datatype\": ..., \"data\": [...]}]}\n</ul></html>\n";

void tn_rest_page(struct tn_rest_call *rest)
{
    struct tn_buf page;
    tn_buf_init(&page, 16 << 20);
    tn_buf_put_text(&page, head);
    tn_buf_printf(&page, "<h1>tenon %.*s</h1>\n<p>%s\n", TN_STR_ARG(rest->with.service->version),
                  tn_service_ready(rest->with.service) ? "Ready." : "Not ready.");
    put_models(&page, tn_catalog_read(&rest->with.lane->reader));
    tn_buf_put_text(&page, foot);
    char *copy =
        page.failed == TN_OK ? tn_arena_copy_str(rest->with.arena, tn_buf_str(&page)) : NULL;
    size_t size = page.size;
    tn_buf_deinit(&page);
    if (copy == NULL) {
        tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this page");
        tn_rest_fail(rest);
        return;
    }
    tn_rest_reply_text(rest, 200, TN_STR_OF("text/html; charset=utf-8"), tn_str_make(copy, size));
}
