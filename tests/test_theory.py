"""Phase transitions, computed and measured, and guarantees by coherence."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from sparsecode.theory import (
    empirical_phase_transition,
    mutual_coherence,
    phase_transition,
    recovery_guarantee,
)

# Donoho and Tanner's weak thresholds, as the survey of peers has them.
DELTAS = [0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9]
SIGNED = [0.1544, 0.1894, 0.2433, 0.2674, 0.2908, 0.3373]
SIGNED += [0.3857, 0.4384, 0.4988, 0.5337, 0.5733, 0.6782]
POSITIVE = [0.1889, 0.2410, 0.3259, 0.3651, 0.4036, 0.4803]
POSITIVE += [0.5582, 0.6387, 0.7225, 0.7659, 0.8103, 0.9027]


def test_the_curve_is_that_of_donoho_and_tanner() -> None:
    np.testing.assert_allclose(phase_transition(DELTAS), SIGNED, atol=6e-5)
    np.testing.assert_allclose(phase_transition(DELTAS, positive=True), POSITIVE, atol=6e-5)


@pytest.mark.parametrize("delta", [1e-6, 1e-3, 0.2, 0.77, 0.999])
@pytest.mark.parametrize("positive", [False, True])
def test_the_curve_is_the_maximum_in_its_formula(delta, positive) -> None:
    c = 1 if positive else 2

    def value(z):
        tail = (1 + z * z) * ndtr(-z) - z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        return (1 - c / delta * tail) / (1 + z * z - c * tail)

    best = minimize_scalar(lambda z: -value(z), bounds=(0, 10), options={"xatol": 1e-10})
    assert phase_transition(delta, positive=positive) == pytest.approx(-best.fun, rel=1e-7)


def test_all_measurements_recover_everything() -> None:
    assert phase_transition(1.0) == 1
    assert phase_transition(np.array([[1.0, 0.5]])).shape == (1, 2)
    for delta in (0, -0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"delta (has to be|contains)"):
            phase_transition(delta)


@pytest.mark.parametrize("kind", ["d", "D"])
def test_the_coherence_is_that_of_all_pairs(kind) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((30, 1100)).astype(kind)
    A = A + 1j * rng.standard_normal(A.shape) if kind == "D" else A
    unit = A / np.linalg.norm(A, axis=0)
    gram = np.abs(unit.conj().T @ unit) - np.eye(1100)
    assert mutual_coherence(A * rng.uniform(1e-200, 1e200, 1100)) == pytest.approx(gram.max())


def test_coherence_of_few_and_of_equal_columns() -> None:
    assert mutual_coherence(np.ones((3, 1))) == 0
    assert mutual_coherence(np.zeros((3, 4))) == 0
    assert mutual_coherence(np.ones((3, 2))) == pytest.approx(1)
    assert mutual_coherence(np.array([[1.0, 0, 1e-320], [0, 1, 0]])) == pytest.approx(1)


def test_the_guarantee_is_strict() -> None:
    third = np.array([[1.0, 1 / 3], [0, np.sqrt(8) / 3]])  # (1 + 3) / 2 = 2, and k is below it
    assert recovery_guarantee(third).n_nonzero == 1
    assert recovery_guarantee(np.eye(5)).n_nonzero == 5
    assert recovery_guarantee(np.ones((4, 2))).n_nonzero == 0


def oracle(A, y, k):
    """Least squares where there are few enough nonzeros, nonsense elsewhere."""
    x = np.zeros(A.shape[1])
    if k <= 0.4 * A.shape[0]:
        best = np.argsort(-np.abs(A.T @ y))[: 3 * k]
        x[best] = np.linalg.lstsq(A[:, best], y, rcond=None)[0]
    return x


def noisy_oracle(A, y, k):
    """Fails by chance, the more often the more nonzeros."""
    x = np.linalg.lstsq(A, y, rcond=None)[0]  # there are as many measurements as unknowns
    return x * (np.random.default_rng(int(1e6 * abs(y[0]))).random() > k / len(y))


def test_a_cell_is_the_same_whichever_cells_are_beside_it() -> None:
    alone = empirical_phase_transition(noisy_oracle, 40, [1.0], [0.5], n_trials=8)
    beside = empirical_phase_transition(
        noisy_oracle, 40, [1.0, 0.5], [0.1, 0.5], n_trials=8, n_jobs=2
    )
    assert alone.n_successes[0, 0] == beside.n_successes[0, 1]
    np.testing.assert_array_equal(beside.deltas, [1.0, 0.5])


def test_the_fit_finds_one_half_and_its_band_holds_it() -> None:
    rhos = np.linspace(0.05, 0.95, 19)
    found = empirical_phase_transition(noisy_oracle, 40, [1.0], rhos, n_trials=40)
    assert found.lows[0] < 0.5 < found.highs[0]
    assert 0.005 < found.highs[0] - found.lows[0] < 0.1
    more = empirical_phase_transition(noisy_oracle, 40, [1.0], rhos, n_trials=160)
    assert more.highs[0] - more.lows[0] < 0.7 * (found.highs[0] - found.lows[0])


def test_a_clean_step_is_halfway_between_two_cells() -> None:
    def step(A, y, k):
        return np.linalg.lstsq(A, y, rcond=None)[0] * (k <= 20)

    found = empirical_phase_transition(step, 40, [1.0], [0.25, 0.5, 0.75], n_trials=3)
    assert found.n_successes.tolist() == [[3, 3, 0]]
    assert (found.lows[0], found.midpoints[0], found.highs[0]) == (0.5, 0.625, 0.75)
    never = empirical_phase_transition(step, 40, [1.0], [0.75], n_trials=3)
    assert np.isnan(never.midpoints).all()


def test_a_run_that_was_cut_off_goes_on(tmp_path) -> None:
    path, options = tmp_path / "cells.json", {"rhos": [0.1, 0.5, 0.9], "n_trials": 4}
    whole = empirical_phase_transition(noisy_oracle, 30, [1.0], **options)

    def impatient(A, y, k):
        if k > 20:
            raise KeyboardInterrupt
        return noisy_oracle(A, y, k)

    with pytest.raises(KeyboardInterrupt):
        empirical_phase_transition(impatient, 30, [1.0], **options, path=path)

    def last(A, y, k):
        assert k > 20  # the others are in the file
        return noisy_oracle(A, y, k)

    resumed = empirical_phase_transition(last, 30, [1.0], **options, path=path)
    np.testing.assert_array_equal(resumed.n_successes, whole.n_successes)
    with pytest.raises(ValueError, match="of another experiment"):
        empirical_phase_transition(last, 30, [1.0], [0.5], n_trials=5, path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deltas": [0.0]}, "deltas has to be"),
        ({"rhos": [0.0]}, "rhos has to be"),
        ({"rhos": [1.5]}, "rhos has to be"),
        ({"n_trials": 0}, "n_trials"),
        ({"success_tol": -1}, "success_tol"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_bad_experiments_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        empirical_phase_transition(oracle, 20, **options)


def test_signals_are_signs_or_ones_as_asked() -> None:
    def positive_only(A, y, k):
        x = np.linalg.lstsq(A, y, rcond=None)[0]
        return x * bool(np.all(x > -1e-6))

    signs = empirical_phase_transition(positive_only, 30, [1.0], [0.5], n_trials=3)
    ones = empirical_phase_transition(positive_only, 30, [1.0], [0.5], n_trials=3, positive=True)
    assert (signs.n_successes[0, 0], ones.n_successes[0, 0]) == (0, 3)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (3, TypeError, "path has to be a string or pathlib.Path, got 3"),
        ("a\0b", ValueError, "path has to name a file"),
        ("", ValueError, "path has to name a file or folder, got ''"),
        (".", IsADirectoryError, "it is a folder; name a file inside it"),
        ("missing/cells.json", FileNotFoundError, "there is no folder .*missing; create it first"),
    ],
)
def test_a_path_that_is_none_is_refused_before_the_work(
    tmp_path, monkeypatch, name, error, message
) -> None:
    monkeypatch.chdir(tmp_path)

    def at_work(A, y, k):
        raise AssertionError("it is too late")

    with pytest.raises(error, match=message):
        empirical_phase_transition(at_work, 30, [1.0], [0.5], n_trials=1, path=name)


def test_a_file_that_is_read_only_will_do_where_nothing_is_missing(tmp_path) -> None:
    path, grid = tmp_path / "cells.json", ([1.0], [0.5])
    whole = empirical_phase_transition(oracle, 30, *grid, n_trials=2, path=path)
    path.chmod(0o444)

    def at_work(A, y, k):
        raise AssertionError("it is too late")

    again = empirical_phase_transition(at_work, 30, *grid, n_trials=2, path=path)
    assert again.n_successes.tolist() == whole.n_successes.tolist()
    with pytest.raises(PermissionError, match="it is read-only; make it writable"):
        empirical_phase_transition(at_work, 30, [1.0], [0.7], n_trials=2, path=path)
