"""Tail of a weighted sum of squared standard normal variables, to a small relative error however small it is."""

from __future__ import annotations

import math

import numpy as np

from streamflow.monitoring.drift.distributions import Floats

_STEP = 0.05
_NEGLIGIBLE = 40.0
"""Negative logarithm, by which a term no longer counts."""


def tail(weights: Floats, value: float) -> float:
    """Probability that the sum of weights times squared standard normal variables exceeds a value. Pure.

    The inverse Laplace transform is integrated along a parabola through its saddle point. It opens to the right, away
    from the pole at zero and around the branch points, so that the trapezoid rule converges exponentially.

    Args:
        weights: Positive weights.
        value: Value to exceed.
    """
    if value <= 0 or not len(weights):
        return 1.0 if value <= 0 else 0.0
    saddle = _saddle(weights, value)
    curvature = float(np.sum(2 * weights**2 / (1 - 2 * weights * saddle) ** 2)) + saddle**-2
    width = 0.5 / math.sqrt(curvature)
    if value < weights.sum():
        # Below the mean, the path of steepest descent passes close to the branch points.
        width = max(width, 0.5 / float(weights.max()) - saddle)
    end = min(max(12.0, math.sqrt(_NEGLIGIBLE / (value * width))), 400.0)
    t = np.arange(0.0, end, _STEP)
    s = saddle + width * t * (t + 2j)
    logarithm = -0.5 * np.log(1 - 2 * np.outer(s, weights)).sum(axis=1) - s * value
    height = logarithm[0].real
    terms = np.imag(np.exp(logarithm - height) / s * (2 * width * (t + 1j)))
    terms[0] /= 2
    return float(min(1.0, math.exp(height) * terms.sum() * _STEP / math.pi))


def quantile(weights: Floats, probability: float) -> float:
    """The value that the sum exceeds with a probability. Pure."""
    low, high = 0.0, float(weights.sum())
    while tail(weights, high) > probability:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(weights, middle) > probability else (low, middle)
        if high - low < 1e-7 * high:
            break
    return (low + high) / 2


def _saddle(weights: Floats, value: float) -> float:
    """Where the integrand is smallest on the real axis, between the pole at zero and the first branch point."""
    low, high = 0.0, 0.5 / float(weights.max())
    for _ in range(60):
        middle = (low + high) / 2
        slope = float(np.sum(weights / (1 - 2 * weights * middle))) - value - 1 / middle
        low, high = (middle, high) if slope < 0 else (low, middle)
    return low
