/* Rules for header fields; see header.h.
 *
 * One table gives each byte its lower-case form inside a name, or 0 where no name may have it: one
 * load checks and lowers. Values are checked 16 bytes at a time where SSE2 exists, since they make
 * up most of a header section. Memory: none. Threads: any. Bounds: those of the views. */
#include "rpc/header.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* clang-format off */
static const char lowered[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|',
    ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
    ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',
    ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
    ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
    ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};
/* clang-format on */

bool tn_header_name_is_valid(struct tn_str name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (lowered[(uint8_t)name.data[i]] == 0) {
            return false;
        }
    }
    return name.size > 0;
}

bool tn_header_name_lower(char *name, size_t size)
{
    unsigned valid = 1;
    for (size_t i = 0; i < size; i++) {
        name[i] = lowered[(uint8_t)name[i]];
        valid &= name[i] != 0;
    }
    return valid != 0 && size > 0;
}

static bool byte_is_value(uint8_t byte)
{
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

bool tn_header_value_is_valid(struct tn_str value)
{
    size_t at = 0;
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    for (; value.size - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(value.data + at));
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, low), bytes); /* bytes <= 0x1f */
        control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control);
        control = _mm_or_si128(control, _mm_cmpeq_epi8(bytes, del));
        if (_mm_movemask_epi8(control) != 0) {
            return false;
        }
    }
#endif
    for (; at < value.size; at++) {
        if (!byte_is_value((uint8_t)value.data[at])) {
            return false;
        }
    }
    return true;
}

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

bool tn_header_text_equal(struct tn_str a, struct tn_str b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

static struct tn_str trim(struct tn_str text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = tn_str_make(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

bool tn_header_list_has(struct tn_str list, struct tn_str token)
{
    while (list.size > 0) {
        const char *comma = memchr(list.data, ',', list.size);
        size_t size = comma != NULL ? (size_t)(comma - list.data) : list.size;
        if (tn_header_text_equal(trim(tn_str_make(list.data, size)), token)) {
            return true;
        }
        list = tn_str_from_offset(list, size + 1);
    }
    return false;
}

struct tn_str tn_header_find(const struct tn_header *headers, size_t count, struct tn_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (tn_str_equal(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return tn_str_make(NULL, 0);
}
