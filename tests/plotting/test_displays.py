"""The displays: what they store, what they draw, what they refuse, and what they do not import."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from sparsecode import ConvolutionalDictionaryLearning, solvers
from sparsecode.datasets import make_low_rank_plus_sparse, make_sparse_coded_signals
from sparsecode.plotting import (
    CompressionDisplay,
    ConvergenceDisplay,
    DecompositionDisplay,
    DictionaryDisplay,
    FrontierDisplay,
    PhaseTransitionDisplay,
    SpectrumDisplay,
)
from sparsecode.theory import PhaseTransition, phase_transition

HISTORY = {
    "n_iter": np.array([10, 20, 30]),
    "seconds": np.array([0.5, 1.5, 2.0]),
    "certificate": np.array([1e-1, 1e-3, 1e-5]),
}
RNG = np.random.RandomState(0)
ATOMS = RNG.standard_normal((7, 12))
TRANSITION = PhaseTransition(
    n=100,
    deltas=np.array([0.2, 0.5]),
    rhos=np.array([[0.2, 0.3], [0.3, 0.5]]),
    n_successes=np.array([[4, 0], [3, 1]]),
    n_trials=4,
    midpoints=np.array([np.nan, 0.4]),
    lows=np.array([np.nan, 0.35]),
    highs=np.array([np.nan, 0.47]),
)
PARTS = [RNG.standard_normal((6, 5)) for _ in range(3)]

DISPLAYS: dict[str, Callable[[], Any]] = {
    "spectrum": lambda: SpectrumDisplay({"a": [3.0, 2.0, 0.5], "b": [1.0]}),
    "dictionary": lambda: DictionaryDisplay(ATOMS, (3, 4), usage=np.arange(7)),
    "decomposition": lambda: DecompositionDisplay(*PARTS),
    "convergence": lambda: ConvergenceDisplay({"a": HISTORY, "b": HISTORY}),
    "frontier": lambda: FrontierDisplay({"a": ([0.5, 0.1], [0.01, 0.2]), "b": ([0.3], [0.1])}),
    "phase transition": lambda: PhaseTransitionDisplay({"a": TRANSITION, "b": TRANSITION}),
    "compression": lambda: CompressionDisplay({"a": (0.5, 0.01), "b": (0.2, 0.0)}),
}
SEVERAL_AXES = {"decomposition": 3, "compression": 2}


class Fitted(BaseEstimator):
    """An estimator as the displays see it: fitted attributes, `transform`, `decompose`."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def fit(self, X: Any) -> "Fitted":
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X

    def decompose(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 0.75 * X, 0.25 * X


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(display: Any) -> Any:
    """After a full drawing, in which ticks, legends and layouts are worked out."""
    display.figure_.canvas.draw()
    return display


def given_axes(name: str, figure: Figure) -> Any:
    return figure.subplots(1, SEVERAL_AXES[name]) if name in SEVERAL_AXES else figure.subplots()


def heights(line: Any) -> np.ndarray:
    return np.asarray(line.get_ydata())


def places(line: Any) -> np.ndarray:
    return np.asarray(line.get_xdata())


# What all of them do.


@pytest.mark.parametrize("name", DISPLAYS)
def test_plot_returns_itself_and_makes_one_figure(name: str) -> None:
    display = DISPLAYS[name]()
    assert not hasattr(display, "figure_")
    assert display.plot() is display
    drawn(display)
    assert plt.get_fignums() == [display.figure_.number]
    assert display.figure_.axes[0] is (display.axes_[0] if name in SEVERAL_AXES else display.ax_)


@pytest.mark.parametrize("name", DISPLAYS)
def test_plot_on_given_axes_makes_no_figure(name: str) -> None:
    figure = Figure()
    ax = given_axes(name, figure)
    display = drawn(DISPLAYS[name]().plot(ax))
    assert plt.get_fignums() == []
    assert display.figure_ is figure
    if name in SEVERAL_AXES:
        assert list(display.axes_) == list(ax)
    else:
        assert display.ax_ is ax


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_second_plot_leaves_the_first_alone(name: str) -> None:
    display = DISPLAYS[name]()
    first = display.plot().figure_
    before = [len(ax.get_children()) for ax in first.axes]
    assert display.plot().figure_ is not first
    assert [len(ax.get_children()) for ax in first.axes] == before


@pytest.mark.parametrize("name", DISPLAYS)
def test_nothing_drawn_is_cut_off(name: str) -> None:
    display = drawn(DISPLAYS[name]().plot())
    box = display.figure_.get_tightbbox()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert np.all(box.max <= display.figure_.get_size_inches() + 0.02)


def test_matplotlib_is_imported_by_plot_alone() -> None:
    code = """
import sys
from sparsecode.plotting import *
DictionaryDisplay([[1.0, 0.0]], (1, 2))
SpectrumDisplay.from_matrix([[1.0, 0.0]])
FrontierDisplay({"a": ([0.5], [0.1])})
DecompositionDisplay([[1.0]], [[1.0]], [[0.0]])
ConvergenceDisplay({"a": dict(n_iter=[1], seconds=[1], certificate=[1])})
print("matplotlib" in sys.modules, "sklearn" in sys.modules, "numba" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False", "False"]


@pytest.mark.parametrize(
    ("cls", "argument"),
    [
        (SpectrumDisplay, "singular_values"),
        (ConvergenceDisplay, "histories"),
        (FrontierDisplay, "curves"),
        (CompressionDisplay, "layers"),
    ],
)
def test_curves_come_by_label(cls: Any, argument: str) -> None:
    with pytest.raises(TypeError, match=rf"{argument} has to be a mapping by labels, got list"):
        cls([1.0])
    with pytest.raises(TypeError, match=rf"{argument} has to have strings for labels, got 3"):
        cls({3: [1.0]})
    with pytest.raises(ValueError, match=rf"{argument} is empty"):
        cls({})


def test_curves_differ_by_colour_and_by_marker() -> None:
    curves = {f"m{i}": ([0.1, 0.2], [0.2, 0.1]) for i in range(20)}
    lines = FrontierDisplay(curves).plot().lines_
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 20
    assert len({line.get_color() for line in lines[:7]}) == 7
    assert len({line.get_marker() for line in lines[:8]}) == 8


@pytest.mark.parametrize("n_curves", [2, 9])
def test_every_curve_is_in_the_legend_and_none_under_a_long_one(n_curves: int) -> None:
    curves = {f"_layer{i}": ([0.1, 0.9], [0.2, 0.1]) for i in range(n_curves)}
    display = drawn(FrontierDisplay(curves).plot())
    legend = display.ax_.get_legend()
    assert [text.get_text().strip() for text in legend.get_texts()] == list(curves)
    outside = legend.get_window_extent().x0 >= display.ax_.get_window_extent().x1
    assert outside == (n_curves == 9)


@pytest.mark.parametrize("name", ["spectrum", "dictionary", "convergence", "decomposition"])
def test_an_estimator_has_to_be_fitted(name: str) -> None:
    with pytest.raises(NotFittedError):
        type(DISPLAYS[name]()).from_estimator(Fitted())


# Spectra.


def test_spectrum_stores_and_draws_the_singular_values() -> None:
    s = np.array([4.0, 2.0, 1.0], dtype=np.float32)
    display = SpectrumDisplay({"W": s})
    assert display.singular_values["W"] is s
    (line,) = display.plot().lines_
    np.testing.assert_array_equal(heights(line), s)
    np.testing.assert_array_equal(places(line), [1, 2, 3])
    assert display.ax_.get_yscale() == "log"


def test_spectrum_of_a_matrix_and_of_an_estimator() -> None:
    U, _ = np.linalg.qr(RNG.standard_normal((8, 3)))
    V, _ = np.linalg.qr(RNG.standard_normal((5, 3)))
    display = SpectrumDisplay.from_matrix((U * [9.0, 3.0, 0.1]) @ V.T, label="W")
    np.testing.assert_allclose(display.singular_values["W"], [9, 3, 0.1, 0, 0], atol=1e-13)
    # The two that only rounding made are not drawn.
    assert np.count_nonzero(np.isfinite(heights(display.plot().lines_[0]))) == 3
    s = np.array([2.0, 1.0])
    assert SpectrumDisplay.from_estimator(Fitted(singular_values_=s)).singular_values["Fitted"] is s


def test_cumulative_energy() -> None:
    (line,) = SpectrumDisplay({"W": [4.0, 3.0, 0.0]}).plot(cumulative=True).lines_
    np.testing.assert_allclose(heights(line), [16 / 25, 1, 1])


def test_the_ring_is_at_the_effective_rank() -> None:
    s = [2.0, 2.0, 2.0, 1e-9]
    display = SpectrumDisplay({"W": s}).plot()
    ring = display.ax_.get_lines()[-1]
    assert (places(ring).tolist(), heights(ring).tolist()) == ([3], [2.0])
    assert display.ax_.get_legend().get_texts()[0].get_text() == "W: effective rank 3"


@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize(
    "s", [[0.0, 0.0], [1e200, 1e-200], [7.0], np.float32([1e30, 1e29])], ids=str
)
def test_extreme_spectra_are_drawn(s: Any, cumulative: bool) -> None:
    drawn(SpectrumDisplay({"W": s}).plot(cumulative=cumulative))


@pytest.mark.parametrize("s", [[1.0, 2.0], [1.0, -1.0], [-1.0]])
def test_spectra_descend_to_zero(s: list[float]) -> None:
    with pytest.raises(
        ValueError, match=r"singular_values\['W'\] .* nonnegative and in descending"
    ):
        SpectrumDisplay({"W": s})


def test_a_rank_of_zero_has_no_spectrum() -> None:
    with pytest.raises(ValueError, match=r"singular_values\['Fitted'\] is empty"):
        SpectrumDisplay.from_estimator(Fitted(singular_values_=np.zeros(0)))


# Dictionaries.


def cell(display: DictionaryDisplay, row: int, column: int) -> np.ndarray:
    height, width = display.patch_shape[:2]
    picture = np.ma.filled(display.image_.get_array(), np.nan)
    return picture[row * height : (row + 1) * height, column * width : (column + 1) * width]


def test_atoms_are_stored_and_drawn_symmetric_around_zero() -> None:
    display = DictionaryDisplay(ATOMS, (3, 4))
    assert display.atoms is ATOMS
    assert display.usage is None
    display.plot()
    assert display.image_.get_clim() == (-1, 1)
    rows, columns = np.array(display.image_.get_array().shape) // (3, 4)
    for i, atom in enumerate(ATOMS):
        expected = atom.reshape(3, 4) / max(atom.max(), -atom.min())
        np.testing.assert_allclose(cell(display, *divmod(i, columns)), expected)
    for i in range(len(ATOMS), rows * columns):
        assert np.isnan(cell(display, *divmod(i, columns))).all()


def test_the_most_used_atom_comes_first_and_ties_keep_their_order() -> None:
    atoms = np.eye(4)
    display = DictionaryDisplay(atoms, (2, 2), usage=[1, 5, 1, 9]).plot()
    order = [cell(display, *divmod(i, 2)).argmax() for i in range(4)]
    assert order == [3, 1, 0, 2]


def test_colour_patches_are_grey_at_zero() -> None:
    atoms = np.zeros((2, 12))
    atoms[0, 0] = -4.0  # red of the first pixel
    display = DictionaryDisplay(atoms, (2, 2, 3)).plot()
    first, second = cell(display, 0, 0), cell(display, 0, 1)
    np.testing.assert_array_equal(first[0, 0], [0, 0.5, 0.5])
    np.testing.assert_array_equal(first[1, 1], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(second, np.full((2, 2, 3), 0.5))


@pytest.mark.parametrize("patch_shape", [(1, 12), (12, 1), (2, 6), (2, 2, 3)])
@pytest.mark.parametrize("n_atoms", [1, 2, 7])
def test_a_line_goes_around_every_atom_and_no_empty_cell(
    n_atoms: int, patch_shape: tuple[int, ...]
) -> None:
    display = drawn(DictionaryDisplay(ATOMS[:n_atoms], patch_shape).plot())
    height, width = patch_shape[:2]
    n_columns = display.image_.get_array().shape[1] // width
    wanted = set()
    for row, column in (divmod(i, n_columns) for i in range(n_atoms)):
        for side in (0, 1):
            wanted.add(("-", column, row + side))
            wanted.add(("|", column + side, row))
    found = set()
    for lines in display.ax_.collections:
        for (x0, y0), (x1, y1) in lines.get_segments():
            across, down = np.array([x0, x1]) / width, np.array([y0, y1]) / height
            found |= {("-", k, int(down[0])) for k in range(round(np.ptp(across)))}
            found |= {("|", int(across[0]), k) for k in range(round(np.ptp(down)))}
    assert found == wanted


def test_usage_is_the_number_of_signals_that_use_an_atom() -> None:
    codes = np.array([[0, 1.0, -2], [0, 0, 3]])
    for given in (codes, sp.csr_array(codes)):
        display = DictionaryDisplay.from_estimator(Fitted(components_=np.eye(3, 4)), X=given)
        np.testing.assert_array_equal(display.usage, [0, 1, 2])
        assert display.patch_shape == (2, 2)


def test_atoms_of_a_solver() -> None:
    X = make_sparse_coded_signals(
        60, n_features=12, n_components=5, n_nonzero_coefs=2, random_state=0
    )[0]
    result = solvers.ksvd(X, 5, n_nonzero_coefs=2, max_iter=2, random_state=0)
    display = DictionaryDisplay.from_result(result)
    assert display.patch_shape == (2, 2, 3)
    assert display.atoms is result.dictionary
    np.testing.assert_array_equal(display.usage, np.count_nonzero(result.codes.toarray(), axis=0))
    assert DictionaryDisplay.from_result(result, (3, 4)).patch_shape == (3, 4)


def test_atoms_of_signals_are_curves_in_their_cells_the_most_used_first() -> None:
    atoms = np.array([[1.0, 0, 0, -2], [0, 4, 0, 0], [0, 0, 0, 0]])
    display = drawn(DictionaryDisplay(atoms, (4,), usage=[1, 5, 2]).plot())
    assert display.image_ is None
    assert display.ax_.get_xlabel() == "3 atoms of 4, most used first"
    height, width = 2, 3
    for place, atom in enumerate((atoms[1] / 4, atoms[2], atoms[0] / 2)):
        row, column = divmod(place, 2)
        x, y = display.lines_[place].get_data()
        assert column * width < x[0] < x[-1] < (column + 1) * width
        np.testing.assert_allclose((row + 0.5) * height - y, 0.45 * height * atom)


@pytest.mark.parametrize(
    ("shape", "size", "multichannel"),
    [((3, 20), (4,), False), ((2, 9, 8), (3, 2), False), ((2, 9, 8, 3), (2, 3), True)],
)
def test_atoms_at_every_place_have_their_own_shape(shape, size, multichannel) -> None:
    X = np.random.default_rng(0).standard_normal(shape)
    options = {"alpha": 0.5, "max_iter": 10, "random_state": 0, "multichannel": multichannel}
    result = solvers.convolutional_dictionary_learning(X, 5, size, **options)
    display = drawn(DictionaryDisplay.from_result(result).plot())
    assert display.patch_shape == result.dictionary.shape[1:]
    uses = np.count_nonzero(np.moveaxis(result.codes, 1, 0).reshape(5, -1), axis=1)
    np.testing.assert_array_equal(display.usage, uses)
    learner = ConvolutionalDictionaryLearning(5, size, sample_shape=shape[1:], **options)
    rows = X.reshape(len(X), -1)
    display = DictionaryDisplay.from_estimator(learner.fit(rows), X=rows)
    assert display.patch_shape == result.dictionary.shape[1:]
    assert display.usage.shape == (5,)


@pytest.mark.parametrize(
    ("patch_shape", "error", "message"),
    [
        ((3, 5), ValueError, r"patch_shape \(3, 5\) has 15 entries but an atom has 12"),
        ((11,), ValueError, r"patch_shape \(11,\) has 11 entries but an atom has 12"),
        ((3, 2, 2), ValueError, r"patch_shape has to be \(h, w\), \(h, w, 3\) or \(n,\), got"),
        ((-3, -4), ValueError, r"patch_shape has to be at least 1, got -3"),
        ((3.0, 4.0), TypeError, r"patch_shape has to be a tuple of integers, got \(3\.0, 4\.0\)"),
        (12, TypeError, r"patch_shape has to be a tuple of integers, got 12"),
    ],
)
def test_patch_shapes_that_do_not_fit(patch_shape: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        DictionaryDisplay(ATOMS, patch_shape)


def test_what_else_a_dictionary_refuses() -> None:
    with pytest.raises(ValueError, match="usage has 3 entries but atoms has 7 rows"):
        DictionaryDisplay(ATOMS, (3, 4), usage=[1, 2, 3])
    with pytest.raises(ValueError, match="an atom of 7 entries is no square patch"):
        DictionaryDisplay.from_estimator(Fitted(components_=np.ones((2, 7))))


# Decompositions.


def test_parts_are_stored_and_share_one_symmetric_scale() -> None:
    display = DecompositionDisplay(*PARTS)
    stored = (display.matrix, display.low_rank, display.sparse)
    assert all(part is given for part, given in zip(stored, PARTS, strict=True))
    display.plot()
    assert len({image.get_clim() for image in display.images_}) == 1
    low, high = display.images_[0].get_clim()
    assert low == -high < 0
    for image, part in zip(display.images_, PARTS, strict=True):
        np.testing.assert_array_equal(image.get_array(), part)


def test_large_corruption_does_not_set_the_scale() -> None:
    low_rank = np.outer(np.linspace(-1, 1, 30), np.ones(40))
    sparse = np.zeros((30, 40))
    sparse[3, 4] = 1e6
    display = DecompositionDisplay(low_rank + sparse, low_rank, sparse).plot()
    assert 0.9 < display.images_[0].get_clim()[1] <= 1


@pytest.mark.parametrize(
    ("entries", "arrows"),
    [((0, 0), "neither"), ((9, 0), "max"), ((-9, 0), "min"), ((9, -9), "both")],
)
def test_the_arrows_say_what_is_outside_the_scale(entries: tuple, arrows: str) -> None:
    low_rank, sparse = np.ones((4, 4)), np.zeros((4, 4))
    sparse[0, :2] = entries
    assert (
        DecompositionDisplay(low_rank + sparse, low_rank, sparse).plot().colorbar_.extend == arrows
    )


@pytest.mark.parametrize(
    "matrix",
    [np.zeros((3, 4)), np.eye(40), np.full((1, 1), 1e-200), np.full((1, 1), 1e200)],
    ids=np.shape,
)
def test_a_low_rank_part_of_zero_has_a_scale_all_the_same(matrix: np.ndarray) -> None:
    display = drawn(DecompositionDisplay(matrix, np.zeros_like(matrix), matrix).plot())
    assert display.images_[0].get_clim()[1] == (matrix.max() or 1)


@pytest.mark.parametrize("shape", [(2000, 3), (3, 2000), (1, 1)])
def test_panels_are_never_slivers_and_the_bar_is_as_high(shape: tuple[int, int]) -> None:
    part = RNG.standard_normal(shape)
    display = drawn(DecompositionDisplay(part, part, part).plot())
    boxes = [ax.get_window_extent() for ax in display.axes_]
    for box in boxes:
        assert min(box.width, box.height) > 70  # pixels
        assert box.bounds[1::2] == pytest.approx(boxes[0].bounds[1::2])
    bar = display.colorbar_.ax.get_window_extent()
    assert bar.y0 >= boxes[0].y0 - 1
    assert bar.y1 <= boxes[0].y1 + 1


def test_the_split_of_a_solver_and_of_an_estimator() -> None:
    X = make_low_rank_plus_sparse(40, rank=2, density=0.05, random_state=0)[0]
    result = solvers.principal_component_pursuit(X)
    display = DecompositionDisplay.from_result(result)
    assert display.low_rank is result.low_rank
    assert display.sparse is result.sparse
    np.testing.assert_allclose(display.matrix, X, atol=1e-6 * np.abs(X).max())
    assert DecompositionDisplay.from_result(result, X).matrix is X

    fitted = Fitted(low_rank_=result.low_rank, sparse_=result.sparse)
    assert DecompositionDisplay.from_estimator(fitted).sparse is result.sparse
    new = DecompositionDisplay.from_estimator(fitted, X[:7])
    np.testing.assert_array_equal(new.low_rank, 0.75 * X[:7])
    np.testing.assert_array_equal(new.sparse, 0.25 * X[:7])


def test_what_a_decomposition_refuses() -> None:
    with pytest.raises(ValueError, match=r"sparse has shape \(5, 6\) but matrix \(6, 5\)"):
        DecompositionDisplay(PARTS[0], PARTS[1], PARTS[2].T)
    with pytest.raises(ValueError, match="low_rank contains NaN"):
        DecompositionDisplay(PARTS[0], PARTS[1] * np.nan, PARTS[2])
    display = DecompositionDisplay(*PARTS)
    with pytest.raises(ValueError, match="limit has to be a finite number in"):
        display.plot(limit=0.0)
    with pytest.raises(ValueError, match="ax has to be three axes, got 1"):
        display.plot(Figure().subplots())
    assert plt.get_fignums() == []


# Convergence.


@pytest.mark.parametrize("against", ["n_iter", "seconds"])
def test_histories_are_stored_and_drawn(against: str) -> None:
    display = ConvergenceDisplay({"a": HISTORY})
    assert display.histories["a"] is HISTORY
    (line,) = display.plot(against=against).lines_
    np.testing.assert_array_equal(places(line), HISTORY[against])
    np.testing.assert_array_equal(heights(line), HISTORY["certificate"])
    assert display.ax_.get_yscale() == "log"


def test_certificates_without_a_logarithm_are_left_out() -> None:
    history = HISTORY | {"certificate": np.array([np.inf, 1e-3, 0.0])}
    (line,) = drawn(ConvergenceDisplay({"a": history}).plot()).lines_
    assert (places(line).tolist(), heights(line).tolist()) == ([20], [1e-3])
    nothing = HISTORY | {"certificate": np.zeros(3)}
    drawn(ConvergenceDisplay({"a": nothing}).plot())


def test_histories_of_solvers_and_estimators() -> None:
    A, y = RNG.standard_normal((20, 30)), RNG.standard_normal(20)
    results = {"fista": solvers.fista(A, y, 1.0), "ista": solvers.ista(A, y, 1.0)}
    display = drawn(ConvergenceDisplay.from_results(results).plot())
    assert [line.get_label() for line in display.lines_] == ["fista", "ista"]
    for line, result in zip(display.lines_, results.values(), strict=True):
        assert heights(line)[-1] == result.certificate
        assert places(line)[-1] == result.n_iter
    one = ConvergenceDisplay.from_result(results["ista"])
    assert one.histories["certificate"] is results["ista"].history
    assert (
        ConvergenceDisplay.from_estimator(Fitted(history_=HISTORY)).histories["Fitted"] is HISTORY
    )


def test_what_a_convergence_refuses() -> None:
    finite = solvers.omp(np.eye(3), np.ones(3), n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="the solver took no iteration"):
        ConvergenceDisplay.from_result(finite)
    with pytest.raises(ValueError, match="lacks 'seconds'; it has 'n_iter', 'certificate'"):
        ConvergenceDisplay({"a": {"n_iter": [1], "certificate": [1.0]}})
    with pytest.raises(ValueError, match="1-D arrays of one length"):
        ConvergenceDisplay({"a": HISTORY | {"seconds": [1.0]}})
    with pytest.raises(TypeError, match=r"histories\['a'\] has to be a mapping of arrays"):
        ConvergenceDisplay({"a": [1.0, 0.1]})
    with pytest.raises(ValueError, match="against has to be one of"):
        ConvergenceDisplay({"a": HISTORY}).plot(against="time")
    assert plt.get_fignums() == []


# Frontiers.


def test_frontiers_are_stored_as_given_and_drawn_in_the_order_of_bits() -> None:
    bits, error = np.array([0.5, 0.1, 0.9, 0.3]), np.array([0.02, 0.4, 0.0, 0.1])
    display = FrontierDisplay({"a": (bits, error)})
    assert display.curves["a"][0] is bits
    assert display.curves["a"][1] is error
    (line,) = drawn(display.plot()).lines_
    np.testing.assert_array_equal(places(line), [0.1, 0.3, 0.5])  # no logarithm of the zero
    np.testing.assert_array_equal(heights(line), [0.4, 0.1, 0.02])
    assert display.ax_.get_yscale() == "log"


def test_the_budget_is_marked() -> None:
    display = FrontierDisplay({"a": ([0.1, 0.5], [0.2, 0.1])}).plot(budget=0.25)
    assert places(display.ax_.get_lines()[-1]).tolist() == [0.25, 0.25]
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["a", "budget 0.25"]


def test_ticks_within_a_decade_are_plain_numbers() -> None:
    display = drawn(FrontierDisplay({"a": ([0.1, 0.5], [0.8, 0.2])}).plot())
    low, high = display.ax_.get_ylim()
    both = display.ax_.get_yticklabels() + display.ax_.get_yticklabels(minor=True)
    shown = [t.get_text() for t in both if t.get_text() and low <= t.get_position()[1] <= high]
    assert {"0.2", "0.8"} <= set(shown)
    assert not any("10" in text for text in shown)


@pytest.mark.parametrize(
    ("curve", "error", "message"),
    [
        ([1.0], TypeError, "has to be a pair"),
        (np.ones((2, 3)), TypeError, "has to be a pair"),
        (([0.1, 0.2], [0.1]), ValueError, "has 2 bits_fraction but 1 errors"),
        (([0.0], [0.1]), ValueError, "positive bits_fraction"),
        (([0.1], [-0.1]), ValueError, "nonnegative errors"),
        (([0.1], [np.nan]), ValueError, "contains NaN"),
    ],
)
def test_curves_that_are_no_frontier(curve: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        FrontierDisplay({"a": curve})


def test_a_budget_is_positive() -> None:
    with pytest.raises(ValueError, match="budget has to be a finite number in"):
        FrontierDisplay({"a": ([0.1], [0.1])}).plot(budget=-1.0)
    assert plt.get_fignums() == []


def test_compression_has_a_bar_a_layer_from_the_top() -> None:
    display = drawn(CompressionDisplay({"first": (0.5, 0.1), "second": (0.25, 0.01)}).plot())
    left, right = display.axes_
    assert [bar.get_width() for bar in left.patches] == [0.5, 0.25]
    assert [bar.get_width() for bar in right.patches] == [0.1, 0.01]
    assert [label.get_text() for label in left.get_yticklabels()] == ["first", "second"]
    assert left.get_ylim()[0] > left.get_ylim()[1]
    with pytest.raises(ValueError, match=r"layers\['w'\]\[0\] has to be"):
        CompressionDisplay({"w": (0.0, 0.1)})
    with pytest.raises(TypeError, match=r"layers\['w'\] has to be a pair"):
        CompressionDisplay({"w": 0.1})


def test_a_phase_transition_shows_points_bands_cells_and_the_curve() -> None:
    display = drawn(PhaseTransitionDisplay.from_result(TRANSITION, label="ours").plot())
    ((points, _, (band,)),) = display.lines_
    np.testing.assert_array_equal(points.get_xydata(), [[0.5, 0.4]])  # NaN has no place
    np.testing.assert_allclose(band.get_segments()[0], [[0.5, 0.35], [0.5, 0.47]])
    np.testing.assert_array_equal(display.cells_.get_array(), [1, 0, 0.75, 0.25])
    np.testing.assert_array_equal(display.cells_.get_offsets()[2], [0.5, 0.3])
    deltas, curve = display.curve_.get_data()
    np.testing.assert_allclose(curve, phase_transition(deltas))


def test_several_phase_transitions_share_one_picture() -> None:
    display = PhaseTransitionDisplay.from_results({"a": TRANSITION, "b": TRANSITION}, positive=True)
    drawn(display.plot())
    assert display.cells_ is None
    assert len(display.lines_) == 2
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["theory", "a", "b"]
    deltas, curve = display.curve_.get_data()
    np.testing.assert_allclose(curve, phase_transition(deltas, positive=True))


def test_a_phase_transition_has_to_be_one() -> None:
    with pytest.raises(TypeError, match=r"transitions\['a'\] has to be a PhaseTransition"):
        PhaseTransitionDisplay({"a": [0.5, 0.3]})
