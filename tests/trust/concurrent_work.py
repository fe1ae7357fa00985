"""What processes and threads do at once; importable by name, as a spawned process needs it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from bad_input.entry import Entry
from bad_input.judge import values_of

from sparsecode import MOD, solvers

ROWS = 1100  # signals: several tiles for each of four threads


def bits(entry: Entry, **changed: Any) -> str:
    """A hash of the answers of an entry of the registry, for its ordinary arguments."""
    answers = entry.answers(entry.call(**(values_of(entry) | changed)))
    digest = hashlib.sha256()
    for name in sorted(answers):
        value = answers[name]
        plain = np.asarray(value)
        digest.update(name.encode())
        digest.update(repr(value).encode() if plain.dtype == object else plain.tobytes())
    return digest.hexdigest()


def everyday(seed: int = 0) -> str:
    """Kernels, threads, BLAS and LAPACK, in a second: a hash of the answers."""
    rng = np.random.default_rng(seed)
    X, D = rng.standard_normal((ROWS, 16)), rng.standard_normal((32, 16))
    learner = MOD(20, n_nonzero_coefs=2, max_iter=2, tol=None, random_state=0, n_threads=2)
    answers = [
        solvers.sparse_encode(X, D, n_nonzero_coefs=3, n_threads=2).data,
        solvers.sparse_encode(X, D, algorithm="lasso", alpha=3.0, n_threads=2).data,
        learner.fit(X).components_,
        solvers.fista(D.T, X[0], alpha_ratio=0.2).x,
        np.round(np.linalg.svd(X @ X[:64].T, compute_uv=False), 4),  # NumPy's own: BLAS as it is
    ]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in answers)).hexdigest()


def enlarged(entry: Entry) -> dict[str, Any]:
    """Its data arguments that have a row a sample, with many more rows."""
    rng = np.random.default_rng(0)
    values = values_of(entry)
    n_rows = len(values["X"])
    times = -(-ROWS // n_rows)
    large = {}
    for name, value in values.items():
        if name in ("X", "y", "labels", "codes", "weights") and len(value) == n_rows:
            tall = np.concatenate([value] * times)
            if tall.dtype.kind == "f" and name != "weights":
                known = ~np.isnan(tall)
                tall[known] += 0.1 * rng.standard_normal(int(known.sum()))
            large[name] = tall
    return large
