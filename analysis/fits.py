"""Statistics of a study's metrics: confidence intervals, lines, power laws and where two of them cross, Pareto fronts.

R runs. Intervals are 95 % confidence intervals, by Student's t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import optimize, stats

DRAWS = 2000  # samples of fitted parameters, for the uncertainty of a crossing


def interval(values: Sequence[float] | Shaped[np.ndarray, " R"]) -> tuple[float, float]:
    """Mean, and half the width of its interval; NaN for a single value."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


@dataclass(frozen=True)
class Line:
    """y = intercept + slope * x.

    Attributes:
      error: half the width of the slope's interval.
    """

    slope: float
    intercept: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the slope's interval excludes 0."""
        return abs(self.slope) > self.error


def line(x: Shaped[np.ndarray, " R"], y: Shaped[np.ndarray, " R"]) -> Line | None:
    """The least squares line; None through fewer than three points, or through points of one x."""
    if len(x) < 3 or len(np.unique(x)) < 2:
        return None
    fit = stats.linregress(x, y)
    return Line(float(fit.slope), float(fit.intercept), float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr))


def exponent(x: Shaped[np.ndarray, " R"], y: Shaped[np.ndarray, " R"]) -> Line | None:
    """The growth exponent: the slope of log y over log x; see `line`."""
    return line(np.log(x), np.log(y))


@dataclass(frozen=True)
class PowerLaw:
    """y = a (x / centre)^-b + c, fitted by least squares of log y (2001.08361; with an offset as in 2010.14701).

    Attributes:
      parameters: log a, b, c.
      covariance: of the parameters.
      centre: the geometric mean of the fitted x.
      runs: how many points were fitted.
    """

    parameters: Float[np.ndarray, "3"]
    covariance: Float[np.ndarray, "3 3"]
    centre: float
    runs: int

    def __call__(self, x: np.ndarray | float, parameters: Float[np.ndarray, "3"] | None = None) -> np.ndarray:
        """y at x, by the fitted parameters or by others."""
        a, b, c = self.parameters if parameters is None else parameters
        return np.exp(a) * (np.asarray(x, float) / self.centre) ** -b + c

    @property
    def exponent(self) -> float:
        """b."""
        return float(self.parameters[1])

    @property
    def offset(self) -> float:
        """c."""
        return float(self.parameters[2])

    @property
    def error(self) -> float:
        """Half the width of the exponent's interval."""
        return float(stats.t.ppf(0.975, max(self.runs - 3, 1)) * self.covariance[1, 1] ** 0.5)


def power_law(x: Shaped[np.ndarray, " R"], y: Shaped[np.ndarray, " R"]) -> PowerLaw | None:
    """Fits a power law to positive x and y; None if y is not positive or x has fewer than four different values."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(np.unique(x)) < 4 or y.min() <= 0:
        return None
    centre = float(np.exp(np.log(x).mean()))

    def residuals(p: np.ndarray) -> np.ndarray:
        """Of log y."""
        return np.log(np.exp(p[0]) * (x / centre) ** -p[1] + p[2]) - np.log(y)

    starts = [(np.log(y.mean()), b, c * y.min()) for b in (0.1, 0.5, 1.0) for c in (0.01, 0.5, 0.9)]
    bounds = ([-np.inf, 1e-3, 0.0], [np.inf, 5.0, y.min()])
    best = min((optimize.least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda r: r.cost)
    spread = 2 * best.cost / max(len(x) - 3, 1)
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * spread
    return PowerLaw(best.x, covariance, centre, len(x))


@dataclass(frozen=True)
class Crossing:
    """Where the second of two falling curves gets below the first.

    Attributes:
      at: x of the crossing; NaN if the fits do not cross within reach.
      low, high: ends of its interval.
      share: of the samples of both fits in which they cross.
    """

    at: float
    low: float
    high: float
    share: float


def crossing(first: PowerLaw, second: PowerLaw, reach: tuple[float, float]) -> Crossing:
    """The x from which `second` stays below `first`, with the uncertainty of both fits.

    Args:
      reach: the smallest and the largest x that are considered.
    """
    x = np.geomspace(*reach, 400)
    random = np.random.default_rng(0)

    def last(a: np.ndarray, b: np.ndarray) -> float:
        """The last change of sign after which `second` is below."""
        below = second(x, b) < first(x, a)
        if not below[-1] or below.all():
            return float("nan")
        return float(x[np.flatnonzero(~below)[-1] + 1])

    def sample(fit: PowerLaw) -> Float[np.ndarray, "draws 3"]:
        """Parameters of a fit, by their covariance."""
        drawn = random.multivariate_normal(fit.parameters, fit.covariance, DRAWS, check_valid="ignore", method="svd")
        return np.clip(drawn, [-np.inf, 1e-3, 0.0], np.inf)

    crossings = np.array([last(a, b) for a, b in zip(sample(first), sample(second), strict=True)])
    finite = crossings[~np.isnan(crossings)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (float("nan"),) * 2
    return Crossing(last(first.parameters, second.parameters), float(low), float(high), len(finite) / DRAWS)


def front(cost: Shaped[np.ndarray, " R"], score: Shaped[np.ndarray, " R"]) -> Bool[np.ndarray, " R"]:
    """Which points are on the Pareto front: no other is better in one of cost and score and as good in the other."""
    better = (cost[None] <= cost[:, None]) & (score[None] > score[:, None])
    cheaper = (cost[None] < cost[:, None]) & (score[None] >= score[:, None])
    return np.logical_not((better | cheaper).any(axis=1))
