"""Few measurements of signals, and the signals back from them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.utils.validation import check_is_fitted

from sparsecode._threads import check_n_threads
from sparsecode._validation import (
    check_array,
    check_exactly_one,
    check_int,
    check_operator,
    check_option,
    check_random_state,
    check_unused,
)
from sparsecode.estimators._base import Transformer, check_codes, check_samples
from sparsecode.operators import adjoint, bernoulli, dct, gaussian, subsampled_dct
from sparsecode.solvers import fista, omp, sparse_encode

__all__ = ["CompressedSensing"]

# An operator with fewer entries is written out as a matrix (128 MB in float64): products with it
# are cheap enough, and all signals are then coded at once.
DENSE_SIZE = 2**24


class CompressedSensing(Transformer):
    r"""Compressed sensing: few linear measurements of signals that are sparse in some basis.

    A signal is :math:`x = B^T c`, its code `c` sparse and the rows of `B` the atoms of the basis.
    `transform` measures, :math:`y = A x`; `inverse_transform` recovers `c`, and with it the signal,
    through the measured atoms :math:`E = A B^T`:

    ``"omp"``: :math:`\min_c \|y - E c\|_2^2` subject to :math:`\|c\|_0 \le` `n_nonzero_coefs`,
    or the fewest atoms with :math:`\|y - E c\|_2 \le` `residual_tol`, greedily;

    ``"fista"``: :math:`\min_c \tfrac12 \|y - E c\|_2^2 + \alpha \|c\|_1`.

    Parameters
    ----------
    n_measurements : int, optional
        Measurements of a signal; half the number of features by default. Leave it out where
        `sensing` is a matrix or an operator.
    sensing : {"gaussian", "bernoulli", "dct"}, array or operator, default="gaussian"
        How `A` (n_measurements, n_features) is drawn, or `A` itself: entries N(0, 1/m); entries
        ``+-1/sqrt(m)``; rows of the orthonormal discrete cosine transform; a dense or sparse
        array; a real `scipy.sparse.linalg.LinearOperator`, or what looks like one.
    basis : {"identity", "dct"}, array or estimator, default="identity"
        `B`: unit vectors; cosines; an array (n_components, n_features) with one atom a row; or a
        fitted estimator with `components_`, such as `KSVD`. `sklearn.base.clone` forgets what an
        estimator was fitted to: for a grid search give its `components_`, or wrap it in
        `sklearn.frozen.FrozenEstimator`.
    solver : {"omp", "fista"}, default="omp"
        The problem of the recovery, as above. A parameter that it does not use is an error.
    n_nonzero_coefs : int, optional
        For `omp`: at most so many atoms a signal. By default half the measurements (all atoms, if
        there are as many measurements), when `residual_tol` is not given either; no limit when it
        is.
    residual_tol : float, optional
        For `omp`: stop once the l2 norm of the residual (not squared) is at most this; with noise
        of level sigma, ``sigma * sqrt(n_measurements)`` is a good one.
    alpha : float, optional
        For `fista`: the weight of the l1 norm, positive.
    alpha_ratio : float, optional
        For `fista`, instead of `alpha`: a fraction of each signal's own smallest alpha at which its
        code is zero; 1e-3 when neither is given.
    tol : float, optional
        For `fista`: duality gap over the objective at zero, for every signal; 1e-6 by default.
    max_iter : int, optional
        For `fista`: iterations at the most; 10,000 by default.
    random_state : int, RandomState, Generator or None, default=None
        Draws `A`, where it is drawn.
    n_threads : int, optional
        For `omp` where the measured atoms are a matrix: threads, which change no bit. None means
        the cores this process was given, 1 inside a joblib worker.

    Attributes
    ----------
    measurement_operator_ : ndarray or LinearOperator of shape (n_measurements, n_features)
        `A`.
    sensing_matrix_ : ndarray of shape (n_measurements, n_features) or None
        `A` where it is a matrix.
    frequencies_ : ndarray of shape (n_measurements,) or None
        The rows of the transform, ascending, if ``sensing="dct"``.
    components_ : ndarray of shape (n_components, n_features) or None
        `B` where it is a matrix.
    n_measurements_ : int
        Measurements of a signal.
    n_iter_ : int
        1: `fit` has nothing to iterate, `max_iter` limits the recovery.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        If a parameter is out of range, not used, or does not fit the data, or an entry of the data
        is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        From `inverse_transform`, if `fista` reached `max_iter` first.

    See Also
    --------
    sparsecode.solvers.omp : Orthogonal matching pursuit, also through operators.
    sparsecode.solvers.fista : The l1 solver, also through operators.

    Notes
    -----
    Half the measurements is the most for which a code can be sure to be the only one that explains
    its measurements, whatever the signal. Up to it `omp` needs no tuning and recovers to
    rounding error, while `fista` shrinks: of 50 signals of length 256 with 26 normal coefficients,
    from 128 Gaussian measurements, both find all, with median relative errors 8e-16 and 4e-3; of
    those with 45 coefficients `omp` finds 48 and `fista` 7, within 1 %. Coefficients of equal size
    are the hard case of every greedy method: with 38 that are +1 or -1 `omp` finds 20 of 50, and
    `fista` 44.

    References
    ----------
    Candes, Romberg and Tao, "Robust uncertainty principles: exact signal reconstruction from highly
    incomplete frequency information", 2006; Tropp and Gilbert, "Signal recovery from random
    measurements via orthogonal matching pursuit", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import CompressedSensing
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((5, 100)) * (rng.random((5, 100)) < 0.05)
    >>> sensor = CompressedSensing(40, random_state=0)
    >>> Y = sensor.fit_transform(X)
    >>> Y.shape, np.allclose(sensor.inverse_transform(Y), X)
    ((5, 40), True)
    """

    def __init__(
        self,
        n_measurements: int | None = None,
        *,
        sensing: Any = "gaussian",
        basis: Any = "identity",
        solver: str = "omp",
        n_nonzero_coefs: int | None = None,
        residual_tol: float | None = None,
        alpha: float | None = None,
        alpha_ratio: float | None = None,
        tol: float | None = None,
        max_iter: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_measurements = n_measurements
        self.sensing = sensing
        self.basis = basis
        self.solver = solver
        self.n_nonzero_coefs = n_nonzero_coefs
        self.residual_tol = residual_tol
        self.alpha = alpha
        self.alpha_ratio = alpha_ratio
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw or take the measurements and the basis; the values of `X` change nothing.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        CompressedSensing
            The estimator itself.
        """
        X = check_samples(self, X, reset=True)
        self.sensing_matrix_: np.ndarray | None = None
        self.frequencies_: np.ndarray | None = None
        self._operator: LinearOperator | None = None
        if isinstance(self.sensing, str):
            self._draw_sensing(X.shape[1], X.dtype)
        else:
            self._take_sensing(X.shape[1], X.dtype)
        self.n_measurements_ = self.measurement_operator_.shape[0]
        self.n_iter_ = 1
        self.components_ = self._atoms(X.shape[1], X.dtype)
        self._check_solver(X.shape[1] if self.components_ is None else self.components_.shape[0])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Measure each row, ``X @ A.T``.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.

        Returns
        -------
        ndarray of shape (n_samples, n_measurements)
            The measurements.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        Y = (self.measurement_operator_ @ X.T).T
        return np.ascontiguousarray(Y, dtype=X.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Recover signals from their measurements.

        Parameters
        ----------
        X : array of shape (n_samples, n_measurements)
            Measurements, one signal's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals.
        """
        check_is_fitted(self)
        Y = check_codes(X, "measurements", self.n_measurements_)
        B = self._basis(Y.dtype)
        E = self.measurement_operator_ @ adjoint(B)
        if isinstance(E, LinearOperator) and E.shape[0] * E.shape[1] <= DENSE_SIZE:
            E = E @ np.eye(E.shape[1])
        if isinstance(E, np.ndarray):
            E = E.astype(Y.dtype, copy=False)
        codes = self._recover(E, Y)
        signals = codes @ B if isinstance(B, np.ndarray) else (adjoint(B) @ _dense(codes).T).T
        return np.ascontiguousarray(signals, dtype=Y.dtype)

    @property
    def measurement_operator_(self) -> Any:
        # Made anew from what was drawn: SciPy's operators cannot be pickled.
        check_is_fitted(self)
        if self.sensing_matrix_ is not None:
            return self.sensing_matrix_
        if self.frequencies_ is not None:
            return subsampled_dct(self.n_features_in_, self.frequencies_)
        return self._operator

    def _draw_sensing(self, n_features: int, dtype: np.dtype) -> None:
        sensing = check_option(self.sensing, "sensing", ("gaussian", "bernoulli", "dct"))
        m = -(-n_features // 2)
        if self.n_measurements is not None:
            most = n_features if sensing == "dct" else None
            m = check_int(self.n_measurements, "n_measurements", high=most)
        rng = check_random_state(self.random_state)
        if sensing == "dct":
            self.frequencies_ = np.sort(rng.permutation(n_features)[:m])
            return
        draw = gaussian if sensing == "gaussian" else bernoulli
        self.sensing_matrix_ = draw(m, n_features, random_state=rng).A.astype(dtype)

    def _take_sensing(self, n_features: int, dtype: np.dtype) -> None:
        check_unused(
            "a sensing that is given",
            n_measurements=self.n_measurements,
            random_state=self.random_state,
        )
        A = check_operator(self.sensing, "sensing", allow_complex=False)
        if A.shape[1] != n_features:
            raise ValueError(f"X has {n_features} features but sensing has {A.shape[1]} columns")
        if np.issubdtype(A.dtype, np.complexfloating):
            raise ValueError(f"sensing is complex ({A.dtype}); complex data is not supported here")
        if isinstance(A, np.ndarray):
            self.sensing_matrix_ = A.astype(dtype)
        else:
            self._operator = aslinearoperator(A)

    def _atoms(self, n_features: int, dtype: np.dtype) -> np.ndarray | None:
        if isinstance(self.basis, str):
            check_option(self.basis, "basis", ("identity", "dct"))
            return None
        atoms = self.basis
        if hasattr(atoms, "get_params"):
            atoms = getattr(atoms, "components_", None)
            if atoms is None:
                raise ValueError(
                    f"basis is a {type(self.basis).__name__} without components_; fit it first, "
                    "and where it is cloned (a grid search) give its components_ instead, or wrap "
                    "it in sklearn.frozen.FrozenEstimator"
                )
        atoms = check_array(atoms, "basis")
        if atoms.shape[1] != n_features:
            raise ValueError(
                f"X has {n_features} features but basis has {atoms.shape[1]}; "
                "both hold one signal or atom a row"
            )
        return atoms.astype(dtype)

    def _basis(self, dtype: np.dtype) -> Any:
        if self.components_ is not None:
            return self.components_.astype(dtype, copy=False)
        n = self.n_features_in_
        return dct(n) if self.basis == "dct" else aslinearoperator(sp.eye_array(n))

    def _check_solver(self, n_components: int) -> None:
        omp_only = {
            "n_nonzero_coefs": self.n_nonzero_coefs,
            "residual_tol": self.residual_tol,
            "n_threads": self.n_threads,
        }
        fista_only = {
            "alpha": self.alpha,
            "alpha_ratio": self.alpha_ratio,
            "tol": self.tol,
            "max_iter": self.max_iter,
        }
        # The zero signal, measured once: it costs nothing and checks every number.
        nothing = np.zeros((1, n_components)), np.zeros(1)
        if check_option(self.solver, "solver", ("omp", "fista")) == "omp":
            check_unused("solver='omp'", **fista_only)
            check_n_threads(self.n_threads)
            omp(*nothing, **self._pursuit_arguments(n_components))
        else:
            check_unused("solver='fista'", **omp_only)
            fista(*nothing, **self._fista_arguments())

    def _pursuit_arguments(self, n_components: int) -> dict[str, Any]:
        limit = self.n_nonzero_coefs
        if limit is None and self.residual_tol is None:
            m = self.n_measurements_
            limit = n_components if m >= n_components else max(1, m // 2)
        return {"n_nonzero_coefs": limit, "residual_tol": self.residual_tol}

    def _fista_arguments(self) -> dict[str, Any]:
        weights = {"alpha": self.alpha, "alpha_ratio": self.alpha_ratio}
        if self.alpha is None and self.alpha_ratio is None:
            weights["alpha_ratio"] = 1e-3
        check_exactly_one(**weights)
        given = {**weights, "tol": self.tol, "max_iter": self.max_iter}
        return {name: value for name, value in given.items() if value is not None}

    def _recover(self, E: Any, Y: np.ndarray) -> Any:
        """Codes, one signal's a row."""
        if self.solver == "fista":
            return fista(E, Y.T, **self._fista_arguments()).x.T
        arguments = self._pursuit_arguments(E.shape[1])
        if isinstance(E, np.ndarray):
            return sparse_encode(
                Y, np.ascontiguousarray(E.T), n_threads=self.n_threads, **arguments
            )
        check_unused("omp on an operator of this size", n_threads=self.n_threads)
        return omp(E, Y.T, **arguments).x.T

    @property
    def _n_features_out(self) -> int:
        return self.n_measurements_


def _dense(codes: Any) -> np.ndarray:
    return codes.toarray() if sp.issparse(codes) else codes
