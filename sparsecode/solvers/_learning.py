"""What all dictionary learning shares: the data, how codes are found, first atoms, and repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._mapped import give_back
from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_bool,
    check_callable,
    check_int,
    check_missing_values,
    check_n_components,
    check_option,
    check_random_state,
    check_real,
    check_unused,
    refuse_missing,
)
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers._orthogonal import svd
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers.encoding import sparse_encode

COHERENCE = 0.99  # two atoms closer than this are one atom too many (Aharon et al.)
# An atom used less than this, relative to the mean, is one too many as well: on the K-SVD authors'
# signals a rare one goes with one that stands for two atoms, and 94 % of all atoms become 99 %.
RARE = 0.3
INITS = ("data", "svd", "dct")
PART = 8192  # signals that one thread sums up


class Coding(NamedTuple):
    """How codes are found: by a count, an error target or both, or by an l1 weight."""

    n_nonzero_coefs: int | None
    residual_tol: float | None
    alpha: float | None
    positive: bool

    @classmethod
    def checked(
        cls,
        n_components: int,
        n_nonzero_coefs: Any,
        residual_tol: Any,
        alpha: Any,
        positive: Any,
    ) -> Self:
        """From the arguments of a learner."""
        if alpha is not None:
            check_unused(
                "codes by alpha", n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol
            )
            alpha = check_real(alpha, "alpha", low=0, open_low=True)
        elif n_nonzero_coefs is None and residual_tol is None:
            raise ValueError("give n_nonzero_coefs, residual_tol (or both), or alpha")
        if n_nonzero_coefs is not None:
            check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
        if residual_tol is not None:
            residual_tol = check_real(residual_tol, "residual_tol", low=0)
        return cls(n_nonzero_coefs, residual_tol, alpha, check_bool(positive, "positive"))

    def in_units(self, unit: float) -> Coding:
        """The same of data in units."""
        target, alpha = (None if v is None else v / unit for v in (self.residual_tol, self.alpha))
        return Coding(self.n_nonzero_coefs, target, alpha, self.positive)

    def codes(self, X: np.ndarray, D: np.ndarray, n_threads: int, *, missing: bool) -> sp.csr_array:
        """The codes of signals in a dictionary."""
        return sparse_encode(
            X,
            D,
            algorithm="omp" if self.alpha is None else "lasso",
            n_nonzero_coefs=self.n_nonzero_coefs,
            residual_tol=self.residual_tol,
            alpha=self.alpha,
            positive=self.positive,
            tol=None if self.alpha is None else coding_tol(D.dtype),
            missing_values=np.nan if missing else None,
            n_threads=n_threads,
        )

    def objective(self, energy: float, codes: sp.csr_array) -> float:
        """Half the squared residual, and the l1 norm where it has a weight."""
        absolute = 0.0 if self.alpha is None else float(np.abs(codes.data).sum(dtype=np.float64))
        return 0.5 * energy + (self.alpha or 0.0) * absolute


def coding_tol(dtype: np.dtype) -> float:
    """The duality gap that codes are asked for: not far from what single precision allows."""
    return max(1e-6, 100 * float(np.finfo(dtype).eps))


class Signals(NamedTuple):
    """The data in units, as a learner needs them."""

    X: np.ndarray  # C-contiguous, zero where nothing was observed
    observed: np.ndarray | None  # None if everything was
    given: np.ndarray  # what is to be coded: NaN where missing
    unit: float
    energy: float

    @classmethod
    def checked(cls, X: Any, missing_values: Any) -> Self:
        """From the argument."""
        missing = check_missing_values(missing_values)
        X = check_array(X, "X", allow_missing=True)
        if not missing:
            refuse_missing(X)
        unit = unit_of(magnitude(X), X.dtype)
        given = np.ascontiguousarray(to_units(X, unit))
        observed = ~np.isnan(given) if missing else None
        if observed is not None and observed.all():
            observed = None
        filled = given if observed is None else np.where(observed, given, 0)
        return cls(filled, observed, given, unit, energy_of(filled))

    def residual(self, codes: sp.csr_array, D: np.ndarray) -> np.ndarray:
        """``X - codes @ D`` where it was observed, zero elsewhere."""
        R = codes @ D
        np.subtract(self.X, R, out=R)
        if self.observed is not None:
            R *= self.observed
        return R

    def energies(self, codes: sp.csr_array, D: np.ndarray, n_threads: int) -> np.ndarray:
        """The squared norms of the rows of `residual`."""
        from sparsecode.solvers._kernels.dictionary import row_energies

        if self.observed is not None:
            return squared_rows(self.residual(codes, D))
        found = np.empty(len(self.X))

        def look(rows: slice) -> None:
            starts = codes.indptr[rows.start : rows.stop + 1]
            row_energies(
                self.X[rows], D, starts, codes.indices, codes.data, found[rows], np.empty_like(D[0])
            )
            give_back(self.X, rows)

        map_tiles(look, _parts(len(self.X), PART), n_threads)
        return found


class Learner(NamedTuple):
    """Checked arguments of a learner, and where it starts."""

    signals: Signals
    coding: Coding
    D: np.ndarray
    taken: np.ndarray  # signals that became atoms by repair
    rng: RandomSource
    n_threads: int

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
        missing_values: Any,
        random_state: Any,
        n_threads: Any,
    ) -> Self:
        """From the arguments; a `DictionaryResult` for `init` goes on where it ended."""
        signals = Signals.checked(X, missing_values)
        n_components = check_n_components(n_components, signals.X.shape[1])
        coding = Coding.checked(n_components, n_nonzero_coefs, residual_tol, alpha, positive)
        threads = check_n_threads(n_threads)
        shape = (n_components, signals.X.shape[1])
        taken = np.zeros(len(signals.X), dtype=bool)
        rng = check_random_state(random_state)
        if isinstance(init, DictionaryResult):
            D, taken, rng = resumed(init, shape, len(signals.X), rng, random_state)
        else:
            D = first_atoms(signals.X, shape, init, rng, positive=coding.positive)
        return cls(signals, coding.in_units(signals.unit), D.astype(signals.X.dtype), taken, rng,
                   threads)  # fmt: skip

    def result(self, last: Any, ending: dict[str, Any]) -> DictionaryResult:
        """What the caller gets of the last iterate."""
        data = from_units(last.codes.data, self.signals.unit, name="codes")
        codes = sp.csr_array((data, last.codes.indices, last.codes.indptr), shape=last.codes.shape)
        state = Resumable(last.next_D, last.taken, state_of(self.rng))
        return DictionaryResult(dictionary=last.D, codes=codes, state=state, **ending)


class Resumable(NamedTuple):
    """What another call needs to go on, bit for bit, where this one ended."""

    D: np.ndarray  # after repair
    taken: np.ndarray
    rng: Any


def state_of(rng: RandomSource) -> Any:
    if isinstance(rng, np.random.RandomState):
        return rng.get_state()
    return rng.bit_generator.state


def resumed(
    init: DictionaryResult, shape: tuple[int, int], n_samples: int, rng: RandomSource, given: Any
) -> tuple[np.ndarray, np.ndarray, RandomSource]:
    """Atoms, signals taken, and the random numbers from where the result's run left them."""
    state = init.state
    if not isinstance(state, Resumable) or init.dictionary.shape != shape:
        raise ValueError(
            f"init is a result with a dictionary of shape {init.dictionary.shape}; it has to be "
            f"that of a batch learner and of shape {shape}"
        )
    if len(state.taken) != n_samples:
        raise ValueError(f"init comes from {len(state.taken)} signals; X has {n_samples}")
    if given is None:  # a source that was given anew is taken as it is
        if isinstance(state.rng, dict):
            bits = getattr(np.random, state.rng["bit_generator"])()
            bits.state = state.rng
            rng = np.random.Generator(bits)
        else:
            rng = np.random.RandomState()
            rng.set_state(state.rng)
    return state.D, state.taken.copy(), rng


