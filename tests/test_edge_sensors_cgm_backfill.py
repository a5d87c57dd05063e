"""A CGM that was worn for two weeks before the gateway meets it: all its records within five minutes of link time.

How long that takes is the sensor's doing: one to four notifications in each connection event of 30 to 50 ms, without
slave latency, mostly of one record; with the least ATT_MTU, 23, a notification has room for two with a checksum. The
gateway may add little to that (`OVERHEAD`), and what is measured meanwhile has to be known as if nothing went on. A
commit of the store takes 100 ms.
"""

import random

import pytest
from cgm_home import CgmHome, Direct
from radio_parts import now_s

from hw_sim.clock import run

DAY_S = 86_400.0
LINK_S = 300.0
OVERHEAD, SETTLING_S = 0.06, 5.0
KNOWN_S = 2.0
# A sensor that holds a reading back until a report is over holds it back for a portion.
HELD_BACK_S = 20.0
# A sensor that measures every five minutes does so once before everything is here.
NEXT_S = 60.0


def filled(world: Direct) -> tuple[float, float, float]:
    """How long the link stood until everything was stored, and the longest that a live reading took.

    That is twice: from being measured to being sent, and from being sent to being known.
    """
    sent: list[tuple[float, int]] = []

    async def main() -> tuple[float, float, float]:
        home = CgmHome(world, random.Random(1))
        home.gateway.store.delay_s = 0.1
        await home.start()
        world.sensor.on_live = lambda record: sent.append((now_s(), record.time_offset_min))
        wanted = home.stored()
        await home.until(lambda: home.session.state.connects > 0)
        link_s = await home.until(lambda: not home.missing(wanted), look_s=1.0)
        assert home.session.state.losses == 0
        known_s = {
            round((world.age_s + fact.taken_boot_ns / 1e9) / 60): at_s
            for at_s, fact in home.gateway.facts.noted
        }
        await home.stop()
        held_back_s = [at_s - (60.0 * offset - world.age_s) for at_s, offset in sent]
        unknown_s = [known_s[offset] - at_s for at_s, offset in sent]
        return link_s, max(held_back_s), max(unknown_s)

    return run(main())


def check(world: Direct) -> None:
    link_s, held_back_s, known_s = filled(world)
    records = round(world.age_s / 60.0 / world.interval_min)
    air_s = records * world.event_s / world.packets_in_event / world.records_in_packet
    print(f"{records} records, {world}: {link_s:.0f} s, of them {air_s:.0f} s on the air")
    print(
        f"a live reading was held back for {held_back_s:.1f} s, and known {known_s:.1f} s after it was sent"
    )
    assert link_s <= air_s * (1 + OVERHEAD) + SETTLING_S
    if air_s < LINK_S - SETTLING_S - OVERHEAD * LINK_S:
        assert link_s <= LINK_S
    assert known_s <= KNOWN_S
    assert held_back_s <= HELD_BACK_S


@pytest.mark.parametrize("interleaves", [False, True])
def test_two_days_come_at_the_pace_of_the_sensor_while_live_values_flow(interleaves: bool) -> None:
    check(Direct(1, 2 * DAY_S, event_s=0.05, packets_in_event=2, interleaves=interleaves))


# Every five minutes: 4,032 records. One in an event of 50 ms takes 202 s.
@pytest.mark.soak
@pytest.mark.parametrize(("event_s", "packets"), [(0.03, 1), (0.05, 1), (0.04, 2)])
def test_two_weeks_of_readings_every_five_minutes(event_s: float, packets: int) -> None:
    check(Direct(5, 14 * DAY_S, event_s=event_s, packets_in_event=packets, next_s=NEXT_S))


# Every minute: 20,160 records. One in an event of 30 ms takes ten minutes, whatever the gateway does.
@pytest.mark.soak
@pytest.mark.parametrize(
    ("event_s", "packets", "records"),
    [(0.03, 1, 1), (0.05, 4, 1), (0.03, 3, 1), (0.03, 1, 3), (0.05, 1, 4), (0.05, 2, 2)],
)
@pytest.mark.parametrize("interleaves", [False, True])
def test_two_weeks_of_readings_every_minute(
    event_s: float, packets: int, records: int, interleaves: bool
) -> None:
    check(
        Direct(
            1,
            14 * DAY_S,
            event_s=event_s,
            packets_in_event=packets,
            records_in_packet=records,
            interleaves=interleaves,
        )
    )
