"""The method of optimal directions on a Dask array: codes stay with their signals.

Moments of the codes, a few sums, and as many signals as there are atoms to replace travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._dask import check_blocks, computed, kept_and_added, reduce_rows, tasks
from sparsecode._scaling import from_units
from sparsecode._validation import RandomSource, check_n_components, check_random_state
from sparsecode.solvers._alternation import (
    Iterate,
    alternate,
    least_squares_atoms,
    nonnegative_atoms,
    rescaled,
    to_unit_norm,
)
from sparsecode.solvers._blocks import Blocks, added, in_units
from sparsecode.solvers._learning import (
    Coding,
    Resumable,
    Signals,
    filled,
    first_atoms,
    moments,
    poor_atoms,
    resumed,
    state_of,
    unit_atoms,
    with_signals,
    worst_coded,
)
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback


class _Sums(NamedTuple):
    A: np.ndarray
    B: np.ndarray
    uses: np.ndarray


class _Left(NamedTuple):
    """What the codes leave, and the signals that are coded worst."""

    energy: float
    absolute: float
    n_nonzero: int
    worst: np.ndarray  # energies, descending
    places: np.ndarray
    rows: np.ndarray


class BlockLearner(NamedTuple):
    """Checked arguments, and where it starts."""

    blocks: Blocks
    coding: Coding
    D: np.ndarray
    taken: np.ndarray
    rng: RandomSource

    @classmethod
    def checked(
        cls,
        X: Any,
        n_components: Any,
        *,
        n_nonzero_coefs: Any,
        residual_tol: Any,
        alpha: Any,
        positive: Any,
        init: Any,
        random_state: Any,
    ) -> Self:
        """From the arguments; a `DictionaryResult` for `init` goes on where it ended."""
        X = check_blocks(X, "X")
        n_components = check_n_components(n_components, X.shape[1])
        coding = Coding.checked(n_components, n_nonzero_coefs, residual_tol, alpha, positive)
        rng, blocks = check_random_state(random_state), Blocks.checked(X)
        shape, taken = (n_components, blocks.shape[1]), np.zeros(blocks.shape[0], dtype=bool)
        if isinstance(init, DictionaryResult):
            D, taken, rng = resumed(init, shape, len(taken), rng, random_state)
        else:
            D = first_atoms_of_blocks(blocks, shape, init, rng, positive=coding.positive)
        return cls(blocks, coding.in_units(blocks.unit), D.astype(blocks.dtype), taken, rng)


def mod_of_blocks(
    learner: BlockLearner, max_iter: Any, tol: Any, callback: Callback | None
) -> DictionaryResult:
    """`mod` of a Dask array."""
    blocks = learner.blocks
    last, ending = alternate(
        _alternation(learner), learner.D, blocks.energy, blocks.unit, max_iter=max_iter, tol=tol,
        callback=callback, name="mod",
    )  # fmt: skip
    codes, factors = last.codes
    scaled = tasks(_as_given, codes, factors, blocks.unit)
    return DictionaryResult(
        dictionary=last.D,
        codes=blocks.array_of(scaled, sp.csr_array((1, len(last.D)), dtype=blocks.dtype)),
        state=Resumable(last.next_D, last.taken, state_of(learner.rng)),
        **ending,
    )


def _alternation(learner: BlockLearner) -> Iterator[Iterate]:
    blocks, coding = learner.blocks, learner.coding
    units, fit = (blocks.dtype, blocks.unit), least_squares_atoms
    if coding.positive:
        fit = nonnegative_atoms
    D, taken, n_replaced = learner.D, learner.taken, 0
    while True:
        sums: _Sums
        codes, sums = kept_and_added(added, tasks(_coded, blocks.X, *units, coding, D))
        D, factors = to_unit_norm(fit(sums.A, sums.B, D), D)
        poor, coherence = poor_atoms(D, sums.uses)
        places = [np.flatnonzero(part) for part in np.split(taken, blocks.starts[1:])]
        left = reduce_rows(
            _left, partial(_added_left, n_worst=poor.size), (blocks.X, codes),
            *units, coding, D, factors, poor.size,
            of_each=list(zip(blocks.starts, places, strict=True)),
        )  # fmt: skip
        taken = taken.copy()
        taken[left.places] = True
        next_D = with_signals(D, poor[: len(left.rows)], left.rows, coding.positive)
        objective = 0.5 * left.energy + (coding.alpha or 0.0) * left.absolute
        yield Iterate(
            D, (codes, factors), left.energy, objective, left.n_nonzero / blocks.shape[0],
            coherence, n_replaced, next_D, taken,
        )  # fmt: skip
        D, n_replaced = next_D, len(left.rows)


def _pick(blocks: Blocks, ranks: np.ndarray) -> np.ndarray:
    """Of the signals that are not zero these, in units."""
    before = np.cumsum(blocks.nonzero) - blocks.nonzero
    owner = np.searchsorted(before, ranks, side="right") - 1
    rows = np.empty((len(ranks), blocks.shape[1]), blocks.dtype)
    owners = np.unique(owner)
    wanted = [(ranks[owner == block] - before[block],) for block in owners]
    found = computed(
        _picked, blocks.X, blocks.dtype, blocks.unit, which=owners.tolist(), of_each=wanted
    )
    for block, part in zip(owners, found, strict=True):
        rows[owner == block] = part
    return rows


def first_atoms_of_blocks(
    blocks: Blocks, shape: tuple[int, int], init: Any, rng: RandomSource, *, positive: bool
) -> np.ndarray:
    """As of the whole array; "svd" up to signs."""
    kind = "data" if init is None else init
    X = np.empty((0, shape[1]), blocks.dtype)
    if isinstance(kind, str) and kind == "data":
        chosen = _pick(blocks, rng.permutation(int(blocks.nonzero.sum()))[: shape[0]])
        return unit_atoms(filled(chosen, shape, rng), positive=positive)
    if isinstance(kind, str) and kind == "svd":
        X = reduce_rows(_triangle, _stacked_triangles, blocks.X, blocks.dtype, blocks.unit)
    return first_atoms(X, shape, kind, rng, positive=positive)


def _as_given(codes: sp.csr_array, factors: np.ndarray, unit: float) -> sp.csr_array:
    codes = rescaled(codes, factors)
    codes.data = from_units(codes.data, unit, name="codes")
    return codes


# What workers do. A block is rows as they were given.


def _signals(block: np.ndarray, dtype: np.dtype, unit: float) -> Signals:
    X = in_units(block, dtype, unit)
    return Signals(X, None, X, unit, 0.0)


def _picked(block: np.ndarray, ranks: np.ndarray, dtype: np.dtype, unit: float) -> np.ndarray:
    X = in_units(block, dtype, unit)
    return np.asarray(X[np.flatnonzero(X.any(axis=1))[ranks]])


def _triangle(block: np.ndarray, dtype: np.dtype, unit: float) -> np.ndarray:
    return np.asarray(np.linalg.qr(in_units(block, dtype, unit), mode="r"))


def _stacked_triangles(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.linalg.qr(np.vstack(parts), mode="r"))


def _coded(
    block: np.ndarray, dtype: np.dtype, unit: float, coding: Coding, D: np.ndarray
) -> tuple[sp.csr_array, _Sums]:
    X = in_units(block, dtype, unit)
    codes = coding.codes(X, D, 1, missing=False)
    A, B = moments(X, codes, 1)
    return codes, _Sums(A, B, np.bincount(codes.indices, minlength=len(D)))


def _left(
    block: np.ndarray,
    codes: sp.csr_array,
    start: int,
    taken: np.ndarray,
    dtype: np.dtype,
    unit: float,
    coding: Coding,
    D: np.ndarray,
    factors: np.ndarray,
    n_worst: int,
) -> _Left:
    """`taken` are places in the block of signals that have become atoms."""
    signals, codes = _signals(block, dtype, unit), rescaled(codes, factors)
    energies = signals.energies(codes, D, 1)
    away = np.zeros(len(energies), dtype=bool)
    away[taken] = True
    worst = worst_coded(signals.X, energies, away, n_worst, coding.positive)
    absolute = float(np.abs(codes.data).sum(dtype=np.float64))
    return _Left(
        float(energies.sum()), absolute, int(np.count_nonzero(codes.data)), energies[worst],
        start + worst, signals.X[worst],
    )  # fmt: skip


def _added_left(parts: Sequence[_Left], n_worst: int) -> _Left:
    worst = np.concatenate([each.worst for each in parts])
    places = np.concatenate([each.places for each in parts])
    first = np.lexsort((places, -worst))[:n_worst]
    return _Left(
        sum(each.energy for each in parts),
        sum(each.absolute for each in parts),
        sum(each.n_nonzero for each in parts),
        worst[first],
        places[first],
        np.concatenate([each.rows for each in parts])[first],
    )
