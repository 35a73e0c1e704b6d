/* Secrets; see secret.h. Pure. */
#include "base/secret.h"

#include <openssl/crypto.h>

bool tn_secret_equal(struct tn_bytes a, struct tn_bytes b)
{
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.data, b.data, a.size) == 0);
}

void tn_secret_wipe(void *data, size_t size)
{
    if (size > 0) {
        explicit_bzero(data, size);
    }
}
