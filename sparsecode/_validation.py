"""The public edge: every argument is checked here once, and nothing below checks it again.

A message says what is wrong, which argument, what was given and what would work.
"""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from sparsecode._mapped import any_entry, as_dtype, row_tiles
from sparsecode._memory import check_fits
from sparsecode._scaling import magnitude, to_units, unit_of

RandomSource = np.random.RandomState | np.random.Generator


def check_array(
    X: Any,
    name: str,
    *,
    ndim: int | tuple[int, ...] = 2,
    allow_complex: bool = False,
    allow_missing: bool = False,
    allow_empty: bool = False,
) -> np.ndarray:
    """A native float32, float64 (or complex) array with finite entries, or an error that names it.

    Integers and booleans become float64, float16 and bfloat16 become float32, wider floats float64.
    The array is not copied when it already is what is asked for, whatever its memory order.
    """
    if sp.issparse(X):
        raise TypeError(
            f"{name} is a SciPy sparse array; this needs a dense one: pass {name}.toarray()"
        )
    if isinstance(X, LinearOperator):
        raise TypeError(f"{name} is a LinearOperator; this needs its entries: pass a NumPy array")
    X = as_array(without_mask(X, name), name)
    X = as_dtype(X, _computing_dtype(X, name, allow_complex))
    dims = (ndim,) if isinstance(ndim, int) else ndim
    if X.ndim not in dims:
        wanted = " or ".join(f"{d}-D" for d in dims)
        hint = (
            "; reshape it with .reshape(1, -1) or .reshape(-1, 1)"
            if dims == (2,) and X.ndim == 1
            else ""
        )
        raise ValueError(f"{name} has to be {wanted}, got an array of shape {X.shape}{hint}")
    if X.size == 0 and not allow_empty:
        raise ValueError(f"{name} is empty: its shape is {X.shape}")
    _check_finite(X, name, allow_missing)
    return X