def first_atoms(
    X: np.ndarray, shape: tuple[int, int], init: Any, rng: RandomSource, *, positive: bool
) -> np.ndarray:
    """Unit atoms: signals, singular vectors, cosines, or those given."""
    if init is None or isinstance(init, str):
        kind = check_option("data" if init is None else init, "init", INITS)
        atoms = {"data": _from_data, "svd": _from_svd, "dct": _cosines}[kind](X, shape, rng)
    else:
        atoms = check_array(init, "init").astype(X.dtype)
        if atoms.shape != shape:
            raise ValueError(f"init has shape {atoms.shape}; it has to be {shape}")
        atoms = to_units(atoms, unit_of(magnitude(atoms), atoms.dtype))
        if positive and atoms.min() < 0:
            raise ValueError("init has negative entries, and positive=True allows none")
    return unit_atoms(atoms, positive=positive)


def unit_atoms(atoms: np.ndarray, *, positive: bool) -> np.ndarray:
    """Of unit norm, and without negative entries where that is asked for."""
    if positive:
        atoms = np.abs(atoms)
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    if not np.all(norms > 0):
        raise ValueError("init has a zero atom; every atom needs a direction")
    return np.ascontiguousarray(atoms / norms)


def _from_data(X: np.ndarray, shape: tuple[int, int], rng: RandomSource) -> np.ndarray:
    candidates = np.flatnonzero(squared_rows(X))
    return filled(X[rng.permutation(candidates)[: shape[0]]], shape, rng)


def _from_svd(X: np.ndarray, shape: tuple[int, int], rng: RandomSource) -> np.ndarray:
    """Right singular vectors of what is not zero; more atoms than these are random."""
    _, s, Vt = svd(X if len(X) <= 4 * shape[1] else np.asarray(np.linalg.qr(X, mode="r")))
    return filled(Vt[: np.count_nonzero(s > s[0] * 1e-6)][: shape[0]], shape, rng)


