"""One other library on one task, timed: runs in the environment of the libraries, not in ours.

python cardiac_peers.py TASK PEER DATA.npy RATE_HZ
"""

import json
import sys
import timeit
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Task = Callable[[Any, float], Any]


def neurokit2_window(rr: Any, _: float) -> Any:
    import neurokit2 as nk

    peaks = np.cumsum(np.concatenate([[0.0], rr])).astype(int)
    sd = np.std(rr, ddof=1)
    return (
        nk.hrv_time(peaks, sampling_rate=1000),
        nk.hrv_frequency(peaks, sampling_rate=1000),
        nk.entropy_sample(rr, dimension=2, tolerance=0.2 * sd),
        nk.fractal_dfa(rr, scale=np.arange(4, 17), overlap=False),
        nk.fractal_dfa(rr, scale=np.arange(16, 65), overlap=False),
    )


def hrvanalysis_window(rr: Any, _: float) -> Any:
    import hrvanalysis as h

    x = list(rr)
    return (
        h.get_time_domain_features(x),
        h.get_frequency_domain_features(x),
        h.get_poincare_plot_features(x),
        h.get_sampen(x),
    )


def pyhrv_window(rr: Any, _: float) -> Any:
    import pyhrv.frequency_domain as fd
    import pyhrv.nonlinear as nl
    import pyhrv.time_domain as td

    return (
        td.sdnn(nni=rr),
        td.rmssd(nni=rr),
        td.nn50(nni=rr),
        fd.welch_psd(nni=rr, show=False, mode="dev"),
        nl.sample_entropy(nni=rr),
    )


def heartpy_window(rr: Any, _: float) -> Any:
    from heartpy.analysis import calc_fd_measures, calc_ts_measures

    working = {"RR_list_cor": rr, "rr_diff": np.abs(np.diff(rr)), "rr_sqdiff": np.diff(rr) ** 2}
    working, measures = calc_ts_measures(rr, working["rr_diff"], working["rr_sqdiff"], {}, working)
    return calc_fd_measures("welch", measures=measures, working_data=working)


def systole_window(rr: Any, _: float) -> Any:
    from systole.hrv import frequency_domain, nonlinear_domain, time_domain

    return tuple(f(rr, input_type="rr_ms") for f in (time_domain, frequency_domain, nonlinear_domain))


def biosppy_window(rr: Any, _: float) -> Any:
    from biosppy.signals import hrv

    return hrv.hrv(rri=rr, parameters="all", outliers=None, detrend_rri=False, show=False)


def neurokit2_ecg(ecg: Any, rate_hz: float) -> Any:
    import neurokit2 as nk

    return nk.ecg_peaks(nk.ecg_clean(ecg, sampling_rate=rate_hz), sampling_rate=rate_hz)


def biosppy_ecg(ecg: Any, rate_hz: float) -> Any:
    from biosppy.signals import ecg as signal

    return signal.hamilton_segmenter(ecg, sampling_rate=rate_hz)


def wfdb_ecg(ecg: Any, rate_hz: float) -> Any:
    from wfdb import processing

    return processing.gqrs_detect(sig=ecg, fs=rate_hz)


def heartpy_ecg(ecg: Any, rate_hz: float) -> Any:
    import heartpy

    return heartpy.process(ecg, rate_hz)


TASKS: dict[tuple[str, str], tuple[Task, str]] = {
    ("window", "neurokit2"): (neurokit2_window, "time, Welch, SampEn, DFA a1, a2"),
    ("window", "hrvanalysis"): (hrvanalysis_window, "time, Welch, Poincaré, SampEn"),
    ("window", "pyhrv"): (pyhrv_window, "SDNN, RMSSD, NN50, Welch, SampEn"),
    ("window", "heartpy"): (heartpy_window, "time, Welch"),
    ("window", "systole"): (systole_window, "time, Welch, Poincaré"),
    ("window", "biosppy"): (biosppy_window, "all"),
    ("ecg", "neurokit2"): (neurokit2_ecg, "clean, peaks"),
    ("ecg", "biosppy"): (biosppy_ecg, "Hamilton"),
    ("ecg", "wfdb"): (wfdb_ecg, "gqrs"),
    ("ecg", "heartpy"): (heartpy_ecg, "process"),
}


def main() -> None:
    warnings.simplefilter("ignore")
    task, peer, file, rate_hz = sys.argv[1:]
    function, what = TASKS[task, peer]
    data = np.load(file)
    once_s = min(timeit.repeat(lambda: function(data, float(rate_hz)), number=1, repeat=2))
    times = timeit.repeat(
        lambda: function(data, float(rate_hz)), number=1, repeat=max(3, round(1.0 / once_s))
    )
    print(json.dumps({"ms": 1e3 * min(times), "what": what}))


if __name__ == "__main__":
    main()
