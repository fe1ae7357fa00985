"""The page that ``sparsecode demo`` writes, with its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsecode._threads import check_n_threads, map_tiles, single_threaded_blas

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsecode.datasets import DigitsNetwork
    from sparsecode.layers import Calibration
    from sparsecode.layers.html import Picture

FIRST = "hidden1.weight"  # its inputs are images, so its atoms are, too
IMAGE = (8, 8)
SECOND = "hidden2.weight"
ATOMS = 0.26  # the share of the first layer's bits that 16 atoms and their codes take
PARTS = 0.25  # the share of the second layer's bits in the picture of its parts
SUMMARY = (
    "A network of three layers, 64-128-64-10, was trained on 1,257 images of handwritten digits, "
    "8 pixels by 8, that come with scikit-learn; 540 other images were held out. Then it was "
    "stored in {budget:.1%} of its bits or less, by each method alone and, in the last row, with "
    "the best of them for each layer. Methods were fitted to what entered the layers on 512 "
    "training images (the calibration inputs), so that the layers' outputs change little, however "
    "much their weights do."
)
SHARES = (0.08, 0.15, 0.25, 0.35, 0.5)  # of each layer's bits, along the frontier


def demo_page(
    *,
    digits: DigitsNetwork,
    calibration: Calibration,
    budget: float,
    table: tuple[list[str], list[list[str]]],
    verdicts: Sequence[str],
    findings: Sequence[str],
    commands: Sequence[str],
) -> str:
    """Lay out what was done, the table, and four pictures."""
    from sparsecode.layers.html import Table, render_page

    header, rows = table
    # Products this small gain nothing by threads, which crawl on a busy machine.
    with single_threaded_blas():
        pictures = _pictures(digits, calibration, budget)
    return render_page(
        title=f"A network of digits in {100 * budget:.3g} % of its bits",
        summary=[SUMMARY.format(budget=budget)],
        table=Table(
            caption="Bits by component (positions: which weights there are; codebook: atoms; "
            "container: names, shapes and padding), bytes of the file, errors and accuracy. An "
            "error is squared, relative, and a mean over the layers: 0 is exact, 1 is as bad as a "
            "layer of zeros. Accuracy is on the held-out images.",
            header=[header[0], "verdict", *header[1:]],
            rows=[[row[0], verdict, *row[1:]] for row, verdict in zip(rows, verdicts, strict=True)],
            highlighted=frozenset(i for i, verdict in enumerate(verdicts) if "not" not in verdict),
        ),
        findings=[" ".join(findings)],
        pictures=pictures,
        commands=commands,
    )


def _pictures(digits: DigitsNetwork, calibration: Calibration, budget: float) -> list[Picture]:
    from sparsecode.layers.html import Picture, png

    weights = {name: W for name, W in digits.network.items() if W.ndim == 2}
    return [
        Picture(
            title="How fast the singular values fall",
            caption="The singular values of each layer's weights, the largest first. A curve that "
            "falls fast can be cut off early: few directions carry the layer. The ring is at the "
            "effective rank, the number of directions that matter; a ring far to the left means a "
            "layer that low rank suits.",
            alt="Line plot of the singular values of the three layers, in descending order.",
            png=png(_spectrum(weights)),
        ),
        Picture(
            title="What the first layer looks for",
            caption="Atoms of a dictionary learned from the weights of the first layer. Its inputs "
            "are images of 8 by 8 pixels, and so is each atom: light pixels count for it, dark "
            "ones against it. Every unit of the layer is a sum of a few of them; the atom that "
            "most units use comes first.",
            alt="Mosaic of small grey pictures of 8 by 8 pixels, the learned atoms.",
            png=png(_atoms(weights[FIRST], calibration)),
        ),
        Picture(
            title="What a layer has in common, and what stands out",
            caption="The weights of the second layer (left; a row for each of 64 units, a column "
            "for each of its 128 inputs), and two parts that take a quarter of its bits: one of "
            "low rank (middle: bands that run through many rows, which units share) and a sparse "
            "one (right: single weights beside what is shared). Together they compute almost what "
            "the layer computes, although they do not have to look like it. Blue is negative, red "
            "positive, white zero.",
            alt="Three heat maps side by side: the weights, their low-rank and their sparse part.",
            png=png(_parts(weights[SECOND], calibration)),
        ),
        Picture(
            title="Error against bits",
            caption="Each method at several sizes, every layer at the same share of its bits, "
            "names and shapes not counted: the error of the layers' outputs on the calibration "
            "inputs, relative, squared, a mean over the layers. Lower and further left is better; "
            "the dashed line is the share of this page.",
            alt="Line plot of relative output error against the share of bits, a curve a method.",
            png=png(_frontier(weights, calibration, budget)),
        ),
    ]


def _figure(width: float, height: float) -> Figure:
    # Not through pyplot: no window system, and no figure that outlives this page.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _figure(width, height)
    return figure, figure.subplots()


def _spectrum(weights: dict[str, np.ndarray]) -> Figure:
    from sparsecode.plotting import SpectrumDisplay

    spectra = {
        name: SpectrumDisplay.from_matrix(W, label=name).singular_values[name]
        for name, W in weights.items()
    }
    figure, ax = _axes(6.8, 4.2)
    SpectrumDisplay(spectra).plot(ax)
    return figure


def _atoms(W: np.ndarray, calibration: Calibration) -> Figure:
    from sparsecode.layers import Dictionary, factorize
    from sparsecode.plotting import DictionaryDisplay

    gram = calibration.gram(FIRST)
    learned = factorize(W, "dictionary", budget=ATOMS, gram=gram, random_state=0)
    assert isinstance(learned, Dictionary)
    usage = (learned.codes.to_dense() != 0).sum(axis=0)
    figure, ax = _axes(4.6, 4.9)
    DictionaryDisplay(learned.dictionary, IMAGE, usage).plot(ax)
    return figure


def _parts(W: np.ndarray, calibration: Calibration) -> Figure:
    from sparsecode.layers import LowRankPlusSparse, factorize
    from sparsecode.plotting import DecompositionDisplay

    gram = calibration.gram(SECOND)
    parts = factorize(W, "low_rank+sparse", budget=PARTS, gram=gram)
    assert isinstance(parts, LowRankPlusSparse)
    figure = _figure(9.6, 2.1)
    panels = figure.subplots(1, 3)
    DecompositionDisplay(W, parts.low_rank.to_dense(), parts.sparse.to_dense()).plot(panels)
    return figure


def _frontier(weights: dict[str, np.ndarray], calibration: Calibration, budget: float) -> Figure:
    from sparsecode.layers import FAMILIES
    from sparsecode.plotting import FrontierDisplay

    methods = [method for method in FAMILIES if method != "dense"]
    tasks = [(method, share) for method in methods for share in SHARES]
    points = map_tiles(
        lambda task: _point(weights, calibration, *task), tasks, check_n_threads(None)
    )
    curves = {}
    for method in methods:
        reached = [
            point
            for (which, _), point in zip(tasks, points, strict=True)
            if which == method and point is not None
        ]
        if reached:
            curves[method] = tuple(zip(*reached, strict=True))
    figure, ax = _axes(6.8, 4.4)
    FrontierDisplay(curves).plot(ax, budget=budget)
    return figure


def _point(
    weights: dict[str, np.ndarray], calibration: Calibration, method: str, share: float
) -> tuple[float, float] | None:
    """The share of bits taken and the mean error, or None if some layer cannot be so small."""
    from sparsecode.layers import BudgetError, factorize, output_error

    bits, errors = 0, []
    for name, W in weights.items():
        gram = calibration.gram(name)
        try:
            form = factorize(W, method, budget=share, gram=gram)
        except BudgetError:
            return None
        bits += form.bits().total
        errors.append(output_error(W, form.to_dense(), gram))
    return bits / sum(8 * W.nbytes for W in weights.values()), sum(errors) / len(errors)
