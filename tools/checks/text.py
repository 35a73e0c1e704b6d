"""Rules that read lines: lengths, names, words, and calls that must not be made."""

import re

from checks import clex
from checks.tree import Finding

CODE = ('.c', '.h', '.py', '.sh', 'Makefile', 'meson.build', 'meson_options.txt')
C_PLACES = ['src/', 'include/', 'tests/', 'fuzz/', 'bench/', 'firmware/', 'examples/']
LINE_MAX, HEADER_MAX, FILE_MAX, FUNCTION_MAX, COMPLEXITY_MAX = 100, 200, 600, 70, 25

VAGUE = {'util', 'utils', 'common', 'helper', 'helpers', 'misc'}
# Spelt apart, so that this file is not its own finding.
OPEN_WORK = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X)\b')
MACHINE_PATH = re.compile(r'(?<![\w.$}])/(?:work/|root/|home/\w|tmp/(?:wt|land|npm|brief)\b)')
REGISTRY = re.compile(r'\b(?:registry\.\w+\.\w+|(?:npmjs|pypi|pythonhosted)\.(?:org|com)'
                      r'|(?:deb|ftp|security|snapshot)\.debian\.org|proxy\.golang\.org'
                      r'|maven\.org|maven\.apache\.org|crates\.io)\b')
HEAP = re.compile(r'(?<![\w.>])(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf'
                  r'|vasprintf|aligned_alloc|posix_memalign|getline|open_memstream)\s*\(')
TYPEDEF = re.compile(r'^\s*typedef\s+(struct|enum|union)\b(?![^;{]*\()')
GOTO = re.compile(r'\bgoto\s+(?!fail\s*;)(\w+)')


def is_code(tree, path):
    return path.endswith(CODE) or tree.text(path).startswith('#!')


def check_lines(tree):
    for path in tree.paths:
        if not is_code(tree, path):
            continue
        lines = tree.lines(path)
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                yield Finding(path, number, 'line', f'{len(line)} columns, {LINE_MAX} allowed')
            if line.rstrip() != line:
                yield Finding(path, number, 'space', 'blank at the end of the line: remove it')
            if '\t' in line and not path.endswith('Makefile'):
                yield Finding(path, number, 'space', 'a tab: indent with spaces')
        count = len(lines) - 1
        limit = HEADER_MAX if path.endswith('.h') else FILE_MAX
        if count > limit:
            yield Finding(path, count, 'file', f'{count} lines, {limit} allowed: split it by noun')
        if lines[-1] != '':
            yield Finding(path, len(lines), 'space', 'no line end at the end of the file')


def check_functions(tree):
    for path in tree.matching('.c', '.h', under=C_PLACES):
        for function in clex.functions(tree.text(path)):
            if function.lines > FUNCTION_MAX:
                yield Finding(path, function.line, 'function', f'{function.name} has '
                              f'{function.lines} lines, {FUNCTION_MAX} allowed: split it')
            cost = clex.Complexity(function.body, function.name).count()
            if cost > COMPLEXITY_MAX:
                yield Finding(path, function.line, 'complexity', f'{function.name} has cognitive '
                              f'complexity {cost}, {COMPLEXITY_MAX} allowed: split it, return '
                              'early, or use a table')


def check_names(tree):
    for path in tree.paths:
        for part in path.split('/'):
            words = set(re.split(r'[_.\-]', part.lower()))
            if words & VAGUE:
                yield Finding(path, 1, 'name', f'"{part}" says nothing: name the noun it holds')


def check_words(tree):
    for path in tree.paths:
        for number, line in enumerate(tree.lines(path), 1):
            if OPEN_WORK.search(line):
                yield Finding(path, number, 'open-work', 'finish it or file an issue; no marks')
            if MACHINE_PATH.search(line):
                yield Finding(path, number, 'machine', 'a path of one machine: use a relative '
                              'one, or a temporary folder')
            if REGISTRY.search(line):
                yield Finding(path, number, 'registry', 'the address of a registry: name the '
                              'package, and leave the address to its client')


def check_c(tree):
    for path in tree.matching('.c', '.h', under=C_PLACES):
        text = tree.text(path)
        if not text.startswith('/*'):
            yield Finding(path, 1, 'top', 'begin with a comment: what, machine, memory, threads, '
                          'bounds')
        ours = path.startswith(('src/', 'include/'))
        heap_allowed = not path.startswith('src/') or path.startswith('src/base/')
        for number, line in enumerate(clex.blank(text).split('\n'), 1):
            heap = HEAP.search(line)
            if heap and not heap_allowed:
                yield Finding(path, number, 'heap', f'{heap.group(1)} outside base: use base/mem.h,'
                              ' an arena or a pool')
            if ours and TYPEDEF.search(line):
                yield Finding(path, number, 'typedef', 'no typedef of a struct or enum: write '
                              '"struct tn_noun"')
            jump = GOTO.search(line)
            if jump and ours:
                yield Finding(path, number, 'goto', f'goto {jump.group(1)}: only forward, to the '
                              'one label "fail"')


def check_guards(tree):
    for path in tree.matching('.h', under=['src/']):
        guard = 'TN_' + re.sub(r'\W', '_', path[len('src/'):]).upper()
        if f'#ifndef {guard}\n#define {guard}\n' not in tree.text(path):
            yield Finding(path, 1, 'guard', f'the include guard must be {guard}')


RULES = [check_lines, check_functions, check_names, check_words, check_c, check_guards]