def without_mask(X: Any, name: str) -> Any:
    """The data of a masked array in which nothing is masked; all else as it is."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if np.ma.is_masked(X):
        raise ValueError(
            f"{name} is a masked array; fill it (with NaN where missing_values is offered)"
        )
    return X.data


def as_array(X: Any, name: str) -> np.ndarray:
    """A NumPy array of whatever kind."""
    try:
        return np.asarray(X)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"{name} is no array of numbers: {error}") from error
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} cannot be seen as a NumPy array ({error}); for torch pass "
            f"{name}.detach().cpu().float().numpy()"
        ) from error


def _computing_dtype(X: np.ndarray, name: str, allow_complex: bool) -> np.dtype:
    """The dtype `X` is computed in; raises for what has none."""
    kind = X.dtype.kind
    if kind == "c":
        if not allow_complex:
            raise ValueError(f"{name} is complex ({X.dtype}); complex data is not supported here")
        return np.dtype(np.complex64 if X.dtype.itemsize <= 8 else np.complex128)
    if kind == "f":
        return np.dtype(np.float32 if X.dtype.itemsize <= 4 else np.float64)
    if kind in "iub":
        return np.dtype(np.float64)
    if X.dtype.name == "bfloat16":
        return np.dtype(np.float32)
    if kind == "O":
        try:
            X.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} holds objects that are not real numbers: {error}") from error
        return np.dtype(np.float64)
    raise ValueError(f"{name} has to be numeric, got dtype {X.dtype}")


def _check_finite(X: np.ndarray, name: str, allow_missing: bool) -> None:
    # One pass over the common case; the sum is finite unless an entry is not, or it overflows.
    with np.errstate(all="ignore"):
        if np.isfinite(np.sum(X)):
            return
    if any_entry(X, np.isinf):
        raise ValueError(f"{name} contains infinity; every entry has to be finite")
    if not allow_missing and any_entry(X, np.isnan):
        raise ValueError(f"{name} contains NaN; remove or impute the missing entries")


def check_gram(gram: Any, size: int, dtype: Any = np.float64) -> np.ndarray:
    """`gram` in float64, once it can be a second moment as far as is seen without a decomposition.

    With None for a dtype it stays float32 if it is. A negative eigenvalue shows in the diagonal,
    the inequality of Cauchy and Schwarz, and the blocks on the diagonal; where it does not, as it
    may in a large matrix, the work itself may meet it: `no_second_moment`.
    """
    gram = check_array(gram, "gram")
    gram = gram if dtype is None else gram.astype(dtype, copy=False)
    if gram.shape != (size, size):
        raise ValueError(f"gram has shape {gram.shape}; the layer has {size} inputs")
    scaled = to_units(gram, unit_of(magnitude(gram), gram.dtype))  # differences may overflow
    tolerance = 1e-6 * magnitude(scaled)
    norms = np.sqrt(np.maximum(np.diag(scaled), 0))
    for start in range(0, size, 256):  # a few rows at a time: a moment of a gigabyte is ordinary
        rows, onward = slice(start, start + 256), slice(start, None)
        part = scaled[rows, onward]
        if magnitude(part - scaled[onward, rows].T) > tolerance:
            raise ValueError("gram has to be symmetric: pass X.T @ X of the layer's inputs")
        excess = np.abs(part)
        excess -= norms[rows, None] * norms[onward]
        if excess.max() > tolerance or not _is_semidefinite(scaled[rows, rows], tolerance):
            raise no_second_moment()
    return gram


def _is_semidefinite(block: np.ndarray, tolerance: float) -> bool:
    """But for rounding; the largest eigenvalue is at most the trace."""
    block = block.astype(np.float64)
    block[np.diag_indices(len(block))] += tolerance + 1e-6 * np.trace(block)
    try:
        np.linalg.cholesky(block)
    except np.linalg.LinAlgError:
        return block.max() <= 0  # all of it zero
    return True


def no_second_moment() -> ValueError:
    """What is raised wherever a `gram` shows a negative eigenvalue."""
    return ValueError(
        "gram has a negative eigenvalue, so it is no second moment: pass X.T @ X of the layer's "
        "inputs"
    )


def check_semidefinite(least: float, largest: float) -> None:
    """The extreme eigenvalues of what is made of a `gram`, but for rounding."""
    if least < -1e-6 * max(largest, 0.0):
        raise no_second_moment()


def check_spectrum(singular_values: Any, name: str) -> np.ndarray:
    """Singular values (n,): nonnegative, in descending order."""
    s = check_array(singular_values, name, ndim=1)
    if s[-1] < 0 or np.any(np.diff(s) > 0):
        raise ValueError(
            f"{name} has to be nonnegative and in descending order: np.sort(...)[::-1]"
        )
    return s


def check_missing_values(missing_values: Any) -> bool:
    """Whether NaN marks what is missing; None says that nothing is."""
    if missing_values is None:
        return False
    if isinstance(missing_values, float | np.floating) and np.isnan(missing_values):
        return True
    raise ValueError(f"missing_values has to be np.nan or None, got {missing_values!r}")


def refuse_missing(X: np.ndarray) -> None:
    """NaN is an error that names the way out."""
    if any_entry(X, np.isnan):
        raise ValueError(
            "X contains NaN; remove or impute the missing entries, or pass "
            "missing_values=np.nan to use the observed ones alone"
        )


def check_matrix(X: Any, missing_values: Any) -> np.ndarray:
    """`X`, with NaN where entries are missing if that is announced; none misses a row or column."""
    missing = check_missing_values(missing_values)
    X = check_array(X, "X", allow_missing=True)
    if not missing:
        refuse_missing(X)
        return X
    in_rows, in_columns = (np.zeros(size, dtype=bool) for size in X.shape)
    for rows in row_tiles(X):
        observed = ~np.isnan(X[rows])
        in_rows[rows] = observed.any(axis=1)
        in_columns |= observed.any(axis=0)
    for seen, line in ((in_rows, "row"), (in_columns, "column")):
        empty = np.flatnonzero(~seen)
        if empty.size:
            raise ValueError(
                f"{line} {empty[0]} of X has no observed entry: nothing can be said of it; "
                "leave it out"
            )
    return X


def check_weights(weights: Any, shape: tuple[int, int]) -> np.ndarray:
    """Positive numbers, one an entry or one for all of a row or column, as a 2-D array."""
    if weights is None:
        return np.ones((1, 1))
    weights = check_array(weights, "weights", ndim=(0, 1, 2))
    weights = weights.reshape((1,) * (2 - weights.ndim) + weights.shape)
    if any(given not in (1, size) for given, size in zip(weights.shape, shape, strict=True)):
        raise ValueError(
            f"weights has shape {weights.shape}, which does not broadcast to that of X, {shape}"
        )
    if not np.all(weights > 0):
        raise ValueError("weights has to be positive: an entry of weight zero is one that is NaN")
    return weights


def check_real(
    value: Any,
    name: str,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """A finite real number inside the interval."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} has to be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # of an integer or a fraction
        number = np.inf
    inside = (number > low if open_low else number >= low) and (
        number < high if open_high else number <= high
    )
    if not (np.isfinite(number) and inside):
        left = "(" if open_low or low == -np.inf else "["
        right = ")" if open_high or high == np.inf else "]"
        raise ValueError(
            f"{name} has to be a finite number in {left}{low:g}, {high:g}{right}, got {value!r}"
        )
    return number


