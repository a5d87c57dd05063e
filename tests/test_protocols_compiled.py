"""Where compiled kernels are kept, and that they are compiled where nothing can be kept."""

import numba.core.caching
import pytest

from protocols.compiled import compiled


def doubled(x: int) -> int:
    return 2 * x


def test_kernels_are_kept_for_the_next_process() -> None:
    assert compiled(doubled).stats.cache_path is not None


def test_where_nothing_can_be_kept_kernels_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(doubled)
    assert compiled(doubled)(21) == 42
