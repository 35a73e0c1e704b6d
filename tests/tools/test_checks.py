"""Every rule of tools/checks has a sample that breaks it, and must catch it; clean code passes."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tools'))

from checks import clex, rooms, text  # noqa: E402
from checks import compile as compiled  # noqa: E402
from checks.tree import Tree  # noqa: E402

TABLE = '''
cmd: *
infer: core base
base: core
core:
<onnxruntime_c_api.h>: infer
<cmocka.h>:
<proto/health>: infer
'''
CLEAN_HEADER = '''/* Counts. */
#ifndef TN_BASE_COUNT_H
#define TN_BASE_COUNT_H

#include "core/err.h"

int tn_count_next(int count);

#endif
'''
CLEAN_SOURCE = '''/* Counts. */
#include "base/count.h"

int tn_count_next(int count)
{
    if (count < 0)
        goto fail;
    return count + 1;
fail:
    return 0;
}
'''
CLEAN = {'tools/rooms.txt': TABLE, 'src/core/err.h': '/* Errors. */\n#ifndef TN_CORE_ERR_H\n'
         '#define TN_CORE_ERR_H\n#include <stdint.h>\n#endif\n',
         'src/base/count.h': CLEAN_HEADER, 'src/base/count.c': CLEAN_SOURCE}


def findings(files):
    tree = Tree(ROOT, {**CLEAN, **files})
    return [finding for rule in [rooms.check_rooms, *text.RULES] for finding in rule(tree)]


def function(body, name='tn_f'):
    return '/* F. */\nint ' + name + '(int a)\n{\n' + body + '}\n'


def complexity(body, name='tn_f'):
    found = list(clex.functions(function(body, name)))
    assert len(found) == 1
    return clex.Complexity(found[0].body, found[0].name).count()


class Rules(unittest.TestCase):
    def caught(self, rule, path, content, line=None):
        found = findings({path: content})
        self.assertEqual([rule], sorted({finding.rule for finding in found}), found)
        if line is not None:
            self.assertIn(line, [finding.line for finding in found])

    def passes(self, path, content):
        self.assertEqual([], findings({path: content}))

    def test_clean_tree_passes(self):
        self.assertEqual([], findings({}))

    def test_room_order(self):
        self.caught('room', 'src/core/a.c', '/* A. */\n#include "base/count.h"\n', 2)
        self.passes('src/infer/a.c', '/* A. */\n#include "base/count.h"\n')
        self.passes('src/cmd/a.c', '/* A. */\n#include "base/count.h"\n')

    def test_room_unknown_or_missing(self):
        self.caught('room', 'src/attic/a.c', '/* A. */\n')
        self.caught('room', 'src/infer/a.c', '/* A. */\n#include "base/nowhere.h"\n', 2)

    def test_include_forms(self):
        self.caught('room', 'src/base/a.c', '/* A. */\n#include "../core/err.h"\n', 2)
        self.caught('room', 'src/base/a.c', '/* A. */\n#include "count.h"\n', 2)

    def test_library_owners(self):
        self.caught('room', 'src/base/a.c', '/* A. */\n#include <onnxruntime_c_api.h>\n', 2)
        self.caught('room', 'src/infer/a.c', '/* A. */\n#include <cmocka.h>\n', 2)
        self.passes('src/infer/a.c', '/* A. */\n#include <onnxruntime_c_api.h>\n')

    def test_generated_messages(self):
        include = '/* A. */\n#include "proto/health.pb.h"\n'
        self.passes('src/infer/a.c', include)
        self.caught('room', 'src/base/a.c', include, 2)
        found = findings({'src/infer/a.h': '/* A. */\n#ifndef TN_INFER_A_H\n'
                          '#define TN_INFER_A_H\n#include "proto/health.pb.h"\n#endif\n'})
        self.assertEqual(['room'], [finding.rule for finding in found])

    def test_core_is_freestanding(self):
        self.caught('room', 'src/core/a.c', '/* A. */\n#include <stdio.h>\n', 2)
        self.passes('src/base/a.c', '/* A. */\n#include <stdio.h>\n')

    def test_line_length(self):
        self.caught('line', 'tools/a.py', '#' + 'x' * 100 + '\n', 1)
        self.passes('tools/a.py', '#' + 'x' * 99 + '\n')
        self.passes('docs/a.md', 'x' * 200 + '\n')

    def test_blanks(self):
        self.caught('space', 'tools/a.py', 'x = 1 \n', 1)
        self.caught('space', 'tools/a.py', '\tx = 1\n', 1)
        self.caught('space', 'tools/a.py', 'x = 1')
        self.passes('Makefile', 'all:\n\ttrue\n')

    def test_file_lengths(self):
        self.caught('file', 'src/base/a.c', '/* A. */\n' + 'int x;\n' * 600)
        self.passes('src/base/a.c', '/* A. */\n' + 'int x;\n' * 599)
        guard = '#ifndef TN_BASE_A_H\n#define TN_BASE_A_H\n'
        self.caught('file', 'src/base/a.h', '/* A. */\n' + guard + '\n' * 198)

    def test_function_length(self):
        self.caught('function', 'src/base/a.c', function('    a++;\n' * 68), 2)
        self.passes('src/base/a.c', function('    a++;\n' * 67))

    def test_complexity_limit(self):
        deep = ''.join('    ' * (n + 1) + 'if (a)\n' for n in range(7)) + ' ' * 32 + 'a++;\n'
        self.caught('complexity', 'src/base/a.c', function(deep), 2)

    def test_names(self):
        for name in ('src/base/utils.c', 'src/base/str_helpers.c', 'src/base/common.c',
                     'tools/misc/a.c'):
            self.caught('name', name, '/* A. */\n')
        self.passes('src/base/commonwealth.c', '/* A. */\n')

    def test_words(self):
        self.caught('open-work', 'src/base/a.c', '/* A.\n * TO' 'DO: more */\n', 2)
        self.caught('open-work', 'docs/a.md', 'FIX' 'ME\n', 1)
        self.caught('machine', 'docs/a.md', 'see /wo' 'rk/main\n', 1)
        self.caught('machine', 'docs/a.md', 'see /ro' 'ot/x\n', 1)
        self.passes('docs/a.md', 'see $HOME/work/x and mkdtemp("/tmp/tn-XXXXXX")\n')
        self.caught('registry', 'docs/a.md', 'https://registry.npm' 'js.org/x\n', 1)
        self.caught('registry', 'docs/a.md', 'http:' '//deb.' 'debian' '.org/\n', 1)
        self.caught('registry', 'docs/a.md', 'files.pythonhosted' '.org\n', 1)

    def test_heap(self):
        call = '/* A. */\nstatic void *x(void)\n{\n    return malloc(3);\n}\n'
        self.caught('heap', 'src/infer/a.c', call, 4)
        self.passes('src/base/a.c', call)
        self.passes('src/infer/a.c', '/* malloc(3) */\nconst char *x = "free(x)";\n')
        self.passes('src/infer/a.c', '/* A. */\nint x(struct s *s)\n{\n    s->free(1);\n}\n')

    def test_typedef(self):
        self.caught('typedef', 'src/base/a.c', '/* A. */\ntypedef struct x {\n', 2)
        self.caught('typedef', 'src/base/a.c', '/* A. */\ntypedef enum x tn_x;\n', 2)
        self.passes('src/base/a.c', '/* A. */\ntypedef struct x *(*tn_make)(int a);\n')

    def test_goto(self):
        self.caught('goto', 'src/base/a.c', function('    goto out;\nout:\n    return 1;\n'), 4)

    def test_top_and_guard(self):
        self.caught('top', 'src/base/a.c', '#include <stdio.h>\n', 1)
        self.caught('guard', 'src/base/a.h', '/* A. */\n#ifndef A_H\n#define A_H\n#endif\n')


class CognitiveComplexity(unittest.TestCase):
    def test_counts(self):
        for expected, body in [
                (0, '    return a;\n'),
                (1, '    if (a) return 1;\n    return 2;\n'),
                (2, '    if (a) { a++; } else { a--; }\n'),
                (3, '    if (a) a++; else if (a > 2) a--; else a = 0;\n'),
                (3, '    for (;;) { if (a) break; }\n'),
                (6, '    for (;;) while (a) if (a) a++;\n'),
                (1, '    switch (a) { case 1: a++; break; case 2: default: break; }\n'),
                (2, '    if (a && a > 1 && a > 2) return 1;\n'),
                (4, '    if (a && a > 1 || a > 2 && a > 3) return 1;\n'),
                (1, '    return a ? 1 : 2;\n'),
                (1, '    goto fail;\nfail:\n    return 1;\n'),
                (3, '    do { if (a) a++; } while (a);\n'),
                (3, '    FOR_EACH(x, y) { if (a) a++; }\n'),
                (1, '    return tn_f(a - 1);\n'),
                (0, '    struct s s = {.x = 1, .y = {2}};\n    char c = \'?\';\n'),
                (0, '#if X && Y\n    a++;\n#endif\n')]:
            self.assertEqual(expected, complexity(body), body)

    def test_recursion_needs_the_own_name(self):
        self.assertEqual(0, complexity('    return tn_g(a - 1);\n'))


class Compiled(unittest.TestCase):
    def tree(self, files):
        root = tempfile.TemporaryDirectory()
        self.addCleanup(root.cleanup)
        for path, content in files.items():
            os.makedirs(os.path.dirname(os.path.join(root.name, path)), exist_ok=True)
            with open(os.path.join(root.name, path), 'w', encoding='utf-8') as file:
                file.write(content)
        subprocess.run(['git', 'init', '-q', root.name], check=True)
        return Tree(root.name)

    def test_header_that_needs_another(self):
        tree = self.tree({'src/base/a.h': '/* A. */\nuint32_t tn_a(void);\n'})
        found = list(compiled.check_headers(tree))
        self.assertEqual(['header'], [finding.rule for finding in found])
        self.assertIn('uint32_t', found[0].message)

    def test_header_without_guard(self):
        tree = self.tree({'src/base/a.h': '/* A. */\nstruct a {\n    int x;\n};\n'})
        self.assertEqual(['header'], [f.rule for f in compiled.check_headers(tree)])

    def test_good_header(self):
        tree = self.tree({'src/core/err.h': CLEAN['src/core/err.h'],
                          'src/base/count.h': CLEAN_HEADER})
        self.assertEqual([], list(compiled.check_headers(tree)))

    def test_format(self):
        with open(os.path.join(ROOT, '.clang-format'), encoding='utf-8') as file:
            style = file.read()
        if compiled.find_formatter(ROOT) is None:
            self.skipTest('no clang-format of the one version: tools/setup --for dev')
        tree = self.tree({'.clang-format': style, 'src/base/a.c': '/* A. */\nint  x ;\n',
                          'src/base/count.c': CLEAN_SOURCE})
        found = list(compiled.check_format(tree))
        self.assertEqual([('src/base/a.c', 2)], [(f.path, f.line) for f in found])


if __name__ == '__main__':
    unittest.main()
