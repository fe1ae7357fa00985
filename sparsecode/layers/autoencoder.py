r"""A sparse autoencoder's own codes, and better ones in its own dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._threads import check_n_threads
from sparsecode._validation import check_array, check_int, check_option
from sparsecode.layers.reencoding import certified, coded

__all__ = ["EncoderRow", "SparseAutoencoder", "compare_encoders"]

# What the two common libraries call the arrays, and which of them lie the other way round.
CONVENTIONS = {
    "SAELens": ("W_enc", "b_enc", "W_dec", "b_dec", {"W_enc"}),
    "dictionary_learning": (
        "encoder.weight", "encoder.bias", "decoder.weight", "bias", {"decoder.weight"},
    ),
}  # fmt: skip
AT_EQUAL_SPARSITY = ("omp", "ols", "gradient_pursuit", "lars")


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseAutoencoder:
    r"""Codes by one product and a threshold, :math:`c = \sigma((x - b) E^T + e)`.

    :math:`\hat x = c D + b`; :math:`\sigma` keeps what is positive, and, where these are given,
    above `threshold` (JumpReLU) or among the `k` largest (TopK).

    Parameters
    ----------
    encoder : array of shape (n_components, n_features)
        :math:`E`.
    encoder_bias : array of shape (n_components,)
        :math:`e`.
    dictionary : array of shape (n_components, n_features)
        :math:`D`: the decoder's directions, one a row.
    bias : array of shape (n_features,)
        :math:`b`.
    threshold : array of shape (n_components,), optional
        A smaller activation is none.
    k : int, optional
        At most so many atoms a row.

    Raises
    ------
    ValueError
        If shapes do not fit or an entry is NaN or infinite.

    References
    ----------
    Bricken et al., "Towards monosemanticity", 2023; Rajamanoharan et al., "Jumping ahead: improving
    reconstruction fidelity with JumpReLU sparse autoencoders", 2024; Gao et al., "Scaling and
    evaluating sparse autoencoders", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import SparseAutoencoder
    >>> sae = SparseAutoencoder(
    ...     encoder=np.eye(3), encoder_bias=-np.ones(3), dictionary=np.eye(3), bias=np.zeros(3)
    ... )
    >>> sae.encode([[3.0, 0.5, -2.0]])
    array([[2., 0., 0.]])
    """

    encoder: np.ndarray
    encoder_bias: np.ndarray
    dictionary: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        D = check_array(self.dictionary, "dictionary")
        shapes = {"encoder": D.shape, "encoder_bias": D.shape[:1], "bias": D.shape[1:]}
        if self.threshold is not None:
            shapes["threshold"] = D.shape[:1]
        object.__setattr__(self, "dictionary", D)
        for name, shape in shapes.items():
            array = check_array(getattr(self, name), name, ndim=len(shape))
            if array.shape != shape:
                raise ValueError(
                    f"{name} has shape {array.shape}; beside a dictionary of shape {D.shape} it "
                    f"has to be {shape}"
                )
            object.__setattr__(self, name, array)
        if self.k is not None:
            check_int(self.k, "k", high=len(D))

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Any], *, convention: str | None = None, k: int | None = None
    ) -> Self:
        """From the arrays of a file, as SAELens and dictionary_learning name them.

        Parameters
        ----------
        arrays : mapping of str to array
            ``W_enc``, ``b_enc``, ``W_dec``, ``b_dec`` and maybe ``threshold``; or
            ``encoder.weight``, ``encoder.bias``, ``decoder.weight``, ``bias``.
        convention : {"SAELens", "dictionary_learning"}, optional
            Whose names they are; by default those that are there.
        k : int, optional
            As for the class.

        Raises
        ------
        ValueError
            If arrays are missing.
        """
        if not isinstance(arrays, Mapping):
            raise TypeError(f"arrays has to be a mapping by names, got a {type(arrays).__name__}")
        if convention is None:
            complete = [c for c, names in CONVENTIONS.items() if set(names[:4]) <= set(arrays)]
            if not complete:
                wanted = " or ".join(", ".join(names[:4]) for names in CONVENTIONS.values())
                raise ValueError(
                    f"the arrays of a sparse autoencoder are {wanted}; got "
                    f"{', '.join(sorted(arrays)) or 'none'}"
                )
            convention = complete[0]
        *names, turned = CONVENTIONS[check_option(convention, "convention", CONVENTIONS)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"there is no array {missing[0]!r}, as {convention} calls it")
        found = [np.asarray(arrays[n]).T if n in turned else arrays[n] for n in names]
        encoder, encoder_bias, dictionary, bias = found
        return cls(
            encoder=encoder,
            encoder_bias=encoder_bias,
            dictionary=dictionary,
            bias=bias,
            threshold=arrays.get("threshold"),
            k=k,
        )

    def encode(self, X: Any) -> np.ndarray:
        """The autoencoder's own codes (n_samples, n_components) of activations."""
        X = check_array(X, "X")
        if X.shape[1] != self.bias.size:
            raise ValueError(f"X has {X.shape[1]} features; the autoencoder has {self.bias.size}")
        before = (X - self.bias) @ self.encoder.T + self.encoder_bias
        codes = np.maximum(before, 0)
        if self.threshold is not None:
            codes = np.where(codes > self.threshold, codes, 0)
        if self.k is not None and self.k < codes.shape[1]:
            least = np.argsort(-codes, axis=1, kind="stable")[:, self.k :]
            np.put_along_axis(codes, least, 0, axis=1)
        return codes

    def decode(self, codes: Any) -> np.ndarray:
        """The activations that codes stand for."""
        codes = check_array(codes.toarray() if sp.issparse(codes) else codes, "codes")
        if codes.shape[1] != len(self.dictionary):
            raise ValueError(
                f"codes has {codes.shape[1]} columns; the autoencoder has {len(self.dictionary)} "
                "atoms"
            )
        return codes @ self.dictionary + self.bias


