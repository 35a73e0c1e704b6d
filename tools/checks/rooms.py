"""Who may include whom. The table is tools/rooms.txt."""

import re

from checks.tree import Finding

TABLE = 'tools/rooms.txt'
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# core and micro run where there is no operating system; these headers exist there too.
FREESTANDING = {'float.h', 'iso646.h', 'limits.h', 'stdalign.h', 'stdarg.h', 'stdbool.h',
                'stddef.h', 'stdint.h', 'stdnoreturn.h', 'string.h', 'math.h', 'immintrin.h',
                'arm_neon.h', 'arm_acle.h', 'nmmintrin.h', 'wmmintrin.h', 'cpuid.h'}
BARE_ROOMS = {'core', 'micro', 'geom'}


def read_table(text):
    rooms, libraries = {}, {}
    for line in text.split('\n'):
        line = line.split('#', 1)[0].strip()
        if line:
            name, _, allowed = line.partition(':')
            name, target = name.strip(), rooms
            if name.startswith('<'):
                name, target = name.strip('<>'), libraries
            target[name] = set(allowed.split())
    return rooms, libraries


def room_of(path):
    parts = path.split('/')
    return parts[1] if len(parts) > 2 and parts[0] == 'src' else None


def check_rooms(tree):
    rooms, libraries = read_table(tree.text(TABLE))
    known = set(tree.paths)
    for path in tree.matching('.c', '.h', under=['src/']):
        room = room_of(path)
        if room not in rooms:
            yield Finding(path, 1, 'room', f'room "{room}" has no row in {TABLE}: add one, with '
                          'the rooms that it may include')
            continue
        for number, line in enumerate(tree.lines(path), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            if found.group(2).startswith('proto/'):
                problem = generated(room, libraries, path, found.group(2))
            elif found.group(1) == '"':
                problem = quoted(room, rooms[room], found.group(2), known)
            else:
                problem = angled(room, libraries, found.group(2))
            if problem:
                yield Finding(path, number, 'room', problem)


def quoted(room, allowed, name, known):
    if '..' in name.split('/'):
        return f'"{name}": include from src/ as "room/file.h", never with ".."'
    if '/' not in name:
        return f'"{name}": write the room too: "{room}/{name}"'
    target = name.split('/')[0]
    if target != room and '*' not in allowed and target not in allowed:
        return f'room {room} may not include room {target} (see {TABLE}): move the code to a ' \
               'room that may, or pass what it needs as an argument'
    if f'src/{name}' not in known and not name.endswith('.inc.h'):
        return f'"{name}" is not in src/'
    return None


def generated(room, libraries, path, name):
    """Messages of proto/: written at build time, so a header that includes one stands on sand."""
    if path.endswith('.h'):
        return f'"{name}" is generated: declare its structs, and include it in the .c file'
    rooms = libraries.get(name.removesuffix('.pb.h'), set())
    if room not in rooms:
        return f'room {room} does not speak {name} (see {TABLE})'
    return None


def angled(room, libraries, name):
    if room in BARE_ROOMS and name not in FREESTANDING:
        return f'room {room} is freestanding: <{name}> does not exist on a microcontroller'
    for prefix, rooms in libraries.items():
        if name.startswith(prefix) and room not in rooms:
            owners = ', '.join(sorted(rooms)) or 'tests'
            return f'<{name}> belongs to {owners} (see {TABLE}): go through that room'
    return None
