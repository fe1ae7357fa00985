"""The weights of a layer, rows being outputs, in a structure that takes fewer bits."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import check_option, check_random_state
from sparsecode.estimators._base import all_or_nothing, check_rows
from sparsecode.layers.factorizations import (
    FAMILIES,
    BudgetError,
    factorize,
    output_error,
)
from sparsecode.layers.factorizations._damped import DAMPING, damped
from sparsecode.layers.row_encoding import RowEncoder

__all__ = ["LayerCompressor"]


class LayerCompressor(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Replace the weights of a layer by a structure that takes a fraction of their bits.

    `fit` solves, as well as the method can,

    .. math:: \min_{W'} \mathrm{tr}\bigl((W - W')\, H\, (W - W')^T\bigr)
              \quad \text{s.t.} \quad \mathrm{bits}(W') \le \mathrm{budget} \cdot \mathrm{bits}(W)

    where the rows of :math:`W` are the layer's outputs. `transform` gives weights as the structure
    stores them. The rows that were fitted are those of ``factorization_.to_dense()``. Any other row
    is coded in what the fit has found out, whatever the rows beside it:

    - ``"low_rank"``: its projection on the rows of the last factor, in the metric of :math:`H`;
    - ``"dictionary"``: by as many atoms as an output takes on the average, by orthogonal matching
      pursuit in the metric of :math:`H`;
    - ``"low_rank+sparse"``: both in turn, with as many nonzeros as an output has on the average;
    - ``"codebook"``: the nearest centroids, or those of error feedback, of the best codebook;
    - ``"uniform"``: on the layer's grid if it has just one, else on grids of its own;
    - ``"sparse"``: the weights that score as high as the least that was kept or, where rows keep a
      number of weights each and where the score is no sum over rows (``"obs"``, ``"alps"`` and
      stages), the highest; refitted. ``"alps"`` prunes it by ``"obs"``.

    Its code is stored as those of the layer are: in `value_bits`, say, with scales of its own.

    Parameters
    ----------
    method : str, default="uniform"
        The family, one of `layers.FAMILIES`.
    budget : float or str, default=0.25
        The fraction of the layer's bits, in (0, 1], or a size such as ``"24 kB"``.
    damping : float, optional
        Added to the diagonal of `gram`, as a fraction of its mean; 0.01 by default.
    metric, form, kernel_shape : optional
        Of ``"low_rank"``, as in `layers.factorize`; `metric` of ``"low_rank+sparse"`` too.
    criterion, pattern, keep, of, block_shape, threshold, n_stages, refit : optional
        Of ``"sparse"``. ``criterion="random"`` is no rule that a new row could follow, and an
        error.
    refit_tol : float, optional
        Of ``"sparse"`` and ``"low_rank+sparse"``: the part of each row's gradient that a refit may
        leave.
    low_rank_share, start : optional
        Of ``"low_rank+sparse"``.
    atoms_per_nonzero, learning : optional
        Of ``"dictionary"``.
    bits, rounding : optional
        Of ``"codebook"`` and ``"uniform"``.
    subvector, rows_per_codebook : optional
        Of ``"codebook"``.
    group_size, symmetric : optional
        Of ``"uniform"``.
    n_rounds : int, optional
        Of ``"low_rank+sparse"``, ``"dictionary"`` and ``"codebook"``.
    value_bits : optional
        Of all methods but ``"dense"`` and ``"uniform"``.
    random_state : int, RandomState, Generator or None, default=0
        Seed, where the method draws; a search over methods may give it to all.

    Attributes
    ----------
    factorization_ : Factorization
        What `layers.factorize` gives, with `to_dense()`, `apply(X)`, `bits()` and `pack()`.
    bits_ : int
        What it takes, all in all.
    error_ : float
        The squared error of the layer's outputs, relative to the outputs; of the weights without
        `gram`.
    gram_ : ndarray of shape (n_features, n_features) or None
        The second moment that was given to `fit`.
    n_features_in_ : int
        Inputs of the layer.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range, or the method does not use one that is given; if
        the budget is too small for the method (`layers.BudgetError`); and if an entry of the
        weights is NaN or infinite.

    See Also
    --------
    sparsecode.layers.factorize : The same as a function.
    sparsecode.layers.compress : All layers of a network, and bits that go where they save most.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import LayerCompressor
    >>> W = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0])
    >>> model = LayerCompressor("low_rank", budget=0.6).fit(W)
    >>> model.bits_, bool(model.error_ < 1e-20)
    (448, True)
    >>> np.round(model.transform([[5.0, 5.0, 10.0], [0.0, 0.0, 3.0]]), 9)
    array([[ 5.,  5., 10.],
           [ 1.,  1.,  2.]])
    """

    def __init__(
        self,
        method: str = "uniform",
        *,
        budget: float | str = 0.25,
        damping: float | None = None,
        metric: str | None = None,
        form: str | None = None,
        kernel_shape: Any = None,
        criterion: str | None = None,
        pattern: str | None = None,
        keep: int | None = None,
        of: int | None = None,
        block_shape: Any = None,
        threshold: str | None = None,
        n_stages: int | None = None,
        refit: bool | None = None,
        refit_tol: float | None = None,
        low_rank_share: float | None = None,
        start: str | None = None,
        atoms_per_nonzero: float | None = None,
        learning: str | None = None,
        bits: int | str | None = None,
        rounding: str | None = None,
        subvector: int | None = None,
        rows_per_codebook: int | None = None,
        group_size: int | str | None = None,
        symmetric: bool | None = None,
        n_rounds: int | None = None,
        value_bits: int | str | None = None,
        random_state: Any = 0,
    ) -> None:
        self.method = method
        self.budget = budget
        self.damping = damping
        self.metric = metric
        self.form = form
        self.kernel_shape = kernel_shape
        self.criterion = criterion
        self.pattern = pattern
        self.keep = keep
        self.of = of
        self.block_shape = block_shape
        self.threshold = threshold
        self.n_stages = n_stages
        self.refit = refit
        self.refit_tol = refit_tol
        self.low_rank_share = low_rank_share
        self.start = start
        self.atoms_per_nonzero = atoms_per_nonzero
        self.learning = learning
        self.bits = bits
        self.rounding = rounding
        self.subvector = subvector
        self.rows_per_codebook = rows_per_codebook
        self.group_size = group_size
        self.symmetric = symmetric
        self.n_rounds = n_rounds
        self.value_bits = value_bits
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, gram: Any = None) -> Self:
        """Find the structure.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The weights, one output a row: float16, bfloat16, float32 or float64.
        y : None
            Ignored; it is there for pipelines.
        gram : array of shape (n_features, n_features), optional
            Second moment :math:`H` of the layer's inputs; None means the identity.

        Returns
        -------
        LayerCompressor
            The estimator itself.
        """
        options = self._options()
        X, dtype = check_rows(self, X, reset=True)
        weights = X.astype(dtype)
        try:
            form = factorize(
                weights,
                self.method,
                budget=self.budget,
                gram=gram,
                damping=self.damping,
                **options,
            )
        except BudgetError as error:
            m, n = X.shape
            raise BudgetError(f"{error} (n_samples={m}, n_features={n})") from error
        damping = DAMPING if self.damping is None else self.damping
        self._encoder = RowEncoder(weights, form, damped(gram, X.shape[1], damping), options)
        self.factorization_ = form
        self.gram_ = None if gram is None else np.asarray(gram)
        self.bits_ = form.bits().total
        self.error_ = output_error(weights, form.to_dense(), gram)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Weights as the structure stores them, row by row.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Weights, one output a row: those that were fitted, or others.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            What stands for them, in their own dtype.
        """
        check_is_fitted(self)
        X, dtype = check_rows(self, X, reset=False)
        return self._encoder.encode(X).astype(dtype, copy=False)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the relative squared error of the outputs: 0 where nothing is lost.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Weights, one output a row.
        y : None
            Ignored; it is there for searches.

        Returns
        -------
        float
            ``-output_error(X, transform(X), gram_)``.
        """
        return -output_error(X, self.transform(X), self.gram_)

    def _options(self) -> dict[str, Any]:
        """The options that are given, once the method and a rule for new rows are there."""
        family = FAMILIES[check_option(self.method, "method", FAMILIES)]
        apart = ("method", "budget", "damping", "random_state")
        options = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in apart and value is not None
        }
        if options.get("criterion") == "random":
            raise ValueError(
                "criterion='random' is no rule that transform could follow; use 'magnitude', or "
                "layers.factorize for the baseline"
            )
        check_random_state(self.random_state)
        if family.draws(options):
            options["random_state"] = self.random_state
        return options

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
