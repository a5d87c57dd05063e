"""What can be changed in a module: one node of its syntax tree at a time, as an edit of the text.

Contract: pure. Every mutant differs from the original. Left alone is what no test should look at: text, annotations,
decorators, lines of the log, assertions, `__repr__`, and what stands in f-strings.

    node                        | becomes
    ----------------------------|--------------------------------------------------------------
    a < b, a == b, a in b ...   | a <= b; its negation
    and, or                     | the other one
    not x, -x                   | x
    if, while, x if y else z    | the test negated, which swaps the branches, unless the rows above did
    1, 0.5, True                | one more, one less; from a million on: double, half; the other one
    a + b, a += b ...           | another operator
    min, max, any, all          | the other one
    return x                    | return None
    a call, raise, x.y = ...     | pass, if all names are still there
    with x:                     | if True:
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple


class Mutant(NamedTuple):
    """A module with one change: the line as it is and as it becomes, without what is around it."""

    file: str
    where: str  # the class and function; "" at the level of the module
    line_no: int
    line: str
    becomes: str
    source: str
    test: str = ""  # the one that must notice, where somebody has said so


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, tuple[str, ...]]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_OPERATORS: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
_TWINS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LOGS: Final = {"log", "_log", "logger"}
_SILENT_FIELDS: Final = {"annotation", "returns", "decorator_list", "type_params"}
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_MILLION: Final = 1_000_000


class _Code:
    """A module's text, addressed as its syntax tree does: in octets, by line and column."""

    def __init__(self, source: str) -> None:
        self.octets = source.encode()
        lengths = [len(line) for line in self.octets.splitlines(keepends=True)]
        self._starts = [0]
        for length in lengths:
            self._starts.append(self._starts[-1] + length)
        self._bare = bytearray(self.octets)  # without comments, so that operators can be looked for
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                start = self._starts[row - 1] + len(token.line[:column].encode())
                length = len(token.string.encode())
                self._bare[start : start + length] = b" " * length

    def span(self, node: Any) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def between(self, left: ast.AST, right: ast.AST, word: str, text: str) -> _Edit:
        """Replace what stands between two nodes."""
        start, end = self.span(left)[1], self.span(right)[0]
        pattern = re.escape(word.encode()).replace(rb"\ ", rb"\s+")
        found = re.search(pattern, bytes(self._bare[start:end]))
        assert found is not None, f"no {word} there"
        return _Edit(start + found.start(), start + found.end(), text)

    def instead(self, node: ast.AST, text: str) -> _Edit:
        return _Edit(*self.span(node), text)

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.octets[start:end].decode()

    def without_head(self, node: ast.With | ast.AsyncWith) -> _Edit:
        start, items_end = self.span(node)[0], self.span(node.items[-1].context_expr)[1]
        return _Edit(start, self._bare.rindex(b":", items_end, self.span(node.body[0])[0]), "if True")

    def mutant(self, file: str, where: str, edit: _Edit) -> Mutant:
        first = self.octets.rfind(b"\n", 0, edit.start) + 1
        last = self.octets.find(b"\n", edit.end)
        last = len(self.octets) if last < 0 else last
        head, tail = self.octets[first : edit.start], self.octets[edit.end : last]
        new = head + edit.text.encode() + tail
        source = self.octets[:first] + new + self.octets[last:]
        line_no = self.octets.count(b"\n", 0, edit.start) + 1
        return Mutant(file, where, line_no, _flat(self.octets[first:last]), _flat(new), source.decode())


def _flat(octets: bytes) -> str:
    return " ".join(octets.decode().split())


def _compare(code: _Code, node: ast.Compare) -> Iterator[_Edit]:
    operands = [node.left, *node.comparators]
    for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
        word, others = _COMPARISONS[type(operator)]
        for other in others:
            yield code.between(left, right, word, other)


def _bool_op(code: _Code, node: ast.BoolOp) -> Iterator[_Edit]:
    word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield code.between(left, right, word, other)


def _unary_op(code: _Code, node: ast.UnaryOp) -> Iterator[_Edit]:
    start, end = code.span(node)
    if isinstance(node.op, ast.Not):
        yield _Edit(start, end, code.octets[start + 3 : end].decode().lstrip())
    elif isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield _Edit(start, end, code.octets[start + 1 : end].decode().lstrip())


def _bin_op(code: _Code, node: ast.BinOp) -> Iterator[_Edit]:
    yield code.between(node.left, node.right, *_OPERATORS[type(node.op)])


def _aug_assign(code: _Code, node: ast.AugAssign) -> Iterator[_Edit]:
    word, other = _OPERATORS[type(node.op)]
    yield code.between(node.target, node.value, f"{word}=", f"{other}=")


