"""What a codec's columns promise; that they agree with the other decoders is in test_protocols_fuzz."""

import math
import sys

import numpy as np
import pytest
from protocol_codecs import CODECS
from protocol_vectors import VECTORS, all_rows

from protocols.columnar import Kernel, flatten
from protocols.medfloat import Special


def test_special_floats_stay_distinguishable_in_columns():
    codec = CODECS["cgm.MEASUREMENT[0][0]"]
    words = [special.value for special in Special] + [0x6400]
    columns = codec.columns(*flatten([bytes([6, 0, *word.to_bytes(2, "little"), 0, 0]) for word in words]))
    assert columns.words["glucose_mg_dl"].tolist() == words
    values = dict(zip([*Special, None], columns.values["glucose_mg_dl"].tolist(), strict=True))
    assert values[Special.POSITIVE_INFINITY] == math.inf
    assert values[Special.NEGATIVE_INFINITY] == -math.inf
    assert all(math.isnan(values[s]) for s in (Special.NAN, Special.NRES, Special.RESERVED))
    assert values[None] == 1024e6
    assert np.isnan(columns.values["trend_mg_dl_min"]).all()
    assert not columns.present["trend_mg_dl_min"].any()


@pytest.mark.parametrize("offsets", [[], [-1, 3], [0, 7], [3, 0], [0, 3, 2, 6]])
def test_offsets_outside_the_octets_are_the_callers_fault(offsets):
    with pytest.raises(ValueError, match="offsets"):
        CODECS["heart_rate.MEASUREMENT"].columns(np.zeros(6, np.uint8), np.array(offsets, np.int64))


def test_a_batch_without_numba_is_one_line_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    codec = CODECS["heart_rate.MEASUREMENT"]
    kernel = Kernel("without numba", codec.program)
    with pytest.raises(ModuleNotFoundError, match=r"^[^\n]* sh tools/setup.sh install$") as error:
        kernel(*flatten([b"\0\0"]))
    assert error.value.name == "numba"


def test_no_vector_file_is_forgotten():
    assert {path.stem for path in VECTORS.glob("*.jsonl")} == {row["file"] for row in all_rows()}
