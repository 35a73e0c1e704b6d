"""Just enough of C to count in it: text without comments and strings, tokens, functions.

The tree is formatted by clang-format with a function's braces alone in the first column, so a
function is what stands between such a pair; no parser of declarations is needed.
"""

import re
from typing import NamedTuple

NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
TOKEN = re.compile(r'[A-Za-z_]\w*|\d[\w.]*|&&|\|\||->|<<|>>|[^\s\w]')


class Function(NamedTuple):
    name: str
    line: int  # of its first line
    lines: int  # from the first line of its head to its closing brace
    body: str  # without comments and strings


def blank(text):
    """Same lines and columns, with the inside of comments and strings made blank."""

    def hide(match):
        found = match.group()
        hidden = re.sub(r'[^\n]', ' ', found)
        if found[0] in '"\'':
            return found[0] + hidden[1:-1] + found[0]
        return hidden

    return NOISE.sub(hide, text)


def without_directives(text):
    """Preprocessor lines made empty, with their continuations."""
    out = []
    inside = False
    for line in text.split('\n'):
        directive = inside or line.lstrip().startswith('#')
        inside = directive and line.endswith('\\')
        out.append('' if directive else line)
    return '\n'.join(out)


def functions(text):
    lines = without_directives(blank(text)).split('\n')
    start = None
    for number, line in enumerate(lines):
        if line.rstrip() == '{':
            start = number
        elif line.startswith('}') and start is not None:
            head = start
            while head > 0 and lines[head - 1].strip() and not lines[head - 1].startswith('}') \
                    and not lines[head - 1].rstrip().endswith((';', '}')):
                head -= 1
            name = re.search(r'(\w+)\s*\(', ' '.join(lines[head:start]))
            yield Function(name.group(1) if name else '?', head + 1, number - head + 1,
                           '\n'.join(lines[start:number + 1]))
            start = None


class Complexity:
    """Cognitive complexity after G. Ann Campbell: breaks in the flow, dearer when nested."""

    def __init__(self, body, name):
        self.tokens = TOKEN.findall(body)
        self.at = 0
        self.name = name
        self.total = 0

    def count(self):
        self.statement(0)
        return self.total

    def peek(self, ahead=0):
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else ''

    def take(self):
        token = self.peek()
        self.at += 1
        return token

    def statement(self, nesting):
        token = self.peek()
        if token == '{':
            self.take()
            while self.peek() not in ('}', ''):
                self.statement(nesting)
            self.take()
        elif token == 'if':
            self.branch(nesting, 1 + nesting)
        elif token in ('for', 'while', 'switch'):
            self.take()
            self.total += 1 + nesting
            self.parens(nesting)
            self.statement(nesting + 1)
        elif token == 'do':
            self.take()
            self.total += 1 + nesting
            self.statement(nesting + 1)
            self.expression(nesting)
        elif token in ('case', 'default') or self.peek(1) == ':' and token.isidentifier():
            while self.take() not in (':', ''):
                pass
        else:
            self.total += token == 'goto'
            self.expression(nesting)

    def branch(self, nesting, cost):
        self.take()
        self.total += cost
        self.parens(nesting)
        self.statement(nesting + 1)
        if self.peek() != 'else':
            return
        self.take()
        if self.peek() == 'if':
            self.branch(nesting, 1)
        else:
            self.total += 1
            self.statement(nesting + 1)

    def parens(self, nesting):
        if self.peek() == '(':
            self.scan(nesting, lambda depth, _: depth == 0)

    def expression(self, nesting):
        """Up to its semicolon, or through the body of a looping macro."""
        ended = self.scan(nesting, lambda depth, token: depth == 0 and token == ';')
        if ended == 'macro':
            self.total += 1 + nesting
            self.statement(nesting + 1)

    def scan(self, nesting, over):
        depth = 0
        logical = [None]
        before = ''
        while self.peek():
            if depth == 0 and self.peek() == '{' and before == ')':
                return 'macro'
            token = self.take()
            if token in '([{':
                depth += 1
                logical.append(None)
                self.total += token == '(' and before == self.name
            elif token in ')]}':
                depth -= 1
                if len(logical) > 1:
                    logical.pop()
            elif token == '?':
                self.total += 1 + nesting
            elif token in ('&&', '||'):
                self.total += token != logical[-1]
                logical[-1] = token
            elif token in ',;':
                logical[-1] = None
            if over(depth, token):
                return 'over'
            before = token
        return 'over'
