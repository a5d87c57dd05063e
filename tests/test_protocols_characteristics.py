"""The published packets of the characteristics that have no test file of their own, in both directions."""

import pytest
from protocol_vectors import accepted, encoded, medfloat, name, octets, rejected

from protocols import (
    blood_pressure,
    body_composition,
    current_time,
    date_time,
    glucose_meter,
    heart_rate,
    pulse_oximeter,
    thermometer,
    weight_scale,
)
from protocols.blood_pressure import BloodPressureMeasurement
from protocols.body_composition import BodyComposition
from protocols.current_time import CurrentTime
from protocols.date_time import DateTime
from protocols.device_information import PNP_ID, SYSTEM_ID, PnpId, SystemId
from protocols.errors import DecodeError
from protocols.glucose_meter import (
    Carbohydrate,
    Exercise,
    GlucoseContext,
    GlucoseMeasurement,
    Medication,
    Sample,
)
from protocols.medfloat import Special
from protocols.pulse_oximeter import Continuous, Features, Oximetry, SpotCheck
from protocols.thermometer import TemperatureMeasurement
from protocols.weight_scale import BmiAndHeight, WeightMeasurement


def time_of(text):
    if text is None:
        return None
    date, clock = text.split("T")
    return DateTime(*map(int, date.split("-")), *map(int, clock.split(":")))


def glucose(e):
    has_sample = e["conc"] is not None
    return GlucoseMeasurement(
        e["seq"],
        time_of(e["base"]),
        e["offset"],
        Sample(medfloat(e["conc"]), e["type"], e["location"]) if has_sample else None,
        {"kg/L": 0, "mol/L": 1}[e["unit"]],
        e["status"],
        e["context"],
    )


def context(e):
    if len(e) == 2:  # nothing but a sequence number, and octets left over
        return GlucoseContext(e["seq"])
    return GlucoseContext(
        e["seq"],
        e["ext"],
        Carbohydrate(e["carb"], e["carb_kg"]),
        e["meal"],
        glucose_meter.TesterAndHealth(e["tester"], e["health"]),
        Exercise(e["ex_s"], e["ex_pct"]),
        Medication(e["med"], e["med_amt"]),
        {"kg": 0, "L": 1}[e["med_unit"]],
        e["hba1c"],
    )


def temperature(e):
    return TemperatureMeasurement(
        medfloat(e["temp"]), {"C": 0, "F": 1}[e["unit"]], time_of(e["time"]), e["type"]
    )


def pressure(e):
    unit = {"mmHg": 0, "kPa": 1}[e["unit"]]
    return BloodPressureMeasurement(
        e["sys"], e["dia"], e["map"], unit, time_of(e["time"]), e["pulse"], e["user"], e["status"]
    )


def spot_check(e):
    both = Oximetry(e["spo2"], e["pr"])
    return SpotCheck(both, time_of(e["time"]), e["mstatus"], e["dstatus"], e["pai"], e["clock_not_set"])


def continuous(e):
    fast, slow = (Oximetry(*e[name]) if name in e else None for name in ("fast", "slow"))
    return Continuous(
        Oximetry(e["spo2"], e["pr"]), fast, slow, e.get("mstatus"), e.get("dstatus"), e.get("pai")
    )


def now(e):
    return CurrentTime(time_of(e["time"]), e["dow"], e["frac256"], e["reason"])


def weight(e):
    counts = round(e["weight"] * {"kg": 200, "lb": 100}[e["unit"]])
    per_height = {"kg": 1000, "lb": 10}[e["unit"]]
    both = BmiAndHeight(round(e["bmi"] * 10), round(e["height"] * per_height)) if "bmi" in e else None
    return WeightMeasurement(counts, {"kg": 0, "lb": 1}[e["unit"]], time_of(e["time"]), e.get("user"), both)


