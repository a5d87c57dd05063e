"""The house rules, executed: layers, sizes, clocks, names, errors, SQL, docstrings, packaging.

Every rule is a pure function from source text (or another plain value) to a list of findings, so that each
can be shown to catch a violation (`VIOLATIONS`) before the repository is held against it.
Standard library only.
"""

import ast
import fnmatch
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import LONGEST

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
README_LINES_MAX = 160

Rule = Callable[[str, str], list[str]]  # source and path in, findings out

# fmt: off
WAITING_AND_TALKING = frozenset({
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "random", "secrets", "select", "selectors",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "threading", "time", "urllib",
})
WHAT_A_GATEWAY_NEEDS = frozenset({
    "bleak", "bleak_retry_connector", "bluetooth_auto_recovery", "dbus_fast", "aiohttp", "aiomqtt", "sqlcipher3",
    "cryptography", "msgspec", "numpy",
})
CLOCK_READERS = frozenset({
    "time.time", "time.monotonic", "time.perf_counter", "time.process_time", "time.thread_time",
    "time.time_ns", "time.monotonic_ns", "time.perf_counter_ns", "time.process_time_ns",
    "time.thread_time_ns", "time.clock_gettime", "time.clock_gettime_ns", "time.*",
    "time.asctime", "time.ctime", "time.gmtime", "time.localtime", "time.strftime",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "datetime.*", "uuid.uuid1",
})
# fmt: on

# Generators that are made with a seed, or for secrets, are no dice; what the module's own, common one gives is.
DICE = re.compile(
    r"random\.(?!Random\b|SystemRandom\b)\w+|numpy\.random\.[a-z]\w*(?<!default_rng)|uuid\.uuid[14]|secrets\.\w+"
)


class Layer(NamedTuple):
    """What a package may import: its own modules and the standard library minus `banned` go without saying."""

    third_party: frozenset[str]
    packages: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()


LAYERS = {
    "protocols": Layer(frozenset({"construct", "numpy", "numba"}), banned=WAITING_AND_TALKING),
    "dsp": Layer(frozenset({"numpy", "numba"}), banned=WAITING_AND_TALKING),
    "hw_sim": Layer(frozenset({"aiohttp", "bleak", "bumble", "numpy", "numba"}), frozenset({"protocols"})),
    "edge": Layer(WHAT_A_GATEWAY_NEEDS, frozenset({"protocols", "dsp"})),
}
PACKAGES = {*LAYERS, "tools"}  # tools may import anything, and nothing imports tools

STDLIB_NAMES = sys.stdlib_module_names | {"test"}
# The second one runs without the package.
CLOCK_MODULES = ("edge/clock.py", "tools/watch_alerts.py")
COMPILER_MODULE = "dsp/compiled.py"
CATCH_ALL_MODULE = "edge/app.py"
SQL_PACKAGE = "edge/store/"
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|PRAGMA|WITH)\b")


@cache
def tree_of(source: str) -> ast.Module:
    """Most rules look at the same files."""
    return ast.parse(source)


@pytest.fixture(scope="module", autouse=True)
def _trees_are_given_back() -> Iterator[None]:
    """They take 130 MB, and this process has other tests to run."""
    yield
    tree_of.cache_clear()


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of what a module imports from outside its package, wherever in the file."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def layering(source: str, path: str) -> list[str]:
    """Imports that the table does not allow to the package that `path` lies in."""
    package = path.split("/")[0]
    if package not in LAYERS:
        return []
    layer = LAYERS[package]
    allowed = {package} | layer.third_party | layer.packages | (sys.stdlib_module_names - layer.banned)
    tops = {name.split(".")[0] for name in imported(tree_of(source))}
    return [f"{path}: {package} must not import {top}" for top in sorted(tops - allowed)]