def _cosines(X: np.ndarray, shape: tuple[int, int], rng: RandomSource) -> np.ndarray:
    return overcomplete_dct(*shape).astype(X.dtype)


def filled(atoms: np.ndarray, shape: tuple[int, int], rng: RandomSource) -> np.ndarray:
    """Random atoms behind those there are, if these are too few."""
    missing = shape[0] - len(atoms)
    if missing <= 0:
        return atoms
    return np.vstack([atoms, rng.standard_normal((missing, shape[1])).astype(atoms.dtype)])


def poor_atoms(D: np.ndarray, uses: np.ndarray) -> tuple[np.ndarray, float]:
    """Rare atoms, and the later of two nearly equal ones; and the largest coherence."""
    alike = np.triu(np.abs(D @ D.T), 1)
    poor = np.flatnonzero(rare(uses) | np.any(alike > COHERENCE, axis=0))
    return poor, float(alike.max(initial=0.0))


def repaired(
    X: np.ndarray, D: np.ndarray, energies: np.ndarray, uses: np.ndarray, taken: np.ndarray,
    positive: bool,
) -> tuple[np.ndarray, np.ndarray, int, float]:  # fmt: skip
    """`poor_atoms` become the worst-coded signals.

    `energies` are what the codes leave of each. Also which signals have become atoms so far, how
    many did now, and the largest coherence.
    """
    poor, coherence = poor_atoms(D, uses)
    taken = taken.copy()
    worst = worst_coded(X, energies, taken, poor.size, positive)
    taken[worst] = True
    D = with_signals(D, poor[: worst.size], X[worst], positive)
    return D, taken, worst.size, coherence


def worst_coded(
    X: np.ndarray, energies: np.ndarray, taken: np.ndarray, count: int, positive: bool
) -> np.ndarray:
    """Of signals that are not taken and can become atoms these, the worst first."""
    if count == 0:
        return np.empty(0, dtype=np.intp)
    energies = np.where(taken, 0, energies)
    if positive:
        energies[~(X > 0).any(axis=1)] = 0
    return largest(energies, count)


def with_signals(
    D: np.ndarray, places: np.ndarray, signals: np.ndarray, positive: bool
) -> np.ndarray:
    """The atoms, and signals of unit norm for those in these places."""
    D = D.copy()
    D[places] = as_atoms(signals, positive)
    return D


def rare(uses: np.ndarray) -> np.ndarray:
    """Which atoms are used so seldom that they had better be others."""
    return (uses == 0) | (uses < RARE * np.mean(uses))


def as_atoms(X: np.ndarray, positive: bool) -> np.ndarray:
    """Signals of unit norm."""
    X = np.maximum(X, 0) if positive else X
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True))


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the largest nonzero values stand, in descending order; the first of equals."""
    least = 0.0 if count >= values.size else np.partition(values, -count)[-count]
    among = np.flatnonzero((values >= least) & (values > 0))
    return among[np.argsort(-values[among], kind="stable")[:count]]


def moments(X: np.ndarray, codes: sp.csr_array, n_threads: int) -> tuple[np.ndarray, np.ndarray]:
    """``codes^T codes`` and ``codes^T X``, in double precision.

    The parts that are added do not depend on the threads, and take no more room than the signals.
    """
    from sparsecode.solvers._kernels.dictionary import code_moments

    K, (n, m) = codes.shape[1], X.shape

    def summed(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        A, B, starts = np.zeros((K, K)), np.zeros((K, m)), codes.indptr[rows.start : rows.stop + 1]
        code_moments(X[rows], starts, codes.indices, codes.data, A, B)
        give_back(X, rows)
        return A, B

    n_parts = max(1, min(8, n // PART, X.size // (K * K)))
    (A, B), *others = map_tiles(summed, _parts(n, -(-n // n_parts)), n_threads)
    for other_A, other_B in others:
        A += other_A
        B += other_B
    return A, B


def _parts(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def squared_rows(R: np.ndarray) -> np.ndarray:
    """The squared norm of each row."""
    return np.einsum("ij,ij->i", R, R).astype(np.float64, copy=False)


def with_atoms(callback: Callback | None, atoms: Callable[[], np.ndarray]) -> Callback | None:
    """A callback that is told the atoms, too."""
    check_callable(callback, "callback")
    if callback is None:
        return None
    tell = callback

    def told(row: Mapping[str, float]) -> Any:
        shown: dict[str, Any] = {**row}
        shown["dictionary"] = D = atoms().view()
        D.flags.writeable = False
        return tell(MappingProxyType(shown))

    return told


def energy_of(R: np.ndarray) -> float:
    """The sum of the squares, in double precision."""
    flat = R.reshape(-1)
    step = 2**20
    return sum(
        float(np.sum(np.square(flat[i : i + step]), dtype=np.float64))
        for i in range(0, flat.size, step)
    )
