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
from edge.kinds import KINDS
from edge.local.control import SOCKET_NAME
from edge.lock import LOCK_NAME
from edge.store.write_ahead import log_of

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
    text = re.sub(r"^# (\w+ = |\[\[)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
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
        ('id = "gw-1"', 'id = "Mrs Jones"', "gateway.id: it is not in the right form; give 1 to 64 letters"),
        ('id = "gw-1"\n', "", "gateway.id: it is missing; add it: 1 to 64 letters"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "Mars/Base"', "gateway: timezone is not an IANA name"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "../../etc/passwd"', "gateway: timezone"),
        ('id = "gw-1"', 'id = "gw-1"\ntimezone = "America"', "gateway: timezone"),
        ('state_dir = "state"', 'state_dir = ""', "gateway.state_dir: not a path"),
        ('state_dir = "state"', "state_dir = 5", "gateway.state_dir: not a path"),
        ('state_dir = "state"', 'state_dir = "a\\u0000b"', "gateway.state_dir: not a path"),
        ('pseudonym = "p-7f3a"', 'pseudonym = "jo@example.org"', "person anna, pseudonym"),
        ("heart_summaries = true", 'heart_summaries = "yes"', "person anna, consent.heart_summaries"),
        ("heart_summaries = true", 'valid_until = "soon"', "person anna, consent.valid_until"),
        (
            "heart_summaries = true",
            "heart_sumaries = true",
            "person anna, consent.heart_sumaries: there is no such key; use heart_summaries (true or false)",
        ),
        ('person = "anna"\n', "", "sensor strap, person: it is missing; add it"),
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
        (
            'id = "strap"',
            'id = "Strap 1"',
            "sensor Strap 1, id: it is not in the right form; give 1 to 32 small",
        ),
        (
            'id = "cgm"',
            'id = "gateway"',
            "sensor gateway: id 'gateway' stands for the gateway itself; use another",
        ),
        ('id = "cgm"', 'id = "strap"', "sensors: strap and strap have the same id"),
        ("00:00:02", "00:00:01", "sensors: strap and cgm have the same address"),
        ("A4:C1:38:00:00:02", "a4:c1:38:00:00:01", "sensors: strap and cgm have the same address"),
        (
            "A4:C1:38:00:00:02",
            "A4-C1-38-00-00-02",
            "does not fit the kind; give an address like",
        ),
        ("A4:C1:38:00:00:02", "A4:C1:38:00:00:0", "sensor cgm: address"),
        ('A4:C1:38:00:00:02"', 'A4:C1:38:00:00:02\\n"', "sensor cgm: address"),
        (
            'kind = "cgm"',
            'kind = "toaster"',
            "sensor cgm: kind 'toaster' is none that this gateway knows; use one of: "
            + ", ".join(sorted(KINDS)),
        ),
        (
            'kind = "heart_rate"',
            'kind = "body_composition"\nconsent_code = 1234',
            "sensor strap: consent_code says nothing without user",
        ),
        ('kind = "cgm"', 'kind = "cgm"\nuser = 255', "sensor cgm, user"),
        ('id = "strap"', 'id = "cgm"\ncolour = "red"', "sensor number 1, colour: there is no such key"),
        ('id = "strap"\n', "", "sensor number 1, id: it is missing; add it: 1 to 32 small letters"),
        ('kind = "cgm"\n', "", "sensor cgm, kind: it is missing; add it: one of: heart_rate, polar, cgm, "),
        (
            'kind = "heart_rate"',
            'kind = "heart_rate"\npasskey = "012345"',
            "sensor strap: passkey is not for the kind 'heart_rate', but for: cgm, glucose_meter, ",
        ),
        (
            'kind = "heart_rate"',
            'kind = "heart_rate"\nuser = 1',
            "sensor strap: user is not for the kind 'heart_rate'",
        ),
        (
            'kind = "heart_rate"',
            'kind = "heart_rate"\nanother_sensor = true',
            "sensor strap: another_sensor is not for the kind 'heart_rate', but for: cgm, sgv, aidex; remove",
        ),
        (
            "A4:C1:38:00:00:02",
            "LinX-22222DXJ9C",
            "sensor cgm: address 'LinX-22222DXJ9C' does not fit the kind; give an address like "
            '"A4:C1:38:00:00:01"; for what stands there, use the kind aidex',
        ),
        (
            'kind = "cgm"',
            'kind = "cgm"\nuser = 1\nconsent_code = 10000',
            "sensor cgm, consent_code",
        ),
        ('kind = "cgm"', 'kind = "cgm"\npasskey = 1000000', "sensor cgm, passkey"),
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
            '[alerts]\nglucose_low = "50 mg/dL"\n[upstream]',
            "alerts: glucose_urgent_low is not below glucose_low; change one of them",
        ),
        (
            "[upstream]",
            '[alerts]\nglucose_high = "3.9 mmol/L"\n[upstream]',
            "alerts: glucose_low is not below glucose_high; change one of them",
        ),
        (
            "[upstream]",
            '[alerts]\noff = ["paws"]\n[upstream]',
            "alerts: off: there is no rule 'paws'; use one of: glucose_urgent_low,",
        ),
        ("[upstream]", "[alerts]\nheart_rate_low_bpm = 40.5\n[upstream]", "alerts.heart_rate_low_bpm"),
        ("[upstream]", "[limits]\nchunk_s = -1\n[upstream]", "limits.chunk_s"),
        ("[upstream]", "[limits]\nraw_retention_days = 0\n[upstream]", "limits.raw_retention_days"),
        ("[upstream]", "[limits]\nchunk_s = true\n[upstream]", "limits.chunk_s"),
        ("[upstream]", '["x\\nINJECTED"]\n[upstream]', "there is no such key"),
        ("[upstream]", "[upstream", "not valid TOML"),
        ("[upstream]", "a = [" + "[" * 5000 + "\n[upstream]", "not valid TOML"),
        ("[upstream]", f"a = {'9' * 5000}\n[upstream]", "not valid TOML"),
    ],
)
def test_each_fault_names_its_key(old: str, new: str, named: str) -> None:
    assert MINIMAL.count(old) >= 1
    line = fault_of(MINIMAL.replace(old, new, 1))
    assert named in line


