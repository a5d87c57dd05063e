"""What holds for every kernel: one signature, whatever array comes in, and that it is annotated with."""

import importlib
import pkgutil

import numpy as np
import pytest

import dsp
from dsp.arrays import as_f64
from dsp.cardiac.complexity import dfa_fluctuation
from dsp.cardiac.hrv import heart_stats
from dsp.compiled import KERNELS
from dsp.glucose.ranges import glucose_stats
from dsp.mode import MODE
from dsp.warm import warm

MODULES = [importlib.import_module(found.name) for found in pkgutil.walk_packages(dsp.__path__, "dsp.")]
NOT_WARMED = {
    "dsp.cardiac.complexity.dfa_fluctuation",
    "dsp.glucose.forecast.feature_rows",
}  # for tests, for training


def test_the_door_for_arrays_makes_all_of_them_fit() -> None:
    odd = [
        [1, 2, 3],
        np.arange(6.0)[::2],
        np.frombuffer(np.ones(3).tobytes()),
        np.ones(3, dtype=np.float32),
        (800.0 for _ in range(3)),
    ]
    for values in odd:
        array = as_f64(list(values))
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype == np.float64
        heart_stats(array, array)
        glucose_stats(array)


def test_the_door_copies_nothing_that_fits() -> None:
    array = np.ones(3)
    assert as_f64(array) is array
    read_only = np.ones(3)
    read_only.flags.writeable = False
    assert as_f64(read_only).flags.writeable


@pytest.mark.skipif(MODE != "jit", reason="only numba infers signatures")
def test_warming_compiles_every_kernel_once_as_it_is_annotated() -> None:
    """What is given, numba tells; what is taken, it is told."""
    from tools.kernels.emit import given_back, numba_types

    warm()
    for name in KERNELS.keys() - NOT_WARMED:
        _, _, signature, dispatcher = KERNELS[name]
        [(takes, made)] = dispatcher.overloads.items()
        assert takes == numba_types(signature.takes), name
        assert given_back(made.signature.return_type) == signature.gives, name


@pytest.mark.skipif(MODE != "jit", reason="only numba specialises")
def test_inner_kernels_of_glucose_are_compiled_once_too() -> None:
    """Constants aside: numba specialises an inner kernel for each literal, when it compiles and not from cache."""
    from numba import types
    from numba.core.dispatcher import Dispatcher

    warm()
    for module in MODULES:
        for name, kernel in vars(module).items():
            if module.__name__.startswith("dsp.glucose.") and isinstance(kernel, Dispatcher):
                shapes = {tuple(map(types.unliteral, signature)) for signature in kernel.signatures}
                assert len(shapes) <= 1, (name, shapes)


def test_dfa_at_one_size() -> None:
    assert dfa_fluctuation(as_f64(np.arange(100.0) % 7), 8.0) > 0.0
