"""What is fitted to a study's figures: intervals, power laws, where two of them cross.

R runs. Intervals hold 95 %, by Student's t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

DRAWS = 2000  # of fitted parameters, for the uncertainty of a crossing


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its interval; nan of a single value."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x. error: half the slope's interval."""

    slope: float
    intercept: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the slope's sign is beyond doubt."""
        return abs(self.slope) > self.error


def line(x: np.ndarray, y: np.ndarray) -> Line:
    """The least squares line through at least three points (R,)."""
    fit = stats.linregress(x, y)
    return Line(float(fit.slope), float(fit.intercept), float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr))


def exponent(x: np.ndarray, y: np.ndarray) -> Line:
    """The growth exponent: the slope of log y over log x."""
    return line(np.log(x), np.log(y))


@dataclass(frozen=True)
class PowerLaw:
    """y = a (x / centre)^-b + c, fitted by least squares of log y (2001.08361; with an offset as 2010.14701).

    parameters: log a, b, c. covariance: theirs. centre: an x amid those fitted. runs: how many were.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    centre: float
    runs: int

    def __call__(self, x: np.ndarray | float, parameters: np.ndarray | None = None) -> np.ndarray:
        a, b, c = self.parameters if parameters is None else parameters
        return np.exp(a) * (np.asarray(x, float) / self.centre) ** -b + c

    @property
    def exponent(self) -> float:
        return float(self.parameters[1])

    @property
    def offset(self) -> float:
        return float(self.parameters[2])

    @property
    def error(self) -> float:
        """Half the exponent's interval."""
        return float(stats.t.ppf(0.975, max(self.runs - 3, 1)) * self.covariance[1, 1] ** 0.5)


def power_law(x: np.ndarray, y: np.ndarray) -> PowerLaw | None:
    """Fits x, y (R,), all positive; None where there are fewer than four different x, which three parameters need."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(np.unique(x)) < 4 or y.min() <= 0:
        return None
    centre = float(np.exp(np.log(x).mean()))

    def residuals(p: np.ndarray) -> np.ndarray:
        return np.log(np.exp(p[0]) * (x / centre) ** -p[1] + p[2]) - np.log(y)

    starts = [(np.log(y.mean()), b, c * y.min()) for b in (0.1, 0.5, 1.0) for c in (0.01, 0.5, 0.9)]
    bounds = ([-np.inf, 1e-3, 0.0], [np.inf, 5.0, y.min()])
    best = min((optimize.least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda r: r.cost)
    spread = 2 * best.cost / max(len(x) - 3, 1)
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * spread
    return PowerLaw(best.x, covariance, centre, len(x))


@dataclass(frozen=True)
class Crossing:
    """Where the second of two falling curves gets below the first. at: x, nan where the fits do not cross within
    reach; low, high: its interval; share: of the draws of both fits in which they cross at all."""

    at: float
    low: float
    high: float
    share: float


def crossing(first: PowerLaw, second: PowerLaw, reach: tuple[float, float], seed: int = 0) -> Crossing:
    """From where on `second` stays below `first`, sought between two x; its uncertainty is that of both fits."""
    x = np.geomspace(*reach, 400)
    random = np.random.default_rng(seed)

    def last(a: np.ndarray, b: np.ndarray) -> float:
        """The last change of sign after which b is below."""
        below = second(x, b) < first(x, a)
        if not below[-1] or below.all():
            return float("nan")
        return float(x[np.flatnonzero(~below)[-1] + 1])

    def draw(fit: PowerLaw) -> np.ndarray:
        drawn = random.multivariate_normal(fit.parameters, fit.covariance, DRAWS, check_valid="ignore", method="svd")
        return np.clip(drawn, [-np.inf, 1e-3, 0.0], np.inf)

    crossings = np.array([last(a, b) for a, b in zip(draw(first), draw(second), strict=True)])
    found = crossings[~np.isnan(crossings)]
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (float("nan"),) * 2
    return Crossing(last(first.parameters, second.parameters), float(low), float(high), len(found) / DRAWS)


def front(cost: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The Pareto front: bool (R,), whether no point costs as little or less and scores more."""
    better = (cost[None] <= cost[:, None]) & (score[None] > score[:, None])
    cheaper = (cost[None] < cost[:, None]) & (score[None] >= score[:, None])
    return np.logical_not((better | cheaper).any(axis=1))
