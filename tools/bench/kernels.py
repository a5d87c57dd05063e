"""What the three ways to run the kernels of `dsp` cost: memory, start, time.

    python -P -m tools.bench.kernels [--library FILE]

Each in a process of its own, with a warm cache of numba. Without a library beside dsp/ (`tools.build_kernels`), or
named, there are two ways. RSS is that of a process that has imported and called everything `dsp.warm` does.
"""

import argparse
import json
import os
import subprocess
import sys
import timeit
from pathlib import Path

CHILD = "VITALGATE_BENCH_CHILD"
BEST_OF = 30


def rss_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024.0


def child() -> dict[str, float]:
    """Figures of this process, in the mode it was started in."""
    begin = timeit.default_timer()
    import numpy as np

    numpy_ms, numpy_mb = 1000.0 * (timeit.default_timer() - begin), rss_mb()
    begin = timeit.default_timer()
    import dsp.compiled

    door_ms = 1000.0 * (timeit.default_timer() - begin)
    begin = timeit.default_timer()
    from dsp.cardiac import hrv, intervals, rhythm, variability
    from dsp.glucose import realtime
    from dsp.warm import warm

    warm()
    warm_ms, warm_mb = 1000.0 * (timeit.default_timer() - begin), rss_mb()
    rr_ms = 800.0 + 60.0 * np.sin(np.arange(4500) / 9.0) + np.random.default_rng(1).normal(0.0, 15.0, 4500)
    window, ones = rr_ms[:375].copy(), np.ones(375)
    t_s = np.cumsum(window) / 1000.0
    state, wearer = rhythm.new_state(), realtime.new_wearer()
    beats, minutes = iter(np.tile(rr_ms, 40)), iter(range(10**9))
    tasks = {
        "a beat, both tiers of AF": (lambda: rhythm.screen(state, np.array([next(beats)])), 200),
        "a glucose reading": (lambda: realtime.update(wearer, 5.0 * next(minutes), 110.0), 100),
        "heart_stats of 5 min": (lambda: hrv.heart_stats(window, ones), 10),
        "every measure of 5 min": (lambda: variability.variability(t_s, window, ones), 2),
        "5 min of beats judged": (lambda: intervals.judge_all(window, ones), 2),
    }
    times = {
        f"{name}, us": 1e6 * min(timeit.repeat(task, number=number, repeat=BEST_OF)) / number
        for name, (task, number) in tasks.items()
    }
    found = {"numpy alone, MB": numpy_mb, "numpy alone, ms": numpy_ms, "the door, ms": door_ms}
    assert os.environ["VITALGATE_KERNELS"] == dsp.mode.MODE
    return found | {"warm, MB": warm_mb, "warm, ms": warm_ms} | times


def measure(mode: str, library: Path | None) -> dict[str, float] | None:
    env = {**os.environ, "VITALGATE_KERNELS": mode, CHILD: "1"}
    env |= {"VITALGATE_KERNEL_LIBRARY": str(library.resolve())} if library else {}
    command = [sys.executable, "-P", "-m", __spec__.name if __spec__ else __name__]
    for _ in range(2):  # the first may fill numba's cache
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(f"{mode}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    if os.environ.get(CHILD):
        print(json.dumps(child()))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, help="another than the one beside dsp/")
    given = parser.parse_args()
    found = {mode: measure(mode, given.library) for mode in ("jit", "library", "plain")}
    columns = {mode: figures for mode, figures in found.items() if figures}
    print(f"{'':28}", *(f"{mode:>10}" for mode in columns))
    for name in next(iter(columns.values())):
        print(f"{name:28}", *(f"{figures[name]:10.1f}" for figures in columns.values()))


if __name__ == "__main__":
    main()
