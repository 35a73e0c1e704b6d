#!/usr/bin/env python3
"""Writes C structs and codec tables for core/pb.h from a protobuf descriptor set.

    protoc -I DIR --include_imports --include_source_info --descriptor_set_out=x.ds FILE...
    pbgen.py --set x.ds --prefix oip --header x.pb.h --source x.pb.c \
             --include proto/x.pb.h [--rename FULL.NAME=short_name]...

Names: message `Outer.InnerThing` becomes `struct tn_<prefix>_outer_inner_thing` (packages do not
show), its table `tn_<prefix>_outer_inner_thing_pb`; an enum value becomes
TN_<PREFIX>_<OUTER>_<VALUE>; a member of a oneof is the constant TN_<PREFIX>_<MESSAGE>_<MEMBER>,
which is its field number. A map becomes an array of `struct tn_<prefix>_<value>_entry`, preceded by
the key's type when that is not a string. A service becomes `tn_<prefix>_<service>_service`, its
methods TN_<PREFIX>_<SERVICE>_<METHOD>, a file `tn_<prefix>_<file>_file`.

The descriptor set is decoded here, so that any Python 3.7 will do. Only proto3 is accepted.
"""

import argparse
import re
import struct
import sys
import textwrap

# FieldDescriptorProto.Type: (C type, kind of core/pb.h)
SCALARS = {
    1: ("double", "FIXED64"),
    2: ("float", "FIXED32"),
    3: ("int64_t", "INT64"),
    4: ("uint64_t", "UINT64"),
    5: ("int32_t", "INT32"),
    6: ("uint64_t", "FIXED64"),
    7: ("uint32_t", "FIXED32"),
    8: ("bool", "BOOL"),
    9: ("struct tn_str", "STRING"),
    12: ("struct tn_bytes", "BYTES"),
    13: ("uint32_t", "UINT32"),
    14: ("int32_t", "INT32"),
    15: ("int32_t", "FIXED32"),
    16: ("int64_t", "FIXED64"),
    17: ("int32_t", "SINT32"),
    18: ("int64_t", "SINT64"),
}
TYPE_NAMES = {3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool",
              9: "string", 12: "bytes", 13: "uint32", 14: "enum", 15: "sfixed32", 16: "sfixed64",
              17: "sint32", 18: "sint64", 1: "double", 2: "float"}
MESSAGE, STRING, BYTES, ENUM = 11, 9, 12, 14
KEYWORDS = set("""auto break case char const continue default do double else enum extern float for
goto if inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while bool true false""".split())
WIDTH = 100


def fail(text):
    sys.exit("pbgen: " + text)


# --- the wire, as much of it as descriptors use ---------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def parse(data):
    """The fields of a message: {number: [values]}; nested ones stay bytes."""
    fields = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value = data[at:at + size]
            at += size
        elif wire == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        elif wire == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        else:
            fail("unexpected wire type %d in the descriptor set" % wire)
        fields.setdefault(number, []).append(value)
    return fields


def without_field(data, number):
    """The same message without one length-delimited field."""
    kept = bytearray()
    at = 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        if tag & 7 == 2:
            size, at = varint(data, at)
            at += size
        elif tag & 7 == 0:
            _, at = varint(data, at)
        else:
            fail("unexpected wire type in a file descriptor")
        if tag >> 3 != number:
            kept += data[start:at]
    return bytes(kept)


def text(fields, number, default=""):
    return fields[number][-1].decode() if number in fields else default


def number_of(fields, number, default=0):
    return fields[number][-1] if number in fields else default


def packed(fields, number):
    values = []
    for value in fields.get(number, []):
        if isinstance(value, int):
            values.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = varint(value, at)
            values.append(item)
    return values


# --- names ----------------------------------------------------------------------------------------


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return name.replace(".", "_").lower()


def member(name):
    name = snake(name) if name != name.lower() else name
    return name + "_" if name in KEYWORDS else name


# --- the model ------------------------------------------------------------------------------------


