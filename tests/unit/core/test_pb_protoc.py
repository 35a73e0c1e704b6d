"""Asks protoc what the codec should have said.

Random messages are written as text, which protoc encodes, and by this script in the worst legal
way: fields in any order, packed arrays torn apart, scalars twice with a wrong value first, nested
messages in halves, unknown fields in between. The codec must turn both into protoc's own bytes.

usage: test_pb_protoc.py PROTOC PROTO_FOLDER PROGRAM [SEED] [ROUNDS]
"""

import os
import random
import struct
import subprocess
import sys
import time

INTS = {'int32': (-2**31, 2**31 - 1), 'int64': (-2**63, 2**63 - 1), 'uint32': (0, 2**32 - 1),
        'uint64': (0, 2**64 - 1)}
TYPES = ['bool', 'int32', 'int64', 'uint32', 'uint64', 'sint32', 'sint64', 'fixed32', 'fixed64',
         'sfixed32', 'sfixed64', 'float', 'double', 'string', 'bytes', 'colour', 'every']
SINGULAR = ['a_bool', 'an_int32', 'an_int64', 'a_uint32', 'a_uint64', 'a_sint32', 'a_sint64',
            'a_fixed32', 'a_fixed64', 'a_sfixed32', 'a_sfixed64', 'a_float', 'a_double',
            'a_string', 'a_bytes', 'a_colour', 'nested']
REPEATED = ['bools', 'int32s', 'int64s', 'uint32s', 'uint64s', 'sint32s', 'sint64s', 'fixed32s',
            'fixed64s', 'sfixed32s', 'sfixed64s', 'floats', 'doubles', 'strings', 'byteses',
            'colours', 'nesteds']
FIELDS = [(name, 1 + i, TYPES[i], 'one') for i, name in enumerate(SINGULAR)]
FIELDS += [(name, 21 + i, TYPES[i], 'many') for i, name in enumerate(REPEATED)]
FIELDS += [('unpacked', 38, 'int32', 'many'), ('maybe_int32', 41, 'int32', 'optional'),
           ('maybe_double', 42, 'double', 'optional'), ('maybe_string', 43, 'string', 'optional'),
           ('maybe_bool', 44, 'bool', 'optional'), ('maybe_bytes', 45, 'bytes', 'optional'),
           ('texts', 51, ('string', 'string'), 'map'), ('objects', 52, ('int32', 'every'), 'map'),
           ('blobs', 53, ('bool', 'bytes'), 'map'),
           ('doubles_by_number', 54, ('uint64', 'double'), 'map'),
           ('colours_by_number', 55, ('sint32', 'colour'), 'map')]
CHOICES = [('choice_int32', 61, 'int32'), ('choice_string', 62, 'string'),
           ('choice_nested', 63, 'every'), ('choice_bytes', 64, 'bytes'),
           ('choice_bool', 65, 'bool'), ('choice_empty', 66, 'empty')]


def value_of(rng, kind, depth):
    if kind == 'bool':
        return rng.random() < 0.5
    if kind == 'string':
        return ''.join(rng.choice('aZ09 _"\\\n\u00e9\u4e16\U0001f30d')
                       for _ in range(rng.choice([0, 1, 3, 150])))
    if kind == 'bytes':
        return bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 3, 150])))
    if kind == 'float':
        return struct.unpack('<f', struct.pack('<I', rng.randrange(2**31 - 2**23)))[0]
    if kind == 'double':
        return rng.choice([0.0, -1.5, float('inf'), rng.uniform(-1e300, 1e300), 5e-324])
    if kind == 'colour':
        return rng.choice([0, 1, 100000, -1, 77])
    if kind == 'empty':
        return {}
    if kind == 'every':
        return message(rng, depth + 1)
    low, high = INTS[{'sint32': 'int32', 'sint64': 'int64', 'fixed32': 'uint32',
                      'fixed64': 'uint64', 'sfixed32': 'int32',
                      'sfixed64': 'int64'}.get(kind, kind)]
    value = rng.choice([0, 1, low, high, rng.randrange(0, 200), rng.randint(low, high)])
    return value


