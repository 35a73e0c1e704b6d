/* Whole files: read with a limit, map, replace atomically, list a directory.
 *
 * Everything here blocks: call it before the loop runs or on a thread of its own. Threads: any.
 * Bounds: stated by the caller for each read. Descriptors are close-on-exec. */
#ifndef TN_BASE_FILE_H
#define TN_BASE_FILE_H

#include "base/block.h"
#include "base/fault.h"
#include "core/arena.h"

/* The file's bytes as of one open, at most size_max, else TN_LIMIT. A directory is TN_INVALID.
 * A file that grows during the read is read to the limit. TN_NOTFOUND, TN_DENIED, TN_IO, TN_NOMEM.
 */
TN_MUST enum tn_err tn_file_read(const char *path, size_t size_max, struct tn_block **ret_block,
                                 struct tn_fault *fault);

/* The same into an arena, terminated: for configuration and other text. */
TN_MUST enum tn_err tn_file_read_text(const char *path, size_t size_max, struct tn_arena *arena,
                                      struct tn_str *ret_text, struct tn_fault *fault);

/* Read-only pages of the file. Whoever truncates it meanwhile kills the reader (SIGBUS): only for
 * files that nobody else writes. An empty file gives an empty view. */
struct tn_file_view {
    struct tn_bytes bytes;
};
TN_MUST enum tn_err tn_file_map(const char *path, struct tn_file_view *ret_view,
                                struct tn_fault *fault);
void tn_file_unmap(struct tn_file_view *view); /* zeroed or NULL is accepted */

/* Replaces the file whole: temporary file beside it, fsync, rename, fsync of the directory. A
 * reader sees the old bytes or the new; after a crash, one of the two. `mode` as 0644, by the
 * umask. */
TN_MUST enum tn_err tn_file_write_atomic(const char *path, struct tn_bytes bytes, unsigned mode,
                                         struct tn_fault *fault);

/* Makes renames and new names in this directory durable. */
TN_MUST enum tn_err tn_file_sync_dir(const char *path, struct tn_fault *fault);

enum tn_file_kind { TN_FILE_PLAIN, TN_FILE_DIRECTORY, TN_FILE_OTHER };

struct tn_file_info {
    const char *name; /* within the directory; NULL from tn_file_look */
    enum tn_file_kind kind;
    uint64_t size;
    uint64_t changed_ns; /* time of the last write, CLOCK_REALTIME */
    uint64_t inode;
};

/* Follows symbolic links. */
TN_MUST enum tn_err tn_file_look(const char *path, struct tn_file_info *ret_info,
                                 struct tn_fault *fault);

/* What is in a directory, sorted by name, without "." and "..", in the arena. An entry that goes
 * away meanwhile is left out. TN_LIMIT beyond count_max. */
struct tn_file_list {
    struct tn_file_info *items;
    size_t count;
};
TN_MUST enum tn_err tn_file_list(const char *path, size_t count_max, struct tn_arena *arena,
                                 struct tn_file_list *ret_list, struct tn_fault *fault);

#endif