class Field:
    def __init__(self, raw, comment):
        fields = parse(raw)
        self.name = text(fields, 1)
        self.number = number_of(fields, 3)
        self.label = number_of(fields, 4)
        self.type = number_of(fields, 5)
        self.type_name = text(fields, 6).lstrip(".")
        options = parse(fields[8][-1]) if 8 in fields else {}
        self.packed = number_of(options, 2, 1)
        self.optional = number_of(fields, 17) == 1
        self.oneof = number_of(fields, 9, None) if not self.optional else None
        self.comment = comment
        if self.type == 10:
            fail("field %s is a group" % self.name)

    @property
    def repeated(self):
        return self.label == 3


class Message:
    def __init__(self, raw, scope, package, path, comments, file):
        fields = parse(raw)
        self.file = file
        self.short = scope + text(fields, 1)
        self.full = (package + "." if package else "") + self.short
        self.comment = comments.get(path, "")
        self.fields = [Field(item, comments.get(path + (2, i), ""))
                       for i, item in enumerate(fields.get(2, []))]
        self.fields.sort(key=lambda field: field.number)
        self.oneofs = [(text(parse(item), 1), comments.get(path + (8, i), ""))
                       for i, item in enumerate(fields.get(8, []))]
        options = parse(fields[7][-1]) if 7 in fields else {}
        self.is_entry = number_of(options, 7) == 1
        if 6 in fields or 5 in fields:
            fail("%s has extensions" % self.full)
        self.messages = [Message(item, self.short + ".", package, path + (3, i), comments, file)
                         for i, item in enumerate(fields.get(3, []))]
        self.enums = [Enum(item, self.short + ".", package, path + (4, i), comments)
                      for i, item in enumerate(fields.get(4, []))]

    def all(self):
        for message in self.messages:
            yield from message.all()
        yield self


class Enum:
    def __init__(self, raw, scope, package, path, comments):
        fields = parse(raw)
        self.short = scope + text(fields, 1)
        self.scope = scope
        self.full = (package + "." if package else "") + self.short
        self.comment = comments.get(path, "")
        self.values = []
        for i, item in enumerate(fields.get(2, [])):
            value = parse(item)
            number = number_of(value, 2)
            number = number - (1 << 64) if number >= 1 << 63 else number
            self.values.append((text(value, 1), number, comments.get(path + (2, i), "")))


class Service:
    def __init__(self, raw, package, path, comments):
        fields = parse(raw)
        self.short = text(fields, 1)
        self.full = (package + "." if package else "") + self.short
        self.comment = comments.get(path, "")
        self.methods = []
        for item in fields.get(2, []):
            method = parse(item)
            self.methods.append({
                "name": text(method, 1),
                "request": text(method, 2).lstrip("."),
                "response": text(method, 3).lstrip("."),
                "request_streams": number_of(method, 5),
                "response_streams": number_of(method, 6),
            })


class File:
    def __init__(self, raw):
        fields = parse(raw)
        self.name = text(fields, 1)
        self.package = text(fields, 2)
        if text(fields, 12) != "proto3":
            fail("%s is not proto3" % self.name)
        comments = {}
        for info in fields.get(9, []):
            for location in parse(info).get(1, []):
                location = parse(location)
                comments[tuple(packed(location, 1))] = text(location, 3) or text(location, 4)
        self.comment = comments.get((12,), "")
        self.imports = [item.decode() for item in fields.get(3, [])]
        self.descriptor = without_field(raw, 9)
        self.messages = [Message(item, "", self.package, (4, i), comments, self)
                         for i, item in enumerate(fields.get(4, []))]
        self.enums = [Enum(item, "", self.package, (5, i), comments)
                      for i, item in enumerate(fields.get(5, []))]
        self.services = [Service(item, self.package, (6, i), comments)
                         for i, item in enumerate(fields.get(6, []))]

    def symbols(self):
        names = []
        for message in self.all_messages():
            names.append(message.full)
            names += [enum.full for enum in message.enums]
        names += [enum.full for enum in self.enums]
        for service in self.services:
            names.append(service.full)
            names += [service.full + "." + method["name"] for method in service.methods]
        return sorted(names)

    def all_messages(self):
        for message in self.messages:
            yield from message.all()