def message(rng, depth=0):
    """{name: value} of a random message; every member of the schema has its chance."""
    out = {}
    for name, _, kind, label in FIELDS:
        nests = kind == 'every' or (label == 'map' and kind[1] == 'every')
        if rng.random() > 0.4 / (1 + depth) or (nests and depth > 3):
            continue
        if label == 'map':
            out[name] = {value_of(rng, kind[0], depth): value_of(rng, kind[1], depth)
                         for _ in range(rng.randrange(4))}
        elif label == 'many':
            out[name] = [value_of(rng, kind, depth) for _ in range(rng.choice([0, 1, 2, 5]))]
        else:
            out[name] = value_of(rng, kind, depth)
    if rng.random() < 0.5:
        name, _, kind = rng.choice([c for c in CHOICES if depth < 3 or c[2] != 'every'])
        out[name] = value_of(rng, kind, depth)
    if rng.random() < 0.1:
        out['empty'] = {}
    return out


# --- as text --------------------------------------------------------------------------------------


def quoted(data):
    data = data.encode() if isinstance(data, str) else data
    return '"' + ''.join('\\%03o' % byte for byte in data) + '"'


def text_value(kind, value):
    if kind in ('every', 'empty'):
        return ' {%s}' % text_of(value)
    if kind in ('string', 'bytes'):
        return ': ' + quoted(value)
    if kind == 'bool':
        return ': ' + str(value).lower()
    return ': ' + repr(value)


def text_of(values):
    kinds = {name: (kind, label) for name, _, kind, label in FIELDS}
    kinds.update({name: (kind, 'one') for name, _, kind in CHOICES})
    kinds['empty'] = ('empty', 'one')
    out = []
    for name, value in values.items():
        kind, label = kinds[name]
        if label == 'map':
            out += ['%s { key%s value%s }' % (name, text_value(kind[0], k), text_value(kind[1], v))
                    for k, v in value.items()]
        elif label == 'many':
            out += [name + text_value(kind, item) for item in value]
        else:
            out.append(name + text_value(kind, value))
    return ' '.join(out)


# --- as awkward bytes -----------------------------------------------------------------------------


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def padded_varint(rng, value):
    """The same number, at times longer than it need be."""
    out = varint(value)
    if len(out) < 9 and rng.random() < 0.2:
        return out[:-1] + bytes([out[-1] | 0x80]) + b'\x80' * rng.randrange(9 - len(out)) + b'\0'
    return out


def wire_value(rng, kind, value):
    """(wire type, bytes)"""
    if kind in ('string', 'bytes', 'every', 'empty'):
        if kind in ('every', 'empty'):
            value = awkward(rng, value)
        value = value.encode() if isinstance(value, str) else value
        return 2, padded_varint(rng, len(value)) + value
    codes = {'fixed32': '<I', 'sfixed32': '<i', 'float': '<f', 'fixed64': '<Q', 'sfixed64': '<q',
             'double': '<d'}
    if kind in codes:
        packed = struct.pack(codes[kind], value)
        return (5 if len(packed) == 4 else 1), packed
    if kind in ('sint32', 'sint64'):
        value = value * 2 if value >= 0 else -value * 2 - 1
    return 0, padded_varint(rng, int(value))


def tagged(rng, number, kind, value):
    wire, data = wire_value(rng, kind, value)
    return varint(number << 3 | wire) + data


def awkward_one(rng, number, kind, value, label):
    """Parts that must stay in order."""
    if kind == 'every':
        names = list(value)
        half = {name for name in names if rng.random() < 0.5}
        # Members of a oneof are a single thing and maps of equal keys cannot occur.
        first = {name: value[name] for name in names if name in half}
        second = {name: value[name] for name in names if name not in half}
        return [tagged(rng, number, kind, first), tagged(rng, number, kind, second)]
    parts = []
    if label == 'one' and rng.random() < 0.2:
        parts.append(tagged(rng, number, kind, value_of(rng, kind, 9)))
    return parts + [tagged(rng, number, kind, value)]