STATE_FILES = [
    LOCK_NAME,
    SOCKET_NAME,
    "store.db",
    log_of(Path("store.db")).name,
    "store.db-shm",
    "store.db.keycheck",
    "store.db.damaged",
    "store.db.corrupt-1",
    "store.db.new",
    "simulated-bonds.json",
]


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize("form", ["state/{}", "/etc/vitalgate/state/{}", "state/../state/./{}"])
def test_the_key_takes_the_place_of_no_other_file(form: str, name: str) -> None:
    line = fault_of(MINIMAL + f'[store]\nkey_file = "{form.format(name)}"\n')
    assert (
        "store.key_file has a name that the gateway itself may use in gateway.state_dir; end it in .key"
        in line
    )


@pytest.mark.parametrize("name", ["state", "upstream", ".", "/", "state/.."])
def test_the_key_takes_the_place_of_no_directory(name: str) -> None:
    line = fault_of(MINIMAL + f'[store]\nkey_file = "{name}"\n')
    assert "store.key_file is a directory; name a file in it" in line


def test_a_directory_that_is_there_is_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with pytest.raises(ConfigError, match=r"store\.key_file is a directory; name a file in it"):
        minimal_config(tmp_path, **{"[upstream]": '[store]\nkey_file = "keys"\n[upstream]'})


@pytest.mark.parametrize("name", ["state/mine.key", "state/keys/secret", "secret", "lock", "x" * 300])
def test_any_other_file_may_hold_the_key(tmp_path: Path, name: str) -> None:
    config = minimal_config(tmp_path, **{"[upstream]": f'[store]\nkey_file = "{name}"\n[upstream]'})
    assert config.key_file == tmp_path / name


