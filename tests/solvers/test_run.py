"""The one loop: when it stops, what it records, what it says."""

import copy
import pickle
from itertools import count

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode import solvers
from sparsecode.solvers import Status, fista
from sparsecode.solvers._run import as_history, run


def halves(start=1.0):
    for k in count(1):
        yield start * 0.5**k


def measure(x):
    return {"objective": 10 + x, "certificate": x}


def test_it_stops_at_the_first_certificate_small_enough() -> None:
    last, ending = run(halves(), measure, tol=0.1, max_iter=100, name="halves")
    assert last == 0.5**4
    assert ending["n_iter"] == 4
    assert ending["status"] is Status.CONVERGED
    assert ending["certificate"] == 0.5**4
    assert ending["objective"] == 10 + 0.5**4
    history = ending["history"]
    np.testing.assert_array_equal(history["certificate"], 0.5 ** np.arange(1, 5))
    np.testing.assert_array_equal(history["n_iter"], [1, 2, 3, 4])
    assert np.all(np.diff(history["seconds"]) >= 0)


def test_a_certificate_equal_to_tol_is_small_enough() -> None:
    assert run(halves(), measure, tol=0.25, max_iter=9, name="halves")[1]["n_iter"] == 2


def test_it_measures_only_where_asked_and_after_the_last() -> None:
    seen = []

    def watched(x):
        seen.append(x)
        return measure(x)

    with pytest.warns(ConvergenceWarning):
        run(halves(), watched, tol=0.0, max_iter=7, check_every=3, name="halves")
    assert seen == [0.5**3, 0.5**6, 0.5**7]


def test_the_warning_states_the_certificate_and_what_to_change() -> None:
    with pytest.warns(
        ConvergenceWarning,
        match=r"halves did not converge: its certificate is 0\.125 after max_iter=3 iterations, "
        r"asked for tol=0\.01; raise max_iter or tol",
    ):
        ending = run(halves(), measure, tol=0.01, max_iter=3, name="halves")[1]
    assert ending["status"] is Status.MAX_ITER


@pytest.mark.parametrize("solve", [solvers.ista, solvers.fista])
def test_the_warning_points_at_the_line_that_called_the_package(solve) -> None:
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning) as caught:
        solve(rng.standard_normal((5, 9)), rng.standard_normal(5), 0.01, max_iter=2, tol=1e-12)
    assert [warning.filename for warning in caught] == [__file__]


def test_without_tol_all_iterations_are_done_and_that_is_an_end() -> None:
    last, ending = run(halves(), measure, tol=None, max_iter=5, name="halves")
    assert (last, ending["n_iter"], ending["status"]) == (0.5**5, 5, Status.COMPLETED)


def test_the_callback_sees_the_numbers_and_may_stop() -> None:
    rows = []

    def stop_at_third(row):
        rows.append(dict(row))
        with pytest.raises(TypeError):
            row["certificate"] = 0.0  # read-only: the loop's own numbers
        return row["n_iter"] == 3

    ending = run(halves(), measure, tol=0.0, max_iter=9, callback=stop_at_third, name="h")[1]
    assert ending["status"] is Status.CALLBACK
    assert [row["n_iter"] for row in rows] == [1, 2, 3]
    assert set(rows[0]) == {"n_iter", "seconds", "objective", "certificate"}


def test_convergence_wins_over_the_callback() -> None:
    ending = run(halves(), measure, tol=1.0, max_iter=9, callback=lambda row: True, name="h")[1]
    assert ending["status"] is Status.CONVERGED


def test_a_certificate_that_is_not_a_number_never_converges() -> None:
    with pytest.warns(ConvergenceWarning, match="nan"):
        ending = run(
            halves(),
            lambda x: {"objective": x, "certificate": np.nan},
            tol=1.0,
            max_iter=2,
            name="h",
        )[1]
    assert ending["status"] is Status.MAX_ITER


def test_the_columns_of_a_history_are_read_only() -> None:
    history = as_history([{"objective": 1.0}, {"objective": 0.5}])
    with pytest.raises(ValueError, match="read-only"):
        history["objective"][0] = 0.0
    assert dict(as_history([])) == {}


def test_a_result_can_be_pickled_and_copied() -> None:
    result = fista(np.eye(3), np.arange(3.0), alpha=0.5)
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert np.array_equal(again.x, result.x)
        assert again.status is result.status
        assert again.history.keys() == result.history.keys()


def test_a_history_that_no_memory_holds_is_refused_before_the_work() -> None:
    with pytest.raises(MemoryError, match=f"max_iter={2**50} iterations without a tol would take"):
        run(halves(), measure, tol=None, max_iter=2**50, name="halves")
    assert run(halves(), measure, tol=0.1, max_iter=2**50, name="halves")[1]["n_iter"] < 9


def test_a_history_takes_a_row_for_each_check(monkeypatch) -> None:
    monkeypatch.setattr("sparsecode._memory._machine", lambda: 2**21)
    ending = run(halves(), measure, tol=None, max_iter=9000, check_every=100, name="halves")[1]
    assert len(ending["history"]["n_iter"]) == 90
    with pytest.raises(MemoryError, match="the history of max_iter=9000 iterations"):
        run(halves(), measure, tol=None, max_iter=9000, name="halves")
