/* Manual pages in roff; see manual.h. Memory: the caller's buffer. */
#include "base/flags.h"
#include "base/manual.h"

/* Text for roff: a backslash, a leading dot or quote, and '-' have meanings of their own. */
static void put_roff(struct tn_buf *out, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            tn_buf_put_text(out, "\\&");
        }
        if (*text == '\\') {
            tn_buf_put_text(out, "\\e");
        } else if (*text == '-') {
            tn_buf_put_text(out, "\\-");
        } else {
            tn_buf_put_byte(out, (uint8_t)*text);
        }
        line_start = *text == '\n';
    }
}

static void put_paragraphs(struct tn_buf *out, const char *text)
{
    const char *gap = NULL;
    while ((gap = strstr(text, "\n\n")) != NULL) {
        char part[2048];
        size_t size = (size_t)(gap - text) < sizeof(part) ? (size_t)(gap - text) : sizeof(part) - 1;
        memcpy(part, text, size);
        part[size] = '\0';
        put_roff(out, part);
        tn_buf_put_text(out, "\n.PP\n");
        text = gap + 2;
    }
    put_roff(out, text);
    tn_buf_put_byte(out, '\n');
}

static void put_term(struct tn_buf *out, const struct tn_flag *flag)
{
    const struct tn_option *option = flag->option;
    tn_buf_put_text(out, ".TP\n");
    if (option->positional) {
        tn_buf_put_text(out, "\\fI");
        put_roff(out, tn_flag_value_name(option));
        tn_buf_put_text(out, "\\fR\n");
    } else {
        if (option->letter != 0) {
            tn_buf_printf(out, "\\fB\\-%c\\fR, ", option->letter);
        }
        tn_buf_put_text(out, "\\fB\\-\\-");
        put_roff(out, flag->name);
        tn_buf_put_text(out, "\\fR");
        if (option->kind != TN_OPTION_BOOL) {
            tn_buf_put_text(out, "=\\fI");
            put_roff(out, tn_flag_value_name(option));
            tn_buf_put_text(out, "\\fR");
        }
        tn_buf_put_byte(out, '\n');
    }
    put_roff(out, option->help);
    if (option->fallback != NULL && option->fallback[0] != '\0') {
        tn_buf_put_text(out, " (default ");
        put_roff(out, option->fallback);
        tn_buf_put_text(out, ")");
    }
    tn_buf_put_text(out, ".\n");
}

static void put_exit_codes(struct tn_buf *out)
{
    static const char *const rows[][2] = {
        {"0", "success"},
        {"64", "wrong use of the command line"},
        {"65", "input that is not what it should be"},
        {"66", "an input that cannot be opened"},
        {"69", "a service that is not there"},
        {"70", "an error inside the program"},
        {"74", "an error of input or output"},
        {"75", "a failure that may pass; try again"},
        {"77", "not allowed"},
        {"78", "wrong configuration"},
    };
    tn_buf_put_text(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tn_buf_printf(out, ".TP\n%s\n%s.\n", rows[i][0], rows[i][1]);
    }
}

void tn_manual_page(const struct tn_manual_page *page, const struct tn_args_command *command,
                    struct tn_buf *out)
{
    struct tn_flags flags;
    tn_flags_collect(&flags, command->options);
    tn_buf_printf(out, ".TH \"%s\\-%s\" 1 \"%s\" \"%s %s\"\n.SH NAME\n%s\\-%s \\- ", page->program,
                  command->name, page->date, page->program, page->version, page->program,
                  command->name);
    put_roff(out, command->summary);
    tn_buf_printf(out, "\n.SH SYNOPSIS\n\\fB%s %s\\fR [\\fIoptions\\fR]\n", page->program,
                  command->name);
    for (size_t i = 0; i < flags.count; i++) {
        if (flags.items[i].option->positional) {
            tn_buf_printf(out, "[\\fI%s\\fR]\n", tn_flag_value_name(flags.items[i].option));
        }
    }
    if (command->description != NULL) {
        tn_buf_put_text(out, ".SH DESCRIPTION\n");
        put_paragraphs(out, command->description);
    }
    if (flags.count > 0) {
        tn_buf_put_text(out, ".SH OPTIONS\n");
    }
    for (size_t i = 0; i < flags.count; i++) {
        put_term(out, &flags.items[i]);
    }
    const struct tn_args_example *example = command->examples;
    tn_buf_put_text(out, example != NULL && example->line != NULL ? ".SH EXAMPLES\n" : "");
    for (; example != NULL && example->line != NULL; example++) {
        put_roff(out, example->what);
        tn_buf_put_text(out, ":\n.PP\n.nf\n.RS\n");
        put_roff(out, example->line);
        tn_buf_put_text(out, "\n.RE\n.fi\n.PP\n");
    }
    put_exit_codes(out);
}