UNSUITABLE = [  # what stands under [alerts], [limits] or in a sensor, and all that is said of it
    (
        "alerts",
        "glucose_low_mg_dl = 70",
        "alerts.glucose_low_mg_dl: there is no such key; use glucose_low"
        ' (a value like "70 mg/dL" or "3.9 mmol/L")',
    ),
    ("alerts", "glucose_low = 3.9", 'alerts.glucose_low: 3.9 has no unit; write it like "3.9 mmol/L"'),
    ("alerts", "glucose_low = 70", 'alerts.glucose_low: 70 has no unit; write it like "70 mg/dL"'),
    (
        "alerts",
        "glucose_low = '700 mg/dL'",
        'alerts.glucose_low: "700 mg/dL" is not allowed; give 20 to 600 mg/dL, or 1.1 to 33.3 mmol/L',
    ),
    (
        "alerts",
        "glucose_low = '70 mg'",
        'alerts.glucose_low: it is not in the right form; write it like "70 mg/dL" or "3.9 mmol/L"',
    ),
    (
        "alerts",
        "glucose_fall = 2",
        'alerts.glucose_fall: 2 has no unit; write it like "2 mg/dL/min"',
    ),
    (
        "alerts",
        "glucose_fall = '2 mg/dL'",
        'alerts.glucose_fall: it is not in the right form; write it like "2 mg/dL/min" or "0.11 mmol/L/min"',
    ),
    (
        "alerts",
        "glucose_fall = '20 mg/dL/min'",
        'alerts.glucose_fall: "20 mg/dL/min" is not allowed; give 0.5 to 10 mg/dL/min, or 0.03 to 0.55 mmol/L/min',
    ),
    (
        "alerts",
        "quiet_hours = '22:00-24:00'",
        'alerts.quiet_hours: it is not in the right form; write it like "22:00-07:00"',
    ),
    (
        "alerts",
        "quiet_hours = '22:00-22:00'",
        "alerts.quiet_hours: it begins when it ends; change one of the two times",
    ),
    (
        "alerts",
        "off = 'pause'",
        'alerts.off: it is not in the right form; give a list of rules, like ["not_worn"]',
    ),
    (
        "alerts",
        "battery_low_pct = 0",
        "alerts.battery_low_pct: 0 is not allowed; give a whole number from 1 to 90 %",
    ),
    (
        "alerts",
        "heart_rate_low_bpm = 400",
        "alerts.heart_rate_low_bpm: 400 is not allowed; give a whole number from 20 to 250 beats per minute",
    ),
    (
        "alerts",
        "heart_silence_s = 29.9",
        "alerts.heart_silence_s: 29.9 is not allowed; give a number from 30 to 86400 seconds",
    ),
    (
        "alerts",
        "cgm_silence_s = 659",
        "alerts.cgm_silence_s: 659 is not allowed; give a number from 660 to 86400 seconds",
    ),
    ("alerts", "state_dir = '/'", "alerts.state_dir: there is no such key here; put it under [gateway]"),
    (
        "limits",
        'chunk_s = "1 min"',
        'limits.chunk_s: "1 min" is not allowed; give a number from 0.1 to 60 seconds',
    ),
    (
        "limits",
        "retention_days = 99999999999999999999",
        "limits.retention_days: such a large number is not allowed; give a whole number from 1 to 4000 days",
    ),
    ("limits", "chunk_s = []", "limits.chunk_s: a list is not allowed; give a number from 0.1 to 60 seconds"),
    (
        "store",
        "colour = 1",
        "store.colour: there is no such key; remove it, or use one of: key_file",
    ),
]


