"""Activations in integers of a few bits, on a grid that each row sets for itself."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sparsecode.estimators._base import all_or_nothing, check_rows
from sparsecode.layers.dynamic import QuantizedRows, quantize_dynamic
from sparsecode.layers.factorizations import output_error

__all__ = ["DynamicQuantizer"]


class DynamicQuantizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Dynamic quantization of activations: what a network computes with in integers.

    Each row :math:`x` becomes :math:`s\,(q - z)` with integers :math:`q` of `bits` bits, where the
    spacing :math:`s` and the code :math:`z` of zero come from the row's own range as it is
    transformed; see `layers.quantize_dynamic`. There is nothing to fit but the error that this
    makes on the data: small where rows have no outliers.

    Parameters
    ----------
    bits : int, default=8
        Of a code, 2 to 16.
    symmetric : bool, default=True
        Grids around zero. False shifts them to the row's range, which suits activations that are
        not negative.

    Attributes
    ----------
    error_ : float
        :math:`\|X - \hat X\|_F^2 / \|X\|_F^2` on the data of `fit`.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        If `bits` is out of range, or an entry is NaN or infinite.

    See Also
    --------
    LayerCompressor : The weights of a layer, in integers and other structures.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import DynamicQuantizer
    >>> X = np.array([[-1.0, 0.2, 0.7], [100.0, 40.0, 3.0]])
    >>> model = DynamicQuantizer(bits=4).fit(X)
    >>> np.round(model.transform(X), 2)
    array([[ -1.  ,   0.14,   0.71],
           [100.  ,  42.86,   0.  ]])
    """

    def __init__(self, bits: int = 8, *, symmetric: bool = True) -> None:
        self.bits = bits
        self.symmetric = symmetric

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, and measure the error.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Activations, one sample or token a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        DynamicQuantizer
            The estimator itself.
        """
        X, dtype = check_rows(self, X, reset=True)
        self.error_ = output_error(X, self._quantized(X, dtype).dequantize())
        return self

    def quantize(self, X: Any) -> QuantizedRows:
        """Codes, scales and zero points.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Activations, one sample or token a row.

        Returns
        -------
        QuantizedRows
            Of which `transform` gives the values.
        """
        check_is_fitted(self)
        return self._quantized(*check_rows(self, X, reset=False))

    def transform(self, X: Any) -> np.ndarray:
        """Values that the codes stand for.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Activations, one sample or token a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            What a layer of integers sees of them, in their own dtype.
        """
        return self.quantize(X).dequantize()

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the relative squared error: 0 where nothing is lost.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Activations.
        y : None
            Ignored; it is there for searches.

        Returns
        -------
        float
            At most 0.
        """
        return -output_error(X, self.transform(X))

    def _quantized(self, X: np.ndarray, dtype: np.dtype) -> QuantizedRows:
        return quantize_dynamic(X.astype(dtype), bits=self.bits, symmetric=self.symmetric)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "error_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
