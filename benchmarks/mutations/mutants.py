"""Single-line mutants of a module, by its syntax tree: what may be written in the place of what."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Change = tuple[ast.AST, str]  # a node, and the text in its place
Operator = Callable[[ast.AST], Iterator[Change]]

FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
PAIRS = ("min max", "argmin argmax", "amin amax", "minimum maximum", "any all", "sum mean", "floor ceil")
RENAMED = {one: other for pair in PAIRS for one, other in itertools.permutations(pair.split())}
COMMUTATIVE = {"min", "max", "minimum", "maximum", "isclose", "logaddexp"}
NEGATED = {"Tensor": "-({})", "float": "-({})", "int": "-({})", "bool": "not ({})"}
NOT_CODE = {
    "annotation",
    "returns",
    "decorator_list",
    "bases",
    "exc",
    "cause",
}  # messages, and what types say


def comparisons(node: ast.AST) -> Iterator[Change]:
    """Another comparison: at the edge, and the other way round."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in FLIPPED[type(node.ops[0])]:
            yield node, ast.unparse(ast.Compare(node.left, [other()], node.comparators))


def arithmetic(node: ast.AST) -> Iterator[Change]:
    """Plus for minus, times for divided by, and back."""
    if not isinstance(node, ast.BinOp | ast.AugAssign) or type(node.op) not in SWAPPED:
        return
    other = SWAPPED[type(node.op)]()
    if isinstance(node, ast.BinOp):
        yield node, ast.unparse(ast.BinOp(node.left, other, node.right))
    else:
        yield node, ast.unparse(ast.AugAssign(node.target, other, node.value))


def constants(node: ast.AST) -> Iterator[Change]:
    """True for False, the next whole number, twice a fraction."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield node, str(not node.value)
    elif isinstance(node.value, int):
        yield node, str(node.value + 1)
    elif isinstance(node.value, float):
        yield node, repr(2 * node.value or 1.0)


def negations(node: ast.AST) -> Iterator[Change]:
    """A `not` or a minus is left out; a condition is turned round; `and` for `or`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node, f"({ast.unparse(node.operand)})"
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.UnaryOp):
        yield node.test, f"not ({ast.unparse(node.test)})"
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, f"({ast.unparse(ast.BoolOp(other, node.values))})"


def calls(node: ast.AST) -> Iterator[Change]:
    """The first two arguments change places; the least for the largest, and the like."""
    if not isinstance(node, ast.Call):
        return
    name, args = node.func, node.args
    starred = any(isinstance(each, ast.Starred) for each in args)
    if len(args) > 1 and not starred and ast.unparse(name).rpartition(".")[2] not in COMMUTATIVE:
        yield node, ast.unparse(ast.Call(name, [args[1], args[0], *args[2:]], node.keywords))
    if isinstance(name, ast.Attribute) and name.attr in RENAMED:
        yield name, ast.unparse(ast.Attribute(name.value, RENAMED[name.attr]))
    if isinstance(name, ast.Name) and name.id in RENAMED:
        yield name, RENAMED[name.id]


def returns(node: ast.AST) -> Iterator[Change]:
    """The value of a function of numbers is negated."""
    if not isinstance(node, ast.FunctionDef) or node.returns is None:
        return
    text = NEGATED.get(ast.unparse(node.returns))
    for line in ast.walk(node):
        if text and isinstance(line, ast.Return) and line.value is not None:
            yield line.value, text.format(ast.unparse(line.value))


OPERATORS: tuple[Operator, ...] = (comparisons, arithmetic, constants, negations, calls, returns)


@dataclass(frozen=True)
class Mutant:
    """One changed expression of one line; `start` and `end` are its columns in bytes."""

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def of(self, source: str) -> str:
        """The source with the change."""
        lines = source.splitlines(keepends=True)
        line = lines[self.line - 1].encode()
        lines[self.line - 1] = (line[: self.start] + self.after.encode() + line[self.end :]).decode()
        return "".join(lines)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.before}  ->  {self.after}"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module that is still Python; those of texts, types and messages are left out.

    >>> for mutant in mutants_of("m.py", "def f(x: int) -> int:\\n    return min(x, 3)\\n"):
    ...     print(mutant)
    m.py:2  min(x, 3)  ->  -(min(x, 3))
    m.py:2  min  ->  max
    m.py:2  3  ->  4
    """
    changes = (change for node in code(ast.parse(source)) for each in OPERATORS for change in each(node))
    mutants = dict.fromkeys(_mutant(path, source, *change) for change in changes)
    return [mutant for mutant in mutants if mutant and _is_python(mutant.of(source))]


def code(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, without formatted texts (which have no columns) and what is no code."""
    if isinstance(node, ast.JoinedStr):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in NOT_CODE:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from code(child)


def _mutant(path: str, source: str, node: ast.AST, after: str) -> Mutant | None:
    before = ast.get_source_segment(source, node) or ""
    if not isinstance(node, ast.expr | ast.stmt) or "\n" in before or before == after:
        return None
    return Mutant(path, node.lineno, node.col_offset, node.end_col_offset or 0, before, after)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