class EncoderRow(NamedTuple):
    """One way to code activations in a given dictionary."""

    encoder: str
    n_nonzero_coefs: float  # the mean over the rows
    error: float  # squared, over that of the bias alone


def compare_encoders(
    X: Any,
    autoencoder: SparseAutoencoder,
    *,
    algorithms: Sequence[str] = ("omp", "gradient_pursuit", "lars"),
    n_threads: int | None = None,
) -> list[EncoderRow]:
    r"""What a sparse autoencoder's decoder could do with better codes, at equal sparsity.

    Each row is coded anew with as many atoms as the autoencoder's own encoder gave it, by each of
    the algorithms; `lars` is the lasso at that number. New codes may be negative.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Activations.
    autoencoder : SparseAutoencoder
        Its decoder is the dictionary.
    algorithms : sequence of {"omp", "ols", "gradient_pursuit", "lars"}
        Others of `solvers.sparse_encode` take no number of atoms, or need more than that.
    n_threads : int, optional
        Threads; None means the cores this process was given.

    Returns
    -------
    list of EncoderRow
        The encoder's own codes first; `error` is
        :math:`\|X - \hat X\|_F^2 / \|X - b\|_F^2`.

    Raises
    ------
    ValueError
        If shapes do not fit, or an algorithm is not one of these.
    TypeError
        If `autoencoder` is no `SparseAutoencoder`, or `algorithms` no sequence of names.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import SparseAutoencoder, compare_encoders
    >>> rng = np.random.default_rng(0)
    >>> D = rng.standard_normal((32, 8))
    >>> sae = SparseAutoencoder(
    ...     encoder=D / 8, encoder_bias=np.full(32, -0.3), dictionary=D, bias=np.zeros(8)
    ... )
    >>> [row.encoder for row in compare_encoders(rng.standard_normal((50, 8)), sae)]
    ['own encoder', 'omp', 'gradient_pursuit', 'lars']
    """
    X = check_array(X, "X")
    if not isinstance(autoencoder, SparseAutoencoder):
        raise TypeError(
            f"autoencoder has to be a SparseAutoencoder, got {type(autoencoder).__name__}"
        )
    if isinstance(algorithms, str) or not isinstance(algorithms, Sequence):
        raise TypeError(f"algorithms has to be a sequence of names, got {algorithms!r}")
    n_threads = check_n_threads(n_threads)
    for name in algorithms:
        check_option(name, "algorithms", AT_EQUAL_SPARSITY)
    own, D, bias = autoencoder.encode(X), autoencoder.dictionary, autoencoder.bias
    counts = np.count_nonzero(own, axis=1)
    centred = X - bias
    rows = [("own encoder", certified(centred, D, bias, own))]
    for name in algorithms:
        codes = np.zeros_like(own)
        for count in np.unique(counts[counts > 0]):
            alike = counts == count
            part = coded(X[alike], D, bias, algorithm=name, n_nonzero_coefs=int(count),
                         n_threads=n_threads)  # fmt: skip
            codes[alike] = part.codes.toarray()
        rows.append((name, certified(centred, D, bias, codes)))
    return [EncoderRow(name, new.codes.nnz / len(X), new.error) for name, new in rows]
