"""Independent checks of answers, in extended precision: no scale leaves its range.

Each gets the arguments (plain arrays), the answers and a tolerance, and says what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Arguments = dict[str, Any]
Answers = dict[str, Any]


def wide(x: Any) -> np.ndarray:
    """In extended precision."""
    x = np.asarray(x)
    return x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble)


def columns(x: Any) -> np.ndarray:
    """One signal a column."""
    x = wide(x)
    return x[:, None] if x.ndim == 1 else x


def norms(x: np.ndarray) -> np.ndarray:
    """The l2 norm of each column."""
    return np.sqrt(np.sum(np.abs(x) ** 2, axis=0))


def _largest(x: np.ndarray) -> np.ndarray:
    return np.max(np.abs(x), axis=0, initial=0)


def lasso(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """The duality gap of each signal, relative to the objective at zero."""
    A, y, x = wide(arguments["A"]), columns(arguments["y"]), columns(answers["x"])
    if x.shape != (A.shape[1], y.shape[1]):
        return f"x has shape {x.shape}"
    tolerance = max(tolerance, 1e-5, arguments.get("tol") or 0.0)
    if arguments.get("residual_tol") is not None or arguments.get("n_nonzero_coefs") is not None:
        return pursuit(arguments, answers, tolerance)  # the path ends before
    alpha = arguments.get("alpha")
    if alpha is None:
        alpha = np.longdouble(arguments["alpha_ratio"]) * _largest(A.conj().T @ y)
    return _gap(A, y, x, np.broadcast_to(np.longdouble(alpha), y.shape[1]), tolerance)


def _gap(A: Any, y: Any, x: Any, alpha: Any, tolerance: float) -> str | None:
    r = y - A @ x
    polar = _largest(A.conj().T @ r)
    theta = r * np.where(polar > alpha, alpha / np.where(polar > 0, polar, 1), 1)
    primal = np.sum(np.abs(r) ** 2, axis=0) / 2 + alpha * np.sum(np.abs(x), axis=0)
    dual = np.sum((np.conj(y) * theta).real - np.abs(theta) ** 2 / 2, axis=0)
    at_zero = np.sum(np.abs(y) ** 2, axis=0) / 2
    worst = np.max(np.where(at_zero > 0, (primal - dual) / np.where(at_zero > 0, at_zero, 1),
                            np.sum(np.abs(x), axis=0)))  # fmt: skip
    return None if worst <= tolerance else f"relative duality gap {float(worst):.2g}"


def path(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """Each point of a path is the lasso's at its alpha."""
    A, y = wide(arguments["A"]), columns(arguments["y"])
    alphas, x = wide(answers["alphas"]), wide(answers["x"])
    for alpha, point in zip(alphas, np.moveaxis(x, -1, 0), strict=True):
        limit = max(tolerance, 1e-5, arguments.get("tol") or 0.0)
        if alpha > 0 and (wrong := _gap(A, y, columns(point), alpha, limit)):
            return f"at alpha={float(alpha):.3g}: {wrong}"
    return None


