"""Which optional fields and flags nobody has published a packet for; the list is kept honest both ways.

A field counts as seen when a foreign packet carries it, a plain flag when foreign packets have it both set and clear.
"""

import numpy as np
import pytest
from protocol_codecs import CODECS
from protocol_vectors import all_rows, octets

from protocols.columnar import Kernel, flatten
from protocols.program import Kind, leaves
from tools.decode.packets import DECODERS

CHARACTERISTICS = {
    "heart_rate.MEASUREMENT": "2A37",
    "cgm.MEASUREMENT[0][0]": "2AA7",
    "cgm.MEASUREMENT[0][1]": "2AA7",
    "cgm.MEASUREMENT[0][2]": "2AA7",
    "cgm.SESSION_START_TIME[0]": "2AAA",
    "cgm.SESSION_START_TIME[1]": "2AAA",
    "cgm_control.RESPONSE[0]": "2AAC",
    "cgm_control.RESPONSE[1]": "2AAC",
    "racp.RESPONSE": "2A52",
    "glucose_meter.MEASUREMENT": "2A18",
    "glucose_meter.CONTEXT": "2A34",
    "pulse_oximeter.SPOT_CHECK": "2A5E",
    "pulse_oximeter.CONTINUOUS": "2A5F",
    "pulse_oximeter.FEATURES": "2A60",
    "thermometer.MEASUREMENT": "2A1C",
    "blood_pressure.MEASUREMENT": "2A35",
    "body_composition.MEASUREMENT": "2A9C",
    "weight_scale.MEASUREMENT": "2A9D",
    "polar.FRAME": "PMD-DATA",
    "polar.REQUEST": "PMD-CP",
}
WITHOUT_FOREIGN_PACKET = {
    "2A52": {"combined_report_response"},
    "2A5E": {"clock_not_set"},
    "2A9C": {"muscle_mass_counts", "multiple_packets"},
    "PMD-CP": {"offline"},
}
DEVICE_STRINGS = {"2A24", "2A25", "2A27", "2A28"}  # as 2A26 and 2A29


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    monkeypatch.setattr(Kernel, "compiled", property(lambda kernel: kernel.function))


def optional_and_seen():
    """For each characteristic, its optional fields and flags, and those of them that foreign packets show."""
    optional, seen = {}, {}
    for label, number in CHARACTERISTICS.items():
        codec = CODECS[label]
        packets = [octets(row) for row in all_rows() if row["characteristic"] == number]
        with np.errstate(over="ignore"):
            columns = codec.columns(*flatten(packets))
        for leaf in leaves(codec.program.shape):
            name = leaf.path.split(".")[0]
            if leaf.present:
                optional.setdefault(number, set()).add(name)
                shown = columns.present[leaf.path].any()
            elif leaf.kind is Kind.BOOLEAN:
                optional.setdefault(number, set()).add(name)
                shown = len(set(columns.values[leaf.path].tolist())) == 2
            else:
                continue
            if shown:
                seen.setdefault(number, set()).add(name)
    return optional, seen


def test_the_list_of_gaps_is_complete_and_not_a_line_too_long():
    optional, seen = optional_and_seen()
    gaps = {number: fields - seen.get(number, set()) for number, fields in optional.items()}
    assert {number: missing for number, missing in gaps.items() if missing} == WITHOUT_FOREIGN_PACKET


def test_the_characteristics_without_any_foreign_packet():
    have = {row["characteristic"] for row in all_rows()}
    ours = {number for number in DECODERS if number not in DEVICE_STRINGS}
    assert ours - have == {
        "2A1E",  # as 2A1C
        "2A2A",  # opaque
        # Of health sensors nobody has published a packet.
        *("2B8B", "2BDD", "2BF1", "2BF3", "2BF4", "DATETIME"),
    }