def check_int(value: Any, name: str, *, low: int = 1, high: int | None = None) -> int:
    """An integer inside the interval, both ends allowed."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} has to be an integer, got {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        limit = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} has to be {limit}, got {value!r}")
    return number


def check_n_components(n_components: Any, n_features: int) -> int:
    """A number of atoms that fit into the memory with their products, in double precision."""
    count = check_int(n_components, "n_components")
    check_fits(
        8 * count * (count + n_features),
        f"n_components={count} atoms of {n_features} features and their products with each other",
    )
    return count


def check_bool(value: Any, name: str) -> bool:
    """True or False; 0, 1 and None are neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} has to be True or False, got {value!r}")
    return bool(value)


def check_string(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} has to be a string, got {value!r}")
    return value


def check_strings(value: Any, name: str) -> Sequence[str]:
    """A sequence of strings, and not just one."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} has to be a sequence of strings, got {value!r}")
    for each in value:
        check_string(each, f"an entry of {name}")
    return value


def check_mapping(value: Any, name: str, of: str) -> Mapping[Any, Any]:
    """A mapping; `of` says of what to what."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} has to be a mapping of {of}, got {type(value).__name__}")
    return value


def check_option(value: Any, name: str, options: Collection[str]) -> str:
    """One of a few strings."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(
            f"{name} has to be one of {', '.join(map(repr, sorted(options)))}, got {value!r}"
        )
    return value


def check_callable(value: Any, name: str) -> None:
    """A function, or None for none."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} has to be callable, or None, got {value!r}")


def check_exactly_one(**given: Any) -> str:
    """The name of the one argument that is not None."""
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        names = ", ".join(given)
        raise ValueError(
            f"give exactly one of {names}; got {', '.join(chosen) if chosen else 'none of them'}"
        )
    return chosen[0]


def check_unused(method: str, **given: Any) -> None:
    """An argument that the chosen method does not use is an error, never ignored."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is not used by {method}; leave it out")


def check_random_state(random_state: Any) -> RandomSource:
    """None, an integer, a `RandomState` or a `Generator`; callers use the methods both have."""
    if isinstance(random_state, (np.random.RandomState, np.random.Generator)):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    return np.random.RandomState(check_int(random_state, "random_state", low=0, high=2**32 - 1))


def draw_seed(random_state: Any) -> int:
    """The integer itself, or one drawn from the source: for work that is done more than once."""
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        return check_int(random_state, "random_state", low=0, high=2**32 - 1)
    return int(check_random_state(random_state).random() * 2**32)
