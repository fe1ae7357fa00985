"""What each algorithm of `sparse_encode` takes, how it codes a tile, and what it warns of."""

from __future__ import annotations

import sys
from typing import NamedTuple, Self

import numpy as np

from sparsecode._validation import check_bool, check_int, check_option, check_real, check_unused
from sparsecode.solvers import _tiles
from sparsecode.solvers._run import warn_inaccurate, warn_not_converged, warn_out_of_reach
from sparsecode.solvers._tile_gradient import gradient_pursuit
from sparsecode.solvers._tile_iht import iht
from sparsecode.solvers._tile_lars import lars
from sparsecode.solvers._tile_rescue import finished_by_the_path
from sparsecode.solvers._tiles import CodeTile

# A new algorithm is a line here, one in `Coder.of_tiles`, and one in the registry of the tests.
USES = {
    "omp": {"n_nonzero_coefs", "residual_tol", "positive"},
    "ols": {"n_nonzero_coefs", "residual_tol"},
    "gradient_pursuit": {"n_nonzero_coefs"},
    "iht": {"n_nonzero_coefs", "tol", "max_iter"},
    "lasso": {"alpha", "positive", "tol", "max_iter"},
    "lars": {"alpha", "n_nonzero_coefs", "residual_tol", "positive", "max_iter"},
    "threshold": {"alpha", "positive"},
}
NEEDS = {
    "gradient_pursuit": ("n_nonzero_coefs", "the number of atoms a signal"),
    "iht": ("n_nonzero_coefs", "the number of atoms a signal"),
    "lasso": ("alpha", "the weight of the l1 norm"),
    "threshold": ("alpha", "the weight of the l1 norm"),
}
EXACT = 1e-6  # a larger gap is not what a finite algorithm promises


class Coder(NamedTuple):
    """An algorithm and its parameters, checked; the same for every dictionary."""

    algorithm: str
    n_nonzero_coefs: int | None
    residual_tol: float | None
    alpha: float | None
    positive: bool
    tol: float
    max_iter: int | None

    @classmethod
    def checked(cls, algorithm: str, n_atoms: int, **given: object) -> Self:
        """From what the caller gave; None, and False for `positive`, is not given."""
        check_option(algorithm, "algorithm", USES)
        given["positive"] = check_bool(given["positive"], "positive") or None
        unused = {name: value for name, value in given.items() if name not in USES[algorithm]}
        check_unused(algorithm, **unused)
        name, meaning = NEEDS.get(algorithm, ("", ""))
        if name and given[name] is None:
            raise ValueError(f"algorithm={algorithm!r} needs {name}, {meaning}")
        ends = ("alpha", "n_nonzero_coefs", "residual_tol")
        if algorithm == "lars" and all(given[end] is None for end in ends):
            raise ValueError(
                "algorithm='lars' needs to know where the path ends: give alpha, n_nonzero_coefs "
                "or residual_tol, or several of them"
            )
        k, target, alpha = given["n_nonzero_coefs"], given["residual_tol"], given["alpha"]
        tol, max_iter = given["tol"], given["max_iter"]
        return cls(
            algorithm,
            None if k is None else check_int(k, "n_nonzero_coefs", high=n_atoms),
            None if target is None else check_real(target, "residual_tol", low=0),
            None if alpha is None else check_real(alpha, "alpha", low=0, open_low=True),
            given["positive"] is not None,
            1e-6 if tol is None else check_real(tol, "tol", low=0),
            None if max_iter is None else min(check_int(max_iter, "max_iter"), sys.maxsize),
        )

    def of_incomplete_tiles(self, D: np.ndarray) -> CodeTile | None:
        """The algorithm on tiles with NaN for what is missing, if it can do without patterns."""
        if self.algorithm not in ("omp", "ols") or self.positive:
            return None
        k, target, least_squares = self.n_nonzero_coefs, self.residual_tol, self.algorithm == "ols"
        return _tiles.pursuit(D, least_squares, k, target, incomplete=True)

    def of_tiles(self, D: np.ndarray) -> CodeTile:
        """The algorithm on the tiles of one dictionary; what they share is computed here."""
        k, target, alpha = self.n_nonzero_coefs, self.residual_tol, self.alpha
        if self.algorithm == "lars":
            return lars(D, k, target, alpha, self.positive, self.max_iter)
        if self.algorithm == "gradient_pursuit":
            assert k is not None
            return gradient_pursuit(D, k)
        if self.algorithm == "iht":
            assert k is not None
            return iht(D, k, self.tol, self.limit)
        if alpha is None:
            return _tiles.pursuit(D, self.algorithm == "ols", k, target, self.positive)
        if self.algorithm == "threshold":
            return _tiles.threshold(D, alpha, self.positive)
        descent = _tiles.lasso(D, alpha, self.positive, self.tol, self.limit)
        if self.max_iter is not None:
            return descent
        path = lars(D, None, None, alpha, self.positive, None)
        return finished_by_the_path(descent, path, D, alpha, self.positive, self.tol)

    @property
    def limit(self) -> int:
        """Iterations at the most."""
        return 10_000 if self.max_iter is None else self.max_iter

    def warn(self, worst: float) -> None:
        """Say so if the certificate of the worst signal is not what was asked for."""
        alone = self.n_nonzero_coefs is None and self.alpha is None
        if self.residual_tol is not None and alone:
            if worst > 1 + EXACT * (self.algorithm == "lars"):
                warn_out_of_reach(self.algorithm, worst)
        elif self.algorithm in ("lasso", "iht") and worst > self.tol:
            warn_not_converged(self.algorithm, worst, self.tol, self.limit)
        elif self.algorithm == "lars" and worst > EXACT:
            if self.max_iter is None:
                warn_inaccurate("lars", worst)
            else:
                warn_not_converged("lars", worst, EXACT, self.max_iter)
