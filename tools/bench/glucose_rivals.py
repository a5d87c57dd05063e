"""Times other people's CGM packages on one CSV. Runs under an interpreter of its own, see `glucose`.

    python glucose_rivals.py PACKAGE FILE.csv

Prints one JSON object: seconds, the best of runs over at least ten, and how many functions ran.
"""

import contextlib
import importlib
import json
import logging
import sys
import warnings
from timeit import default_timer
from typing import Any

# fmt: off
IGLU = (
    "active_percent", "adrr", "above_percent", "below_percent", "cogi", "conga", "cv_glu", "cv_measures", "ea1c",
    "episode_calculation", "gmi", "grade", "grade_eugly", "grade_hyper", "grade_hypo", "gri", "gvp", "hbgi",
    "hyper_index", "hypo_index", "igc", "in_range_percent", "iqr_glu", "j_index", "lbgi", "m_value", "mad_glu", "mag",
    "mage", "mean_glu", "median_glu", "modd", "pgs", "quantile_glu", "range_glu", "sd_glu", "sd_measures", "sd_roc",
    "auc",
)
CGMQUANTIFY = (
    "ADRR", "CONGA24", "GMI", "HBGI", "J_index", "LBGI", "LBGI_HBGI", "MAGE", "MAGN", "MODD", "POR", "TIR", "TOR",
    "eA1c", "interdaycv", "interdaysd", "intradaycv", "intradaysd", "summary",
)
# fmt: on
ENOUGH_S = 10.0


def iglu(data: Any) -> int:
    package = importlib.import_module("iglu_python")
    frame = data.rename(columns={"glucose_mg_dl": "gl"}).assign(id="1")
    for name in IGLU:
        getattr(package, name)(frame)
    return len(IGLU)


def agata(data: Any) -> int:
    package = importlib.import_module("py_agata.py_agata")
    frame = data.rename(columns={"time": "t", "glucose_mg_dl": "glucose"})
    package.Agata().analyze_glucose_profile(frame)
    return 1


def cgmquantify(data: Any) -> int:
    package = importlib.import_module("cgmquantify")
    frame = data.rename(columns={"time": "Time", "glucose_mg_dl": "Glucose"})
    frame["Day"] = frame["Time"].dt.date
    ran = 0
    for name in CGMQUANTIFY:
        with contextlib.suppress(TypeError, NameError):  # some never run, some not on a current pandas
            getattr(package, name)(frame)
            ran += 1
    return ran


def main(name: str, file: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    pandas = importlib.import_module("pandas")
    data = pandas.read_csv(file, parse_dates=["time"])
    run = {"iglu-python": iglu, "py-agata": agata, "cgmquantify": cgmquantify}[name]
    run(data.iloc[: 288 * 2].copy())  # imports, and whatever it sets up once
    functions = 0
    seconds: list[float] = []
    while sum(seconds) < ENOUGH_S:
        start = default_timer()
        functions = run(data.copy())
        seconds.append(default_timer() - start)
    print(json.dumps({"seconds": min(seconds), "functions": functions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
