"""Which tests look at a mutant, and in which order: those that are most likely to notice come first.

Contract: found from names and imports, without running anything. What a test starts as another process is not seen;
such tests of modules are system tests.

    stage   | tests
    --------|-----------------------------------------------------------------------------
    named   | tests/test_<package>_<module>*.py, unless the rest names another module
    direct  | those that import the module, themselves or through a helper in tests/
    far     | those that import what imports it, nearest first
    system  | tests/test_system_*.py, if one of them imports it in the end: whole gateways
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = "tests"
FAR: Final = 1 << 30


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, level=level, names=names):
                parts = package.split(".")
                base = [".".join(parts[: len(parts) - level + 1])] if level else []
                dotted = ".".join([*base, *([module] if module else [])])
                yield dotted
                yield from (f"{dotted}.{alias.name}" for alias in names)


class Imports:
    """Who imports whom, in a checkout."""

    def __init__(self, root: Path) -> None:
        self.modules = sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("*.py")
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
        )
        known = {self._dotted(file): file for file in self.modules}
        self.tests = [file for file in self.modules if file.startswith(f"{TESTS}/test_")]
        self._imported = {}
        for file in self.modules:
            package = self._dotted(file).rpartition(".")[0] if not file.endswith("/__init__.py") else ""
            names = set(_imports(ast.parse((root / file).read_text()), package or self._dotted(file)))
            self._imported[file] = {known[name] for name in names if name in known} - {file}

    @staticmethod
    def _dotted(file: str) -> str:
        # Tests import their helpers by name alone.
        stem = file.removesuffix(".py").removesuffix("/__init__").removeprefix(f"{TESTS}/")
        return stem.replace("/", ".")

    def _distances(self, file: str) -> dict[str, int]:
        """How many imports are between a module and those that reach it; helpers of tests cost nothing."""
        distances = {file: 0}
        waiting = [file]
        while waiting:
            current = waiting.pop(0)
            for other in self.modules:
                if current not in self._imported[other]:
                    continue
                cost = 0 if current.startswith(f"{TESTS}/") else 1
                if distances[current] + cost < distances.get(other, FAR):
                    distances[other] = distances[current] + cost
                    waiting.append(other)
        return distances

    def _is_named(self, test: str, file: str) -> bool:
        rest = _key(test).removeprefix("test_")
        mine = _key(file)
        claims = [_key(module) for module in self.modules if not module.startswith(f"{TESTS}/")]
        best = max((key for key in claims if rest == key or rest.startswith(f"{key}_")), key=len, default="")
        return best == mine

    def stages(self, file: str) -> dict[str, tuple[str, ...]]:
        """The tests of each stage, in the order in which they are run."""
        distances = self._distances(file)
        reaching = sorted((t for t in self.tests if t in distances), key=lambda t: (distances[t], t))
        system = [t for t in self.tests if t.startswith(f"{TESTS}/test_system_")]
        if not {*system} & {*reaching}:
            system = []
        named = [t for t in self.tests if self._is_named(t, file)]
        others = [t for t in reaching if t not in system and t not in named]
        found = {
            "named": named,
            "direct": [t for t in others if distances[t] == 1],
            "far": [t for t in others if distances[t] > 1],
            "system": system,
        }
        return {stage: tuple(tests) for stage, tests in found.items() if tests}


def _key(file: str) -> str:
    stem = file.removesuffix(".py").removesuffix("/__init__").removeprefix(f"{TESTS}/")
    return stem.replace("/", "_")
