"""tools.mutate: what is changed in a module, which tests look, and the whole command on a tiny package."""

import json
import textwrap
from pathlib import Path

import pytest

from tools.mutate import lists
from tools.mutate.__main__ import main, parser, picked
from tools.mutate.selection import Imports
from tools.mutate.source import Mutant, can_be_parsed, changed_line, mutants

ROOT = Path(__file__).resolve().parents[1]


def changes(source: str) -> list[str]:
    return [mutant.becomes for mutant in mutants(textwrap.dedent(source), "x.py")]


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("a < b", ["a <= b", "a >= b"]),
        ("a <= b < c", ["a < b < c", "a <= b <= c", "a <= b >= c", "a > b < c"]),
        ("a == b", ["a != b"]),
        ("a is not b", ["a is b"]),
        ("a  not  in b", ["a in b"]),
        ("a and b or c", ["a and b and c", "a or b or c"]),
        ("not a", ["a"]),
        ("-a", ["a"]),
        ("b if a else c", ["b if not (a) else c"]),
        ("b if a < 'x' else c", ["b if a <= 'x' else c", "b if a >= 'x' else c"]),
        ("[a for a in b if a.c]", ["[a for a in b if not (a.c)]"]),
        ("0xFF", ["254", "256"]),
        ("0.5", ["-0.5", "1.5"]),
        ("2_000_000", ["1000000", "4000000"]),
        ("True", ["False"]),
        ("a // b", ["a * b"]),
        ("(a) - (b)", ["(a) + (b)"]),
        ("min(a, b)", ["max(a, b)"]),
        ("any(a)", ["all(a)"]),
        ("'text'", []),
        ("'%d' % a", []),
        ("f'{a + 1}'", []),
        ("zip(a, b, strict=True)", []),
        ("'µ' + a < b", ["'µ' + a <= b", "'µ' + a >= b"]),
    ],
)
def test_an_expression_is_changed_in_one_place(line: str, becomes: list[str]) -> None:
    assert changes(f"x = {line}\n") == [f"x = {change}" for change in becomes]


def test_a_statement_is_left_out() -> None:
    source = """
        def f(self, lock):
            self.start()
            self.x = g()
            self.n += h()
            local = g()
            local = h()
            with lock:
                raise Gone
            return
    """
    assert changes(source) == [
        "pass",
        "pass",
        "pass",
        "self.n -= h()",
        "pass",
        "if True:",
        "pass",
        "pass",
    ]


def test_what_no_test_should_look_at_is_left_alone() -> None:
    source = '''
        """Text of 3 lines."""
        from a import b
        TEXT: Final[int | None] = {"a": "b"}
        @dataclass(frozen=True)
        class A:
            """B."""
            x: Annotated[int, 3]
            def __repr__(self) -> str:
                return str(self.x + 1)
            def f(self, a: int | None) -> int | None:
                """What it does."""
                assert a > 0
                log.info("%d", a + 1)
        if __name__ == "__main__":
            main(1)
    '''
    assert changes(source) == []


def test_a_comment_is_not_taken_for_an_operator() -> None:
    assert changes("x = (\n    a  # < that\n    < b\n)\n") == ["<= b", ">= b"]


def test_a_return_gives_none() -> None:
    assert changes("def f():\n    return g()\n") == ["return None"]
    assert changes("def f():\n    return None\n") == []
    assert changes("def f():\n    return True\n") == ["return False"]


def test_a_mutant_knows_its_place() -> None:
    source = "class A:\n    def f(self):\n        # µ\n        self.g(\n            x)\n"
    (mutant,) = mutants(source, "x.py")
    assert (mutant.where, mutant.line_no, mutant.line, mutant.becomes) == ("A.f", 4, "self.g( x)", "pass")
    assert mutant.source == "class A:\n    def f(self):\n        # µ\n        pass\n"


def test_our_own_mutants_can_be_parsed() -> None:
    for file in ("edge/anchors.py", "edge/radio/adapter.py"):
        found = mutants((ROOT / file).read_text(), file)
        assert len(found) > 100
        assert all(map(can_be_parsed, found))


