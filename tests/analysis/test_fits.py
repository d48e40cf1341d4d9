"""Fits recover the laws that made-up data were drawn from."""

import numpy as np
import pytest
from scipy import stats

from analysis import fits

X = np.repeat(np.geomspace(500, 50_000, 6), 3)


def law(a: float, b: float, c: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    return (a * X**-b + c) * np.exp(noise * np.random.default_rng(seed).normal(size=len(X)))


def test_an_interval_is_students():
    values = [0.8, 0.9, 0.85, 0.7]
    mean, half = fits.interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose([mean - half, mean + half], [low, high])
    assert np.isnan(fits.interval([0.5])[1])


@pytest.mark.parametrize(("a", "b", "c"), [(9.0, 0.35, 0.2), (30.0, 0.5, 0.0), (2.0, 0.15, 0.1)])
def test_a_power_law_without_noise_is_recovered(a, b, c):
    fit = fits.power_law(X, law(a, b, c))
    assert fit is not None
    assert fit.exponent == pytest.approx(b, rel=0.02)
    np.testing.assert_allclose(fit(X), law(a, b, c), rtol=1e-3)


def test_the_exponents_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(40):
        fit = fits.power_law(X, law(9, 0.35, 0.2, 0.02, seed))
        assert fit is not None
        held += abs(fit.exponent - 0.35) < fit.error
    assert held >= 33


def test_three_parameters_need_four_sizes():
    assert fits.power_law(X[X < 4_000], law(9, 0.35, 0.2)[X < 4_000]) is None


def test_two_laws_cross_where_they_are_equal():
    first, second = fits.power_law(X, law(2, 0.2, 0.3, 0.003)), fits.power_law(X, law(9, 0.35, 0.2, 0.003))
    assert first is not None
    assert second is not None
    dense = np.geomspace(100, 1e7, 100_000)
    truth = dense[np.flatnonzero(9 * dense**-0.35 + 0.2 < 2 * dense**-0.2 + 0.3)[0]]
    cross = fits.crossing(first, second, (100, 1e7))
    assert cross.low < truth < cross.high
    assert cross.at == pytest.approx(truth, rel=0.2)
    assert cross.share > 0.95


def test_parallel_laws_do_not_cross():
    first, second = fits.power_law(X, law(2, 0.3, 0.1)), fits.power_law(X, law(4, 0.3, 0.2))
    assert first is not None
    assert second is not None
    assert np.isnan(fits.crossing(first, second, (100, 1e7)).at)


def test_an_exponent_is_the_slope_of_logarithms():
    x = np.array([16.0, 32, 64, 128])
    fit = fits.exponent(x, 3 * x**1.5)
    assert fit.slope == pytest.approx(1.5)
    assert fit.error < 1e-6
    assert fit.clear


def test_nothing_beats_a_point_on_the_front():
    cost, score = np.array([1.0, 2, 3, 3, 4]), np.array([0.5, 0.4, 0.7, 0.6, 0.7])
    assert fits.front(cost, score).tolist() == [True, False, True, False, False]
