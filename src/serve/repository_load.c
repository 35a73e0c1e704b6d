/* Reads and creates one model: see repository_load.h. */
#include "serve/repository_load.h"

#include "base/file.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_file(const struct stat *info, const struct tn_repository_identity *identity)
{
    uint64_t changed =
        (uint64_t)info->st_mtim.tv_sec * 1000000000U + (uint64_t)info->st_mtim.tv_nsec;
    return (uint64_t)info->st_ino == identity->inode && (uint64_t)info->st_size == identity->size &&
           changed == identity->mtime_ns;
}

/* A read lease is refused while anybody has the file open for writing. Where leases do not exist
 * (another owner, a network file system) the settling time alone decides. */
static bool somebody_writes(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return false;
    }
    return errno == EAGAIN;
}

static enum tn_err read_all(int fd, const char *path, struct tn_block *block, size_t size,
                            struct tn_fault *fault)
{
    while (block->size < size) {
        ssize_t got = read(fd, block->data + block->size, size - block->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return tn_fault_errno(fault, errno, "cannot read '%s'", path);
        }
        if (got == 0) {
            return TN_AGAIN;
        }
        block->size += (size_t)got;
    }
    return TN_OK;
}

static enum tn_err read_open(int fd, const struct tn_load_options *options,
                             struct tn_block **ret_block, struct tn_fault *fault)
{
    const char *path = options->paths->model;
    struct stat before;
    struct stat after;
    if (fstat(fd, &before) != 0) {
        return tn_fault_errno(fault, errno, "cannot look at '%s'", path);
    }
    if (!same_file(&before, &options->identity) || somebody_writes(fd)) {
        return TN_AGAIN;
    }
    size_t size = (size_t)before.st_size;
    if (size > options->bytes_max) {
        return tn_fault_set(fault, TN_LIMIT, "'%s' has %zu bytes, the limit is %zu", path, size,
                            options->bytes_max);
    }
    struct tn_block *block = NULL;
    if (tn_block_create(size > 0 ? size : 1, &block) != TN_OK) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the %zu bytes of '%s'", size, path);
    }
    enum tn_err err = read_all(fd, path, block, size, fault);
    if (err == TN_OK && (fstat(fd, &after) != 0 || !same_file(&after, &options->identity))) {
        err = TN_AGAIN;
    }
    if (err != TN_OK) {
        tn_block_unref(block);
        return err;
    }
    *ret_block = block;
    return TN_OK;
}

static enum tn_err read_model(const struct tn_load_options *options, struct tn_block **ret_block,
                              struct tn_fault *fault)
{
    int fd = open(options->paths->model, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int errnum = errno;
        enum tn_err err = tn_fault_errno(fault, errnum, "cannot open '%s'", options->paths->model);
        return errnum == ENOENT ? TN_AGAIN : err;
    }
    enum tn_err err = read_open(fd, options, ret_block, fault);
    close(fd);
    return err;
}

static enum tn_err read_config(const struct tn_load_options *options, struct tn_arena *arena,
                               struct tn_model_config *config, struct tn_fault *fault)
{
    tn_model_config_init(config);
    if (options->identity.config_inode == 0 || options->paths->config[0] == '\0') {
        return TN_OK;
    }
    struct tn_file_info info;
    struct tn_str yaml;
    const char *path = options->paths->config;
    enum tn_err err = tn_file_look(path, &info, fault);
    if (err == TN_NOTFOUND || (err == TN_OK && (info.inode != options->identity.config_inode ||
                                                info.size != options->identity.config_size))) {
        return TN_AGAIN;
    }
    if (err == TN_OK) {
        err = tn_file_read_text(path, TN_SCAN_YAML_MAX, arena, &yaml, fault);
    }
    if (err == TN_OK) {
        err = tn_model_config_parse(yaml, path, arena, config, fault);
    }
    return err;
}

static enum tn_err find_member(void *context, struct tn_str name, int64_t version,
                               struct tn_model **ret_model)
{
    struct tn_entry *entry = tn_catalog_acquire(context, name, version);
    if (entry == NULL) {
        return TN_NOTFOUND;
    }
    *ret_model = tn_model_ref(entry->model);
    tn_entry_unref(entry);
    return TN_OK;
}

enum { LABELS_BYTES_MAX = 16 << 20 };

static size_t count_lines(struct tn_str text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n' ? 1 : 0;
    }
    return lines + (text.size > 0 && text.data[text.size - 1] != '\n' ? 1 : 0);
}

