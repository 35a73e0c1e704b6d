/* Configuration and command lines: no bytes crash them, a refusal says why, and what was accepted
 * is printed as YAML that is accepted again and prints the same.
 *
 * Byte 0 chooses: even, the rest is YAML (bit 1: with a section); odd, arguments, one a line. */
#include "base/config.h"
#include "base/mem.h"
#include "core/assert.h"
#include "tests/unit/base/options_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

struct setting {
    struct tn_arena arena;
    struct sample value;
    struct tn_option_given given;
};

static void begin(struct setting *setting)
{
    *setting = (struct setting){0};
    const struct tn_arena_options options = {.source = tn_mem_source(), .size_max = 64 << 20};
    tn_arena_init(&setting->arena, &options);
    tn_option_given_init(&setting->given, &setting->arena);
}

static enum tn_err read_yaml(struct setting *setting, struct tn_str yaml, const char *section)
{
    struct tn_fault fault = {0};
    begin(setting);
    enum tn_err err = tn_option_set_defaults(&sample_table, &setting->value, &setting->arena);
    TN_ASSERT(err == TN_OK);
    const struct tn_config_source source = {.yaml = yaml, .name = "fuzz", .section = section};
    err = tn_config_read(&source, &sample_table, &setting->value, &setting->given, &fault);
    TN_ASSERT(err == TN_OK || (fault.code == err && fault.text[0] != '\0'));
    return err;
}

static void print(const struct setting *setting, const char *section, struct tn_buf *out)
{
    const struct tn_config_print how = {.section = section};
    tn_config_print(&sample_table, &setting->value, &how, out);
    TN_ASSERT(tn_buf_failed(out) == TN_OK);
}

static void round_trip(const struct setting *setting, const char *section)
{
    struct tn_buf first = {0};
    struct tn_buf second = {0};
    struct setting again;
    print(setting, section, &first);
    if (first.size <= TN_CONFIG_SIZE_MAX) { /* escapes may make it longer than it may be */
        enum tn_err err = read_yaml(&again, tn_buf_str(&first), section);
        TN_ASSERT(err == TN_OK);
        print(&again, section, &second);
        TN_ASSERT(tn_bytes_equal(tn_buf_bytes(&first), tn_buf_bytes(&second)));
        tn_arena_deinit(&again.arena);
    }
    tn_buf_deinit(&first);
    tn_buf_deinit(&second);
}

static void play_yaml(struct tn_str yaml, const char *section)
{
    struct setting setting;
    if (read_yaml(&setting, yaml, section) == TN_OK) {
        round_trip(&setting, section);
    }
    tn_arena_deinit(&setting.arena);
}

static void play_args(struct tn_str text)
{
    struct setting setting;
    begin(&setting);
    char *words[WORDS_MAX];
    struct tn_args_input input = {.program = "tenon", .items = words};
    for (size_t at = 0; at < text.size && input.count < WORDS_MAX;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end != NULL ? (size_t)(end - text.data) - at : text.size - at;
        words[input.count++] = tn_arena_copy_str(&setting.arena, tn_str_make(text.data + at, size));
        at += size + 1;
    }
    struct tn_args args;
    struct tn_fault fault = {0};
    enum tn_err err = TN_OK;
    /* Not a file of the machine that happens to be named. */
    struct tn_args_command command = sample_command;
    command.no_config = true;
    err = tn_args_read(&command, &input, &setting.value, &setting.arena, &args, &fault);
    TN_ASSERT(err == TN_OK || (args.exit_code >= 64 && fault.text[0] != '\0'));
    tn_arena_deinit(&setting.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t before = tn_mem_live();
    struct tn_str text = tn_str_make((const char *)data + 1, size - 1);
    if ((data[0] & 1) != 0) {
        play_args(text);
    } else {
        play_yaml(text, (data[0] & 2) != 0 ? "serve" : NULL);
    }
    TN_ASSERT(tn_mem_live() == before);
    return 0;
}
