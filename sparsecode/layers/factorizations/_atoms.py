"""Ways to learn atoms and sparse codes of a few signals: ``X ~ codes @ atoms``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecode._validation import check_random_state
from sparsecode.layers.factorizations._refit import refitted
from sparsecode.layers.factorizations._supports import largest_in_rows
from sparsecode.solvers import ksvd, sparse_encode
from sparsecode.solvers._orthogonal import svd

BISECTIONS = 12  # of the weight of the l1 norm


class Sizes(NamedTuple):
    """How many atoms, and how many of them a signal takes, each or on the average."""

    n_atoms: int
    n_nonzero: int


class Learned(NamedTuple):
    """Codes, atoms and the squared error of the best round."""

    codes: np.ndarray
    atoms: np.ndarray
    error: float


def _error(X: np.ndarray, codes: np.ndarray, atoms: np.ndarray) -> float:
    return float(np.sum(np.square(X - codes @ atoms)))


def by_ksvd(X: np.ndarray, sizes: Sizes, n_rounds: int, seed: Any, init: Any) -> Learned:
    """Orthogonal matching pursuit, and the best rank-one fit for each atom (CoSpaDi, 2025)."""
    learned = ksvd(
        X, sizes.n_atoms, n_nonzero_coefs=sizes.n_nonzero, max_iter=n_rounds, update="exact",
        init=init, random_state=seed, n_threads=1,
    )  # fmt: skip
    codes = learned.codes.toarray()
    return Learned(codes, learned.dictionary, _error(X, codes, learned.dictionary))


def by_directions(X: np.ndarray, sizes: Sizes, n_rounds: int, seed: Any, init: Any) -> Learned:
    """MOD: orthogonal matching pursuit, and all atoms at once by least squares."""

    def encode(atoms: np.ndarray) -> np.ndarray:
        return sparse_encode(X, atoms, n_nonzero_coefs=sizes.n_nonzero, n_threads=1).toarray()

    return _alternate(X, sizes, n_rounds, seed, init, encode)


def by_lasso(X: np.ndarray, sizes: Sizes, n_rounds: int, seed: Any, init: Any) -> Learned:
    """Supports by the lasso, coefficients and atoms by least squares.

    One weight of the l1 norm for all signals, the one that gives the number of nonzeros: a signal
    takes as many atoms as it is worth.
    """
    count = sizes.n_nonzero * len(X)

    def encode(atoms: np.ndarray) -> np.ndarray:
        low, high = 0.0, float(np.max(np.abs(X @ atoms.T), initial=0.0))
        support = np.zeros((len(X), len(atoms)), dtype=bool)
        for _ in range(BISECTIONS if high > 0 else 0):
            alpha = (low + high) / 2
            codes = sparse_encode(
                X, atoms, algorithm="lasso", alpha=alpha, tol=1e-2, sparse_output=False, n_threads=1
            )
            found = np.count_nonzero(codes)
            if found > count:
                low = alpha
            else:  # the most nonzeros that are allowed, and not one more
                high, support = alpha, codes != 0
            if 0.99 * count <= found <= count:
                break
        return refitted(X @ np.linalg.pinv(atoms), support, atoms @ atoms.T)

    return _alternate(X, sizes, n_rounds, seed, init, encode)


def by_rotation(X: np.ndarray, sizes: Sizes, n_rounds: int, seed: Any, init: Any) -> Learned:
    """Orthonormal atoms: the largest responses are the best codes, and the best rotation of the
    atoms is that of Procrustes; no round is worse than the one before (COMPOT)."""
    n_atoms = min(sizes.n_atoms, *X.shape)
    atoms = svd(X)[2][:n_atoms] if init is None else init
    for _ in range(n_rounds):
        codes = _largest_responses(X, atoms, sizes)
        U, _, Vt = svd(codes.T @ X)
        atoms = U @ Vt
    codes = _largest_responses(X, atoms, sizes)
    return Learned(codes, atoms, _error(X, codes, atoms))


def _largest_responses(X: np.ndarray, atoms: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Of all signals together: some take more atoms than others."""
    codes = X @ atoms.T
    kept = largest_in_rows(np.abs(codes).reshape(1, -1), sizes.n_nonzero * len(X))
    return np.where(kept.reshape(codes.shape), codes, 0)


def _alternate(
    X: np.ndarray,
    sizes: Sizes,
    n_rounds: int,
    seed: Any,
    init: Any,
    encode: Callable[[np.ndarray], np.ndarray],
) -> Learned:
    """Codes by `encode` and atoms by least squares in turn; the best round is the answer.

    Atoms that nobody uses become the signals that fare worst.
    """
    atoms = _drawn(X, sizes.n_atoms, seed) if init is None else init
    best = None
    for _ in range(n_rounds):
        codes = encode(_unit(atoms))
        atoms = np.linalg.lstsq(codes, X, rcond=None)[0]
        round_ = Learned(codes, atoms, _error(X, codes, atoms))
        best = round_ if best is None else min(best, round_, key=lambda each: each.error)
        unused = np.flatnonzero(~codes.any(axis=0))
        worst = np.argsort(-np.square(X - codes @ atoms).sum(axis=1), kind="stable")[: unused.size]
        atoms[unused[: worst.size]] = X[worst]
    assert best is not None
    return best


def _drawn(X: np.ndarray, n_atoms: int, seed: Any) -> np.ndarray:
    """Signals, and random directions where there are too few."""
    rng = check_random_state(seed)
    atoms = np.asarray(rng.standard_normal((n_atoms, X.shape[1])))
    chosen = rng.permutation(np.flatnonzero(X.any(axis=1)))[:n_atoms]
    atoms[: chosen.size] = X[chosen]
    return atoms


def _unit(atoms: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return atoms / np.where(norms > 0, norms, 1)


LEARNERS: dict[str, Callable[[np.ndarray, Sizes, int, Any, Any], Learned]] = {
    "ksvd": by_ksvd,
    "mod": by_directions,
    "orthogonal": by_rotation,
    "lasso": by_lasso,
}
