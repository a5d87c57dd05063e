"""What holds for every kernel: one compiled signature, whatever array comes in through the one door."""

import numpy as np

from dsp.arrays import as_f64
from dsp.cardiac.hrv import heart_stats
from dsp.glucose.ranges import glucose_stats
from dsp.warm import warm

KERNELS = (heart_stats, glucose_stats)


def test_one_signature_each() -> None:
    warm()
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
    assert [len(kernel.signatures) for kernel in KERNELS] == [1] * len(KERNELS)


def test_the_door_copies_nothing_that_fits() -> None:
    array = np.ones(3)
    assert as_f64(array) is array
    read_only = np.ones(3)
    read_only.flags.writeable = False
    assert as_f64(read_only).flags.writeable