def composition(e):
    def counts(field, per_unit):
        return round(e[field] * per_unit) if field in e else None

    return BodyComposition(
        counts("fat_pct", 10),
        {"kg": 0, "lb": 1}[e.get("unit", "kg")],
        time_of(e.get("time")),
        e.get("user"),
        e.get("basal_kj"),
        counts("muscle_pct", 10),
        fat_free_mass_counts=counts("fat_free_kg", 200),
        soft_lean_mass_counts=counts("soft_lean_kg", 200),
        body_water_mass_counts=counts("body_water_kg", 200),
        impedance_tenths=counts("impedance_ohm", 10),
        weight_counts=counts("weight_kg", 200),
        height_counts=counts("height_m", 1000),
    )


def composition_features(e):
    word = e["features"]
    mass, height = word >> 11 & 15, word >> 15 & 7
    assert (mass, height) == (e.get("mass_resolution", mass), e.get("height_resolution", height))
    return body_composition.Features(word & 0x7FF, mass, height)


def features(e):
    # Two of the author's bits announce what comes after them.
    announced = ("mstatus" in e) | ("dstatus" in e) << 1
    return Features(e["features"] & ~announced, e.get("mstatus"), e.get("dstatus"))


def pnp_id(e):
    return PnpId(e["source"], e["vendor"], e["product"], e["version"])


TABLE = {
    "2A08": ("current_time", date_time.DATE_TIME_VALUE, lambda e: time_of(e["time"])),
    "2A1D": ("thermometer", thermometer.TYPE, lambda e: e["type"]),
    "2A23": ("device_information", SYSTEM_ID, lambda e: SystemId(e["manufacturer"], e["oui"])),
    "2A36": ("blood_pressure", blood_pressure.MEASUREMENT, pressure),
    "2A39": ("heart_rate", heart_rate.CONTROL_POINT, lambda e: e["control"]),
    "2A49": ("blood_pressure", blood_pressure.FEATURE, lambda e: e["features"]),
    "2A9B": ("body_composition", body_composition.FEATURES, composition_features),
    "2A9C": ("body_composition", body_composition.MEASUREMENT, composition),
    "2A9D": ("weight_scale", weight_scale.MEASUREMENT, weight),
    "2A60": ("pulse_oximeter", pulse_oximeter.FEATURES, features),
    "2A50": ("device_information", PNP_ID, pnp_id),
    "2A18": ("glucose_meter", glucose_meter.MEASUREMENT, glucose),
    "2A34": ("glucose_meter", glucose_meter.CONTEXT, context),
    "2A51": ("glucose_meter", glucose_meter.FEATURE, lambda e: e["features"]),
    "2A1C": ("thermometer", thermometer.MEASUREMENT, temperature),
    "2A35": ("blood_pressure", blood_pressure.MEASUREMENT, pressure),
    "2A5E": ("pulse_oximeter", pulse_oximeter.SPOT_CHECK, spot_check),
    "2A5F": ("pulse_oximeter", pulse_oximeter.CONTINUOUS, continuous),
    "2A2B": ("current_time", current_time.CURRENT_TIME, now),
}
ACCEPTED = [row for number, (file, _, _) in TABLE.items() for row in accepted(file, number)]
REJECTED = [row for number, (file, _, _) in TABLE.items() for row in rejected(file, number)]


@pytest.mark.parametrize("row", ACCEPTED, ids=name)
def test_decodes_and_encodes_the_published_packets(row):
    _, codec, reading_of = TABLE[row["characteristic"]]
    reading = reading_of(row["expected"])
    if row["args"].get("lenient"):
        value, oddities = codec.decode_lenient(octets(row))
        assert value == reading
        assert len(oddities) == 1
        with pytest.raises(DecodeError):
            codec.decode(octets(row))
    else:
        assert codec.decode(octets(row)) == reading
        value, oddities = codec.decode_lenient(octets(row))
        noted = [oddity.complaint for oddity in oddities]
        assert (value, noted) == (reading, [row["odd"]] if "odd" in row else [])
    assert codec.encode(reading) == encoded(row)


@pytest.mark.parametrize("row", REJECTED, ids=name)
def test_refuses_the_published_malformed_packets(row):
    with pytest.raises(DecodeError):
        TABLE[row["characteristic"]][1].decode(octets(row))