def test_a_named_line_must_be_there_once() -> None:
    source = "class A:\n    def f(self):\n        g()\n    def h(self):\n        g()\n"
    assert changed_line(source, "x.py", "A.h", "g()", "pass").source.endswith("def h(self):\n        pass\n")
    with pytest.raises(ValueError, match="2 times"):
        changed_line(source, "x.py", "", "g()", "pass")
    with pytest.raises(ValueError, match="0 times"):
        changed_line(source, "x.py", "A", "i()", "pass")
    with pytest.raises(ValueError, match=r"no A\.i"):
        changed_line(source, "x.py", "A.i", "g()", "pass")


MODULES = {
    "tiny/sums.py": """
        def total(values):
            found = 0
            for value in values:
                found += value
            return found
    """,
    "tests/test_tiny_sums.py": """
        from tiny.sums import total
        def test_total():
            assert total([1, 2]) == 3
    """,
}
IMPORTERS = {
    "tiny/__init__.py": "",
    "tiny/sums_of_sums.py": "from tiny.sums import total\n",
    "tests/parts.py": "from tiny import sums\n",
    "tests/test_direct.py": "import parts\n",
    "tests/test_tiny_sums_of_sums.py": "import tiny.sums_of_sums\n",
    "tests/test_tiny_sums_far.py": "",
    "tests/test_system_all.py": "from tiny.sums_of_sums import total\n",
    "tests/test_system_process.py": "",
    "tests/test_else.py": "",
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    for name, source in MODULES.items():
        write(tmp_path, name, source)
    return tmp_path


def write(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(source).lstrip("\n"))


def run(
    root: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, dict[str, int]], str]:
    """Exit code, the figures of the modules, and what the survivors became."""
    code = main(["--json", *arguments], root=root)
    result = json.loads(capsys.readouterr().out)
    return code, result["modules"], "; ".join(survivor["becomes"] for survivor in result["survivors"])


def test_tests_that_look_first_are_run_first(tiny: Path) -> None:
    for name, source in IMPORTERS.items():
        write(tiny, name, source)
    assert Imports(tiny).stages("tiny/sums.py") == {
        "named": ("tests/test_tiny_sums.py", "tests/test_tiny_sums_far.py"),
        "direct": ("tests/test_direct.py",),
        "far": ("tests/test_tiny_sums_of_sums.py",),
        "system": ("tests/test_system_all.py", "tests/test_system_process.py"),
    }


def test_a_good_test_kills_and_the_checkout_is_untouched(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()}
    code, modules, survivors = run(tiny, capsys, "--near", "tiny")
    assert (code, survivors) == (0, "")
    assert modules == {"tiny/sums.py": {"killed": 5, "survived": 0, "timed out": 0}}
    assert {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()} == before


def test_a_bad_test_lets_survive_until_that_is_judged(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tiny,
        "tests/test_tiny_sums.py",
        "from tiny.sums import total\ndef test_total(): assert total([1]) > 0\n",
    )
    code, modules, survivors = run(tiny, capsys, "--jobs", "2", "tiny/sums.py")
    assert (code, survivors) == (1, "found = 1")
    assert modules == {"tiny/sums.py": {"killed": 4, "survived": 1, "timed out": 0}}
    judged = """
        [[mutant]]
        file = "tiny/sums.py"
        where = "total"
        line = "found = 0"
        becomes = "found = 1"
        why = "Nobody counts here."
    """
    write(tiny, "tests/mutants_judged.toml", judged)
    assert main(["tiny/sums.py"], root=tiny) == 0
    said = capsys.readouterr().out
    assert "tiny/sums.py:2\n    - found = 0\n    + found = 1\n    judged: Nobody counts here.\n" in said
    assert said.endswith("4 of 5 died (80.0 %), 0 survivors are not judged\n")
    write(tiny, "tests/mutants_judged.toml", judged.replace("where", "whither"))
    assert main(["tiny/sums.py"], root=tiny) == 2