# --- writing --------------------------------------------------------------------------------------


def wrapped(body, indent="", first="/* ", last=" */"):
    """A block comment, at most WIDTH wide; nothing for an empty body."""
    body = " ".join(body.split()).replace("*/", "* /")
    if not body:
        return ""
    lines = textwrap.wrap(body, WIDTH - len(indent) - len(first) - len(last),
                          break_on_hyphens=False)
    text_ = ("\n" + indent + " * ").join(lines)
    return indent + first + text_ + last + "\n"


def declared(indent, type_, name):
    """One declaration, broken as the formatter breaks it when it is too long."""
    line = "%s%s %s;\n" % (indent, type_, name)
    if len(line) > WIDTH + 1:
        return "%s%s\n%s    %s;\n" % (indent, type_, indent, name)
    return line


class Generator:
    def __init__(self, files, prefix, renames):
        self.files = files
        self.prefix = prefix
        self.renames = renames
        self.messages = {m.full: m for f in files for m in f.all_messages()}
        self.entries = {}  # C name of a map entry -> the message that describes it
        for message in self.messages.values():
            if message.is_entry:
                self.entries.setdefault(self.c_name(message), message)
        taken = {}
        for message in self.messages.values():
            other = taken.setdefault(self.c_name(message), message)
            if other is not message and not message.is_entry:
                fail("%s and %s get the same C name" % (other.full, message.full))

    def c_name(self, message):
        """Without `struct`."""
        if message.full in self.renames:
            return "tn_%s_%s" % (self.prefix, self.renames[message.full])
        if not message.is_entry:
            return "tn_%s_%s" % (self.prefix, snake(message.short))
        key, value = message.fields
        parts = [] if key.type == STRING else [TYPE_NAMES[key.type]]
        if value.type == MESSAGE:
            target = self.c_name(self.messages[value.type_name])
            parts.append(target[len("tn_%s_" % self.prefix):])
        else:
            parts.append(TYPE_NAMES[value.type])
        return "tn_%s_%s_entry" % (self.prefix, "_".join(parts))

    def constant(self, message, name):
        return (self.c_name(message) + "_" + member(name)).upper()

    def c_type(self, field):
        if field.type == MESSAGE:
            return "struct " + self.c_name(self.messages[field.type_name])
        return SCALARS[field.type][0]

    def declaration(self, field, indent):
        type_ = self.c_type(field)
        name = member(field.name)
        note = wrapped(field.comment, indent)
        if field.repeated:
            return (note + declared(indent, type_, "*" + name)
                    + declared(indent, "size_t", name + "_count"))
        if field.type == MESSAGE:
            return note + declared(indent, type_, "*" + name)
        flag = declared(indent, "bool", "has_" + name) if field.optional else ""
        return note + declared(indent, type_, name) + flag

    def struct(self, message):
        out = wrapped(message.comment)
        out += "struct %s {\n" % self.c_name(message)
        done = set()
        for field in message.fields:
            if field.oneof is None:
                out += self.declaration(field, "    ")
            elif field.oneof not in done:
                done.add(field.oneof)
                name, comment = message.oneofs[field.oneof]
                kind = "enum %s_%s, 0: none." % (self.c_name(message), member(name))
                out += wrapped((comment.strip() + " " + kind).strip(), "    ")
                out += "    uint32_t %s;\n" % member(name)
                out += "    union {\n"
                for other in message.fields:
                    if other.oneof == field.oneof:
                        out += self.declaration(other, "        ")
                out += "    };\n"
        if not message.fields:
            out += "    uint8_t empty; /* the message has no fields, a C struct must */\n"
        return out + "};\n"

    def enum(self, enum):
        scope = "tn_%s_%s" % (self.prefix, snake(enum.scope[:-1]) + "_" if enum.scope else "")
        out = wrapped(enum.comment)
        out += "enum tn_%s_%s {\n" % (self.prefix, snake(enum.short))
        for name, number, comment in enum.values:
            out += wrapped(comment, "    ")
            out += "    %s = %d,\n" % ((scope + name).upper(), number)
        return out + "};\n"

    def oneof_enums(self, message):
        out = ""
        for i, (name, _) in enumerate(message.oneofs):
            members = [field for field in message.fields if field.oneof == i]
            if not members:
                continue
            out += "enum %s_%s {\n" % (self.c_name(message), member(name))
            for field in members:
                out += "    %s = %d,\n" % (self.constant(message, field.name), field.number)
            out += "};\n\n"
        return out

    def written_messages(self):
        """Each C struct once."""
        for message in self.messages.values():
            if not message.is_entry or self.entries[self.c_name(message)] is message:
                yield message

    def file_symbol(self, file):
        def base(other):
            return re.sub(r"\.proto$", "", other.name).split("/")[-1]
        same = [other for other in self.files if base(other) == base(file)]
        name = base(file) if len(same) == 1 else re.sub(r"\.proto$", "", file.name)
        return "tn_%s_%s_file" % (self.prefix, snake(re.sub(r"\W", "_", name)))

    def service_symbol(self, service):
        name = re.sub("_service$", "", snake(service.short))
        return "tn_%s_%s_service" % (self.prefix, name)

    def origin(self):
        return "/* Written by tools/pbgen.py from:\n" + "".join(
            " *   %s\n" % file.name for file in self.files)

    def header(self, guard):
        out = self.origin() + " * How messages look in C: core/pb.h. */\n"
        out += "#ifndef %s\n#define %s\n\n#include \"core/pb.h\"\n\n" % (guard, guard)
        for message in self.written_messages():
            out += "struct %s;\n" % self.c_name(message)
        out += "\n"
        for file in self.files:
            for enum in file.enums:
                out += self.enum(enum) + "\n"
            for message in file.all_messages():
                for enum in message.enums:
                    out += self.enum(enum) + "\n"
        for message in self.written_messages():
            out += self.oneof_enums(message) + self.struct(message) + "\n"
        for message in self.written_messages():
            out += declared("", "extern const struct tn_pb_message", self.c_name(message) + "_pb")
        out += "\n"
        for file in self.files:
            for service in file.services:
                name = self.service_symbol(service)
                out += "enum %s_method {\n" % name
                for method in service.methods:
                    out += "    %s_%s,\n" % (name[:-len("_service")].upper(),
                                             snake(method["name"]).upper())
                out += "};\n\n"
                out += wrapped(service.comment + " Its methods stand in the order of the enum.")
                out += "extern const struct tn_pb_service %s;\n\n" % name
        for file in self.files:
            out += "extern const struct tn_pb_file %s;\n" % self.file_symbol(file)
        return out + "\n#endif\n"

    def field_row(self, message, field):
        name = member(field.name)
        kind = "MESSAGE" if field.type == MESSAGE else SCALARS[field.type][1]
        aux = "0"
        if field.repeated:
            plain = field.type in (STRING, BYTES, MESSAGE) or not field.packed
            label = "REPEATED" if plain else "PACKED"
            aux = "AT(%s_count)" % name
        elif message.is_entry:
            label = "ALWAYS"
        elif field.oneof is not None:
            label = "ONEOF"
            aux = "AT(%s)" % member(message.oneofs[field.oneof][0])
        elif field.optional and field.type != MESSAGE:
            label = "OPTIONAL"
            aux = "AT(has_%s)" % name
        else:
            label = "SINGULAR"
        table = "NULL"
        if field.type == MESSAGE:
            table = "&%s_pb" % self.c_name(self.messages[field.type_name])
        wire = {"FIXED32": "32", "FIXED64": "64", "STRING": "LEN", "BYTES": "LEN",
                "MESSAGE": "LEN"}.get(kind, "VARINT")
        width = "sizeof(%s)" % self.c_type(field)
        tag_size = ((field.number << 3).bit_length() + 6) // 7
        return "    {%d, AT(%s), %s, %s, TN_PB_%s, TN_PB_%s, TN_PB_WIRE_%s, %d, %s},\n" % (
            field.number, name, aux, width, kind, label, wire, tag_size, table)

    def table(self, message):
        name = self.c_name(message)
        out = ""
        if message.fields:
            out += "#define AT(member) offsetof(struct %s, member)\n" % name
            out += "static const struct tn_pb_field %s_fields[] = {\n" % name[3:]
            for field in message.fields:
                out += self.field_row(message, field)
            out += "};\n#undef AT\n"
        dense = 0
        while dense < len(message.fields) and message.fields[dense].number == dense + 1:
            dense += 1
        out += "const struct tn_pb_message %s_pb = {\n" % name
        out += "    .name = \"%s\",\n" % message.full
        if message.fields:
            out += "    .fields = %s_fields,\n" % name[3:]
        out += "    .field_count = %d,\n    .dense_count = %d,\n" % (len(message.fields), dense)
        return out + "    .size = sizeof(struct %s),\n};\n\n" % name

    def service(self, service):
        name = self.service_symbol(service)
        out = "static const struct tn_pb_method %s_methods[] = {\n" % name[3:]
        for method in service.methods:
            out += "    {\"%s\", \"/%s/%s\", &%s_pb, &%s_pb, %s, %s},\n" % (
                method["name"], service.full, method["name"],
                self.c_name(self.messages[method["request"]]),
                self.c_name(self.messages[method["response"]]),
                "true" if method["request_streams"] else "false",
                "true" if method["response_streams"] else "false")
        out += "};\nconst struct tn_pb_service %s = {\n    .name = \"%s\",\n" % (
            name, service.full)
        return out + "    .methods = %s_methods,\n    .method_count = %d,\n};\n\n" % (
            name[3:], len(service.methods))

    def file(self, file):
        name = self.file_symbol(file)
        static = name[3:]
        known = {other.name: self.file_symbol(other) for other in self.files}
        out = "static const uint8_t %s_descriptor[] = {\n" % static
        for i in range(0, len(file.descriptor), 16):
            row = ", ".join("0x%02x" % byte for byte in file.descriptor[i:i + 16])
            out += "    " + row + ",\n"
        out += "};\n"
        out += "static const struct tn_pb_file *const %s_imports[] = {%s};\n" % (
            static, ", ".join(["&" + known[item] for item in file.imports] + ["NULL"]))
        out += "static const struct tn_pb_service *const %s_served[] = {%s};\n" % (
            static, ", ".join(["&" + self.service_symbol(s) for s in file.services] + ["NULL"]))
        out += "static const char *const %s_symbols[] = {\n" % static
        out += "".join("    \"%s\",\n" % symbol for symbol in file.symbols()) + "    NULL,\n};\n"
        out += "const struct tn_pb_file %s = {\n    .name = \"%s\",\n" % (name, file.name)
        out += "    .descriptor = {%s_descriptor, sizeof(%s_descriptor)},\n" % (static, static)
        return out + ("    .imports = %s_imports,\n    .served = %s_served,\n"
                      "    .symbols = %s_symbols,\n};\n\n") % (static, static, static)

    def source(self, include):
        out = self.origin().rstrip() + " */\n"
        out += "#include \"%s\"\n\n" % include
        out += "/* Tables read best as rows. */\n/* clang-format off */\n"
        for message in self.written_messages():
            out += self.table(message)
        for file in self.files:
            for service in file.services:
                out += self.service(service)
        for file in self.files:
            out += self.file(file)
        return out + "/* clang-format on */\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", required=True, help="descriptor set of protoc")
    parser.add_argument("--prefix", required=True, help="names begin with tn_PREFIX_")
    parser.add_argument("--header", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--include", required=True, help="how the source includes the header")
    parser.add_argument("--rename", action="append", default=[], metavar="FULL.NAME=short")
    options = parser.parse_args()

    with open(options.set, "rb") as stream:
        files = [File(item) for item in parse(stream.read()).get(1, [])]
    renames = dict(item.split("=", 1) for item in options.rename)
    generator = Generator(files, options.prefix, renames)
    guard = "TN_" + re.sub(r"[^A-Za-z0-9]", "_", options.include).upper()
    with open(options.header, "w", encoding="utf-8") as stream:
        stream.write(generator.header(guard))
    with open(options.source, "w", encoding="utf-8") as stream:
        stream.write(generator.source(options.include))


if __name__ == "__main__":
    main()
