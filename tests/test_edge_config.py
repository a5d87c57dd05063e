"""Any fault of the operator's file is one line that names file, key and remedy; never a traceback."""

import random
import re
import tomllib
from contextlib import suppress
from datetime import date
from pathlib import Path

import msgspec
import pytest
from edge_parts import MINIMAL, minimal_config
from hypothesis import given
from hypothesis import strategies as st

from edge import config as config_module
from edge.config import Config, load, parse
from edge.errors import ConfigError
from edge.identity import Identity
from edge.identity import load as load_identity

EXAMPLE = Path(config_module.__file__).with_name("example.toml")
FILE = Path("/etc/vitalgate/gateway.toml")


def fault_of(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), FILE)
    line = str(caught.value)
    assert line.startswith(str(FILE))
    assert line.isprintable()
    assert caught.value.remedy
    return line


def test_example_equals_the_defaults() -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    required = {
        "gateway": {key: document["gateway"][key] for key in ("id", "state_dir")},
        "people": [{key: person[key] for key in ("id", "pseudonym")} for person in document["people"]],
        "sensors": document["sensors"],
        "upstream": {"directory": document["upstream"]["directory"]},
    }
    lines = []
    for section, values in required.items():
        for table in values if isinstance(values, list) else [values]:
            lines.append(f"[[{section}]]" if isinstance(values, list) else f"[{section}]")
            lines += [f'{key} = "{value}"' for key, value in table.items()]
    assert load(EXAMPLE) == parse("\n".join(lines).encode(), EXAMPLE)


ROWS = {"sensors": config_module.SensorConfig, "people": config_module.Person}


def test_example_shows_every_key() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    sections = tomllib.loads(text)
    for field in msgspec.structs.fields(Config):
        section = sections[field.name]
        shown = set().union(*section) if isinstance(section, list) else set(section)
        struct = ROWS.get(field.name, field.type)
        assert shown == {key.name for key in msgspec.structs.fields(struct)}, field.name
    consent = sections["people"][0]["consent"]
    assert set(consent) == {key.name for key in msgspec.structs.fields(config_module.Consent)}
    # The commented lines hold valid values too.
    assert parse(text.encode(), EXAMPLE).people[0].consent.valid_until == date(2030, 12, 31)


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    assert config.database == tmp_path / "state" / "store.db"
    assert config.key_file == tmp_path / "state" / "store.key"
    assert config.upstream.directory == tmp_path / "upstream"
    assert parse(MINIMAL.replace('"state"', '"/var/x"').encode(), FILE).gateway.state_dir == Path("/var/x")


def test_addresses_are_compared_in_one_case(tmp_path: Path) -> None:
    config = minimal_config(tmp_path, **{"A4:C1:38:00:00:01": "a4:c1:38:00:00:01"})
    assert config.sensors[0].address == "A4:C1:38:00:00:01"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('id = "gw-1"', 'id = "Mrs Jones"', "gateway.id: not in the right form; use 1 to 64"),
        ('id = "gw-1"\n', "", "gateway.id: Object missing required field"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "Mars/Base"', "gateway: timezone is not an IANA name"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "../../etc/passwd"', "gateway: timezone"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "America"', "gateway: timezone"),
        ('state_dir = "state"', 'state_dir = ""', "gateway.state_dir: not a path"),
        ('state_dir = "state"', "state_dir = 5", "gateway.state_dir: not a path"),
        ('state_dir = "state"', 'state_dir = "a\\u0000b"', "gateway.state_dir: not a path"),
        ('pseudonym = "p-7f3a"', 'pseudonym = "jo@example.org"', "people[0].pseudonym"),
        ("heart_summaries = true", 'heart_summaries = "yes"', "people[0].consent.heart_summaries"),
        ("heart_summaries = true", 'valid_until = "soon"', "people[0].consent.valid_until"),
        (
            "heart_summaries = true",
            "heart_sumaries = true",
            "people[0].consent.heart_sumaries: Object contains unknown",
        ),
        ('person = "anna"\n', "", "sensors[0].person: Object missing required field"),
        (
            'person = "anna"',
            'person = "bert"',
            "sensors: strap is worn by 'bert', who is not among the people; add",
        ),
        (
            "[[sensors]]",
            '[[people]]\nid = "anna"\npseudonym = "p-2"\n[[sensors]]',
            "people: anna and anna have the same id",
        ),
        (
            "[[sensors]]",
            '[[people]]\nid = "bert"\npseudonym = "p-7f3a"\n[[sensors]]',
            "people: anna and bert have the same pseudonym",
        ),
        ('id = "strap"', 'id = "Strap 1"', "sensors[0].id: not in the right form; use 1 to 32"),
        ('id = "cgm"', 'id = "strap"', "sensors: strap and strap have the same id"),
        ("00:00:02", "00:00:01", "sensors: strap and cgm have the same address"),
        ("A4:C1:38:00:00:02", "a4:c1:38:00:00:01", "sensors: strap and cgm have the same address"),
        (
            "A4:C1:38:00:00:02",
            "A4-C1-38-00-00-02",
            "sensors[1].address: not in the right form; write it like",
        ),
        ("A4:C1:38:00:00:02", "A4:C1:38:00:00:0", "sensors[1].address"),
        ('A4:C1:38:00:00:02"', 'A4:C1:38:00:00:02\\n"', "sensors[1].address"),
        (
            'kind = "cgm"',
            'kind = "thermometer"',
            "sensors[1]: kind 'thermometer' is none that this gateway knows; use one of: cgm, heart_rate",
        ),
        ('kind = "cgm"', 'kind = "cgm"\npasskey = 1000000', "sensors[1].passkey"),
        ('directory = "upstream"', 'directory = "u"\nbatch_items_max = 0', "upstream.batch_items_max"),
        ('directory = "upstream"', 'directory = "u"\nretry_s_max = nan', "upstream.retry_s_max"),
        ('directory = "upstream"', 'directory = "u"\nretry_s_max = inf', "upstream.retry_s_max"),
        (
            'directory = "upstream"',
            'directory = "u"\nretry_s_min = 5\nretry_s_max = 2',
            "upstream: retry_s_min is not below retry_s_max; change one of them",
        ),
        (
            "[upstream]",
            "[alerts]\nglucose_low_mg_dl = 50\n[upstream]",
            "alerts: glucose_urgent_low_mg_dl is not",
        ),
        ("[upstream]", "[alerts]\nheart_rate_low_bpm = 40.5\n[upstream]", "alerts.heart_rate_low_bpm"),
        ("[upstream]", "[limits]\nchunk_s = -1\n[upstream]", "limits.chunk_s"),
        ("[upstream]", "[limits]\nraw_retention_days = 0\n[upstream]", "limits.raw_retention_days"),
        ("[upstream]", "[limits]\nchunk_s = true\n[upstream]", "limits.chunk_s"),
        ("[upstream]", '["x\\nINJECTED"]\n[upstream]', "unknown field"),
        ("[upstream]", "[upstream", "not valid TOML"),
        ("[upstream]", "a = [" + "[" * 5000 + "\n[upstream]", "not valid TOML"),
        ("[upstream]", f"a = {'9' * 5000}\n[upstream]", "not valid TOML"),
    ],
)
def test_each_fault_names_its_key(old: str, new: str, named: str) -> None:
    assert MINIMAL.count(old) >= 1
    line = fault_of(MINIMAL.replace(old, new, 1))
    assert named in line