def _constant(code: _Code, node: ast.Constant) -> Iterator[_Edit]:
    match node.value:
        case bool(value):
            yield code.instead(node, str(not value))
        case int(value) if value >= _MILLION:
            yield code.instead(node, str(value * 2))
            yield code.instead(node, str(value // 2))
        case int(value) | float(value):
            yield code.instead(node, str(value + 1))
            yield code.instead(node, str(value - 1))


def _call(code: _Code, node: ast.Call) -> Iterator[_Edit]:
    if isinstance(node.func, ast.Name) and node.func.id in _TWINS:
        yield code.instead(node.func, _TWINS[node.func.id])


def _return(code: _Code, node: ast.Return) -> Iterator[_Edit]:
    if node.value is None:
        yield code.instead(node, "pass")
    elif not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool | None)):
        yield code.instead(node.value, "None")


def _with(code: _Code, node: ast.With | ast.AsyncWith) -> Iterator[_Edit]:
    if all(item.optional_vars is None for item in node.items):
        yield code.without_head(node)


def _tested(code: _Code, test: ast.expr) -> Iterator[_Edit]:
    """Negate a test, unless another row does."""
    is_single = isinstance(test, ast.Compare) and len(test.ops) == 1
    if not is_single and not isinstance(test, ast.UnaryOp | ast.Constant):
        yield code.instead(test, f"not ({code.text(test)})")


_EDITS: Final[dict[type[ast.AST], Callable[[_Code, Any], Iterator[_Edit]]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _bool_op,
    ast.UnaryOp: _unary_op,
    ast.BinOp: _bin_op,
    ast.AugAssign: _aug_assign,
    ast.Constant: _constant,
    ast.Call: _call,
    ast.Return: _return,
    ast.With: _with,
    ast.AsyncWith: _with,
}


def _tests_of(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return [test]
        case ast.comprehension(ifs=ifs):
            return ifs
        case ast.match_case(guard=ast.expr() as guard):
            return [guard]
    return []


def _is_log(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name in _LOGS
    return False


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.FunctionDef(name="__repr__" | "__str__"):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.keyword(arg="strict"):
            return True  # of `zip`: an assertion
        case ast.BinOp(left=ast.Constant(value=str())):
            return True
    return _is_log(node)


def _is_dropped(node: ast.AST, bound: set[str]) -> bool:
    """Whether a statement can be left out, and all names are still there; `bound` are those of earlier lines."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Expr(value=value):
            return not _is_log(value)
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete() | ast.AugAssign():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in bound
    return False


def _names(function: Any) -> set[str]:
    arguments = function.args
    return {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}


def _edits(
    code: _Code, node: ast.AST, where: str, bound: set[str], *, is_inside: bool
) -> Iterator[tuple[str, _Edit]]:
    if _is_left_alone(node):
        return
    if isinstance(node, _FUNCTIONS):
        bound, is_inside = _names(node), True
    if isinstance(node, ast.ClassDef):
        is_inside = False
    if is_inside and _is_dropped(node, bound):
        yield where, code.instead(node, "pass")
    if edits := _EDITS.get(type(node)):
        yield from ((where, edit) for edit in edits(code, node))
    for test in _tests_of(node):
        yield from ((where, edit) for edit in _tested(code, test))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    for field, value in ast.iter_fields(node):
        if field in _SILENT_FIELDS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _edits(code, child, where, bound, is_inside=is_inside)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        bound |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def mutants(source: str, file: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    code, tree = _Code(source), ast.parse(source)
    found = {
        (mutant.line_no, mutant.becomes, mutant.source): mutant
        for where, edit in _edits(code, tree, "", set(), is_inside=False)
        for mutant in [code.mutant(file, where, edit)]
    }
    return sorted(found.values())


def can_be_parsed(mutant: Mutant) -> bool:
    try:
        ast.parse(mutant.source)
    except SyntaxError:
        return False
    return True


def changed_line(source: str, file: str, where: str, line: str, becomes: str, test: str = "") -> Mutant:
    """A mutant that somebody wrote: one line, which must be there once, in the class or function `where`.

    Raises:
        ValueError: the line is not there, or more than once.
    """
    lines, scopes = source.splitlines(keepends=True), _scopes(ast.parse(source))
    if where not in scopes:
        raise ValueError(f"{file}: there is no {where}")
    first, last = scopes[where]
    found = [n for n in range(first - 1, min(last, len(lines))) if _flat(lines[n].encode()) == line]
    if len(found) != 1:
        raise ValueError(f"{file}: {line!r} stands {len(found)} times in {where or 'the module'}, not once")
    (n,) = found
    indent = lines[n][: len(lines[n]) - len(lines[n].lstrip())]
    changed = [*lines[:n], f"{indent}{becomes}\n", *lines[n + 1 :]]
    return Mutant(file, where, n + 1, line, becomes, "".join(changed), test)


def _scopes(tree: ast.AST, where: str = "") -> dict[str, tuple[int, int]]:
    """First and last line of each class and function, by its name; of the module, by ""."""
    found = {} if where else {"": (1, 1 << 30)}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{where}.{node.name}" if where else node.name
            found |= {name: (node.lineno, node.end_lineno or node.lineno)} | _scopes(node, name)
        else:
            found |= _scopes(node, where) if where else {k: v for k, v in _scopes(node, "").items() if k}
    return found
