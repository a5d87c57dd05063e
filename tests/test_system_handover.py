"""Sensors go from somebody who does not consent to one who does, and back: nothing goes up as of the wrong person."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from schedule_world import FILE, MIDNIGHT_UTC_S, SENSOR, STALE_S, Wearer, World, glucose_of, person_of

from edge.config import Config, parse
from hw_sim.clock import run
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import heart_rate
from protocols.crc import Crc

PEOPLE = ("anna", "ben")
PERSON = """
[[people]]
id = "{name}"
pseudonym = "p-{name}"
[people.consent]
heart_summaries = {consent}
glucose_summaries = {consent}
glucose_readings = {consent}
"""


@dataclass
class Body(Wearer):
    """Whoever wears the sensors at the moment: `who` is a place in PEOPLE."""

    who: int = 1

    def next_value(self) -> float:
        self.readings += 1
        return glucose_of(self.who, 0, self.readings)


class Household(World):
    """Two people, of whom only anna consents, and one set of sensors."""

    def config(self) -> Config:
        (body,) = self.wearers
        assert isinstance(body, Body)
        assert body.strap is not None
        text = FILE + "".join(
            PERSON.format(name=name, consent=str(name == "anna").lower()) for name in PEOPLE
        )
        for kind, sensor in {"cgm": body.cgm, "heart_rate": body.strap}.items():
            one = SENSOR.format(name="x", kind=kind, address=sensor.address, stale_s=STALE_S[kind])
            text += one.replace('person = "x"', f'person = "{PEOPLE[body.who]}"')
        return parse(text.encode(), self.directory / "gateway.toml")

    def _on_live(self, wearer: Wearer, record: Any) -> None:
        """Only what goes up is looked at here."""


def glucose_sent(directory: Path) -> dict[str, list[float]]:
    """The readings that have gone up, by whose they are said to be."""
    found: dict[str, list[float]] = {}
    for path in sorted((directory / "bundles").glob("*.json")):
        for entry in json.loads(path.read_text())["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "Observation" and "valueQuantity" in resource:
                person = resource["subject"]["reference"].split("/")[-1]
                found.setdefault(person, []).append(resource["valueQuantity"]["value"])
    return found


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("is_killed", [False, True])
def test_nothing_of_a_person_who_does_not_consent_goes_up_as_anothers(
    tmp_path: Path, is_killed: bool
) -> None:
    async def scenario() -> None:
        world = Household(tmp_path, Random(1), zero_utc_s=MIDNIGHT_UTC_S, stack=DirectStack())
        cgm = WaywardCgm("F0:00:00:00:00:02", began_s=-60.0, crc=Crc.MCRF4XX)
        body = Body(0, cgm, DirectStrap("F0:00:00:00:00:03"))
        world.wear(body, 10.0)
        world.beat(body, 12 * 3600.0)
        world.machine.start()
        packets: list[tuple[int, int]] = []
        for hours in (3, 1.51, 2, 1):
            await asyncio.sleep(hours * 3600)
            await (world.machine.kill() if is_killed else world.machine.stop())
            await asyncio.sleep(1200)  # nobody hears what is recorded now
            body.who = 1 - body.who
            packets.append((body.packets, body.who))
            world.machine.start()
        await asyncio.sleep(3600)
        tables = world.gateway.store.tables if world.gateway else None
        assert tables is not None
        people = {row.no: row.person for row in tables.sensors.all()}
        strap_rows = [row for row in tables.sensors.all() if row.kind == "heart_rate"]
        assert [row.person for row in strap_rows] == ["p-ben", "p-anna"]
        for row in strap_rows:
            chunks = tables.raw_chunks.between(row.no, 1, 0, 1 << 62)
            counts = [heart_rate.decode(p.payload).energy_kj for chunk in chunks for p in chunk.packets]
            assert len(counts) > 1000
            for count in counts:
                assert count is not None
                worn_by = [1, *(who for until, who in packets if count > until)][-1]
                assert people[row.no] == f"p-{PEOPLE[worn_by]}"
        sent = glucose_sent(tmp_path)
        assert sent.keys() == {"p-anna"}
        assert {person_of(value) for value in sent["p-anna"]} == {0}
        # All that anna's sensor measured while it was heard goes up, but what came right at the change.
        assert len(sent["p-anna"]) >= 12 * 2
        await world.machine.stop()

    run(scenario())
