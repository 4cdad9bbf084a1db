"""The order of packages, rooms and modules in a tree of source files, and what breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

STARTERS = ("run", "Popen", "call", "check_call", "check_output", "system")


class Import(NamedTuple):
    """A name that a module imports.

    Attributes:
        module: that imports.
        name: in full, with its dots.
        binds_package: whether the whole face of a package comes in, as by `import boed`.
    """

    module: str
    name: str
    binds_package: bool = False


@dataclass(frozen=True)
class Tree:
    """Packages in a folder, and their order.

    Args:
        root: folder of the packages, and of what no package may import.
        packages: from the ground up.
        floors: rooms (folders) and modules at the top of packages, from the ground up.
        checks_on_import: modules that may import a whole package, for what that checks.
        late: (module, module above), which a string of the first may name: what is above calls it by that.
    """

    root: Path
    packages: tuple[str, ...]
    floors: tuple[str, ...]
    checks_on_import: tuple[str, ...] = ()
    late: tuple[tuple[str, str], ...] = ()

    @cached_property
    def files(self) -> list[tuple[str, Path]]:
        """Every source file with the name of its module; a stub has that of the module it describes."""
        paths = [path for package in self.packages for path in sorted((self.root / package).rglob("*.py*"))]
        return [(self._name_of(path), path) for path in paths if path.suffix in (".py", ".pyi")]

    @cached_property
    def modules(self) -> Set[str]:
        return {name for name, _ in self.files}

    @cached_property
    def trees(self) -> Sequence[tuple[str, ast.Module]]:
        return [(name, ast.parse(path.read_text())) for name, path in self.files]

    @cached_property
    def faces(self) -> Mapping[str, str]:
        """ "package.name" -> the module that the stub of a package takes the name from."""
        stubs = [(self._name_of(path), path) for _, path in self.files if path.name == "__init__.pyi"]
        return {
            f"{package}.{alias.asname or alias.name}": f"{_source(node, package)}.{alias.name}"
            for package, path in stubs
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    @cached_property
    def imports(self) -> Sequence[Import]:
        """All that files import, wherever in them, also under TYPE_CHECKING."""
        return [
            each
            for (name, path), (_, tree) in zip(self.files, self.trees, strict=True)
            for each in _imports(name, path, tree)
        ]

    @cached_property
    def named(self) -> Sequence[Import]:
        """The modules that strings name, as those of `import_module` and of registries."""
        own = "|".join(self.packages)
        pattern = re.compile(rf"({own})(\.\w+)*(:\w+)?")
        return [
            Import(name, node.value.partition(":")[0])
            for name, tree in self.trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if pattern.fullmatch(node.value) and "." in node.value
        ]

    @cached_property
    def graph(self) -> Mapping[str, Set[str]]:
        """Module -> modules that it imports."""
        return self._edges(self.imports)

    @cached_property
    def wide_graph(self) -> Mapping[str, Set[str]]:
        """Module -> modules that it imports or names in strings."""
        named = [each for each in self.named if (each.module, each.name) not in self.late]
        return self._edges([*self.imports, *named])

    def module_of(self, name: str) -> str | None:
        """The module in which an imported name is defined; None where it is of no package here."""
        if name in self.modules:
            return name
        if name in self.faces:
            return self.module_of(self.faces[name])
        return self.module_of(name.rpartition(".")[0]) if "." in name else None

    def _edges(self, imports: Sequence[Import]) -> Mapping[str, Set[str]]:
        edges: dict[str, set[str]] = {name: set() for name in self.modules}
        for each in imports:
            module = self.module_of(each.name)
            if module and module != each.module:
                edges[each.module].add(module)
        return edges

    def _name_of(self, path: Path) -> str:
        return ".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The folder within a package that a module stands in, or itself where it stands in none.

    >>> room_of("boed.fitting.fit"), room_of("boed.combination")
    ('boed.fitting', 'boed.combination')
    """
    return ".".join(module.split(".")[:2])


def packages_above(tree: Tree) -> list[str]:
    """What imports, or names in a string, a module of a package above its own."""
    rank = {package: height for height, package in enumerate(tree.packages)}
    return [
        f"{module} -> {other}"
        for module, others in tree.wide_graph.items()
        for other in others
        if rank[other.split(".")[0]] > rank[module.split(".")[0]]
    ]