# By hand from the specifications' tables, where nobody has published a packet.
NOON = DateTime(2024, 3, 15, 14, 30, 45)
NOON_HEX = "e807 03 0f 0e 1e 2d"


@pytest.mark.parametrize(
    ("codec", "payload", "reading"),
    [
        (weight_scale.MEASUREMENT, "00 d03e", WeightMeasurement(16080)),
        (
            weight_scale.MEASUREMENT,
            f"0f 1027 {NOON_HEX} 02 fa00 b902",
            WeightMeasurement(10000, 1, NOON, 2, BmiAndHeight(250, 697)),
        ),
        (body_composition.FEATURES, "ffbf0180", body_composition.Features(0x800007FF, 7, 3)),
        (body_composition.MEASUREMENT, f"0600 ffff {NOON_HEX} ff", BodyComposition(0xFFFF, 0, NOON, 255)),
        (
            body_composition.MEASUREMENT,
            f"ff0f c200 {NOON_HEX} 02 df1a 9701 1027 e02e cc2f ca21 a811 d03e d606",
            BodyComposition(194, 1, NOON, 2, 6879, 407, 10000, 12000, 12236, 8650, 4520, 16080, 1750),
        ),
        (pulse_oximeter.FEATURES, "5400", Features(0x54)),
        (pulse_oximeter.FEATURES, "0300 2000 010000", Features(0, 0x20, 1)),
        (
            pulse_oximeter.CONTINUOUS,
            "1f 6200 4800 6100 4700 6300 4600 2000 080000 05f0",
            Continuous(Oximetry(98, 72), Oximetry(97, 71), Oximetry(99, 70), 0x20, 8, 0.5),
        ),
        (pulse_oximeter.SPOT_CHECK, "10 6200 4800", SpotCheck(Oximetry(98, 72), clock_not_set=True)),
        (
            blood_pressure.MEASUREMENT,
            "01 1000 ff07 ff07",
            BloodPressureMeasurement(16.0, Special.NAN, Special.NAN, 1),
        ),
        (blood_pressure.FEATURE, "2500", 0x25),
        (thermometer.MEASUREMENT, "01 da0300ff", TemperatureMeasurement(98.6, 1)),
        (thermometer.TYPE, "09", 9),
        (SYSTEM_ID, "563412feff ab9078", SystemId(0xFFFE123456, 0x7890AB)),
        (PNP_ID, "01 6b00 1200 0301", PnpId(1, 0x6B, 0x12, 0x0103)),
    ],
)
def test_packets_by_hand(codec, payload, reading):
    assert codec.decode(bytes.fromhex(payload)) == reading
    assert codec.encode(reading) == bytes.fromhex(payload)


def test_concentrations_and_masses_in_the_clinics_units():
    meter = accepted("glucose_meter", "2A18")
    in_kg_l = next(row for row in meter if row["hex"].endswith("78b0f1"))
    assert glucose_meter.MEASUREMENT.decode(octets(in_kg_l)).glucose_mg_dl == pytest.approx(120)
    in_mol_l = next(row for row in meter if row["hex"].endswith("50c0f1"))
    assert glucose_meter.MEASUREMENT.decode(octets(in_mol_l)).glucose_mg_dl == pytest.approx(8 * 18.02)
    special = GlucoseMeasurement(1, NOON, sample=Sample(Special.POSITIVE_INFINITY, 1, 1))
    assert special.glucose_mg_dl is Special.POSITIVE_INFINITY
    assert GlucoseMeasurement(1, NOON).glucose_mg_dl is None
    assert WeightMeasurement(16080).weight_kg == 80.4
    assert WeightMeasurement(10000, 1, bmi_and_height=BmiAndHeight(250, 697)).weight_kg == pytest.approx(
        45.359237
    )
    assert WeightMeasurement(10000, 1, bmi_and_height=BmiAndHeight(250, 697)).height_m == pytest.approx(
        1.77038
    )
    assert WeightMeasurement(weight_scale.UNSUCCESSFUL).weight_kg is None
