"""Laws of every algorithm of `sparse_encode`: a code hangs on its signal and the atoms alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecode.solvers import sparse_encode


def signals(seed=0, *, n=40, K=30, m=12, kind="d", unit=True):
    rng = np.random.default_rng(seed)
    X, D = rng.standard_normal((n, m)), rng.standard_normal((K, m))
    D = D / np.linalg.norm(D, axis=1, keepdims=True) * (1 if unit else rng.uniform(0.1, 9, (K, 1)))
    return X.astype(kind), D.astype(kind)


ALGORITHMS = [
    {"algorithm": "omp", "n_nonzero_coefs": 4},
    {"algorithm": "omp", "residual_tol": 0.5},
    {"algorithm": "ols", "n_nonzero_coefs": 4},
    {"algorithm": "lasso", "alpha": 0.8, "tol": 1e-4},
    {"algorithm": "threshold", "alpha": 0.3},
    {"algorithm": "lars", "alpha": 0.8},
    {"algorithm": "lars", "n_nonzero_coefs": 4},
    {"algorithm": "lars", "residual_tol": 0.5},
    {"algorithm": "iht", "n_nonzero_coefs": 4, "tol": 1e-2},
    {"algorithm": "gradient_pursuit", "n_nonzero_coefs": 4},
    {"algorithm": "omp", "n_nonzero_coefs": 4, "positive": True},
]
every_algorithm = pytest.mark.parametrize(
    "options", ALGORITHMS, ids=lambda o: "-".join(map(str, o.values()))
)


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@every_algorithm
@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize(("K", "m"), [(30, 12), (61, 17), (1, 5), (7, 1), (130, 64)])
def test_the_bits_depend_on_neither_threads_nor_batch(options, kind, K, m) -> None:
    X, D = signals(10, n=600, K=K, m=m, kind=kind)  # three tiles
    if options.get("n_nonzero_coefs", 0) > K:
        options = {**options, "n_nonzero_coefs": K}
    codes = sparse_encode(X, D, n_threads=1, **options)
    for n_threads in (2, 3):
        other = sparse_encode(X, D, n_threads=n_threads, **options)
        assert other.data.tobytes() == codes.data.tobytes()
        assert other.indices.tobytes() == codes.indices.tobytes()
    for i in (0, 1, 7, 255, 256, 511, 512, 599):
        alone = sparse_encode(X[i : i + 1], D, **options)
        assert alone.toarray().tobytes() == codes[i : i + 1].toarray().tobytes()
    odd = sparse_encode(X[3:550:2], D, **options)
    assert odd.toarray().tobytes() == codes[3:550:2].toarray().tobytes()


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@every_algorithm
def test_a_signal_of_another_scale_in_the_batch_changes_nothing(options) -> None:
    X, D = signals(11, kind="f")
    codes = sparse_encode(X, D, **options).toarray()
    X = np.vstack([X, np.float32(1e30) * X[:1], np.float32(1e-30) * X[:1]])
    together = sparse_encode(X, D, **options).toarray()
    assert together[:-2].tobytes() == codes.tobytes()
    if options == ALGORITHMS[0]:
        np.testing.assert_allclose(together[-2:], codes[:1] * [[1e30], [1e-30]], rtol=1e-3)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda u: np.repeat(np.repeat(u, 2, axis=0), 3, axis=1)[::2, 1::3],
    "reversed": lambda u: np.ascontiguousarray(u[::-1, ::-1])[::-1, ::-1],
    "unaligned": lambda u: np.frombuffer(b"x" + u.tobytes(), u.dtype, offset=1).reshape(u.shape),
}


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    n=st.integers(1, 9),
    K=st.integers(1, 12),
    m=st.integers(1, 9),
    kinds=st.tuples(st.sampled_from("efdi"), st.sampled_from("efdi")),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    options=st.sampled_from(ALGORITHMS),
    read_only=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_layout_in_memory_changes_no_bit(
    n, K, m, kinds, layouts, options, read_only, seed
) -> None:
    X, D = signals(seed, n=n, K=K, m=m)
    X, D = (3 * X).astype(kinds[0]), (3 * D).astype(kinds[1])
    options = dict(options)
    if "n_nonzero_coefs" in options:
        options["n_nonzero_coefs"] = min(4, K)
    codes = sparse_encode(X.copy(), D.copy(), n_threads=1, **options)
    X, D = (LAYOUTS[layout](u) for layout, u in zip(layouts, (X, D), strict=True))
    if read_only:
        X.flags.writeable = D.flags.writeable = False
    other = sparse_encode(X, D, n_threads=2, **options)
    assert other.dtype == codes.dtype == np.result_type(*(np.float32 if u.dtype.itemsize == 2
        else u.dtype if u.dtype.kind == "f" else np.float64 for u in (X, D)))  # fmt: skip
    assert other.toarray().tobytes() == codes.toarray().tobytes()
    last = sparse_encode(X[-1:], D, **options)
    assert last.toarray().tobytes() == codes[[n - 1]].toarray().tobytes()
