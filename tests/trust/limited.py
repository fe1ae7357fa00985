"""A process that may take little memory more than it has, and is asked for what takes much.

Prints a line of JSON a case: the error, or "done" and whether the answer is that without a limit.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode import KSVD, SparseCoder, operators, solvers
from sparsecode._threads import map_tiles
from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.layers import Calibration
from sparsecode.solvers._orthogonal import svd

SPARE = 256 * 2**20  # bytes beyond what it has
rng = np.random.default_rng(0)
ATOMS = rng.standard_normal((32, 8))
SIGNALS = rng.standard_normal((3000, 8))
MANY = np.broadcast_to(SIGNALS[:1], (2_000_000, 8))
SQUARE = np.broadcast_to(1.0, (100_000, 100_000))
FULL = rng.standard_normal((5000, 4000))  # 160 MB: with the first copies the room is gone


def encode(**options: Any) -> np.ndarray:
    return solvers.sparse_encode(SIGNALS, ATOMS, n_nonzero_coefs=3, **options).toarray()


# Known before the work starts: the error is the package's own, and says what is too large.
KNOWN: dict[str, Callable[[], Any]] = {
    "dense codes": lambda: solvers.sparse_encode(
        MANY, ATOMS, n_nonzero_coefs=3, sparse_output=False
    ),
    "dense codes of an estimator": lambda: (
        SparseCoder(ATOMS, transform_n_nonzero_coefs=3).fit(SIGNALS).transform(MANY)
    ),
    "products of atoms": lambda: solvers.ksvd(SIGNALS, 50_000, n_nonzero_coefs=2),
    "atoms of an estimator": lambda: KSVD(50_000, n_nonzero_coefs=2).fit(SIGNALS),
    "online atoms": lambda: solvers.online_dictionary_learning(SIGNALS, 50_000, n_nonzero_coefs=2),
    "SVD": lambda: svd(SQUARE),
    "moments of a wide layer": lambda: Calibration().update("wide", np.ones((2, 30_000))),
    "a path": lambda: solvers.lasso_path(ATOMS, ATOMS[:, 0], 10**9),
    "an operator": lambda: operators.gaussian(20_000, 20_000),
    "data": lambda: make_low_rank_plus_sparse(10**5, rank=3, density=0.1),
}
# Not known, as the need depends on what comes out: an error all the same, and no crash.
OTHERS: dict[str, Callable[[], Any]] = {
    "principal_component_pursuit": lambda: solvers.principal_component_pursuit(FULL),
    "alternating_projections": lambda: solvers.alternating_projections(FULL, 3),
    "godec": lambda: solvers.godec(FULL, 3, 10),
    "truncated_svd": lambda: solvers.truncated_svd(FULL, relative_error=1e-3),
    "ista": lambda: solvers.ista(FULL.astype(int), FULL[:, 0], alpha_ratio=0.1),
}


def limited(work: Callable[[], Any], spare: int = SPARE) -> dict[str, Any]:
    """What comes of the work with so much room, and with none of it taken afterwards."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, hard))
    try:
        answer = work()
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return {"done": True, "answer": answer}


def main() -> None:
    """All cases, and after each that the process is as good as before."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    expected = encode(n_threads=2)
    for name, work in {**KNOWN, **OTHERS}.items():
        outcome = limited(work)
        outcome.pop("answer", None)
        same = bool(np.array_equal(encode(n_threads=2), expected))
        answers.write(json.dumps({"name": name, "same": same, **outcome}) + "\n")
    outcome = limited(lambda: encode(n_threads=100), 64 * 2**20)  # stacks take 8 MB each
    same = bool(np.array_equal(outcome.pop("answer", 0), expected))
    answers.write(json.dumps({"name": "threads", "same": same, **outcome}) + "\n")
    outcome = limited(lambda: map_tiles(lambda i: i * i, range(500), 100), 64 * 2**20)
    same = outcome.pop("answer", None) == [i * i for i in range(500)]
    answers.write(json.dumps({"name": "tiles", "same": same, **outcome}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
