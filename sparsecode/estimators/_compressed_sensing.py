"""Few measurements of signals, and the signals back from them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.utils.validation import check_is_fitted

from sparsecode._systems import check_operator
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_int, check_option, check_random_state, check_unused
from sparsecode.estimators._base import Transformer, all_or_nothing, check_codes, check_samples
from sparsecode.estimators._recovery import (
    RECOVERIES,
    SOLVER_PARAMETERS,
    chosen_solver,
    recover,
    solver_arguments,
)
from sparsecode.estimators._sensing import (
    DRAWN,
    TRANSFORMS,
    atoms,
    synthesis,
    with_precision,
)
from sparsecode.operators import as_real

__all__ = ["CompressedSensing"]

# An operator with fewer entries is written out as a matrix (128 MB in float64): products with it
# are cheap enough, and all signals are then coded at once.
DENSE_SIZE = 2**24


class CompressedSensing(Transformer):
    r"""Compressed sensing: few linear measurements of signals that are sparse in some basis.

    A signal is :math:`x = B^T c`, its code `c` sparse and the rows of `B` the atoms of the basis.
    `transform` measures, :math:`y = A x`; `inverse_transform` recovers `c`, and with it the signal,
    through the measured atoms :math:`E = A B^T`:

    ``"basis_pursuit"``: :math:`\min_c \|c\|_1` subject to :math:`E c = y`;

    ``"bpdn"``: :math:`\min_c \|c\|_1` subject to :math:`\|y - E c\|_2 \le` `sigma`;

    ``"fista"``: :math:`\min_c \tfrac12 \|y - E c\|_2^2 + \alpha \|c\|_1`;

    ``"omp"``: :math:`\min_c \|y - E c\|_2^2` subject to :math:`\|c\|_0 \le` `n_nonzero_coefs`,
    or the fewest atoms with :math:`\|y - E c\|_2 \le` `residual_tol`, greedily; the first of
    these also by ``"cosamp"``, ``"subspace_pursuit"``, ``"htp"`` and ``"iht"``;

    ``"reweighted_l1"``: the first three of these with a penalty that is nearer to counting (exact,
    with a `sigma`, or with an `alpha`), at a stationary point;

    ``"amp"``: the lasso that approximate message passing arrives at, for independent entries of
    `E`.

    Parameters
    ----------
    n_measurements : int, optional
        Measurements of a signal; half the number of features by default. Leave it out where
        `sensing` is a matrix or an operator.
    sensing : {"gaussian", "bernoulli", "dct", "fft", "hadamard"}, array or operator
        How `A` (n_measurements, n_features) is drawn, or `A` itself; "gaussian" by default. Entries
        N(0, 1/m); entries ``+-1/sqrt(m)``; rows of the orthonormal discrete cosine, of the unitary
        Fourier (complex,
        of the ``n_features // 2 + 1`` frequencies that tell real signals apart), or of the
        orthonormal Walsh-Hadamard transform; a dense or sparse array; a
        `scipy.sparse.linalg.LinearOperator`, or what looks like one. Complex measurements of real
        signals are recovered from their real and imaginary parts.
    basis : {"identity", "dct", "wavelet"}, array, operator or estimator, default="identity"
        `B`: unit vectors; cosines; Daubechies wavelets (needs PyWavelets); an array
        (n_components, n_features) with one atom a row; an operator (n_features, n_components) that
        makes the signal of a code, such as those of `operators.wavelet_synthesis` and
        `operators.concatenation`; or a fitted estimator with `components_`, such as `KSVD`.
        `sklearn.base.clone` forgets what an estimator was fitted to: for a grid search give its
        `components_`, or wrap it in `sklearn.frozen.FrozenEstimator`.
    solver : str, default="auto"
        "auto" or one of the names above.
        The problem of the recovery, as above. A parameter that it does not use is an error.
        ``"auto"`` is `bpdn` where `sigma` is given, `fista` where `alpha` or `alpha_ratio` is, and
        else `omp`.
    n_nonzero_coefs : int, optional
        For the greedy ones: at most so many atoms a signal. By default half the measurements (all
        atoms, if there are as many measurements); no limit for `omp` with a `residual_tol`.
    residual_tol : float, optional
        For the greedy ones: stop once the l2 norm of the residual (not squared) is at most this;
        with noise of level s, ``s * sqrt(n_measurements)`` is a good one.
    sigma : float, optional
        For `bpdn`, which needs it, and `reweighted_l1`: the l2 norm (not squared) of the residual
        that is allowed.
    alpha : float, optional
        For `fista` and `reweighted_l1`: the weight of the l1 norm, positive.
    alpha_ratio : float, optional
        For these, instead of `alpha`: a fraction of each signal's own smallest alpha at which its
        code is zero; 1e-3 for `fista` when neither is given.
    tol : float, optional
        For all but `omp`: how good the certificate of the solver has to be; its own default.
    max_iter : int, optional
        For all but `omp`: iterations at the most; the default of the solver.
    random_state : int, RandomState, Generator or None, default=None
        Draws `A`, where it is drawn.
    n_threads : int, optional
        For all but `fista`, whose products are for all signals at once: threads, which change no
        bit. None means the cores this process was given, 1 inside a joblib worker.

    Attributes
    ----------
    measurement_operator_ : ndarray or LinearOperator of shape (n_measurements, n_features)
        `A`.
    sensing_matrix_ : ndarray of shape (n_measurements, n_features) or None
        `A` where it is a matrix.
    frequencies_ : ndarray of shape (n_measurements,) or None
        The rows of the transform, ascending, if `sensing` is one.
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
        From `inverse_transform`, if the solver reached `max_iter` first.

    See Also
    --------
    sparsecode.solvers.omp : Orthogonal matching pursuit, also through operators.
    sparsecode.solvers.basis_pursuit, sparsecode.solvers.bpdn : The l1 norm under constraints.
    sparsecode.solvers.fista : The penalised l1 problem.
    sparsecode.solvers.reweighted_l1 : Both, with weights that favour large entries.

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
        solver: str = "auto",
        n_nonzero_coefs: int | None = None,
        residual_tol: float | None = None,
        sigma: float | None = None,
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
        self.sigma = sigma
        self.alpha = alpha
        self.alpha_ratio = alpha_ratio
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_threads = n_threads

    @all_or_nothing
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
        self.components_ = atoms(self.basis, X.shape[1], X.dtype)
        self._check_solver()
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
            The measurements; complex where `A` is.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        A = self.measurement_operator_
        return np.ascontiguousarray((A @ X.T).T, dtype=with_precision(A.dtype, X.dtype))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Recover signals from their measurements.

        Parameters
        ----------
        X : array of shape (n_samples, n_measurements)
            Measurements, one signal's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals, real.
        """
        check_is_fitted(self)
        A = self.measurement_operator_
        seen_complex = np.issubdtype(A.dtype, np.complexfloating)
        Y = check_codes(X, "measurements", self.n_measurements_, allow_complex=seen_complex)
        S = self._synthesis
        E = A @ S
        if isinstance(E, LinearOperator) and E.shape[0] * E.shape[1] <= DENSE_SIZE:
            E = E @ np.eye(E.shape[1])
        if seen_complex:  # of a real signal: twice as many real measurements
            Y = Y.toarray() if sp.issparse(Y) else Y
            Y = np.hstack([Y.real, Y.imag])
            E = np.vstack([E.real, E.imag]) if isinstance(E, np.ndarray) else as_real(E)
        if isinstance(E, np.ndarray):
            E = E.astype(Y.dtype, copy=False)
        codes = recover(self._solver, E, Y, self._arguments(), self.n_threads)
        if isinstance(S, LinearOperator) and sp.issparse(codes):
            codes = codes.toarray()
        return np.ascontiguousarray((S @ codes.T).T, dtype=Y.dtype)

    @property
    def measurement_operator_(self) -> Any:
        # Made anew from what was drawn: SciPy's operators cannot be pickled.
        check_is_fitted(self)
        if self.sensing_matrix_ is not None:
            return self.sensing_matrix_
        if self.frequencies_ is not None:
            return TRANSFORMS[self.sensing](self.n_features_in_, self.frequencies_)
        return self._operator

    def _draw_sensing(self, n_features: int, dtype: np.dtype) -> None:
        sensing = check_option(self.sensing, "sensing", (*DRAWN, *TRANSFORMS))
        # Of a real signal, a frequency and its mirror image tell the same.
        n_rows = n_features // 2 + 1 if sensing == "fft" else n_features
        m = -(-n_features // 2)
        if self.n_measurements is not None:
            most = n_rows if sensing in TRANSFORMS else None
            m = check_int(self.n_measurements, "n_measurements", high=most)
        rng = check_random_state(self.random_state)
        if sensing in TRANSFORMS:
            self.frequencies_ = np.sort(rng.permutation(n_rows)[:m])
            return
        self.sensing_matrix_ = DRAWN[sensing](m, n_features, random_state=rng).A.astype(dtype)

    def _take_sensing(self, n_features: int, dtype: np.dtype) -> None:
        check_unused(
            "a sensing that is given",
            n_measurements=self.n_measurements,
            random_state=self.random_state,
        )
        A = check_operator(self.sensing, "sensing")
        if A.shape[1] != n_features:
            raise ValueError(f"X has {n_features} features but sensing has {A.shape[1]} columns")
        if isinstance(A, np.ndarray):
            self.sensing_matrix_ = A.astype(with_precision(A.dtype, dtype))
        else:
            self._operator = aslinearoperator(A)

    def _check_solver(self) -> None:
        check_option(self.solver, "solver", ("auto", *RECOVERIES))
        if self.n_threads is not None:
            check_n_threads(self.n_threads)
        # The zero signal, measured once: it costs nothing and checks every number.
        nothing = (
            np.zeros((1, self._synthesis.shape[1])),
            np.zeros(1),
        )
        RECOVERIES[self._solver].solve(*nothing, **self._arguments())

    @property
    def _synthesis(self) -> Any:
        return synthesis(self.basis, self.components_, self.n_features_in_)

    @property
    def _solver(self) -> str:
        return chosen_solver(self.solver, vars(self))

    def _arguments(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in SOLVER_PARAMETERS}
        return solver_arguments(
            self._solver,
            given,
            self.n_measurements_,
            self._synthesis.shape[1],
        )

    @property
    def _n_features_out(self) -> int:
        return self.n_measurements_
