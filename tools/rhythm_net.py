"""The rhythm network in numpy, whole recordings at a time, with its gradient: for training only.

The gateway runs the same network beat by beat in `dsp.cardiac.rhythm`, which also says what it computes; a test
holds the two equal. Layer sizes and windows are written there, once.
"""

import numpy as np
import numpy.typing as npt

from dsp.cardiac.rhythm import FAST_WINDOWS, LAGS, SHAPES, SURE_WINDOWS

F32 = npt.NDArray[np.float32]
Weights = dict[str, F32]


def initial_weights(rng: np.random.Generator) -> Weights:
    """He initialisation; biases 0."""
    return {
        name: (
            rng.standard_normal(shape) * np.sqrt(2.0 / shape[0]) if len(shape) == 2 else np.zeros(shape)
        ).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def inputs(rr_ms: F32) -> F32:
    """What the network sees of each beat: log interval, and its changes against the LAGS intervals before."""
    level = np.log(np.clip(rr_ms, 200.0, 2500.0) / 800.0).astype(np.float32)
    x = np.zeros((level.shape[0], level.shape[1], LAGS + 1), np.float32)
    x[..., 0] = level
    for k in range(1, LAGS + 1):
        x[:, k:, k] = np.clip(level[:, k:] - level[:, :-k], -0.8, 0.8)
    return x


class Windows:
    """Means over windows of beats around each beat, counting only beats that exist."""

    def __init__(self, windows: tuple[tuple[int, int], ...], mask: F32) -> None:
        n = mask.shape[1]
        self.windows = windows
        at = np.arange(n)
        self.spans = [(np.maximum(at - a, 0), np.minimum(at + b, n - 1) + 1) for a, b in windows]
        total = np.concatenate([np.zeros((len(mask), 1)), np.cumsum(mask, axis=1, dtype=np.float64)], axis=1)
        self.counts = [
            np.maximum(total[:, hi] - total[:, lo], 1.0).astype(np.float32) for lo, hi in self.spans
        ]

    def means(self, e: F32) -> F32:
        zero = np.zeros((e.shape[0], 1, e.shape[2]))
        total = np.concatenate([zero, np.cumsum(e, axis=1, dtype=np.float64)], axis=1)
        parts = [
            ((total[:, hi] - total[:, lo]) / count[..., None]).astype(np.float32)
            for (lo, hi), count in zip(self.spans, self.counts, strict=True)
        ]
        return np.concatenate(parts, axis=2)

    def gradient(self, g: F32, width: int) -> F32:
        """Gradient with respect to the beats, of means whose gradient is `g`."""
        batch, n, _ = g.shape
        change = np.zeros((batch, n, width))
        for k, ((a, b), count) in enumerate(zip(self.windows, self.counts, strict=True)):
            part = g[..., k * width : (k + 1) * width] / count[..., None]
            change[:, 0] += part[:, : a + 1].sum(axis=1)
            change[:, 1 : n - a] += part[:, a + 1 :]
            change[:, b + 1 :] -= part[:, : n - b - 1]
        return np.cumsum(change, axis=1).astype(np.float32)


def dense(x: F32, w: Weights, name: str) -> F32:
    return x @ w[f"{name}_w"] + w[f"{name}_b"]


def relu(x: F32) -> F32:
    return np.maximum(x, np.float32(0.0))


class Pass:
    """One pass through the network, kept for the way back."""

    def __init__(self, w: Weights, rr_ms: F32, mask: F32) -> None:
        self.w, self.mask = w, mask
        self.x = inputs(rr_ms)
        self.h = relu(dense(self.x, w, "beat1"))
        self.e = relu(dense(self.h, w, "beat2")) * mask[..., None]
        self.windows = {"fast": Windows(FAST_WINDOWS, mask), "sure": Windows(SURE_WINDOWS, mask)}
        self.kept: dict[str, tuple[F32, F32, F32]] = {}
        self.logit: dict[str, F32] = {}
        for tier, windows in self.windows.items():
            pooled = windows.means(self.e)
            z1 = relu(dense(pooled, w, f"{tier}1"))
            z2 = relu(dense(z1, w, f"{tier}2"))
            self.kept[tier] = (pooled, z1, z2)
            self.logit[tier] = dense(z2, w, f"{tier}3")[..., 0]

    def back(self, g_logit: dict[str, F32]) -> Weights:
        g: Weights = {}
        g_e = np.zeros_like(self.e)
        for tier, windows in self.windows.items():
            pooled, z1, z2 = self.kept[tier]
            g_z2 = self._dense_back(g, f"{tier}3", z2, g_logit[tier][..., None]) * (z2 > 0)
            g_z1 = self._dense_back(g, f"{tier}2", z1, g_z2) * (z1 > 0)
            g_pooled = self._dense_back(g, f"{tier}1", pooled, g_z1)
            g_e += windows.gradient(g_pooled, self.e.shape[2])
        g_h = self._dense_back(g, "beat2", self.h, g_e * self.mask[..., None] * (self.e > 0)) * (self.h > 0)
        self._dense_back(g, "beat1", self.x, g_h)
        return g

    def _dense_back(self, g: Weights, name: str, x: F32, g_out: F32) -> F32:
        flat = g_out.reshape(-1, g_out.shape[-1])
        g[f"{name}_w"] = x.reshape(-1, x.shape[-1]).T @ flat
        g[f"{name}_b"] = flat.sum(axis=0)
        return np.asarray(g_out @ self.w[f"{name}_w"].T)


def probabilities(w: Weights, rr_ms: npt.NDArray[np.float64]) -> tuple[F32, F32]:
    """AF probability of each beat of one recording: fast and sure."""
    rr = rr_ms.astype(np.float32)[None]
    logit = Pass(w, rr, np.ones_like(rr)).logit
    return sigmoid(logit["fast"][0]), sigmoid(logit["sure"][0])


def sigmoid(x: F32) -> F32:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0))), np.float32)