def test_no_sensor_is_a_fault() -> None:
    assert "sensors" in fault_of(MINIMAL.split("[[sensors]]")[0])
    assert "sensors" in fault_of(
        MINIMAL.split("[[sensors]]")[0].replace("[gateway]", "sensors = []\n[gateway]")
    )


def test_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path, tmp_path / ("x" * 300), Path("a\0b")):
        with pytest.raises(ConfigError, match="give a readable configuration file"):
            load(path)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (config_module.FILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(huge)
    latin = tmp_path / "latin.toml"
    latin.write_bytes("# Größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(latin)


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode(errors="replace")))
)
def test_random_bytes_are_a_fault(content: bytes) -> None:
    fault_of(content)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_load_or_are_a_fault(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [
        "[",
        "]",
        '"',
        "=",
        "\n",
        "nan",
        "-1",
        "1e400",
        "[[sensors]]",
        "'",
        "\0",
        "{}",
        "1979-05-27",
        "é",
        "#",
        ".",
    ]
    pieces = MINIMAL.splitlines(keepends=True)
    loaded = 0
    for _ in range(500):
        text = "".join(rng.choices(pieces, k=len(pieces))) if rng.random() < 0.3 else MINIMAL
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(tokens) + text[at + rng.randint(0, 4) :]
        with suppress(ConfigError):
            parse(text.encode(), FILE)
            loaded += 1
    assert 0 < loaded < 500


def test_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    key, database = tmp_path / "keys" / "store.key", tmp_path / "store.db"
    first = load_identity(key, database)
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_size == 32
    database.write_bytes(b"x")
    again = load_identity(key, database)
    assert (again.store_key, again.key_check) == (first.store_key, first.key_check)
    assert [path.name for path in key.parent.iterdir()] == ["store.key"]
    assert load_identity(tmp_path / "other.key", tmp_path / "other.db").store_key != first.store_key


def test_key_file_faults(tmp_path: Path) -> None:
    key, database = tmp_path / "store.key", tmp_path / "store.db"
    database.write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"missing, but .*store\.db needs it"):
        load_identity(key, database)
    for content in (b"", b"k" * 31, b"k" * 33):
        key.write_bytes(content)
        key.chmod(0o600)
        with pytest.raises(ConfigError, match="not a file of 32 bytes"):
            load_identity(key, database)
    key.write_bytes(b"k" * 32)
    for mode in (0o640, 0o604, 0o660):
        key.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            load_identity(key, database)
    key.unlink()
    key.mkdir()
    with pytest.raises(ConfigError, match="not a file"):
        load_identity(key, database)
    with pytest.raises(ConfigError, match="correct its place"):
        load_identity(database / "store.key", tmp_path / "none.db")


def test_ids_are_stable_and_need_the_secret() -> None:
    one, other = Identity(bytes(32)), Identity(bytes([1] * 32))
    assert one.id("heart_5min", "p", 300) == Identity(bytes(32)).id("heart_5min", "p", 300)
    names = {one.id("a", "b"), one.id("a", "b", 1), one.id("ab"), one.id("a", 1), other.id("a", "b")}
    assert len(names) == 5
    secrets = {one.store_key.hex(), bytes(32).hex()}
    assert not any(one.key_check in secret for secret in secrets)