def compilers(source: str, path: str) -> list[str]:
    """Kernels of dsp that numba compiles past the one door: a library would lack them."""
    if not path.startswith("dsp/") or path == COMPILER_MODULE:
        return []
    names = sorted(
        {name for name in imported(tree_of(source)) if name.split(".")[0] in ("numba", "llvmlite")}
    )
    return [f"{path}: {name} outside {COMPILER_MODULE}" for name in names]


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: neither what is in functions, nor what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                pass
            case ast.If(
                test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=other
            ):
                yield from (inner for statement in other for inner in (statement, *executed(statement)))
            case _:
                yield child
                yield from executed(child)


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def needed(source: str, path: str, modules: frozenset[str]) -> set[str]:
    """Those of `modules` that a module imports while it is imported itself; with them come the packages they lie in."""
    name = module_name(path)
    package = name.split(".") if path.endswith("/__init__.py") else name.split(".")[:-1]
    asked: set[str] = set()
    for node in executed(tree_of(source)):
        match node:
            case ast.Import(names=names):
                asked |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                start = package[: len(package) - level + 1] if level else []
                base = ".".join([*start, *([module] if module else [])])
                inner = {f"{base}.{alias.name}" for alias in names} & modules
                asked |= inner if len(inner) == len(names) else {base, *inner}
    around = {".".join(one.split(".")[:k]) for one in asked for k in range(1, one.count(".") + 1)}
    own = {".".join(name.split(".")[:k]) for k in range(1, name.count(".") + 2)}
    return (asked | around - own) & modules


def import_circles(sources: Mapping[str, str]) -> list[str]:
    """The first circle of modules that import one another, by paths and their sources."""
    modules = frozenset(map(module_name, sources))
    graph = {module_name(path): needed(source, path, modules) for path, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" needs ".join(reversed(error.args[1]))]
    return []


def undeclared(source: str, path: str, declared: frozenset[str]) -> list[str]:
    """Third-party imports of what a gateway runs that its dependencies do not name."""
    tops = {name.split(".")[0] for name in imported(tree_of(source))}
    missing = tops - sys.stdlib_module_names - PACKAGES - declared
    return [f"{path}: {top} is not among the dependencies in pyproject.toml" for top in sorted(missing)]


