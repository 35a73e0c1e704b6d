/* Protocol Buffers on the wire (proto3), driven by const tables that tools/pbgen.py writes.
 *
 *   bytes --tn_pb_decode--> C struct (arrays and nested structs in an arena, text and bytes as
 *                           views into the input) --tn_pb_size, tn_pb_encode--> bytes
 *
 * How a message field looks in its struct:
 *   T x;                             plain scalar, enum (int32_t: enums are open), tn_str, tn_bytes
 *   T x; bool has_x;                 declared `optional`
 *   struct M *x;                     nested message, NULL when absent
 *   T *x; size_t x_count;            repeated, and maps as entry structs {key, value}
 *   uint32_t o; union {...};         oneof `o`: the number of the member that is set, 0 for none
 * Of equal keys in a map the last entry counts; decoding leaves them all. What a set member of a
 * oneof or the value of a decoded entry points at is never NULL.
 *
 * Decoding accepts packed and unpacked scalars alike, skips unknown fields (groups included) and
 * fields whose wire type does not fit, lets the last value win, and merges repeated occurrences of
 * a nested message. Text must be UTF-8.
 * Encoding writes fields by ascending number and scalars packed: the same bytes as protoc.
 *
 * Cost: an inference request of 185 bytes is decoded in 0.11 us, its answer measured and encoded in
 * 0.15 us (8 connections x 32 streams leave 10 us a request); bytes are never copied
 * when decoding. Memory: the caller's arena, whose size_max bounds what hostile input can ask for
 * (an empty element of 2 bytes becomes one struct). Threads: any, nothing is shared. Bounds:
 * TN_PB_DEPTH_MAX nested messages; a struct is smaller than 64 KB. Freestanding. */
#ifndef TN_CORE_PB_H
#define TN_CORE_PB_H

#include "core/arena.h"

enum { TN_PB_DEPTH_MAX = 32, TN_PB_HEAD_SIZE_MAX = 15 };

enum tn_pb_kind {
    TN_PB_BOOL,
    TN_PB_INT32, /* enums too */
    TN_PB_INT64,
    TN_PB_UINT32,
    TN_PB_UINT64,
    TN_PB_SINT32,
    TN_PB_SINT64,
    TN_PB_FIXED32, /* sfixed32 and float: four bytes as they are */
    TN_PB_FIXED64, /* sfixed64 and double */
    TN_PB_STRING,
    TN_PB_BYTES,
    TN_PB_MESSAGE,
};

/* What stands in the low three bits of a tag. */
enum tn_pb_wire {
    TN_PB_WIRE_VARINT = 0,
    TN_PB_WIRE_64 = 1,
    TN_PB_WIRE_LEN = 2,
    TN_PB_WIRE_GROUP = 3,
    TN_PB_WIRE_END = 4,
    TN_PB_WIRE_32 = 5,
};

enum tn_pb_label {
    TN_PB_SINGULAR, /* absent when zero; messages: when NULL */
    TN_PB_OPTIONAL, /* aux: offset of the bool */
    TN_PB_ALWAYS,   /* members of a map entry: written even when zero */
    TN_PB_ONEOF,    /* aux: offset of the case */
    TN_PB_REPEATED, /* aux: offset of the count */
    TN_PB_PACKED,   /* the same, written packed */
};

struct tn_pb_message;

struct tn_pb_field {
    uint32_t number;
    uint16_t offset;
    uint16_t aux;
    uint16_t width;                      /* of one value in memory; of a message: the struct */
    uint8_t kind;                        /* enum tn_pb_kind, one byte */
    uint8_t label;                       /* enum tn_pb_label */
    uint8_t wire;                        /* enum tn_pb_wire of one value */
    uint8_t tag_size;                    /* bytes of the encoded tag */
    const struct tn_pb_message *message; /* of TN_PB_MESSAGE */
};

struct tn_pb_message {
    const char *name; /* full name, no leading dot */
    const struct tn_pb_field *fields;
    uint16_t field_count; /* sorted by number */
    uint16_t dense_count; /* the first so many are numbered 1, 2, 3... */
    uint16_t size;        /* of the struct */
};

struct tn_pb_method {
    const char *name; /* "ModelInfer" */
    const char *path; /* "/inference.GRPCInferenceService/ModelInfer" */
    const struct tn_pb_message *request;
    const struct tn_pb_message *response;
    bool request_streams;
    bool response_streams;
};

struct tn_pb_service {
    const char *name; /* full name */
    const struct tn_pb_method *methods;
    size_t method_count;
};

/* One .proto file as gRPC reflection shows it. */
struct tn_pb_file {
    const char *name;
    struct tn_bytes descriptor;                /* serialised FileDescriptorProto */
    const struct tn_pb_file *const *imports;   /* ends with NULL */
    const struct tn_pb_service *const *served; /* services, ends with NULL */
    const char *const *symbols;                /* full names defined here, ends with NULL */
};

/* Fills `object`, the struct that `message` describes, which need not be initialised. `bytes` must
 * outlive it. TN_INVALID, TN_TRUNCATED: not such a message. TN_LIMIT: nested too deep. TN_NOMEM:
 * the arena is exhausted. On failure the object is zeroed; what was taken stays taken in the arena.
 */
TN_MUST enum tn_err tn_pb_decode(const struct tn_pb_message *message, struct tn_bytes bytes,
                                 struct tn_arena *arena, void *object);

/* Encoded size of an object. */
size_t tn_pb_size(const struct tn_pb_message *message, const void *object);

/* Encodes into memory of exactly tn_pb_size bytes (asserted), unchanged object in between. */
void tn_pb_encode(const struct tn_pb_message *message, const void *object, uint8_t *out,
                  size_t size);

/* The tag and length before a nested message or bytes field, for a caller that sends the content
 * itself without copying it. Returns its size. */
size_t tn_pb_put_head(uint8_t out[TN_PB_HEAD_SIZE_MAX], uint32_t number, size_t size);

#endif
