/* What a client says it accepts: the items of an Accept or Accept-Encoding header.
 *
 *     text/plain;version=0.0.4;q=0.5, other/type;q=0.1   ->  ("text/plain", version 0.0.4, 500),
 * ...
 *
 * Pure: views into the header. Bad items are passed over. Threads: any. */
#ifndef TN_EXPORT_ACCEPT_H
#define TN_EXPORT_ACCEPT_H

#include "core/bytes.h"

struct tn_accept_item {
    struct tn_str name;    /* as sent; compare with tn_accept_is */
    struct tn_str version; /* the parameter of that name, empty when absent */
    unsigned quality;      /* 0 (not acceptable) to 1000 */
};

/* Takes the next item off `rest`. False: there is none. */
bool tn_accept_next(struct tn_str *rest, struct tn_accept_item *ret_item);

/* Without regard to case. */
bool tn_accept_is(const struct tn_accept_item *item, const char *name);

/* Quality of `name` in a list without versions, where "*" stands for all that are not named. */
unsigned tn_accept_quality(struct tn_str header, const char *name);

#endif
