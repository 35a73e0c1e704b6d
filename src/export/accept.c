/* RFC 9110, section 12: lists of names with parameters, of which q is the weight.
 *
 * A comma inside a quoted parameter ends the item here: no media type that we offer has one, and
 * the pieces then name nothing we know. Memory: none. Threads: any. */
#include "export/accept.h"

#include <strings.h>

/* The part of `rest` up to `end`, without blanks around it; moves `rest` behind. */
static struct tn_str part_take(struct tn_str *rest, char end)
{
    const char *at = rest->size > 0 ? memchr(rest->data, end, rest->size) : NULL;
    size_t size = at != NULL ? (size_t)(at - rest->data) : rest->size;
    struct tn_str part = tn_str_make(rest->data, size);
    size_t skip = at != NULL ? size + 1 : size;
    *rest = tn_str_make(rest->data + skip, rest->size - skip);
    while (part.size > 0 && (part.data[0] == ' ' || part.data[0] == '\t')) {
        part = tn_str_make(part.data + 1, part.size - 1);
    }
    while (part.size > 0 && (part.data[part.size - 1] == ' ' || part.data[part.size - 1] == '\t')) {
        part.size--;
    }
    return part;
}

static bool equals(struct tn_str text, const char *name)
{
    return text.size == strlen(name) && strncasecmp(text.data, name, text.size) == 0;
}

/* 0, 1, or up to three decimals of them; anything else counts as 0. */
static unsigned quality_parse(struct tn_str text)
{
    if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.size > 1 && text.data[1] != '.')) {
        return 0;
    }
    unsigned quality = (unsigned)(text.data[0] - '0') * 1000;
    unsigned unit = 100;
    for (size_t i = 2; i < text.size; i++, unit /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return 0;
        }
        quality += (unsigned)(text.data[i] - '0') * unit;
    }
    return quality < 1000 ? quality : 1000;
}

bool tn_accept_next(struct tn_str *rest, struct tn_accept_item *ret_item)
{
    while (rest->size > 0) {
        struct tn_str text = part_take(rest, ',');
        struct tn_accept_item item = {.name = part_take(&text, ';'), .quality = 1000};
        if (item.name.size == 0) {
            continue;
        }
        while (text.size > 0) {
            struct tn_str parameter = part_take(&text, ';');
            struct tn_str name = part_take(&parameter, '=');
            struct tn_str value = part_take(&parameter, ';');
            if (equals(name, "q")) {
                item.quality = quality_parse(value);
            } else if (equals(name, "version")) {
                item.version = value;
            }
        }
        *ret_item = item;
        return true;
    }
    return false;
}

bool tn_accept_is(const struct tn_accept_item *item, const char *name)
{
    return equals(item->name, name);
}

unsigned tn_accept_quality(struct tn_str header, const char *name)
{
    unsigned all = 0;
    struct tn_accept_item item;
    while (tn_accept_next(&header, &item)) {
        if (tn_accept_is(&item, name)) {
            return item.quality;
        }
        all = tn_accept_is(&item, "*") ? item.quality : all;
    }
    return all;
}
