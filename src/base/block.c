/* Reference-counted bytes; see block.h.
 *
 *   one allocation:  [struct tn_block | pad to 64 | bytes ...... room]
 *
 * The pad is made here instead of by an aligned allocation, because glibc serves those from outside
 * its thread caches: a small block would cost a lock. Ref is one relaxed add; unref is one
 * release decrement, and an acquire only for the last one. */
#include "base/block.h"

#include "base/mem.h"
#include "core/assert.h"

enum { BLOCK_ALIGN = 64 };

enum tn_err tn_block_create(size_t room, struct tn_block **ret_block)
{
    size_t overhead = sizeof(struct tn_block) + BLOCK_ALIGN - 1;
    if (room > SIZE_MAX / 2 - overhead) {
        return TN_NOMEM;
    }
    struct tn_block *block = tn_mem_take(overhead + room);
    if (block == NULL) {
        return TN_NOMEM;
    }
    uintptr_t after = (uintptr_t)(block + 1);
    size_t pad = (size_t)(-after & (BLOCK_ALIGN - 1));
    block->size = 0;
    block->room = room;
    block->data = (uint8_t *)(block + 1) + pad;
    block->release = NULL;
    block->owner = NULL;
    atomic_init(&block->refs, 1);
    *ret_block = block;
    return TN_OK;
}

enum tn_err tn_block_copy(struct tn_bytes bytes, struct tn_block **ret_block)
{
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_create(bytes.size, &block);
    if (err < 0) {
        return err;
    }
    if (bytes.size > 0) {
        memcpy(block->data, bytes.data, bytes.size);
    }
    block->size = bytes.size;
    *ret_block = block;
    return TN_OK;
}

void tn_block_init_foreign(struct tn_block *block, struct tn_bytes bytes,
                           void (*release)(struct tn_block *block), void *owner)
{
    TN_ASSERT(release != NULL);

    /* The cast drops const: a foreign block has no room, so nobody writes through it. */
    block->data = (uint8_t *)(uintptr_t)bytes.data;
    block->size = bytes.size;
    block->room = 0;
    block->release = release;
    block->owner = owner;
    atomic_init(&block->refs, 1);
}

struct tn_block *tn_block_ref(struct tn_block *block)
{
    unsigned before = atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    TN_ASSERT(before > 0 && before < UINT32_MAX / 2);
    return block;
}

void tn_block_unref(struct tn_block *block)
{
    if (block == NULL) {
        return;
    }
    /* Release and acquire: whoever frees must see every reader's last look. */
    unsigned before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    TN_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    if (block->release != NULL) {
        block->release(block);
    } else {
        tn_mem_give(block);
    }
}