def floors_above(tree: Tree) -> list[str]:
    """What imports, or names in a string, a room or a module at the top that stands above its own."""
    rank = {floor: height for height, floor in enumerate(tree.floors)}
    return [
        f"{module} -> {other}"
        for module, others in tree.wide_graph.items()
        for other in others
        if room_of(module) in rank and rank.get(room_of(other), -1) > rank[room_of(module)]
        if module.split(".")[0] == other.split(".")[0]
    ]


def without_floor(tree: Tree) -> set[str]:
    """Rooms and modules at the top of the packages with floors that have none, and floors of nothing."""
    packages = {floor.split(".")[0] for floor in tree.floors}
    rooms = {room_of(module) for module in tree.modules if module.split(".")[0] in packages}
    return (rooms - packages) ^ set(tree.floors)


def folders_without_init(tree: Tree) -> set[str]:
    """Folders of modules that are no packages."""
    folders = {path.parent for _, path in tree.files}
    return {str(each.relative_to(tree.root)) for each in folders if not (each / "__init__.py").exists()}


def whole_packages(tree: Tree) -> list[str]:
    """Imports that bring in the face of a package as a whole, through which anything can be reached."""
    return [
        f"{each.module} -> {each.name}"
        for each in tree.imports
        if each.binds_package and each.name.split(".")[0] in tree.packages
        if each.module not in tree.checks_on_import
    ]


def command_lines_imported(tree: Tree) -> list[str]:
    """What imports a room of command lines, and is none itself."""
    return [
        f"{module} -> {other}"
        for module, others in tree.wide_graph.items()
        for other in others
        if ".cli" in room_of(other) and ".cli" not in room_of(module) and not module.endswith(".__main__")
    ]


def outside(tree: Tree) -> list[str]:
    """What imports a folder beside the packages, or a module of the tests."""
    beside = {path.name for path in tree.root.iterdir() if path.is_dir()} - set(tree.packages)
    beside |= {path.stem for path in (tree.root / "tests").glob("*.py")}
    return [f"{each.module} -> {each.name}" for each in tree.imports if each.name.split(".")[0] in beside]


def own_command_lines_started(tree: Tree) -> list[str]:
    """Modules that hold the words of a command line of one of the packages, to start it."""
    return [
        module
        for module, source in tree.trees
        for node in _without_joined(source)
        if _calls_a_program(_words(node), tree.packages)
    ]


def circle(of: Mapping[str, Set[str]]) -> list[str]:
    """Names that lead round in a circle; none where there is no circle."""
    try:
        TopologicalSorter(of).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def rooms(graph: Mapping[str, Set[str]]) -> Mapping[str, Set[str]]:
    """Room -> rooms that its modules import."""
    between: dict[str, set[str]] = {}
    for module, others in graph.items():
        own = room_of(module)
        between.setdefault(own, set()).update({room_of(one) for one in others} - {own})
    return between


def _imports(module: str, path: Path, tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.asname is None or "." not in alias.name
                yield Import(module, alias.name, binds_package=whole)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.suffix == ".pyi", f"{path}: imports are absolute"
            package = module if path.stem == "__init__" else module.rpartition(".")[0]
            source = _source(node, package)
            yield from (Import(module, f"{source}.{alias.name}", alias.name == "*") for alias in node.names)


def _source(node: ast.ImportFrom, package: str) -> str:
    """The module that a `from` names, in full."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _without_joined(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but lists that are joined to one text, which is to be read."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    joined = {id(arg) for call in calls if getattr(call.func, "attr", "") == "join" for arg in call.args}
    yield from (node for node in ast.walk(tree) if id(node) not in joined)


def _words(node: ast.AST) -> list[str]:
    """Of a list, or of the text that is given to what starts a program; "" for what is no literal."""
    if isinstance(node, ast.List | ast.Tuple):
        return [str(each.value) if isinstance(each, ast.Constant) else "" for each in node.elts]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return str(node.args[0].value).split() if name in STARTERS else []
    return []


def _calls_a_program(words: Sequence[str], programs: Sequence[str]) -> bool:
    as_module = any(
        first == "-m" and second.split(".")[0] in programs
        for first, second in zip(words, words[1:], strict=False)
    )
    called = len(words) > 1 and words[0] in programs and words[1] not in programs
    return as_module or called
