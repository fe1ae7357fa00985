"""What the estimators share: dtypes, the names of outputs, and the way back from codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from sparsecode._dask import check_blocks, map_rows
from sparsecode._systems import check_operator
from sparsecode._validation import check_array, without_mask

Fit = TypeVar("Fit", bound=Callable[..., Any])


class Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """float32 and float64 come out as they went in; outputs are named after the class."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def all_or_nothing(fit: Fit) -> Fit:
    """For a method that fits: after an error or an interrupt the estimator is as it was before.

    What was fitted earlier stays, and no attribute is there half. Arrays that are fitted attributes
    are therefore replaced, never changed in place.
    """

    @wraps(fit)
    def whole(self: Any, *args: Any, **options: Any) -> Any:
        before = vars(self).copy()
        try:
            return fit(self, *args, **options)
        except BaseException:
            self.__dict__ = before
            raise

    return cast(Fit, whole)


NAMED = re.compile(r"\b[Xy]\b|^Found |^Expected 2D|^Complex data|^Sparse data")


def validated(estimator: Any, X: Any, *targets: Any, **options: Any) -> Any:
    """scikit-learn's `validate_data`, which alone would take a mask, bytes and dates for numbers.

    What it refuses without saying which argument is at fault is said here.
    """
    X = check_kind(X, "X")
    try:
        return validate_data(estimator, X, *targets, **options)
    except (TypeError, ValueError) as error:
        if NAMED.search(str(error)):
            raise
        raise type(error)(f"X is no array of numbers: {error}") from error


def check_kind(X: Any, name: str) -> Any:
    """`X` as it is, unless it is masked or of a type whose numbers are none."""
    X = without_mask(X, name)
    if isinstance(X, np.matrix):
        X = np.asarray(X)
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "SMmV" and dtype.name != "bfloat16":
        raise ValueError(f"{name} has to be numeric, got dtype {dtype}")
    return X


def check_samples(
    estimator: Transformer, X: Any, *, reset: bool, missing: bool = False
) -> np.ndarray:
    """Rows of float32 or float64; `reset` says whether they set the number of features.

    NaN passes where an entry may be `missing`.
    """
    return validated(
        estimator,
        X,
        dtype=(np.float64, np.float32),
        reset=reset,
        ensure_all_finite="allow-nan" if missing else True,
    )


def check_samples_in_blocks(estimator: Transformer, X: Any, *, reset: bool) -> Any:
    """The same of a Dask array; its entries are checked where its blocks are computed."""
    X = check_blocks(X, "X")
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    check_samples(estimator, np.zeros((1, X.shape[1]), dtype), reset=reset)
    return X.astype(dtype)


def in_blocks(estimator: Transformer, method: Callable[[Any], Any], X: Any) -> Any:
    """The Dask array of what a method of a fitted estimator makes of the blocks of a Dask array.

    What `method` is bound to travels.
    """
    X = check_samples_in_blocks(estimator, X, reset=False)
    return _of_blocks(method, X)


def inverse_of_blocks(method: Callable[[Any], Any], codes: Any) -> Any:
    """Signals of a Dask array of codes, block by block."""
    return _of_blocks(method, check_blocks(codes, "codes"))


def _of_blocks(method: Callable[[Any], Any], X: Any) -> Any:
    return map_rows(method, X, method(np.zeros((1, X.shape[1]), X.dtype)))


def check_rows(estimator: Any, X: Any, *, reset: bool) -> tuple[np.ndarray, np.dtype]:
    """Rows of float32 or float64, and the dtype they came in: a short one, too."""
    dtype = getattr(X, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.name not in ("float16", "bfloat16"):
        dtype = None
    else:
        X = np.asarray(check_kind(X, "X")).astype(np.float32)
    X = validated(estimator, X, dtype=(np.float64, np.float32), reset=reset)
    return X, X.dtype if dtype is None else dtype


def check_codes(codes: Any, name: str, width: int, *, allow_complex: bool = False) -> Any:
    """A dense or CSR array with one row a sample and `width` columns."""
    if sp.issparse(codes):
        codes = check_operator(codes, name, allow_complex=allow_complex)
    else:
        codes = check_array(codes, name, allow_empty=width == 0, allow_complex=allow_complex)
    if codes.shape[1] != width:
        raise ValueError(f"{name} has {codes.shape[1]} columns; transform gives {width}")
    return codes


def synthesize(codes: Any, components: np.ndarray) -> np.ndarray:
    """``codes @ components`` in the dtype of the codes."""
    codes = check_codes(codes, "codes", components.shape[0])
    return codes @ components.astype(codes.dtype, copy=False)