def pursuit(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """So many atoms at the most, and no residual longer than the signal."""
    A, y, x = wide(arguments["A"]), columns(arguments["y"]), columns(answers["x"])
    if x.shape != (A.shape[1], y.shape[1]):
        return f"x has shape {x.shape}"
    k = arguments.get("n_nonzero_coefs")
    if k is not None and np.count_nonzero(x, axis=0).max(initial=0) > k:
        return f"more than {k} atoms"
    left, least = norms(y - A @ x), norms(y)
    if np.any(left > least * (1 + max(tolerance, 1e-6))):
        return "the residual is longer than the signal"
    return None


def fitted_pursuit(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """A pursuit whose coefficients are those of least squares on the atoms it took."""
    if wrong := pursuit(arguments, answers, tolerance):
        return wrong
    A, y, x = wide(arguments["A"]), columns(arguments["y"]), columns(answers["x"])
    correlation = A.conj().T @ (y - A @ x)
    lengths = norms(A)
    bound = max(tolerance, 1e-6) * lengths[:, None] * norms(y)
    if np.any((np.abs(correlation) > bound) & (x != 0)):
        return "the residual is not orthogonal to the atoms taken"
    return None


def _weighted(arguments: Arguments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix whose columns are divided by the weights, for which the norm has none."""
    A, weights = wide(arguments["A"]), arguments.get("weights")
    weights = wide(np.ones(A.shape[1]) if weights is None else weights)
    return A / weights, wide(arguments["y"]), weights


def constrained(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """Basis pursuit (denoising): inside the constraint, and near the bound of its dual point."""
    A, y, weights = _weighted(arguments)
    x, z = wide(answers["x"]) * weights, wide(answers["_dual"])
    sigma = np.longdouble(arguments.get("sigma", 0.0))
    tolerance = max(tolerance, 1e-4, arguments.get("tol") or 0.0)
    size = norms(y)
    if norms(y - A @ x) > sigma + tolerance * size:
        return "outside the constraint"
    polar = _largest(A.conj().T @ z)
    z = z / polar if polar > 0 else z  # along the ray its bound is the best or 0
    bound = max(np.sum((np.conj(y) * z).real) - sigma * norms(z), 0)
    value = np.sum(np.abs(x))
    return None if value - bound <= tolerance * value else "far from its dual bound"


def ball(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """Least squares in the l1 ball, by its duality gap."""
    A, y, weights = _weighted(arguments)
    x = wide(answers["x"]) * weights
    tau, r = np.longdouble(arguments["tau"]), y - A @ x
    tolerance = max(tolerance, 1e-4, arguments.get("tol") or 0.0)
    if np.sum(np.abs(x)) > tau * (1 + tolerance):
        return "outside the ball"
    dual = np.sum((np.conj(y) * r).real) - norms(r) ** 2 / 2 - tau * _largest(A.conj().T @ r)
    gap, at_zero = norms(r) ** 2 / 2 - dual, norms(y) ** 2 / 2
    return None if gap <= tolerance * at_zero else f"relative gap {float(gap / at_zero):.2g}"


def of_rows(check: Any) -> Any:
    """A check of one system for an encoder, whose rows are signals."""

    def checked(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
        system = arguments | {
            "A": np.asarray(arguments["dictionary"]).T,
            "y": np.asarray(arguments["X"]).T,
        }
        return check(system, {"x": np.asarray(answers["it"]).T}, tolerance)

    return checked


def dictionary(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """Atoms of norm one (or zero), so many a row, and no more error than codes of zero."""
    X, D, C = wide(arguments["X"]), wide(answers["dictionary"]), wide(answers["codes"])
    if D.shape != (arguments["n_components"], X.shape[1]) or C.shape != (len(X), len(D)):
        return f"shapes {D.shape} and {C.shape}"
    lengths = norms(D.T)
    if np.any((np.abs(lengths - 1) > 1e-3) & (lengths > 0)):
        return "an atom is not of norm one"
    k = arguments.get("n_nonzero_coefs")
    if k is not None and np.count_nonzero(C, axis=1).max(initial=0) > k:
        return f"more than {k} atoms a row"
    left, all_ = np.sqrt(np.sum((X - C @ D) ** 2)), np.sqrt(np.sum(X**2))
    return None if left <= all_ * (1 + max(tolerance, 1e-6)) else "worse than codes of zero"


def split(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """The two parts sum to the data, but for what sigma allows; rank and count are as asked for."""
    X, L, S = wide(arguments["X"]), wide(answers["low_rank"]), wide(answers["sparse"])
    if L.shape != X.shape or S.shape != X.shape:
        return f"shapes {L.shape} and {S.shape}"
    size, left = np.sqrt(np.sum(X**2)), np.sqrt(np.sum((X - L - S) ** 2))
    tolerance = max(tolerance, 1e-4, arguments.get("tol") or 0.0)
    if arguments.get("n_outliers") is not None:
        if np.count_nonzero(S) > arguments["n_outliers"]:
            return "too many outliers"
        return None if left <= size * (1 + tolerance) else "worse than nothing"
    noise = np.longdouble(arguments.get("sigma") or 0.0) * np.sqrt(X.size + np.sqrt(8.0 * X.size))
    if left > noise * (1 + tolerance) + tolerance * size:
        return f"the parts miss the data by {float(left):.2g} of {float(size):.2g}"
    rank = arguments.get("rank")
    if rank is not None and size > 0:
        values = np.linalg.svd((L / size).astype(np.float64), compute_uv=False)
        if np.sum(values > 1e-4) > rank:
            return f"of rank {np.sum(values > 1e-4)}"
    return None


def svd(arguments: Arguments, answers: Answers, tolerance: float) -> str | None:
    """The leading singular values and no worse an approximation than theirs."""
    X, product = wide(arguments["X"]), wide(answers["product"])
    size = np.abs(X).max()
    if size == 0:
        return None if not np.any(product) else "not zero"
    values = np.linalg.svd((X / size).astype(np.float64), compute_uv=False)
    got = wide(answers["singular_values"]) / size
    if np.any(np.abs(got - values[: got.size]) > max(tolerance, 1e-6) * values[0]):
        return "other singular values"
    left = np.sqrt(np.sum(((X - product) / size).astype(np.float64) ** 2))
    best = np.sqrt(np.sum(values[got.size :] ** 2))
    return None if left <= best + max(tolerance, 1e-6) * values[0] else "not the best approximation"
