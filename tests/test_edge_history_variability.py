"""What a summary of five minutes says of rhythm and variability is what `analyse rr` says of the same five minutes."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from cardiac_records import column, sinus_ms
from history_parts import GRACE_S, Box, play
from rhythm_parts import Sent, beats_of, in_af, sent, taken

from dsp.arrays import as_f64
from edge.anchors import Span
from edge.history.heart_packets import judge
from edge.history.heart_window import AFTER_S, KEPT, Window, context_ns
from edge.now.rhythm_state import Axis, Taken
from edge.store.raw_chunks import Columns, Packet, columns, pack
from protocols import heart_rate
from protocols.heart_rate import RrUnit
from tools.analyse import rr as analyse_rr

S = 10**9
ALSO = ("normal_pct", "af_pct")


def stored(packets: list[Taken]) -> Columns:
    """As the store gives them back."""
    rows = []
    for n in range(0, len(packets), 60):
        part = [Packet(heart_rate.encode(r), arrival, beat) for arrival, beat, r in packets[n : n + 60]]
        rows.append((part[0].arrival_boot_ns, len(part), pack(part)))
    return columns(rows)


def summarised(packets: Columns, start_s: float) -> dict[str, Any]:
    window, span = Window(), Span(1, round(start_s * S), round((start_s + 300) * S))
    window.add(judge(packets, RrUnit.TICKS, *context_ns(span)), span)
    return dict(window.intervals_body(300))


def analysed(packets: list[Taken]) -> list[dict[str, Any]]:
    whole = analyse_rr.analyse(beats_of(packets, Axis(1, 0, 0.0)))
    return analyse_rr.document(whole, 300.0, None)["windows"]


def check(said: dict[str, Any], expected: dict[str, Any]) -> None:
    of_breathing = expected["respiration"]
    pairs = {name: expected[name] for name in (*KEPT, *ALSO)} | {
        "breathing_bpm": of_breathing["rate_bpm"],
        "breathing_confidence": of_breathing["confidence"],
    }
    for name, value in pairs.items():
        assert said[name] == (None if value is None else pytest.approx(value, rel=1e-6)), name


RECORDINGS = {
    "atrial fibrillation that comes and goes": ("afdb_08219_rr.csv.gz", 118),
    "ventricular ectopy": ("mitdb_119_rr.csv.gz", 4),
    "ectopy, bigeminy": ("mitdb_106_rr.csv.gz", 4),
    "ectopy amid lively sinus rhythm": ("mitdb_228_rr.csv.gz", 4),
}


@pytest.mark.parametrize(("file", "least"), RECORDINGS.values(), ids=RECORDINGS)
def test_every_window_of_a_recording_says_what_the_analysis_of_the_whole_says(file: str, least: int) -> None:
    packets = taken(list(sent(column(file, "rr_ms"))))
    kept, expected = stored(packets), analysed(packets)
    seen = 0
    for window in expected:
        start_s = window["start_s"]
        if start_s + 300 + AFTER_S > packets[-1][0] / S:
            break  # the record ends too soon to judge its last beats
        check(summarised(kept, start_s), window)
        seen += 1
    assert seen >= least
    assert {round(window["normal_pct"]) for window in expected} != {100}


def test_lost_notifications_are_lost_to_both() -> None:
    lost = frozenset(itertools.chain(range(400, 3000, 97), range(1500, 1545)))
    packets = taken(list(sent(as_f64([*sinus_ms(2, 2000), *in_af(2000)]), lost=lost)))
    kept, expected = stored(packets), analysed(packets)
    for window in expected[:-1]:
        check(summarised(kept, window["start_s"]), window)
    assert 0.0 < expected[6]["af_pct"] <= 100.0


def test_the_gateways_summaries_are_closed_when_all_that_judges_their_beats_is_there(tmp_path: Path) -> None:
    """The last beats of a window lie in atrial fibrillation, which shows only afterwards."""
    packets = list(sent(as_f64([*sinus_ms(3, 310), *in_af(700)])))
    expected = analysed(taken(packets))

    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        feed(box, packets, 0, 300 + GRACE_S)
        [first] = await box.at(300 + GRACE_S)
        feed(box, packets, 300 + GRACE_S, 700)
        again, _ = await box.at(600 + GRACE_S)
        assert (again.rev, again.body) == (1, first.body)
        check(first.body, expected[0])
        assert 5.0 < first.body["af_pct"] < 20.0

    play(scenario)


def feed(box: Box, packets: list[Sent], from_s: float, to_s: float) -> None:
    """Store what comes in [from, to)."""
    part = [
        Packet(heart_rate.encode(reading), arrival, beat)
        for arrival, beat, reading in taken(packets)
        if from_s * S <= arrival < to_s * S
    ]
    for n in range(0, len(part), 60):
        box.packets(*part[n : n + 60])