static bool split_lines(struct tn_str text, struct tn_arena *arena, struct tn_entry_labels *labels)
{
    size_t count = count_lines(text);
    struct tn_str *names = TN_ARENA_ARRAY(arena, struct tn_str, count + 1);
    if (names == NULL) {
        return false;
    }
    const char *at = text.data;
    const char *end = text.data + text.size;
    for (size_t i = 0; i < count; i++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end != NULL ? line_end : end;
        names[i] = tn_str_make(at, (size_t)(line_end - at));
        if (names[i].size > 0 && names[i].data[names[i].size - 1] == '\r') {
            names[i].size--;
        }
        at = line_end + 1;
    }
    *labels = (struct tn_entry_labels){.text = text, .names = names, .count = count};
    return true;
}

static enum tn_err read_labels(const struct tn_load_options *options, struct tn_entry *entry,
                               struct tn_fault *fault)
{
    for (size_t i = 0; i < entry->config->label_count; i++) {
        const struct tn_pair_config *pair = &entry->config->labels[i];
        size_t output = 0;
        while (output < entry->info->output_count &&
               !tn_str_equal(entry->info->outputs[output].name, pair->name)) {
            output++;
        }
        if (output == entry->info->output_count) {
            return tn_fault_set(fault, TN_INVALID,
                                "labels are given for '%.*s', which is no output",
                                TN_STR_ARG(pair->name));
        }
        char path[TN_SCAN_PATH_MAX];
        int size = snprintf(path, sizeof(path), "%s/%.*s", options->paths->folder,
                            TN_STR_ARG(pair->value));
        if (size < 0 || size >= (int)sizeof(path)) {
            return tn_fault_set(fault, TN_LIMIT, "the path of a labels file is too long");
        }
        struct tn_str text;
        enum tn_err err = tn_file_read_text(path, LABELS_BYTES_MAX, &entry->arena, &text, fault);
        if (err != TN_OK) {
            return err;
        }
        if (!split_lines(text, &entry->arena, &entry->labels[output])) {
            return tn_fault_set(fault, TN_NOMEM, "no memory for the labels of '%s'", path);
        }
    }
    return TN_OK;
}

static enum tn_err create_entry(const struct tn_load_options *options, struct tn_model *model,
                                const struct tn_model_config *config, struct tn_arena *arena,
                                struct tn_entry **ret_entry, struct tn_fault *fault)
{
    struct tn_entry *entry = NULL;
    struct tn_entry_options entry_options = {.model = model,
                                             .config = config,
                                             .arena = arena,
                                             .retire = tn_store_retire,
                                             .retire_context = options->store};
    enum tn_err err = tn_entry_create(&entry_options, &entry, fault);
    if (err != TN_OK) {
        tn_model_unref(model);
        return err;
    }
    err = read_labels(options, entry, fault);
    if (err != TN_OK) {
        tn_entry_destroy(entry);
        return err;
    }
    *ret_entry = entry;
    return TN_OK;
}

static enum tn_err load_into(const struct tn_load_options *options, struct tn_arena *arena,
                             struct tn_entry **ret_entry, struct tn_fault *fault)
{
    struct tn_model_config *config = TN_ARENA_NEW(arena, struct tn_model_config);
    if (config == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a configuration");
    }
    enum tn_err err = read_config(options, arena, config, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_block *bytes = NULL;
    bool ensemble = tn_str_is(config->platform, "ensemble");
    if (!ensemble && (err = read_model(options, &bytes, fault)) != TN_OK) {
        return err;
    }
    struct tn_model *model = NULL;
    struct tn_model_options model_options = {
        .engine = options->engine,
        .name = options->name,
        .version = options->version,
        .bytes = bytes,
        .config = config,
        .directory = options->paths->folder,
        .metrics = options->metrics,
        .find = find_member,
        .find_context = options->catalog,
    };
    err = tn_model_create(&model_options, &model, fault);
    tn_block_unref(bytes);
    return err == TN_OK ? create_entry(options, model, config, arena, ret_entry, fault) : err;
}

enum tn_err tn_load_run(const struct tn_load_options *options, struct tn_entry **ret_entry,
                        struct tn_fault *fault)
{
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    enum tn_err err = load_into(options, &arena, ret_entry, fault);
    tn_arena_deinit(&arena);
    /* What only loading needed: the file's bytes, the library's parser, its code for both. */
    tn_mem_trim();
    tn_engine_trim(options->engine);
    return err;
}