def test_a_mutant_that_hangs_times_out(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hang = """
        def total(values):
            while values:
                values.pop()
            return 3
    """
    write(tiny, "tiny/sums.py", hang)
    assert (
        main(["--json", "tiny/sums.py"], root=tiny, least_s=4.0) == 1
    )  # whether it loops at all, nobody notices
    result = json.loads(capsys.readouterr().out)
    assert [hung["by"] for hung in result["dead"] if hung["becomes"] == "pass"] == ["named"]
    assert result["modules"]["tiny/sums.py"]["timed out"] >= 1


def test_named_mutants_must_die(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = """
        [[mutant]]
        file = "tiny/sums.py"
        where = ""
        line = "found += value"
        becomes = "found += 10 * value"
        why = "Ten times too much."

        [[mutant]]
        file = "tiny/sums.py"
        where = "total"
        line = "found = 0"
        becomes = "found = 0.0"
        why = "Not even a float is taken."
    """
    write(tiny, "tests/mutants_named.toml", named)
    code, modules, survivors = run(tiny, capsys, "--named")
    assert (code, survivors) == (1, "found = 0.0")
    assert modules == {"tiny/sums.py": {"killed": 1, "survived": 1, "timed out": 0}}


def test_the_test_that_must_notice_looks_first_and_the_others_if_it_does_not(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tiny, "tests/test_else.py", "def test_nothing(): pass\n")
    named = """
        [[mutant]]
        file = "tiny/sums.py"
        where = "total"
        line = "return found"
        becomes = "return -found"
        test = "tests/test_else.py::test_{}"
        why = "The sum is a debt."
    """
    write(tiny, "tests/mutants_named.toml", named.format("nothing"))
    assert main(["--json", "--named"], root=tiny) == 0
    (dead,) = json.loads(capsys.readouterr().out)["dead"]
    assert dead["by"] == "tests/test_tiny_sums.py::test_total"
    write(tiny, "tests/mutants_named.toml", named.format("total"))
    write(
        tiny, "tests/test_else.py", "from tiny.sums import total\ndef test_total(): assert total([2]) == 2\n"
    )
    assert main(["--json", "--named"], root=tiny) == 0
    (dead,) = json.loads(capsys.readouterr().out)["dead"]
    assert dead["by"] == "tests/test_else.py::test_total"
    write(tiny, "tests/mutants_named.toml", named.format("that_is_not_there"))
    assert main(["--named"], root=tiny) == 2
    assert "tests fail without a mutation" in capsys.readouterr().err


def test_the_seed_draws_the_mutants(tiny: Path) -> None:
    def drawn(seed: str) -> list[Mutant]:
        return picked(tiny, parser().parse_args(["tiny/sums.py", "--limit", "2", "--seed", seed]))

    assert len(drawn("1")) == 2
    assert drawn("1") == drawn("1") != drawn("2")


def test_tests_that_fail_anyway_end_the_run(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tiny, "tests/test_tiny_sums.py", "def test_total(): assert False\n")
    assert main(["tiny/sums.py"], root=tiny) == 2
    assert "tests fail without a mutation" in capsys.readouterr().err


def test_a_path_that_is_not_there_is_told(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny/nothing.py"], root=tiny) == 2
    assert capsys.readouterr().err == "mutate: tiny/nothing.py: not there\n"


def test_what_was_judged_is_still_a_mutant() -> None:
    judged = [entry.key for entry in lists.entries(ROOT / lists.JUDGED)]
    files = {key.file for key in judged}
    today = {lists.key_of(m) for file in files for m in mutants((ROOT / file).read_text(), file)}
    assert [key for key in judged if key not in today] == []


def test_what_was_named_is_still_there() -> None:
    found = lists.named(ROOT, ROOT / lists.NAMED)
    assert len(found) >= 5
    assert all(map(can_be_parsed, found))
    assert [test for mutant in found if (test := mutant.test) and not is_there(test)] == []


def is_there(test: str) -> bool:
    """Whether such a test stands in its file."""
    file, _, name = test.partition("::")
    return f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()
