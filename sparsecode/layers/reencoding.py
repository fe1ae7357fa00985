r"""Weights and activations coded anew in a dictionary that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsecode._validation import check_array, check_unused
from sparsecode.layers.factorizations import Dictionary
from sparsecode.layers.factorizations._values import decoded
from sparsecode.layers.network import Network, as_network
from sparsecode.solvers import code_certificates, sparse_encode

__all__ = ["Reencoding", "reencode"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reencoding:
    r"""Rows ``X ~ codes @ dictionary + bias``.

    Attributes
    ----------
    codes : scipy.sparse.csr_array of shape (n_samples, n_components)
        The codes.
    dictionary : ndarray of shape (n_components, n_features)
        Atoms, one a row.
    bias : ndarray of shape (n_features,)
        What was taken off the rows first.
    residuals : ndarray of shape (n_samples,)
        The certificate: of each row :math:`\|x - b - c D\|_2 / \|x - b\|_2`, measured in double
        precision from the data. No claim is made that another code of as many atoms could not be
        better: choosing them is not a convex problem.
    error : float
        The squared error of all rows, :math:`\|X - \hat X\|_F^2 / \|X - b\|_F^2`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> new = layers.reencode([[3.0, 0.0, 4.0]], np.eye(3), n_nonzero_coefs=1)
    >>> new.reconstruct(), new.residuals
    (array([[0., 0., 4.]]), array([0.6]))
    """

    codes: sp.csr_array
    dictionary: np.ndarray
    bias: np.ndarray
    residuals: np.ndarray
    error: float

    def reconstruct(self) -> np.ndarray:
        """The rows that the codes stand for."""
        return self.codes @ self.dictionary + self.bias

    def __repr__(self) -> str:
        n, k = self.codes.shape
        each = self.codes.nnz / n
        return f"Reencoding({n} rows, {each:.1f} of {k} atoms a row, error {self.error:.3g})"


def reencode(
    X: Any,
    dictionary: Any,
    *,
    algorithm: str = "omp",
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    alpha: float | None = None,
    bias: Any = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    n_threads: int | None = None,
) -> Reencoding | dict[str, Reencoding]:
    r"""Sparse codes of activations, or of the weights of a network, in a given dictionary.

    .. math:: \min_c \|x - b - c D\|_2^2 \quad \text{s.t.} \quad \|c\|_0 \le k

    for each row `x`, or another problem of `solvers.sparse_encode`.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), Network or mapping of str to array
        Activations, or weights, one row each; of a network every layer whose number of inputs is
        that of the dictionary's features, one output's weights a row.
    dictionary : array of shape (n_components, n_features), or Dictionary
        Atoms, one a row, of any norm: that of a `KSVD`, the decoder of a sparse autoencoder, or
        what `factorize` made by ``"dictionary"``, whose atoms are meant.
    algorithm : {"omp", "ols", "gradient_pursuit", "iht", "lasso", "lars", "threshold"}
        As for `solvers.sparse_encode`; "omp" by default.
    n_nonzero_coefs : int, optional
        At most so many atoms a row.
    residual_tol : float, optional
        Stop once the l2 norm of a row's residual (not squared) is at most this.
    alpha : float, optional
        The weight of the l1 norm.
    bias : array of shape (n_features,), optional
        Taken off each row first, as a decoder's bias; none by default.
    include, exclude : str or sequence of str
        Of a network: names of layers, or ``re:`` and a regular expression.
    n_threads : int, optional
        Threads; None means the cores this process was given. The codes do not depend on it.

    Returns
    -------
    Reencoding or dict of str to Reencoding
        Of an array one; of a network one for each of its layers, by name.

    Raises
    ------
    ValueError
        If shapes do not fit, an argument is not used by the algorithm, or no layer of the network
        has as many inputs as the dictionary has features.

    Warns
    -----
    ConvergenceWarning
        As `solvers.sparse_encode` does.

    See Also
    --------
    sparsecode.layers.compare_encoders : A sparse autoencoder's own codes beside these.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> rng = np.random.default_rng(0)
    >>> D = rng.standard_normal((20, 8))
    >>> acts = D[3] - 2 * D[[5, 7]]
    >>> layers.reencode(acts, D, n_nonzero_coefs=2)
    Reencoding(2 rows, 2.0 of 20 atoms a row, error ...)
    """
    if isinstance(dictionary, Dictionary):
        dictionary = decoded(dictionary.dictionary)
    D = check_array(dictionary, "dictionary")
    options: dict[str, Any] = {
        "algorithm": algorithm,
        "n_nonzero_coefs": n_nonzero_coefs,
        "residual_tol": residual_tol,
        "alpha": alpha,
        "n_threads": n_threads,
    }
    offset = _checked_bias(bias, D.shape[1])
    if not isinstance(X, Network | Mapping):
        check_unused("reencode of an array", include=include or None, exclude=exclude or None)
        return coded(check_array(X, "X"), D, offset, **options)
    network = as_network(X)
    chosen = network.select(include, exclude)
    fitting = [layer for layer in chosen if layer.n_inputs == D.shape[1]]
    if not fitting:
        widths = sorted({layer.n_inputs for layer in chosen})
        raise ValueError(
            f"dictionary has {D.shape[1]} features, and no layer of the network has as many "
            f"inputs: they have {', '.join(map(str, widths)) or 'none'}"
        )
    return {
        layer.name: coded(check_array(network.weight(layer), layer.name), D, offset, **options)
        for layer in fitting
    }


def coded(X: np.ndarray, D: np.ndarray, bias: np.ndarray, **options: Any) -> Reencoding:
    """The codes of checked rows, and how good they are."""
    if X.shape[1] != D.shape[1]:
        raise ValueError(f"X has {X.shape[1]} features but dictionary has {D.shape[1]}")
    centred = X - bias.astype(X.dtype) if bias.any() else X
    return certified(centred, D, bias, sparse_encode(centred, D, **options))


def certified(centred: np.ndarray, D: np.ndarray, bias: np.ndarray, codes: Any) -> Reencoding:
    """Given codes of rows without their bias, measured."""
    residuals = code_certificates(centred, D, codes)
    unit = float(np.abs(centred).max()) or 1.0  # in units of it no square leaves the range
    energies = np.sum(np.square(centred / unit, dtype=np.float64), axis=1)
    lost = float(np.sum(residuals[energies > 0] ** 2 * energies[energies > 0]))
    error = lost / float(energies.sum()) if energies.any() else float(np.max(residuals))
    return Reencoding(
        codes=sp.csr_array(codes), dictionary=D, bias=bias, residuals=residuals, error=error
    )


def _checked_bias(bias: Any, n_features: int) -> np.ndarray:
    if bias is None:
        return np.zeros(n_features)
    offset = check_array(bias, "bias", ndim=1)
    if offset.shape != (n_features,):
        raise ValueError(f"bias has shape {offset.shape}; dictionary has {n_features} features")
    return offset
