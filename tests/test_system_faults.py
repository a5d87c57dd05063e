"""What goes wrong in the field, each with one clear line and the documented behaviour; and what must not leak."""

import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fhir_directory import LOINC, receive

from hw_sim.clock import run
from tools.rig.scenario import CGM, STRAP, Person, home_of
from tools.rig.world import World, open_world

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


def test_an_unwritable_upstream_delays_and_loses_nothing(tmp_path: Path) -> None:
    async def outage() -> None:
        in_the_way = tmp_path / "bundles"
        in_the_way.write_text("a file where the directory should be")
        async with open_world(home_of(CGM, hours=3), tmp_path) as world:
            await world.until_s(2 * HOUR_S)
            (route,) = (await world.gateway.status()).deliveries
            assert route.trouble is not None
            assert str(in_the_way) in route.trouble
            assert route.batches == 0
            assert (route.pending or 0) + (route.inflight or 0) == len(stored(world)) > 20
            in_the_way.unlink()
            await world.until_s(3 * HOUR_S)
            await world.until_settled()
            (route,) = (await world.gateway.status()).deliveries
            assert route.trouble is None
            assert readings(tmp_path) == stored(world)

    run(outage())


def test_an_unwritable_upstream_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def outage() -> None:
        (tmp_path / "bundles").write_text("")
        async with open_world(home_of(CGM, hours=3), tmp_path) as world:
            await world.until_s(3 * HOUR_S)

    with caplog.at_level(logging.WARNING):
        run(outage())
    (line,) = [record for record in caplog.records if "upstream" in record.name]
    assert str(tmp_path / "bundles") in line.getMessage()


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


def test_garbage_from_a_sensor_is_counted_and_the_link_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(1)

    async def noisy() -> None:
        async with open_world(home_of(STRAP, hours=0.5), tmp_path) as world:
            await world.until_s(60.0)
            (strap,) = world.home.straps
            for _ in range(500):
                # Flags that announce a rate of two octets, and one: never a packet.
                strap.babble(b"\x11" + rng.randbytes(1))
            await world.until_s(0.5 * HOUR_S)
            await world.until_settled()
            (sensor,) = (await world.gateway.status()).sensors
            assert sensor.undecodable == 500
            assert (sensor.connects, sensor.losses, sensor.phase) == (1, 0, "streaming")
            first = world.gateway.store.tables.summaries.between("heart_5min", 0, 1 << 40)[0]
            assert first.body["coverage_pct"] > 98

    with caplog.at_level(logging.WARNING):
        run(noisy())
    lines = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert len(lines) == 3  # the 1st, the 10th, the 100th
    assert "Heart Rate Measurement" in lines[0]


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