@pytest.mark.parametrize(("section", "line", "said"), UNSUITABLE)
def test_a_value_that_does_not_suit_is_told_with_what_would(section: str, line: str, said: str) -> None:
    assert fault_of(f"{MINIMAL}\n[{section}]\n{line}\n") == f"{FILE}: {said}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[[people]]",
            "[people]",
            "people: it is not in the right form; give a list of sections [[people]], 1 to 16",
        ),
        ("[gateway]", "[[gateway]]", "gateway: it is not in the right form; give a section [gateway]"),
        (
            MINIMAL[MINIMAL.index("[upstream]") : MINIMAL.index("[[sensors]]")],
            "",
            "upstream: it is missing; add it: a section [upstream]",
        ),
        ("heart_summaries = true", "valid_until = 30.6", "30.6 is not allowed; give a date like 2030-12-31"),
        ("heart_summaries = true", "heart_summaries = 1", "1 is not allowed; give true or false"),
    ],
)
def test_a_section_that_does_not_suit_is_told_with_what_would(old: str, new: str, said: str) -> None:
    assert said in fault_of(MINIMAL.replace(old, new, 1))


PARSERS = (
    "Expected",
    "Object",
    "regex",
    "`int`",
    "`float`",
    "`str`",
    "(at line",
    "codec",
    "Invalid",
    "Unescaped",
)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("passkey = 012345", 'a number must not begin with 0; put it in quotes: "012345"'),
        ("consent_code = 0123", "a number must not begin with 0; write 123, or, if it is a text, put it in"),
        ("id = \u201canna\u201d", "the quotes are those of printed text; type straight ones"),
        ("id = gw-1", "the value makes no sense; put text in quotes"),
        ("id", "no `=` follows the key; write key = value"),
        ("= 5", "no line begins like that; write key = value"),
        ("id = 'a' b = 'c'", "something follows where the line should end"),
        ("id = 'a", "a text is not closed"),
        ('id = "C:\\Users"', "`\\` is not allowed alone in double quotes"),
        ("id = 'a'\nid = 'b'", "a key is given twice"),
        ("[gateway", "a [section] is not closed"),
        ("a = [1, 2", "a list is not closed"),
        ("a = 2030-13-01", ""),
        ("a = {b = 1", ""),
        ("\0", ""),
    ],
)
def test_what_is_not_toml_is_told_by_its_line_in_plain_words(line: str, cause: str) -> None:
    said = fault_of(f"# first\n{line}\n")
    assert said.startswith(f"{FILE}: line ")
    assert f": not valid TOML: {cause}" in said
    assert not any(word in said for word in PARSERS)


def test_no_parsers_words_are_left_in_any_fault() -> None:
    for old, new in [
        ("true", "1"),
        ('"gw-1"', "5"),
        ('"cgm"', "[]"),
        ("[[sensors]]", "[sensors]"),
        ('"anna"', "{}"),
    ]:
        said = fault_of(MINIMAL.replace(old, new, 1))
        assert not any(word in said for word in PARSERS), said


def test_a_byte_order_mark_is_not_seen() -> None:
    assert parse(b"\xef\xbb\xbf" + MINIMAL.encode(), FILE) == parse(MINIMAL.encode(), FILE)
    assert fault_of(b"\xef\xbb\xbf\n\xff").startswith(f"{FILE}: line 2: this is not UTF-8")
    assert "line 1: this is not UTF-8" in fault_of(MINIMAL.encode("utf-16"))


@pytest.mark.parametrize(("written", "read"), [('"012345"', 12345), ("123456", 123456), ("0", 0)])
def test_a_passkey_may_be_in_quotes(written: str, read: int) -> None:
    text = MINIMAL.replace('kind = "cgm"', f'kind = "cgm"\npasskey = {written}')
    assert [sensor.passkey for sensor in parse(text.encode(), FILE).sensors] == [None, read]


@pytest.mark.parametrize(
    "written", ['"12345"', '"1234567"', '"12 456"', '"١٢٣٤٥٦"', "-1", "1000000", "true", "1.0"]
)
def test_what_is_no_passkey_is_told_without_repeating_it(written: str) -> None:
    said = fault_of(MINIMAL.replace('kind = "cgm"', f'kind = "cgm"\npasskey = {written}'))
    assert said == (
        f'{FILE}: sensor cgm, passkey: not a passkey; give the six digits on the sensor, like "012345"'
    )


