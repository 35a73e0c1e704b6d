/* SHA-256; see sha256.h. The algorithm is fetched once: OpenSSL 3 looks it up by name otherwise,
 * which costs more than hashing a small input. It is never freed, on purpose. */
#include "base/sha256.h"

#include "core/assert.h"

#include <openssl/evp.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const EVP_MD *algorithm;

static void fetch(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (algorithm == NULL) {
        algorithm = EVP_sha256(); /* no memory now: looked up on each use */
    }
}

enum tn_err tn_sha256_init(struct tn_sha256 *sha)
{
    pthread_once(&once, fetch);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, algorithm, NULL) != 1) {
        EVP_MD_CTX_free(context);
        sha->context = NULL;
        return TN_NOMEM;
    }
    sha->context = context;
    return TN_OK;
}

void tn_sha256_deinit(struct tn_sha256 *sha)
{
    if (sha != NULL) {
        EVP_MD_CTX_free(sha->context);
        sha->context = NULL;
    }
}

void tn_sha256_add(struct tn_sha256 *sha, struct tn_bytes bytes)
{
    int done = EVP_DigestUpdate(sha->context, bytes.data, bytes.size);
    TN_ASSERT(done == 1); /* cannot fail once begun */
}

void tn_sha256_finish(struct tn_sha256 *sha, uint8_t hash[TN_SHA256_SIZE])
{
    unsigned size = 0;
    int done = EVP_DigestFinal_ex(sha->context, hash, &size);
    TN_ASSERT(done == 1 && size == TN_SHA256_SIZE);
    done = EVP_DigestInit_ex(sha->context, NULL, NULL);
    TN_ASSERT(done == 1);
}

enum tn_err tn_sha256(struct tn_bytes bytes, uint8_t ret_hash[TN_SHA256_SIZE])
{
    struct tn_sha256 sha;
    enum tn_err err = tn_sha256_init(&sha);
    if (err < 0) {
        return err;
    }
    tn_sha256_add(&sha, bytes);
    tn_sha256_finish(&sha, ret_hash);
    tn_sha256_deinit(&sha);
    return TN_OK;
}

void tn_sha256_print(const uint8_t hash[TN_SHA256_SIZE], char out[TN_SHA256_HEX_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TN_SHA256_SIZE; i++) {
        out[i * 2] = digits[hash[i] >> 4];
        out[i * 2 + 1] = digits[hash[i] & 15];
    }
    out[TN_SHA256_HEX_SIZE] = '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

enum tn_err tn_sha256_parse(struct tn_str text, uint8_t ret_hash[TN_SHA256_SIZE])
{
    if (text.size != TN_SHA256_HEX_SIZE) {
        return TN_INVALID;
    }
    uint8_t hash[TN_SHA256_SIZE];
    for (size_t i = 0; i < TN_SHA256_SIZE; i++) {
        int high = digit_of(text.data[i * 2]);
        int low = digit_of(text.data[i * 2 + 1]);
        if (high < 0 || low < 0) {
            return TN_INVALID;
        }
        hash[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_hash, hash, sizeof(hash));
    return TN_OK;
}
