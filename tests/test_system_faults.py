"""What goes wrong in the field, each with one clear line and the documented behaviour; and what must not leak."""

import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fhir_directory import LOINC, receive

from hw_sim.clock import run
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, STRAP, Person, home_of

HOUR_S = 3600


def vitalgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "tools", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def complaint(*arguments: str) -> str:
    """The one line on stderr of a call that the operator has to mend."""
    done = vitalgate(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", ["run", "status", "simulate"])
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('kind = "cgm"', 'kind = "cgn"', "kind"),
        (f'address = "{CGM.address}"', 'address = "nonsense"', "address"),
        ("[people.consent]", "[people.consnet]", "consnet"),
        ("[gateway]", "[gateway", "not valid TOML"),
    ],
)
def test_a_malformed_configuration_is_one_line_and_exit_2(
    tmp_path: Path, command: str, old: str, new: str, named: str
) -> None:
    home_of(STRAP, CGM).configure(tmp_path)
    file = tmp_path / "gateway.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    line = complaint(command, "--config", str(file))
    assert str(file) in line
    assert named in line


def test_an_output_directory_that_cannot_be_made_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "--out" in complaint("demo", "--hours", "0.1", "--out", str(tmp_path / "file" / "out"))


def test_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    assert "not empty" in complaint("demo", "--hours", "0.1", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def readings(directory: Path) -> list[float]:
    received = receive(directory / "bundles")
    return [o["valueQuantity"]["value"] for o in received.with_code(LOINC, "99504-3")]


def stored(world: World) -> list[float]:
    (cgm,) = world.home.cgms
    return [float(record.glucose_mg_dl) for record in cgm.stored]


@pytest.mark.parametrize("seed", range(3))
def test_a_corrupt_database_is_set_aside_and_the_sensor_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    async def before() -> Path:
        async with open_world(home_of(CGM, hours=6), tmp_path) as world:
            await world.until_s(6 * HOUR_S)
            await world.until_settled()
            return world.config.database

    async def after() -> list[float]:
        # The same sensor, seen again: worn for six hours at midnight, its session begun as it was.
        async with open_world(home_of(CGM, seed=99), tmp_path) as world:
            assert world.gateway.store.quarantined is not None
            await world.until_s(HOUR_S)
            await world.until_settled()
            return stored(world)

    database = run(before())
    first = receive(tmp_path / "bundles").observations.keys()
    content = bytearray(database.read_bytes())
    for place in random.Random(seed).sample(range(len(content)), 50):
        content[place] ^= 0xFF
    database.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        values = run(after())
    (line,) = [r.getMessage() for r in caplog.records if "damaged" in r.getMessage()]
    set_aside = database.with_name("store.db.corrupt-1")
    assert str(set_aside) in line
    assert set_aside.read_bytes() == content
    # What went up before the damage goes up again under the ids it had: nothing is there twice.
    again = receive(tmp_path / "bundles").observations.keys()
    assert again == first
    assert readings(tmp_path)[: len(values)] == values


def test_no_identifier_stands_readable_in_the_database_or_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    patient, gateway, strap, cgm = "patient-x1y2z3", "gateway-x1y2z3", str(STRAP.address), str(CGM.address)
    planted = [patient, gateway, strap, cgm, strap.replace(":", ""), cgm.replace(":", "")]
    people, own = (Person(id="jo", pseudonym=patient),), {"gateway": {"id": gateway}}

    def found(content: bytes) -> list[str]:
        lower = content.lower()
        return [
            word
            for word in planted
            for encoding in ("utf-8", "utf-16-le")
            if word.lower().encode(encoding) in lower
        ]

    async def some_hours() -> list[bytes]:
        async with open_world(home_of(STRAP, CGM, people=people, gateway=own), tmp_path) as world:
            await world.until_s(0.9 * HOUR_S)
            files = sorted((tmp_path / "state").glob("store.db*"))
            assert {"store.db", "store.db-wal"} <= {file.name for file in files}
            contents = [file.read_bytes() for file in files]
            # The same content in the clear: what the search would find if nothing hid it.
            plain = "\n".join(str(row) for row in world.gateway.store.tables.sensors.all()).encode()
            assert set(found(plain)) == {strap, cgm, patient}
            await world.until_s(HOUR_S)
            await world.until_settled()
            return contents

    with caplog.at_level(logging.DEBUG, logger="edge"):
        contents = run(some_hours())
    contents += [file.read_bytes() for file in (tmp_path / "state").glob("store.db*")]
    assert sum(map(len, contents)) > 100_000
    assert [found(content) for content in contents] == [[]] * len(contents)
    log = "\n".join(record.getMessage() for record in caplog.records)
    assert not {strap, cgm, patient} & set(found(log.encode()))
    for bundle in (tmp_path / "bundles").glob("*.json"):
        assert not {strap, cgm} & set(found(bundle.read_bytes()))
