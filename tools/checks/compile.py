"""Rules that run a compiler's front end: headers that stand alone, and the one format."""

import concurrent.futures
import os
import re
import shutil
import subprocess

from checks.tree import Finding

FORMAT_MAJOR = 14  # other versions lay the same style out differently
HEADER_FLAGS = ['-std=c17', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE',
                '-Isrc', '-Iinclude', '-I.deps/onnxruntime/include', '-xc', '-']
MESSAGE = re.compile(r'^[^:\n]+:\d+:\d+: (?:fatal )?error: (.*)$', re.M)


def check_headers(tree, compiler='cc'):
    """Each header compiles alone, and when included twice."""

    def compile_one(path):
        name = path.split('/', 1)[1]
        source = f'#include "{name}"\n#include "{name}"\nextern int tn_nothing;\n'
        done = subprocess.run([compiler, *HEADER_FLAGS], cwd=tree.root, input=source, text=True,
                              capture_output=True)
        if done.returncode == 0:
            return []
        said = MESSAGE.search(done.stderr)
        return [Finding(path, 1, 'header', 'does not compile alone and twice: '
                        + (said.group(1) if said else done.stderr.strip()[:200]))]

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for findings in pool.map(compile_one, tree.matching('.h', under=['src/', 'include/'])):
            yield from findings


def find_formatter(root):
    """The first clang-format of the one version, or None."""
    for name in (os.path.join(root, '.deps/dev/bin/clang-format'),
                 f'clang-format-{FORMAT_MAJOR}', 'clang-format'):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, '--version'], capture_output=True, text=True).stdout
            if f'version {FORMAT_MAJOR}.' in said:
                return path
    return None


def check_format(tree):
    formatter = find_formatter(tree.root)
    if formatter is None:
        yield Finding('.clang-format', 1, 'format', f'no clang-format {FORMAT_MAJOR} here: run '
                      'tools/setup --for dev')
        return
    paths = list(tree.matching('.c', '.h'))
    shares = [share for share in (paths[0::2], paths[1::2]) if share]
    running = [subprocess.Popen([formatter, '--dry-run', '-Werror', *share], cwd=tree.root,
                                stderr=subprocess.PIPE, text=True) for share in shares]
    for process in running:
        said = process.communicate()[1]
        seen = set()
        for path, line in re.findall(r'^([^:\n]+):(\d+):\d+: error:', said, re.M):
            if path not in seen:
                seen.add(path)
                yield Finding(path, int(line), 'format', f'run: clang-format -i {path}')
        if process.returncode != 0 and not seen:
            yield Finding('.clang-format', 1, 'format', said.strip()[:300])