@pytest.mark.parametrize("address", ["https://example.org/fhir", "file:///srv/x", "mqtt+tls://host"])
def test_a_network_address_is_not_taken_for_a_directory(address: str) -> None:
    said = fault_of(MINIMAL.replace('"upstream"', f'"{address}"'))
    assert said.endswith(
        "upstream.directory: a network address is not a path; name a directory of this machine"
    )


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/anna")
    text = MINIMAL.replace('"state"', '"~/vg"').replace('"upstream"', '"a~b/~"')
    config = parse(text.encode(), FILE)
    assert config.gateway.state_dir == Path("/srv/anna/vg")
    assert config.upstream.directory == FILE.parent / "a~b/~"
    said = fault_of(MINIMAL.replace('"state"', '"~nobody-of-that-name/vg"'))
    assert said.endswith(
        "gateway.state_dir: nobody knows the home directory that ~ stands for; write the whole path"
    )


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
    latin.write_bytes("\n\n# Größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="line 3: this is not UTF-8; save"):
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


# The pairs that consensus reports print side by side: Battelino et al. 2019, doi 10.2337/dci19-0028.
@pytest.mark.parametrize(
    ("mmol_l", "mg_dl"), [("3.0", 54), ("3.9", 70), ("7.8", 140), ("10.0", 180), ("10", 180), ("13.9", 250)]
)
def test_a_limit_in_mmol_l_is_the_one_in_mg_dl_that_people_mean(mmol_l: str, mg_dl: int) -> None:
    low = f'glucose_urgent_low = "20 mg/dL"\nglucose_urgent_low_soon = "20 mg/dL"\nglucose_low = "{mmol_l} mmol/L"'
    alerts = parse(f'{MINIMAL}\n[alerts]\n{low}\nglucose_high = "600 mg/dL"\n'.encode(), FILE).alerts
    assert alerts.glucose_low == mg_dl


def test_a_rate_of_change_may_be_in_mmol_l() -> None:
    alerts = parse(f'{MINIMAL}\n[alerts]\nglucose_fall = "0.1 mmol/L/min"\n'.encode(), FILE).alerts
    assert alerts.glucose_fall == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("hours", "minute", "left_min"),
    [
        ("22:00-07:00", 22 * 60, 540),
        ("22:00-07:00", 0, 420),
        ("22:00-07:00", 419, 1),
        ("22:00-07:00", 420, 0),
        ("22:00-07:00", 1319, 0),
        ("13:30-14:00", 809, 0),
        ("13:30-14:00", 810, 30),
        ("13:30-14:00", 840, 0),
    ],
)
def test_quiet_hours_go_over_midnight(hours: str, minute: int, left_min: int) -> None:
    quiet = parse(f'{MINIMAL}\n[alerts]\nquiet_hours = "{hours}"\n'.encode(), FILE).alerts.quiet_hours
    assert quiet is not None
    assert quiet.left_min(minute) == left_min


@pytest.mark.parametrize(
    ("kind", "streams", "said"),
    [
        ("polar", '["ecg", "acc"]', None),
        ("polar", "[]", None),
        ("polar", '["ppg"]', "streams: there is no 'ppg'; those of its kind are: ecg, acc, ppi"),
        (
            "heart_rate",
            '["ecg"]',
            "streams is not for the kind 'heart_rate', but for: polar; remove it there",
        ),
    ],
)
def test_streams_are_those_that_a_kind_has(tmp_path: Path, kind: str, streams: str, said: str | None) -> None:
    change = {'kind = "heart_rate"': f'kind = "{kind}"\nstreams = {streams}'}
    if said is None:
        assert minimal_config(tmp_path, **change).sensors[0].streams is not None
        return
    with pytest.raises(ConfigError, match=said):
        minimal_config(tmp_path, **change)
