"""The source tree as the checkers see it: a root, its files, and what was found wrong.

A rule is a function that takes a Tree and yields Finding objects. It reads files through the tree
only, so that a test can hand it a made-up tree with one violation in it.
"""

import os
import subprocess
from typing import NamedTuple


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f'{self.path}:{self.line}: [{self.rule}] {self.message}'


class Tree:
    """Files by their path from the root. `files` (path -> text) replaces the disk in tests."""

    def __init__(self, root, files=None):
        self.root = root
        self.made_up = files
        self.paths = sorted(files) if files is not None else list_files(root)
        self.cache = {}

    def text(self, path):
        if self.made_up is not None:
            return self.made_up[path]
        if path not in self.cache:
            with open(os.path.join(self.root, path), 'rb') as file:
                data = file.read()
            # A NUL byte means binary, as git and grep decide it: no rule reads those.
            self.cache[path] = '' if b'\0' in data[:8000] else data.decode('utf-8', 'replace')
        return self.cache[path]

    def lines(self, path):
        return self.text(path).split('\n')

    def matching(self, *endings, under=()):
        for path in self.paths:
            if path.endswith(endings) and (not under or path.startswith(tuple(under))):
                yield path


def list_files(root):
    """Tracked files and new ones that nothing ignores, but for those deleted on disk."""
    listed = subprocess.run(['git', 'ls-files', '-z', '-co', '--exclude-standard'], cwd=root,
                            check=True, capture_output=True).stdout
    names = {name.decode() for name in listed.split(b'\0') if name}
    return sorted(name for name in names if os.path.isfile(os.path.join(root, name)))
