"""Fisher's exact test of the commonest class, or value, against all others: for samples too small for a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def p_value(x: npt.NDArray[np.integer], y: npt.NDArray[np.integer]) -> float:
    """The p-value of Fisher's exact test of the largest class against all others. Pure."""
    if len(x) < 2:
        return 1.0
    at = int(np.argmax(x + y))
    n, m = int(x.sum()), int(y.sum())
    others = n + m - int(x[at] + y[at])
    first = max(0, others - m)
    k = np.arange(first, min(others, n), dtype=np.float64)
    # Each step is the ratio of the probabilities that k + 1 and that k of the others are on the first side.
    steps = np.log((others - k) * (n - k)) - np.log((k + 1) * (m - others + k + 1))
    logarithms = np.concatenate([[0.0], np.cumsum(steps)])
    likely = np.exp(logarithms - logarithms.max())
    observed = likely[n - int(x[at]) - first]
    return float(min(1.0, likely[likely <= observed * (1 + 1e-7)].sum() / likely.sum()))