def long_functions(source: str, path: str) -> list[str]:
    """Functions longer than the limit, docstring included."""
    nodes = ast.walk(tree_of(source))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [(f.name, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions]
    return [f"{path}: {name} has {n} lines" for name, n in lengths if n > FUNCTION_LINES_MAX]


def long_module(source: str, path: str) -> list[str]:
    """The module itself, if longer than the limit."""
    lines = len(source.splitlines())
    return [f"{path} has {lines} lines"] if lines > MODULE_LINES_MAX else []


def long_readme(source: str, path: str) -> list[str]:
    """The page that everybody reads first, if longer than the limit; what else there is to say is in the guides."""
    lines = len(source.splitlines())
    return [f"{path} has {lines} lines"] if lines > README_LINES_MAX else []


def origins(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted name of what it was imported as."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {a.asname: a.name for a in names if a.asname}
                found |= {top: top for a in names if not a.asname for top in [a.name.split(".")[0]]}
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found |= {a.asname or a.name: f"{module}.{a.name}" for a in names}
    return found


def dotted(node: ast.AST, known: Mapping[str, str]) -> str:
    """`dt.now` -> `datetime.datetime.now`; empty if it does not start at an imported name."""
    match node:
        case ast.Name(id=name):
            return known.get(name, "")
        case ast.Attribute(value=value, attr=attr) if base := dotted(value, known):
            return f"{base}.{attr}"
    return ""


def clock_readings(source: str, path: str) -> list[str]:
    """References, called or passed on, to functions that read a clock."""
    if path in CLOCK_MODULES:
        return []
    tree = tree_of(source)
    known = origins(tree)
    used = {(dotted(n, known), n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Name | ast.Attribute)}
    starred = {
        (f"{n.module}.*", n.lineno)
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    }
    bad = {(name, line) for name, line in used | starred if name in CLOCK_READERS}
    return [f"{path}:{line}: {name} outside {CLOCK_MODULES[0]}" for name, line in sorted(bad)]


def dice(source: str, path: str) -> list[str]:
    """References to randomness and identity that nobody was given: the same seed would not give the same run."""
    if path.split("/")[0] not in LAYERS:
        return []
    tree = tree_of(source)
    known = origins(tree)
    used = {(dotted(n, known), n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Name | ast.Attribute)}
    bad = {(name, line) for name, line in used if DICE.fullmatch(name)}
    return [f"{path}:{line}: {name} has no seed" for name, line in sorted(bad)]


def catch_alls(source: str, path: str) -> list[str]:
    """Handlers that would hide our own mistakes, `suppress` included."""
    if path == CATCH_ALL_MODULE:
        return []

    def is_broad(node: ast.expr | None) -> bool:
        elements = node.elts if isinstance(node, ast.Tuple) else [node]
        return any(
            e is None or (isinstance(e, ast.Name) and e.id in ("Exception", "BaseException"))
            for e in elements
        )

    findings = []
    for node in ast.walk(tree_of(source)):
        match node:
            case ast.ExceptHandler(type=ast.Name(id="BaseException"), body=[*_, ast.Raise(exc=None)]):
                pass  # Cleaning up is not hiding.
            case ast.ExceptHandler(type=caught) if is_broad(caught):
                findings.append(f"{path}:{node.lineno}: catches everything")
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=args) if any(
                map(is_broad, args)
            ):
                findings.append(f"{path}:{node.lineno}: suppresses everything")
    return findings


def foreign_sql(source: str, path: str) -> list[str]:
    """Statements of SQL in the gateway outside its store."""
    if not path.startswith("edge/") or path.startswith(SQL_PACKAGE):
        return []
    texts = [n for n in ast.walk(tree_of(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [f"{path}:{n.lineno}: SQL outside {SQL_PACKAGE}" for n in texts if SQL.match(n.value)]


def missing_docstring(source: str, path: str) -> list[str]:
    """The module, if it does not say what it is."""
    return [] if ast.get_docstring(tree_of(source)) else [f"{path} has no module docstring"]


def stdlib_names(path: str) -> list[str]:
    """Parts of a module's path that are also the name of a standard library module."""
    clashes = set(Path(path).with_suffix("").parts) & STDLIB_NAMES
    return [f"{path}: {part} is a standard library module" for part in sorted(clashes)]


def foreign_claims(distributions: Mapping[str, list[str]]) -> list[str]:
    """Other installed distributions that bring a top-level package of one of our names."""
    return [
        f"{dist} also installs {package}"
        for package in sorted(PACKAGES)
        for dist in distributions.get(package, [])
        if dist != "vitalgate"
    ]


def unlisted_packages(listed: list[str], paths: list[str]) -> list[str]:
    """Packages and sub-packages that pyproject.toml forgets, or lists although they are gone."""
    present = {str(Path(p).parent).replace("/", ".") for p in paths if p.endswith("/__init__.py")}
    return [
        f"{package}: in pyproject.toml or on disk, but not in both"
        for package in sorted(present ^ set(listed))
    ]


def unpacked_data(patterns: Mapping[str, list[str]], paths: list[str]) -> list[str]:
    """Data files of the product that an installed copy would lack."""
    declared = [
        f"{package.replace('.', '/')}/{pattern}" for package, globs in patterns.items() for pattern in globs
    ]
    data = [p for p in paths if p.split("/")[0] in LAYERS and not p.endswith((".py", "/README.md"))]
    return [
        f"{p}: not in [tool.setuptools.package-data]"
        for p in data
        if not any(fnmatch.fnmatch(p, d) for d in declared)
    ]


def machine_paths(text: str, path: str, checkout: Path) -> list[str]:
    """Paths that exist on one developer's machine only."""
    own = {str(checkout), str(checkout.parent)} - {"/", "/tmp", "/opt", "/srv", "/home", "/root"}
    pattern = "|".join([r"/(?:home|Users)/\w+", r"/root\b", *(re.escape(p) for p in sorted(own))])
    return [f"{path}: {m[0]}" for m in re.finditer(rf"(?<![\w./-])(?:{pattern})/", text)]


TOO_LONG_FUNCTION = "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX
VIOLATIONS: list[tuple[Rule, str, str]] = [
    (layering, "protocols/x.py", "import asyncio"),
    (layering, "protocols/x.py", "def f():\n    from time import sleep"),
    (layering, "protocols/x.py", "import bleak"),
    (layering, "protocols/x.py", "from edge import store"),
    (layering, "dsp/cardiac/x.py", "import construct"),
    (layering, "dsp/x.py", "import protocols.cgm"),
    (layering, "hw_sim/sensors/x.py", "from edge.clock import now"),
    (layering, "hw_sim/x.py", "import dsp"),
    (layering, "edge/x.py", "import hw_sim.radio as radio"),
    (layering, "edge/x.py", "from tools import cli"),
    (layering, "edge/x.py", "import numba"),
    (compilers, "dsp/glucose/x.py", "from numba import njit"),
    (compilers, "dsp/x.py", "def f():\n    import numba.core"),
    (layering, "edge/x.py", "import importlib\nimportlib.import_module('hw_sim.clock')"),
    (long_functions, "edge/x.py", TOO_LONG_FUNCTION),
    (long_functions, "edge/x.py", f"class A:\n    async {TOO_LONG_FUNCTION.replace('    ', '        ')}"),
    (long_module, "edge/x.py", "\n" * (MODULE_LINES_MAX + 1)),
    (long_readme, "README.md", "\n" * (README_LINES_MAX + 1)),
    (clock_readings, "edge/x.py", "import time\nt = time.time()"),
    (clock_readings, "edge/x.py", "import time as t\nclock = t.monotonic_ns"),
    (clock_readings, "hw_sim/x.py", "from time import perf_counter as pc\ndef f(now=pc): ..."),
    (clock_readings, "tools/x.py", "from time import *"),
    (clock_readings, "edge/x.py", "import time\ntime.clock_gettime_ns(time.CLOCK_BOOTTIME)"),
    (clock_readings, "edge/x.py", "from datetime import datetime as dt, UTC\ndt.now(UTC)"),
    (clock_readings, "edge/x.py", "import datetime\ndatetime.datetime.utcnow()"),
    (clock_readings, "edge/x.py", "import datetime as d\nd.date.today()"),
    (dice, "edge/x.py", "import random\ndelay_s = random.uniform(1, 2)"),
    (dice, "hw_sim/x.py", "from random import gauss\nx = gauss(0, 1)"),
    (dice, "edge/x.py", "import uuid\ndef f(new=uuid.uuid4): ..."),
    (dice, "dsp/x.py", "import numpy as np\nnp.random.rand(3)"),
    (catch_alls, "edge/x.py", "try: f()\nexcept: pass"),
    (catch_alls, "edge/x.py", "try: f()\nexcept Exception: pass"),
    (catch_alls, "edge/x.py", "try: f()\nexcept Exception: raise"),
    (catch_alls, "edge/x.py", "try: f()\nexcept BaseException as e: raise ValueError from e"),
    (catch_alls, "edge/x.py", "try: f()\nexcept (OSError, BaseException) as e: pass"),
    (catch_alls, "edge/x.py", "import contextlib\nwith contextlib.suppress(Exception): f()"),
    (foreign_sql, "edge/history/x.py", "database.read('SELECT no FROM boots WHERE boot_id = ?', boot)"),
    (foreign_sql, "edge/x.py", "database.write(f'DELETE FROM {table}')"),
    (missing_docstring, "edge/x.py", "x = 1"),
    (lambda _, path: stdlib_names(path), "edge/profile.py", ""),
    (lambda _, path: stdlib_names(path), "test/x.py", ""),
    (
        lambda code, path: undeclared(code, path, frozenset({"numpy"})),
        "edge/x.py",
        "import numpy, aiohttp.web",
    ),
]


@pytest.mark.parametrize(("rule", "path", "source"), VIOLATIONS)
def test_violation_is_caught(rule: Rule, path: str, source: str) -> None:
    assert len(rule(source, path)) == 1


INNOCENT = '''"""What it is."""
import random
import time
from datetime import datetime
import numpy as np
from protocols import cgm
async def f(loop, rng: random.Random):
    try:
        rng.random(), random.Random(7), np.random.default_rng(7)
        loop.time()
        await asyncio.sleep(1)
        return datetime.fromisoformat("2026-01-01")
    except (OSError, ValueError):
        self.time.time()
    except BaseException:
        self.close()
        raise
'''


def test_innocent_source_passes() -> None:
    for rule in (
        layering,
        long_functions,
        long_module,
        clock_readings,
        dice,
        catch_alls,
        foreign_sql,
        missing_docstring,
    ):
        assert rule(INNOCENT, "edge/x.py") == []


def test_exempt_modules_are_exempt() -> None:
    for module in CLOCK_MODULES:
        assert clock_readings("import time\ntime.time()", module) == []
    assert compilers("import numba", COMPILER_MODULE) == []
    assert catch_alls("try: f()\nexcept Exception: raise", CATCH_ALL_MODULE) == []
    assert foreign_sql("sql = 'SELECT 1'", f"{SQL_PACKAGE}x.py") == []


CIRCLES = [
    {"edge/a.py": "from edge.b import x", "edge/b.py": "import edge.a"},
    {"edge/a.py": "from edge import b", "edge/b.py": "if x:\n    from edge import a"},
    {
        "dsp/a.py": "from dsp.b import x",
        "dsp/b.py": "class C:\n    from dsp import c",
        "dsp/c.py": "import dsp.a",
    },
    {"tools/x/__init__.py": "from tools.x.a import f", "tools/x/a.py": "from tools.x import f"},
    {"tools/x/__init__.py": "from tools import y", "tools/x/a.py": "", "tools/y.py": "import tools.x.a"},
    {"hw_sim/a.py": "from . import b", "hw_sim/b.py": "from .a import f"},
    {"protocols/x/a.py": "from ..b import f", "protocols/b.py": "from .x import a"},
    {"edge/a.py": "import edge.a"},
]
NO_CIRCLES = [
    {"edge/a.py": "from edge.b import x", "edge/b.py": "def f():\n    import edge.a"},
    {
        "edge/a.py": "import edge.b",
        "edge/b.py": "if TYPE_CHECKING:\n    import edge.a\nelse:\n    import edge.c",
    },
    {"edge/__init__.py": "", "edge/a.py": "from edge import b", "edge/b.py": "import edge"},
    {"edge/x/__init__.py": "from edge.x import a", "edge/x/a.py": "from edge.x import b", "edge/x/b.py": ""},
]


@pytest.mark.parametrize("sources", CIRCLES)
def test_a_circle_of_imports_is_caught(sources: dict[str, str]) -> None:
    (circle,) = import_circles(sources)
    first, *_, last = circle.split(" needs ")
    assert first == last


@pytest.mark.parametrize("sources", NO_CIRCLES)
def test_what_is_no_circle_passes(sources: dict[str, str]) -> None:
    assert import_circles(sources) == []


def test_packaging_and_name_violations_are_caught() -> None:
    assert len(foreign_claims({"edge": ["vitalgate", "edge-sdk"], "other": ["x"]})) == 1
    assert len(unlisted_packages(["edge", "gone"], ["edge/__init__.py", "edge/upstream/__init__.py"])) == 2
    data = ["edge/a.toml", "edge/web/page.html", "edge/x.py", "edge/README.md"]
    assert len(unpacked_data({"edge": ["*.toml"]}, data)) == 1
    for text in ("see /home/" + "alice/notes", "'/Users/" + "bob/x'", "/srv/builds/" + "vitalgate/x"):
        assert len(machine_paths(text, "README.md", Path("/srv/builds/vitalgate"))) == 1
    assert machine_paths("https://example.org/home/x/ /var/lib/vitalgate", "README.md", Path("/a/b")) == []


def files_under(root: Path) -> list[str]:
    """Files that belong to the repository, relative to its root: those that .gitignore does not name. Needs no git."""
    ignored = [".git", *(line.strip("/") for line in (root / ".gitignore").read_text().split())]

    def look(directory: Path) -> Iterator[str]:
        for path in directory.iterdir():
            if not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored):
                yield from look(path) if path.is_dir() else [path.relative_to(root).as_posix()]

    return sorted(look(root))


def test_what_git_ignores_is_no_file_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n*.egg-info/\n")
    for name in ("a/b/c.py", "a/build/d.py", "x.egg-info/e.py", ".git/f.py", ".ci/run"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_under(tmp_path) == [".ci/run", ".gitignore", "a/b/c.py"]


FILES = files_under(ROOT)
MODULES = [path for path in FILES if path.endswith(".py")]
PACKAGE_MODULES = [path for path in MODULES if path.split("/")[0] in PACKAGES]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def breaches(rule: Rule, paths: list[str]) -> list[str]:
    return [finding for path in paths for finding in rule((ROOT / path).read_text(), path)]


def test_every_package_is_there() -> None:
    assert {path.split("/")[0] for path in PACKAGE_MODULES} == PACKAGES


@pytest.mark.parametrize(
    "rule",
    [layering, compilers, long_module, clock_readings, dice, catch_alls, foreign_sql, missing_docstring],
)
def test_packages_obey(rule: Rule) -> None:
    assert breaches(rule, PACKAGE_MODULES) == []


def test_no_modules_import_one_another() -> None:
    assert import_circles({path: (ROOT / path).read_text() for path in PACKAGE_MODULES}) == []


def test_the_readme_is_short() -> None:
    assert breaches(long_readme, ["README.md"]) == []


def test_functions_are_short_in_tests_too() -> None:
    assert breaches(long_functions, MODULES) == []


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    assert [finding for path in MODULES for finding in stdlib_names(path)] == []


def test_tests_are_flat() -> None:
    assert [path for path in MODULES if path.startswith("tests/") and path.count("/") > 1] == []


def test_no_other_distribution_claims_our_names() -> None:
    assert foreign_claims(importlib.metadata.packages_distributions()) == []


def test_what_a_gateway_imports_is_declared() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    dependencies = project["dependencies"] + extras["jit"] + extras["reset"]
    declared = frozenset(re.split(r"[^\w-]", d)[0].replace("-", "_") for d in dependencies)
    gateway = [path for path in PACKAGE_MODULES if path.split("/")[0] in ("protocols", "dsp", "edge")]
    assert breaches(lambda source, path: undeclared(source, path, declared), gateway) == []


def test_pyproject_lists_the_packages_and_their_data() -> None:
    setuptools = PYPROJECT["tool"]["setuptools"]
    assert unlisted_packages(setuptools["packages"], PACKAGE_MODULES) == []
    assert unpacked_data(setuptools.get("package-data", {}), FILES) == []


def test_a_run_ends_with_its_slowest_tests_and_begins_with_the_longest_files() -> None:
    options = PYPROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    assert [option for option in options if re.fullmatch(r"--durations=[1-9]\d*", option)]
    assert {"--dist=loadfile", "--no-loadscope-reorder"} <= {*options}
    assert [pattern for pattern in LONGEST if not fnmatch.filter(FILES, f"tests/{pattern}")] == []


def test_no_file_names_a_path_of_one_machine() -> None:
    texts = ((path, (ROOT / path).read_text(errors="replace")) for path in FILES)
    assert [finding for path, text in texts for finding in machine_paths(text, path, ROOT)] == []


HEAVY = {"numba", "bumble", "hw_sim"}  # slow to import, or not installed on a gateway
# Who asks for help waits for none of what the commands need.
NOT_FOR_HELP = HEAVY | {
    "asyncio", "bleak", "construct", "cryptography", "dsp", "msgspec", "numpy", "protocols", "pydantic", "scipy",
    "sqlcipher3",
}  # fmt: skip
# They are 325 in Python 3.11, most of them typer's, and take 0.2 s of CPU; with pydantic and asyncio it was 0.33 s.
HELP_MODULES_MAX = 400


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has loaded once it ran `code`."""
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint('loaded:', *sys.modules)"
    output = subprocess.check_output([sys.executable, "-P", "-c", script], text=True, timeout=60)
    return {*output.splitlines()[-1].split()[1:]}


@pytest.mark.parametrize("code", ["import edge", "import edge.daemon"])
def test_import_stays_light(code: str) -> None:
    assert modules_after(code) & HEAVY == set()


def test_no_module_of_protocols_loads_a_compiler() -> None:
    names = [path.removesuffix(".py").replace("/", ".") for path in MODULES if path.startswith("protocols/")]
    loaded = modules_after(f"import importlib\nfor name in {names}: importlib.import_module(name)")
    assert {"protocols.polar_samples", "protocols.columnar"} <= loaded
    assert loaded & HEAVY == set()


HELP = """
import typer
from tools.cli import app, main

def calls(command, words=()):
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from calls(child, (*words, name))

every = list(calls(typer.main.get_command(app)))
assert {(), ("run",), ("analyse", "ecg")} <= {*every}
for words in every:
    sys.argv = ["vitalgate", *words, "--help"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0
"""


def test_help_of_every_command_stays_light() -> None:
    """Counted in modules, for seconds depend on the machine."""
    loaded = modules_after(HELP)
    assert loaded & NOT_FOR_HELP == set()
    assert len(loaded) <= HELP_MODULES_MAX


def test_heavy_import_is_noticed() -> None:
    assert modules_after("import numba") & HEAVY == {"numba"}


# Not on every machine that has Python; strace is needed by a soak test, which says so.
MAY_BE_MISSING = {
    "git",
    "strings",
    "nm",
    "objdump",
    "readelf",
    "cc",
    "gcc",
    "make",
    "curl",
    "wget",
    "jq",
    "openssl",
}


def foreign_programs(source: str, path: str) -> list[str]:
    """Command lines that begin with a program that may be missing."""
    displays = (node for node in ast.walk(tree_of(source)) if isinstance(node, ast.List | ast.Tuple))
    first = (node.elts[0] for node in displays if len(node.elts) > 1)
    names = (node.value for node in first if isinstance(node, ast.Constant))
    return [f"{path}: {name} may be missing" for name in names if name in MAY_BE_MISSING]


def test_tests_start_no_program_that_may_be_missing() -> None:
    assert (
        len(foreign_programs("command = ['git', 'ls-files']\nrun(('strings', path), 'git')", "tests/x.py"))
        == 2
    )
    assert breaches(foreign_programs, [path for path in MODULES if path.startswith("tests/")]) == []
