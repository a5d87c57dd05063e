"""What the streams of a Polar H10 cost a gateway: ECG at 130 Hz, acceleration at 25 Hz, and its own intervals.

    python -P -m tools.bench.streams [SECONDS]

From the octets of a notification to what is known, without the radio; processor time, as a share of a core. The
way of the kernels is that of `dsp.mode`; `VITALGATE_KERNELS` forces one.
"""

import resource
import sys
from typing import Any, cast

import numpy as np

from dsp import warm
from dsp.arrays import as_f64
from dsp.mode import MODE
from edge.sensors.polar.insight import Insight
from edge.sensors.polar.motion import Motion
from hw_sim.physiology.heart import Heart
from hw_sim.sensors.polar_signals import BeatTimes, acceleration_mg, ecg_uv, still
from protocols import polar, polar_live
from protocols.polar import MeasurementType
from protocols.polar_time import Chain

S = 10**9
ECG_HZ, ECG_SAMPLES = 130.0, 73
ACC_HZ, ACC_SAMPLES = 25.0, 36
CHUNK_S = 60.0
TURNS = 5


def frames(seconds: float) -> tuple[list[tuple[bytes, int]], list[tuple[bytes, int]], BeatTimes]:
    """Payloads with their arrival, of ECG and of acceleration; and the beats."""
    beats = BeatTimes(Heart(1))
    ecg, acceleration = [], []
    for n in range(int(seconds * ECG_HZ / ECG_SAMPLES)):
        at_s = (ECG_SAMPLES * n + np.arange(ECG_SAMPLES)) / ECG_HZ
        content = b"".join(v.to_bytes(3, "little", signed=True) for v in ecg_uv(beats, at_s, 1).tolist())
        ecg.append(frame(MeasurementType.ECG, float(at_s[-1]), 0, content))
    for n in range(int(seconds * ACC_HZ / ACC_SAMPLES)):
        at_s = (ACC_SAMPLES * n + np.arange(ACC_SAMPLES)) / ACC_HZ
        content = acceleration_mg(still, at_s, 1).astype("<i2").tobytes()
        acceleration.append(frame(MeasurementType.ACCELERATION, float(at_s[-1]), 1, content))
    return ecg, acceleration, beats


def frame(measurement: int, last_s: float, frame_type: int, content: bytes) -> tuple[bytes, int]:
    at_ns = round(last_s * S)
    return bytes([measurement]) + at_ns.to_bytes(8, "little") + bytes([frame_type]) + content, at_ns


def cpu_s() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ecg_s(insight: Insight, payloads: list[tuple[bytes, int]], beats: BeatTimes) -> float:
    """CPU seconds for the ECG, with the judgement of a chunk of intervals a minute."""
    chain, due_s = Chain(ECG_HZ), CHUNK_S
    told = list(zip(beats.at_s[1:], (1000.0 * np.diff(beats.at_s)).tolist(), strict=True))
    begin = cpu_s()
    for payload, at_ns in payloads:
        read = polar.FRAME.decode(payload)
        samples = polar_live.samples(read)
        timed = chain.take(read.timestamp_ns, len(samples))
        insight.take_ecg(as_f64(samples[:, 0]), timed, at_ns)
        if at_ns >= due_s * S:
            insight.take_beats([one for one in told if due_s - CHUNK_S <= one[0] < due_s])
            due_s += CHUNK_S
    return cpu_s() - begin


def acceleration_s(insight: Insight, payloads: list[tuple[bytes, int]]) -> float:
    """CPU seconds for the acceleration."""
    chain, motion = Chain(ACC_HZ), Motion()
    begin = cpu_s()
    for payload, at_ns in payloads:
        read = polar.FRAME.decode(payload)
        samples = polar_live.scaled(read, 1.0)
        for deviation_mg in motion.take(samples, chain.take(read.timestamp_ns, len(samples))):
            insight.take_motion(deviation_mg, at_ns)
    return cpu_s() - begin


def main(seconds: float) -> None:
    warm.warm_gateway()
    ecg, acceleration, beats = frames(seconds)
    spent = []
    for _ in range(TURNS):
        insight = Insight(cast(Any, None))
        insight.begin_ecg(ECG_HZ)
        spent.append((ecg_s(insight, ecg, beats), acceleration_s(insight, acceleration)))
    shares = [100.0 * min(one) / seconds for one in zip(*spent, strict=True)]
    print(f"kernels: {MODE}; {seconds:g} s of streams, best of {TURNS}")
    for name, share in zip(("ECG 130 Hz, with its agreement", "acceleration 25 Hz"), shares, strict=True):
        print(f"  {name:<32}{share:8.4f} % of a core")
    print(f"  {'both':<32}{sum(shares):8.4f} % of a core")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0)
