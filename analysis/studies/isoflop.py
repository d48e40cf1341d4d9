"""IsoFLOP profiles: the best size for each budget, and how size and data grow (2203.15556, figure 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import COLOURS, Drawn, column, finish, groups, label
from analysis.table import Row

LEAST = 3  # budgets that the laws are fitted to


@dataclass(frozen=True)
class Profile:
    """A budget's models, and the parabola of their loss over the logarithm of their size.

    Attributes:
      budget: FLOPs.
      sizes, losses: of the models, means over the seeds.
      parabola: its coefficients, highest power first.
      images_times_size: nearly constant within a budget; the geometric mean over the models.
    """

    budget: float
    sizes: Float[np.ndarray, " M"]
    losses: Float[np.ndarray, " M"]
    parabola: Float[np.ndarray, "3"]
    images_times_size: float

    @property
    def inside(self) -> bool:
        """Whether the parabola has its minimum among the sizes."""
        return bool(self.parabola[0] > 0 and self.sizes.min() <= self.best <= self.sizes.max())

    @property
    def best(self) -> float:
        """The size of the least loss; by the parabola where it opens upwards, or else of the models."""
        if self.parabola[0] <= 0:
            return float(self.sizes[self.losses.argmin()])
        return float(np.exp(-self.parabola[1] / (2 * self.parabola[0])))

    @property
    def loss(self) -> float:
        """The least loss."""
        return float(np.polyval(self.parabola, np.log(self.best)))

    @property
    def images(self) -> float:
        """How many images a model of the best size sees."""
        return self.images_times_size / self.best


def draw(rows: Sequence[Row], *, loss: str) -> Drawn:
    """Left the loss of each budget's models by their size, with parabolas; right the best size and its images by
    budget, with power laws. The laws are fitted to the best sizes of each seed, whose spread gives the intervals, and
    without the largest budget, for which they are a prediction.

    Args:
      loss: a column; less is better. Rows have a label `budget`.
    """
    profiles = fit_profiles(rows, loss)
    picture = Figure(figsize=(10, 4), layout="constrained")
    (left, right) = picture.subplots(1, 2)
    for number, profile in enumerate(profiles):
        colour = COLOURS[number % 10]
        left.plot(profile.sizes, profile.losses, "o", color=colour, label=f"{profile.budget:.0e} FLOP")
        at = np.geomspace(profile.sizes.min(), profile.sizes.max(), 50)
        left.plot(at, np.polyval(profile.parabola, np.log(at)), color=colour, lw=1)
        if profile.inside:
            left.plot(profile.best, profile.loss, "*", color=colour, markersize=12)
    finish(left, "parameters", loss, "x")
    lines = [
        f"- {profile.budget:.0e} FLOP: best with {profile.best:,.0f} parameters and {profile.images:,.0f} images, "
        f"{loss} {profile.loss:.4f}."
        if profile.inside
        else f"- {profile.budget:.0e} FLOP: no best size among the models."
        for profile in profiles
    ]
    numbers = {
        f"{p.budget:.0e}": {"parameters": p.best, "images": p.images, "loss": p.loss} for p in profiles if p.inside
    }
    of_seeds = [profile for own in groups(rows, "seed").values() for profile in fit_profiles(own, loss)]
    known = [profile for profile in of_seeds if profile.inside and profile.budget < profiles[-1].budget]
    budgets = np.array([profile.budget for profile in known])
    for name, marker in (("best", "o"), ("images", "s")):
        values = np.array([getattr(profile, name) for profile in known])
        words = "parameters" if name == "best" else "images"
        right.plot(budgets, values, marker, label=words, color=COLOURS[name == "images"])
        if len({*budgets}) < LEAST or (law := fits.exponent(budgets, values)) is None:
            continue
        reach = np.array([budgets.min(), profiles[-1].budget])
        right.plot(reach, np.exp(law.intercept) * reach**law.slope, color=COLOURS[name == "images"], lw=1)
        lines.append(
            f"- The best number of {words} grows with compute to the power of {law.slope:.2f} ± {law.error:.2f}."
        )
        numbers[f"exponent of {words}"] = {"exponent": law.slope, "half_interval": law.error}
        if name == "best":
            numbers["prediction"] = _prediction(
                profiles[-1], law, fits.exponent(budgets, np.array([p.loss for p in known]))
            )
    finish(right, "total_flops", "best", "xy")
    right.set_ylabel(f"best {label('parameters')}, and the images they see")
    if said := numbers.get("prediction"):
        right.plot(profiles[-1].budget, said["parameters"], "o", mfc="none", color=COLOURS[0])
        lines.append(
            f"- For {profiles[-1].budget:.0e} FLOP, which no fit has seen, {said['parameters']:,.0f} parameters and a "
            f"{loss} of {said['loss']:.4f} are predicted; measured: {profiles[-1].best:,.0f} and "
            f"{profiles[-1].loss:.4f}."
        )
    return Drawn(picture, lines, numbers)


def fit_profiles(rows: Sequence[Row], loss: str) -> list[Profile]:
    """The profile of each budget, the smallest first."""
    return [_profile(budget, own, loss) for budget, own in sorted(groups(rows, "budget").items())]


def _profile(budget: object, rows: Sequence[Row], loss: str) -> Profile:
    means = [
        (column(same, "parameters").mean(), column(same, loss).mean(), column(same, "examples_seen").mean())
        for same in groups(rows, "model").values()
    ]
    sizes, losses, images = np.array(sorted(means)).T
    degree = min(2, len(sizes) - 1)
    parabola = np.pad(np.polyfit(np.log(sizes), losses, degree), (2 - degree, 0))
    return Profile(float(str(budget)), sizes, losses, parabola, float(np.exp(np.log(sizes * images).mean())))


def _prediction(profile: Profile, size: fits.Line, loss: fits.Line | None) -> dict[str, float]:
    """The best size and its loss by the laws of the smaller budgets, and what was measured."""
    budget = np.log(profile.budget)
    found = {"parameters": float(np.exp(size.intercept + size.slope * budget)), "measured parameters": profile.best}
    if loss:
        found |= {"loss": float(np.exp(loss.intercept + loss.slope * budget)), "measured loss": profile.loss}
    return found