def awkward_many(rng, number, kind, items):
    if kind in ('string', 'bytes', 'every'):
        return [tagged(rng, number, kind, item) for item in items]
    parts = []
    while items or rng.random() < 0.1:
        count = rng.randrange(len(items) + 1)
        if rng.random() < 0.5 and items:
            parts.append(tagged(rng, number, kind, items[0]))
            items = items[1:]
            continue
        data = b''.join(wire_value(rng, kind, item)[1] for item in items[:count])
        parts.append(varint(number << 3 | 2) + varint(len(data)) + data)
        items = items[count:]
    return parts


def awkward_map(rng, number, kinds, pairs):
    """Sorted by key, as protoc writes them when told to be deterministic."""
    def order(key):
        return key.encode() if isinstance(key, str) else key
    parts = []
    for key in sorted(pairs, key=order):
        members = [tagged(rng, 1, kinds[0], key), tagged(rng, 2, kinds[1], pairs[key])]
        if rng.random() < 0.3:
            members.reverse()
        data = b''.join(members)
        parts.append(varint(number << 3 | 2) + varint(len(data)) + data)
    return parts


def unknown(rng):
    number = rng.choice([70, 999, 2**28])
    return rng.choice([
        varint(number << 3) + varint(rng.randrange(2**64)),
        varint(number << 3 | 1) + b'12345678',
        varint(number << 3 | 2) + b'\x03abc',
        varint(number << 3 | 3) + b'\x08\x01\x12\x01x' + varint(number << 3 | 4),
        varint(number << 3 | 5) + b'1234',
    ])


def awkward(rng, values):
    """The fields of a message, shuffled without changing the order inside each."""
    runs = []
    for name, number, kind, label in FIELDS:
        if name in values:
            if label == 'map':
                runs.append(awkward_map(rng, number, kind, values[name]))
            elif label == 'many':
                runs.append(awkward_many(rng, number, kind, values[name]))
            else:
                runs.append(awkward_one(rng, number, kind, values[name], label))
    for name, number, kind in CHOICES:
        if name in values:
            runs.append([tagged(rng, number, kind, values[name])])
    if 'empty' in values:
        runs.append([tagged(rng, 536870911, 'empty', {})])
    runs += [[unknown(rng)] for _ in range(rng.randrange(3))]
    out = []
    while runs:
        run = rng.choice(runs)
        out.append(run.pop(0)) if run else runs.remove(run)
    return b''.join(out)


def run(command, data):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit('%s ended with %d' % (os.path.basename(command[0]), done.returncode))
    return done.stdout


def one_round(protoc, folder, program, seed):
    rng = random.Random(seed)
    items = [message(rng) for _ in range(60)]
    text = '\n'.join('items {%s}' % text_of(item) for item in items)
    expected = run([protoc, '-I', folder, '--encode=test.Batch', '--deterministic_output',
                    'pb_every.proto'], text.encode())
    again = run([program], expected)
    if again != expected:
        sys.exit('seed %d: the bytes of protoc came back changed' % seed)
    data = b''.join(b'\x0a' + varint(len(item)) + item
                    for item in (awkward(rng, item) for item in items))
    if run([program], data) != expected:
        sys.exit('seed %d: awkward but legal bytes were read differently' % seed)
    return len(items)


def main():
    protoc, folder, program = sys.argv[1:4]
    first = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time())
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 20
    total = sum(one_round(protoc, folder, program, first + i) for i in range(rounds))
    print('%d messages agree with protoc, seeds %d to %d' % (total, first, first + rounds - 1))


if __name__ == '__main__':
    main()
