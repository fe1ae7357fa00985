r"""Rows of weights coded in a structure that was fitted to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode.layers.factorizations import (
    Codebook,
    Dense,
    Dictionary,
    Factorization,
    LowRank,
    LowRankPlusSparse,
    RangeError,
    Sparse,
    Spatial,
    Tucker,
    Uniform,
)
from sparsecode.layers.factorizations._base import all_finite
from sparsecode.layers.factorizations._clusters import assigned, metric_blocks
from sparsecode.layers.factorizations._feedback import cholesky, error_feedback
from sparsecode.layers.factorizations._format import Format, format_of
from sparsecode.layers.factorizations._grid import nearest
from sparsecode.layers.factorizations._pruning import by_surgery
from sparsecode.layers.factorizations._refit import refitted
from sparsecode.layers.factorizations._rounding import with_feedback
from sparsecode.layers.factorizations._supports import Pattern, importance
from sparsecode.layers.factorizations._values import Codes, Values, decoded
from sparsecode.solvers import sparse_encode
from sparsecode.solvers.weighted import gram_root

ROUNDS = 20  # of robust coding: the same for every row, so that none depends on another


class RowEncoder:
    """The structure of a fitted layer, ready to code rows in it.

    A row that the layer has gives that row of ``form.to_dense()``; every other one its best
    approximation in what the fit has found out: atoms, the span of a factor, centroids, a grid, a
    threshold. Its code depends on no other row.

    Parameters
    ----------
    W : array of shape (n_outputs, n_inputs)
        The layer, in the dtype of `form`.
    form : Factorization
        What `factorize` made of it.
    metric : array of shape (n_inputs, n_inputs) or None
        The second moment that it was fitted in, damped as it was there, in float64.
    options : mapping
        Of the fit.
    """

    def __init__(
        self,
        W: np.ndarray,
        form: Factorization,
        metric: np.ndarray | None,
        options: Mapping[str, Any],
    ) -> None:
        self.form, self.options = form, dict(options)
        kind = options.get("metric")
        if metric is not None and kind in ("diagonal", "plain"):
            metric = None if kind == "plain" else np.diag(np.diag(metric))
        self.metric = metric
        W64 = W.astype(np.float64)
        self.unit = unit_of(magnitude(W64), np.float64)
        self._known = {key: i for i, key in reversed(list(enumerate(_keys(W))))}
        if isinstance(form, Sparse):
            self._least = self._least_kept(to_units(W64, self.unit), form.support)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """The rows (m, n_inputs) as the structure stores them, in the dtype of the layer."""
        dtype = self.form.dtype
        with np.errstate(over="ignore", under="ignore"):
            keys = _keys(rows.astype(dtype))
        places = np.array([self._known.get(key, -1) for key in keys], dtype=np.intp)
        new = places < 0
        encoded = np.empty(rows.shape, dtype=dtype)
        if not new.all():
            encoded[~new] = self.form.to_dense()[places[~new]]
        if new.any():
            encoded[new] = self.encode_new(rows[new])
        return encoded

    def encode_new(self, rows: np.ndarray) -> np.ndarray:
        """The same by the rule alone, whatever the layer has."""
        rule = next(rule for kind, rule in RULES.items() if isinstance(self.form, kind))
        units = to_units(rows.astype(np.float64), self.unit)
        coded = from_units(rule(self, units), self.unit, name="the encoded rows")
        with np.errstate(over="ignore", under="ignore"):
            coded = coded.astype(self.form.dtype)
        if not all_finite(coded):
            raise RangeError(f"the encoded rows exceed the range of {self.form.dtype}")
        return coded

    def kept(self, rows: np.ndarray) -> np.ndarray:
        """Dense: as they are."""
        return rows

    def projected(self, rows: np.ndarray) -> np.ndarray:
        r"""Low rank: ``c R`` with the `c` that makes the error in the metric least."""
        R, coefficients = _span(self.form)
        R = to_units(R, unit_of(magnitude(R), np.float64))
        return self._coefficients(rows, R, coefficients) @ R

    def thresholded(self, rows: np.ndarray) -> np.ndarray:
        """Sparse: what matters as much as the least that was kept, or as many as a row kept."""
        form, options = self.form, self.options
        assert isinstance(form, Sparse)
        V, support = self._pruned(rows, form.support)
        if options.get("refit", True):
            V = self._refitted(rows, support, V)
        return self._stored_entries(V, support, form.values)

    def robust(self, rows: np.ndarray) -> np.ndarray:
        """Low rank and sparse: projection and largest entries of the rest in turn, the best."""
        form = self.form
        assert isinstance(form, LowRankPlusSparse)
        R, coefficients = _span(form.low_rank)
        R = to_units(R, unit_of(magnitude(R), np.float64))
        count = -(-form.sparse.values.size // form.shape[0])
        S, best = np.zeros_like(rows), np.zeros_like(rows)
        least = np.full(len(rows), np.inf)
        for _ in range(ROUNDS):
            rest = rows - self._solved(rows - S, R) @ R
            support = Pattern(by_row=True).choose(importance(rest, self.metric), count * len(rows))
            S = self._refitted(rest, support)
            error = self._errors(rest - S)
            better = error < least
            best[better], least[better] = S[better], error[better]
        low = self._coefficients(rows - best, R, coefficients) @ R
        support = best != 0
        rest = rows - low
        S = self._refitted(rest, support)
        return low + self._stored_entries(S, support, form.sparse.values)

    def combined(self, rows: np.ndarray) -> np.ndarray:
        """Dictionary: as many atoms as an output took, by orthogonal matching pursuit."""
        form = self.form
        assert isinstance(form, Dictionary)
        D = decoded(form.dictionary).astype(np.float64)
        D = to_units(D, unit_of(magnitude(D), np.float64))
        count = max(1, -(-form.codes.values.size // form.shape[0]))
        X, atoms = (rows, D) if self.metric is None else (rows @ self._root, D @ self._root)
        codes = sparse_encode(X, atoms, n_nonzero_coefs=count, sparse_output=False, n_threads=1)
        moment = atoms @ atoms.T
        return self._stored_entries(codes, codes != 0, form.codes.values, moment) @ D

    def chosen(self, rows: np.ndarray) -> np.ndarray:
        """Codebook: the centroids of whichever codebook serves the row best."""
        form = self.form
        assert isinstance(form, Codebook)
        books = to_units(decoded(form.centroids).astype(np.float64), self.unit)
        blocks = metric_blocks(self.metric, form.shape[1], books.shape[2])
        roots = [None, self._feedback_root]
        best, least = np.empty_like(rows), np.full(len(rows), np.inf)
        for book in books:
            for root in roots if roots[1] is not None else roots[:1]:
                codes = assigned(rows, book[None], len(rows), root, blocks)
                found = book[codes].reshape(rows.shape)
                error = self._errors(rows - found)
                better = error < least
                best[better], least[better] = found[better], error[better]
        return best

    def on_grid(self, rows: np.ndarray) -> np.ndarray:
        """Uniform: on the grid of the layer if it has one, else on the row's own."""
        form = self.form
        assert isinstance(form, Uniform)
        values, root = form.values, self._feedback_root
        shared = isinstance(values, Codes) and values.grid.scales.size == 1 < form.shape[0]
        if not shared:
            return self._stored(rows, format_of(values), root, self.metric)
        assert isinstance(values, Codes)
        grid = values.grid
        step = to_units(grid.steps(np.dtype(np.float64)), self.unit)
        origin = grid.origins(np.dtype(np.float64))

        def rule(v: np.ndarray, k: int) -> np.ndarray:
            return step * (nearest(v, step, origin, grid.bits) - origin)

        plain = rule(rows, 0)
        if root is None:
            return plain
        moved = np.ascontiguousarray(error_feedback(rows, root, lambda V, columns: rule))
        better = self._errors(rows - moved) < self._errors(rows - plain)
        return np.where(better[:, None], moved, plain)

    @cached_property
    def _root(self) -> np.ndarray:
        """``H = root root^T``, of any sort."""
        assert self.metric is not None
        return gram_root(self.metric, len(self.metric))

    @cached_property
    def _feedback_root(self) -> np.ndarray | None:
        """The triangular one, where codes are chosen by error feedback."""
        if self.metric is None or self.options.get("rounding") == "nearest":
            return None
        return cholesky(self.metric.copy())

    def _errors(self, miss: np.ndarray) -> np.ndarray:
        """What each row of a difference costs."""
        heavy = miss if self.metric is None else miss @ self.metric
        return np.einsum("ij,ij->i", miss, heavy)

    def _refitted(
        self, rows: np.ndarray, support: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        tol = self.options.get("refit_tol")
        return refitted(rows, support, self.metric, start=start, tol=tol)

    def _solved(self, rows: np.ndarray, R: np.ndarray) -> np.ndarray:
        """The coefficients of least squares, one solution where there are many."""
        A, B = (R, rows) if self.metric is None else (R @ self._root, rows @ self._root)
        return np.linalg.lstsq(A.T, B.T, rcond=None)[0].T

    def _coefficients(self, rows: np.ndarray, R: np.ndarray, stored: Values) -> np.ndarray:
        """The same as they are stored."""
        moment = R @ (R.T if self.metric is None else self.metric @ R.T)
        format_ = format_of(stored)
        root = None if format_.plain or format_.bits == 16 else cholesky(moment.copy())
        return self._stored(self._solved(rows, R), format_, root, moment)

    def _stored(
        self,
        X: np.ndarray,
        format_: Format,
        root: np.ndarray | None,
        moment: np.ndarray | None,
    ) -> np.ndarray:
        """Rows as a format stores them, each in a unit, and on grids, of its own."""
        format_ = format_.of_rows(X.shape[1])
        exponents = np.frexp(np.abs(X).max(axis=1, initial=0))[1][:, None]
        X = np.ldexp(X, -exponents)
        weights = None if moment is None else np.maximum(np.diag(moment), 0)
        found = decoded(format_.store(X, weights)).astype(np.float64)
        if root is not None and not format_.plain and format_.bits != 16:
            moved = decoded(with_feedback(X, root, format_))
            lower = np.tril(root)
            errors = [np.sum(((X - each) @ lower) ** 2, axis=1) for each in (moved, found)]
            found = np.where((errors[0] < errors[1])[:, None], moved, found)
        return np.ldexp(found, exponents)

    def _stored_entries(
        self,
        V: np.ndarray,
        support: np.ndarray,
        stored: Values,
        moment: np.ndarray | None = None,
    ) -> np.ndarray:
        """The entries on a support as they are stored, row by row."""
        counts = np.count_nonzero(support, axis=1)
        width = int(counts.max(initial=0))
        if width == 0:
            return np.zeros_like(V)
        filled = np.arange(width) < counts[:, None]
        entries, weights = np.zeros(filled.shape), np.zeros(filled.shape)
        entries[filled] = V[support]
        moment = self.metric if moment is None else moment
        costs = np.ones(V.shape[1]) if moment is None else np.maximum(np.diag(moment), 0)
        weights[filled] = np.broadcast_to(costs, V.shape)[support]
        format_ = format_of(stored).of_rows(width)
        exponents = np.frexp(np.abs(entries).max(axis=1))[1][:, None]
        codes = decoded(format_.store(np.ldexp(entries, -exponents), weights))
        coded = np.zeros_like(V)
        coded[support] = np.ldexp(codes.astype(np.float64), exponents)[filled]
        return coded

    def _pruned(self, rows: np.ndarray, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and support of rows by the rule of the fit, before any refit."""
        pattern, options = self._pattern(), self.options
        if pattern == "columns":
            support = np.broadcast_to(fitted[0], rows.shape)
        elif self._least is not None:
            support = _spread(self._energies(rows) >= self._least, rows.shape[1])
        else:
            group = None
            if pattern == "n:m":
                of = options.get("of") or 4
                group = int(np.count_nonzero(fitted[0, :of])), of
            width = self._block()[1]
            count = max(1, round(np.count_nonzero(fitted) / fitted.size * rows.shape[1] / width))
            allowed = Pattern(block=(1, width), group=group, by_row=group is None)
            if options.get("criterion") in ("obs", "alps") and self.metric is not None:
                # A row of zeros beside them: of a single row the surgeon would take whole columns.
                padded = np.vstack([rows, np.zeros_like(rows[:1])])
                found = by_surgery(padded, self.metric, allowed, count * len(padded))
                return found.weights[:-1], found.support[:-1]
            support = allowed.choose(importance(rows, self._weighing()), count * len(rows))
        return np.where(support, rows, 0), support

    def _pattern(self) -> str:
        options = self.options
        if options.get("pattern") is not None:
            return str(options["pattern"])
        grouped = options.get("keep") is not None or options.get("of") is not None
        return "n:m" if grouped else "unstructured"

    def _block(self) -> tuple[int, int]:
        """The cells that are kept or dropped as one."""
        if self._pattern() == "rows":
            return 1, self.form.shape[1]
        return tuple(self.options.get("block_shape") or (1, 1))

    def _weighing(self) -> np.ndarray | None:
        return None if self.options.get("criterion") == "magnitude" else self.metric

    def _energies(self, rows: np.ndarray) -> np.ndarray:
        """What each row's part of a cell counts."""
        if self._pattern() == "rows" and self.options.get("criterion") in ("obs", "alps"):
            return self._errors(rows)[:, None]
        squares = np.square(importance(rows, self._weighing()))
        return squares.reshape(len(rows), -1, self._block()[1]).sum(axis=2)

    def _least_kept(self, W: np.ndarray, support: np.ndarray) -> float | None:
        """The least energy, for each of its rows, of a cell that was kept; None: a row keeps a
        number of cells."""
        options, pattern = self.options, self._pattern()
        scored = options.get("criterion") in (None, "magnitude", "wanda")
        staged = (options.get("n_stages") or 1) > 1
        counted = staged or not scored or options.get("threshold") == "row"
        if pattern in ("n:m", "columns") or (counted and pattern != "rows"):
            return None
        a, b = self._block()
        energies = self._energies(W)
        cells = energies.reshape(-1, a, energies.shape[1]).sum(axis=1)
        return float(cells[support[::a, ::b]].min()) / a


def _keys(rows: np.ndarray) -> list[bytes]:
    """What tells rows of one dtype apart; the two zeros are one."""
    rows = np.ascontiguousarray(rows + rows.dtype.type(0))
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _spread(cells: np.ndarray, n: int) -> np.ndarray:
    return np.repeat(cells, n // cells.shape[1], axis=1)


def _span(form: Factorization) -> tuple[np.ndarray, Values]:
    """The rows that those of the layer are combinations of, and the factor of coefficients."""
    if isinstance(form, LowRank):
        return decoded(form.right).astype(np.float64), form.left
    if isinstance(form, Spatial):
        vertical = decoded(form.vertical).astype(np.float64)
        wide = np.kron(vertical.reshape(len(vertical), -1), np.eye(form.kernel_shape[2]))
        return wide, form.horizontal
    assert isinstance(form, Tucker)
    core, mixing = decoded(form.core).astype(np.float64), decoded(form.input).astype(np.float64)
    return np.einsum("abyx,bi->aiyx", core, mixing).reshape(len(core), -1), form.output


RULES: dict[type | tuple[type, ...], Callable[[RowEncoder, np.ndarray], np.ndarray]] = {
    Dense: RowEncoder.kept,
    (LowRank, Spatial, Tucker): RowEncoder.projected,
    Sparse: RowEncoder.thresholded,
    LowRankPlusSparse: RowEncoder.robust,
    Dictionary: RowEncoder.combined,
    Codebook: RowEncoder.chosen,
    Uniform: RowEncoder.on_grid,
}
