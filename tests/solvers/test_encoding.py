"""Codes of many signals against plain NumPy, cvxpy and fista; their bits against the batch."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from sparsecode.objectives import duality_gap
from sparsecode.penalties import L1
from sparsecode.solvers import fista, omp, reference, sparse_encode


def least_squares_on(D, x, support):
    c = np.linalg.lstsq(D[support].T, x, rcond=None)[0]
    return c, float(np.linalg.norm(x - c @ D[support]))


def plain_pursuit(D, x, k, *, ols):
    """Straight from the definitions: OLS tries every atom, OMP the most correlated one."""
    support, r, c = [], x, np.zeros(0)
    for _ in range(k):
        left = [j for j in range(len(D)) if j not in support and np.any(D[j])]
        if ols:
            best = min(left, key=lambda j: least_squares_on(D, x, support + [j])[1])
        else:
            best = max(left, key=lambda j: abs(D[j] @ r) / np.linalg.norm(D[j]))
        support.append(best)
        c, _ = least_squares_on(D, x, support)
        r = x - c @ D[support]
    code = np.zeros(len(D))
    code[support] = c
    return code


def signals(seed=0, *, n=40, K=30, m=12, kind="d", unit=True):
    rng = np.random.default_rng(seed)
    X, D = rng.standard_normal((n, m)), rng.standard_normal((K, m))
    D = D / np.linalg.norm(D, axis=1, keepdims=True) * (1 if unit else rng.uniform(0.1, 9, (K, 1)))
    return X.astype(kind), D.astype(kind)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("algorithm", ["omp", "ols"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_pursuits_are_their_definitions(algorithm, k, unit) -> None:
    X, D = signals(unit=unit)
    codes = sparse_encode(X, D, algorithm=algorithm, n_nonzero_coefs=k).toarray()
    expected = [plain_pursuit(D, x, k, ols=algorithm == "ols") for x in X]
    np.testing.assert_allclose(codes, expected, atol=1e-9)


@pytest.mark.parametrize("algorithm", ["omp", "ols"])
def test_in_single_precision_they_find_the_same_atoms(algorithm) -> None:
    X, D = signals(kind="f")
    codes = sparse_encode(X, D, algorithm=algorithm, n_nonzero_coefs=4)
    assert codes.dtype == np.float32
    double = sparse_encode(X.astype("d"), D.astype("d"), algorithm=algorithm, n_nonzero_coefs=4)
    np.testing.assert_array_equal(codes.indices, double.indices)
    np.testing.assert_allclose(codes.data, double.data, atol=1e-4)


def test_ols_explains_at_least_as_much_as_omp_with_the_second_atom() -> None:
    X, D = signals(1, n=200)
    for k in (1, 2):
        errors = [
            np.linalg.norm(X - sparse_encode(X, D, algorithm=a, n_nonzero_coefs=k) @ D, axis=1)
            for a in ("omp", "ols")
        ]
        assert errors[1].sum() <= errors[0].sum() + 1e-9


def test_omp_here_is_omp_there() -> None:
    X, D = signals(2, unit=False)
    codes = sparse_encode(X, D, n_nonzero_coefs=5).toarray()
    np.testing.assert_allclose(codes.T, omp(D.T, X.T, n_nonzero_coefs=5).x, atol=1e-9)


@pytest.mark.parametrize("algorithm", ["omp", "ols"])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_residual_target_is_reached_and_not_squared(algorithm, kind) -> None:
    X, D = signals(3, kind=kind)
    for tol in (3.0, 1.0, 0.3, 1e-3):
        codes = sparse_encode(X, D, algorithm=algorithm, residual_tol=tol)
        errors = np.linalg.norm(X - codes @ D, axis=1)
        assert np.all(errors <= tol * (1 + 1e-4))
        counts = np.diff(codes.indptr)
        # One atom less would not have been enough.
        for i in np.flatnonzero(counts)[:10]:
            fewer = plain_pursuit(
                D.astype("d"), X[i].astype("d"), counts[i] - 1, ols=algorithm == "ols"
            )
            assert np.linalg.norm(X[i] - fewer @ D) > tol * (1 - 1e-4)


def test_both_limits_hold() -> None:
    X, D = signals(4)
    counts = np.diff(sparse_encode(X, D, n_nonzero_coefs=3, residual_tol=1.0).indptr)
    alone = np.diff(sparse_encode(X, D, residual_tol=1.0).indptr)
    np.testing.assert_array_equal(counts, np.minimum(alone, 3))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 0.5, 2.0])
def test_the_lasso_against_cvxpy_and_fista(alpha, positive) -> None:
    X, D = signals(5, n=6)
    codes = sparse_encode(
        X, D, algorithm="lasso", alpha=alpha, positive=positive, tol=1e-9, max_iter=10**6
    )
    penalty = L1(positive=positive)
    best = reference.lasso(D.T, X.T, alpha, penalty=penalty).x.T
    np.testing.assert_allclose(codes.toarray(), best, atol=1e-4)
    ours = fista(D.T, X.T, alpha, penalty=penalty, tol=1e-10, max_iter=10**6).x.T
    np.testing.assert_allclose(codes.toarray(), ours, atol=1e-4)
    assert np.all(codes.data > 0) or not positive


@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_lassos_certificate_holds_in_exact_terms(kind) -> None:
    """The gap that the kernel believes, against the gap of its codes in double precision."""
    X, D = signals(6, n=300, kind=kind)
    tol = 1e-4 if kind == "f" else 1e-7
    C = sparse_encode(X, D, algorithm="lasso", alpha=1.0, tol=tol).toarray().astype("d")
    X, D = X.astype("d"), D.astype("d")
    residual = X.T - D.T @ C.T
    gaps = duality_gap(residual, D @ residual, C.T, 1.0) / (0.5 * np.sum(X**2, axis=1))
    assert np.max(gaps) <= tol * 1.01 + (1e-6 if kind == "f" else 0)


def test_the_lasso_on_coherent_atoms_in_single_precision_does_not_drift() -> None:
    rng = np.random.default_rng(7)
    D = (rng.standard_normal((40, 16)) + 3 * rng.standard_normal(16)).astype("f")
    X = rng.standard_normal((50, 16)).astype("f")
    C = sparse_encode(X, D, algorithm="lasso", alpha=3.0, tol=1e-4, max_iter=100_000)
    C, D, X = C.toarray().astype("d"), D.astype("d"), X.astype("d")
    residual = X.T - D.T @ C.T
    gaps = duality_gap(residual, D @ residual, C.T, 3.0) / (0.5 * np.sum(X**2, axis=1))
    assert np.max(gaps) <= 1.1e-4


def test_the_lasso_that_does_not_converge_warns_here() -> None:
    X, D = signals(8)
    with pytest.warns(ConvergenceWarning, match=r"lasso did not converge.* max_iter=1 ") as caught:
        codes = sparse_encode(X, D, algorithm="lasso", alpha=0.01, tol=1e-12, max_iter=1)
    assert caught[0].filename == __file__
    assert codes.shape == (40, 30)


@pytest.mark.parametrize("positive", [False, True])
def test_threshold_is_the_formula_and_the_lasso_of_an_orthonormal_dictionary(positive) -> None:
    X, _ = signals(9)
    Q = np.linalg.qr(np.random.default_rng(9).standard_normal((12, 12)))[0]
    codes = sparse_encode(
        X, Q, algorithm="threshold", alpha=0.5, positive=positive, sparse_output=False
    )
    correlation = X @ Q.T
    size = np.maximum(correlation if positive else np.abs(correlation), 0)
    np.testing.assert_allclose(codes, np.sign(correlation) * np.maximum(size - 0.5, 0), atol=1e-14)
    lasso = sparse_encode(X, Q, algorithm="lasso", alpha=0.5, positive=positive, tol=1e-12)
    np.testing.assert_allclose(codes, lasso.toarray(), atol=1e-9)


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
]
every_algorithm = pytest.mark.parametrize(
    "options", ALGORITHMS, ids=lambda o: "-".join(map(str, o.values()))
)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1e-150, 1e-100), (1e150, 1e-100), (1e150, 1e100), (1e-9, 1e-9), (1e9, 1e100), (1.0, 1e-200)],
)
@every_algorithm
def test_scaling_the_data_scales_the_codes(options, a, b) -> None:
    X, D = signals(12, unit=False)
    expected = sparse_encode(X, D, **options).toarray()
    options = dict(options)
    power = 1 / a
    if "residual_tol" in options:
        options["residual_tol"] *= b
    if "alpha" in options:
        options["alpha"] *= a * b
        power = a if options["algorithm"] == "threshold" else power
    codes = sparse_encode(X * b, D * a, **options).toarray()
    np.testing.assert_allclose(codes / b / power, expected, rtol=1e-3, atol=1e-7)


def test_atoms_of_wildly_different_scale() -> None:
    X, D = signals(13, kind="f")
    sizes = np.float32(10.0) ** np.linspace(-30, 20, len(D), dtype=np.float32)[:, None]
    for algorithm in ("omp", "ols"):
        plain = sparse_encode(X, D, algorithm=algorithm, n_nonzero_coefs=3).toarray()
        codes = sparse_encode(X, D * sizes, algorithm=algorithm, n_nonzero_coefs=3).toarray()
        np.testing.assert_array_equal(codes != 0, plain != 0)
        np.testing.assert_allclose(codes.astype("d") * sizes.T.astype("d"), plain, rtol=1e-3)


@pytest.mark.parametrize("kind", ["f", "d"])
@every_algorithm
def test_zero_and_duplicate_atoms_and_zero_signals(options, kind) -> None:
    X, D = signals(14, kind=kind)
    X[[0, 5]] = 0
    full = np.vstack([np.zeros((1, 12)), D, D[3], -2 * D[4], np.zeros((1, 12))]).astype(kind)
    codes = sparse_encode(X, full, **options)
    assert not codes[[0], :].count_nonzero()
    assert not codes[[5], :].count_nonzero()
    assert not codes[:, [0]].count_nonzero()
    assert not codes[:, [-1]].count_nonzero()
    assert np.all(np.isfinite(codes.data))
    if options["algorithm"] in ("omp", "ols"):
        plain = sparse_encode(X, D, **options)
        np.testing.assert_allclose(codes @ full, plain @ D, atol=1e-3 if kind == "f" else 1e-9)


def test_more_atoms_asked_than_a_signal_can_take() -> None:
    X, D = signals(15, m=4, K=9)
    codes = sparse_encode(X, D, n_nonzero_coefs=9)
    assert np.diff(codes.indptr).max() <= 4
    np.testing.assert_allclose(codes @ D, X, atol=1e-9)
    with pytest.raises(ValueError, match="n_nonzero_coefs has to be between 1 and 9, got 10"):
        sparse_encode(X, D, n_nonzero_coefs=10)


@every_algorithm
def test_the_codes_are_canonical_csr(options) -> None:
    X, D = signals(16, n=300)
    codes = sparse_encode(X, D, **options)
    assert isinstance(codes, sp.csr_array)
    assert codes.shape == (300, 30)
    assert codes.indices.dtype == codes.indptr.dtype == np.int32
    assert codes.has_canonical_format
    for i in range(300):
        assert np.all(np.diff(codes.indices[codes.indptr[i] : codes.indptr[i + 1]]) > 0)
    dense = sparse_encode(X, D, sparse_output=False, **options)
    assert isinstance(dense, np.ndarray)
    np.testing.assert_array_equal(dense, codes.toarray())


def test_the_defaults() -> None:
    X, D = signals(17, m=40, K=50)
    assert np.all(np.diff(sparse_encode(X, D).indptr) == 4)  # a tenth of the features
    assert np.all(np.diff(sparse_encode(X[:, :5], D[:, :5]).indptr) == 1)


def test_memory_order_and_dtype_of_the_input(tmp_path) -> None:
    X, D = signals(18)
    expected = sparse_encode(X, D, n_nonzero_coefs=3).toarray()
    mapped = np.memmap(tmp_path / "X", dtype="d", mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flags.writeable = False
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    for other in (np.asfortranarray(X), X.tolist(), mapped, wide, X[::-1][::-1]):
        codes = sparse_encode(other, np.asfortranarray(D), n_nonzero_coefs=3)
        assert codes.toarray().tobytes() == expected.tobytes()
    whole = np.arange(12).reshape(3, 4)
    assert sparse_encode(whole, np.eye(4), n_nonzero_coefs=4).dtype == np.float64
    assert sparse_encode(X.astype("f"), D).dtype == np.float64
    assert sparse_encode(X.astype(np.float16), D.astype(np.float16)).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"algorithm": "lasso_cd"}, ValueError, "algorithm has to be one of .*, got 'lasso_cd'"),
        ({"algorithm": "lars"}, ValueError, "algorithm='lars' needs to know where the path ends"),
        ({"algorithm": "lars", "alpha": 1.0, "tol": 1.0}, ValueError, "tol is not used by lars"),
        ({"algorithm": "iht"}, ValueError, "algorithm='iht' needs n_nonzero_coefs"),
        ({"algorithm": "iht", "n_nonzero_coefs": 2, "alpha": 1.0}, ValueError, "alpha is not used"),
        ({"alpha": 1.0}, ValueError, "alpha is not used by omp"),
        ({"algorithm": "ols", "tol": 1.0}, ValueError, "tol is not used by ols"),
        ({"algorithm": "ols", "positive": True}, ValueError, "positive is not used by ols"),
        ({"max_iter": 5}, ValueError, "max_iter is not used by omp"),
        ({"algorithm": "lasso"}, ValueError, "algorithm='lasso' needs alpha"),
        ({"algorithm": "lasso", "alpha": 0.0}, ValueError, "alpha"),
        ({"algorithm": "lasso", "alpha": 1.0, "n_nonzero_coefs": 2}, ValueError, "n_nonzero"),
        ({"algorithm": "lasso", "alpha": 1.0, "residual_tol": 2}, ValueError, "residual"),
        ({"algorithm": "threshold", "alpha": 1.0, "tol": 2}, ValueError, "tol is not used"),
        ({"positive": 0}, TypeError, "positive has to be True or False, got 0"),
        ({"sparse_output": None}, TypeError, "sparse_output has to be True or False, got None"),
        ({"n_nonzero_coefs": 0}, ValueError, "n_nonzero_coefs"),
        ({"residual_tol": -1}, ValueError, "residual_tol"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"X": np.ones((2, 3))}, ValueError, "X has 3 features but dictionary has 12"),
        ({"X": np.full((2, 12), np.nan)}, ValueError, "X contains NaN.* missing_values=np.nan"),
        ({"X": np.full((600, 12), -np.inf)}, ValueError, "X contains infinity"),
        ({"missing_values": 0}, ValueError, "missing_values has to be np.nan or None, got 0"),
        ({"D": np.full((2, 12), np.inf)}, ValueError, "dictionary contains infinity"),
        ({"X": np.ones(12)}, ValueError, "X has to be 2-D"),
        ({"X": np.ones((2, 12)) * 1j}, ValueError, "X is complex"),
        ({"X": np.ones((0, 12))}, ValueError, "X is empty"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(options, error, message) -> None:
    X, D = signals()
    options = {"X": X, "D": D, **options}
    with pytest.raises(error, match=message):
        sparse_encode(options.pop("X"), options.pop("D"), **options)


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    n=st.integers(1, 6),
    K=st.integers(1, 10),
    m=st.integers(1, 7),
    kind=st.sampled_from("fd"),
    order=st.sampled_from("CF"),
    options=st.sampled_from(ALGORITHMS),
    seed=st.integers(0, 2**31),
)
def test_any_shape_dtype_and_order(n, K, m, kind, order, options, seed) -> None:
    X, D = signals(seed, n=n, K=K, m=m, kind=kind)
    options = dict(options)
    if "n_nonzero_coefs" in options:
        options["n_nonzero_coefs"] = min(4, K)
    if options["algorithm"] == "lasso":
        options["max_iter"] = 10**6
    codes = sparse_encode(np.array(X, order=order), np.array(D, order=order), **options)
    assert codes.shape == (n, K)
    assert codes.dtype == kind
    if options["algorithm"] == "threshold":
        return
    error, size = np.linalg.norm(X - codes @ D, axis=1), np.linalg.norm(X, axis=1)
    assert np.all(error <= size * (1 + 1e-4))
    if options["algorithm"] in ("omp", "ols"):
        residual = X - codes @ D
        used = codes.toarray() != 0
        assert np.max(np.abs((residual @ D.T)[used]), initial=0) <= (2e-2 if kind == "f" else 1e-6)


@pytest.mark.parametrize("algorithm", ["omp", "ols"])
def test_a_residual_out_of_reach_is_said(algorithm) -> None:
    """Unless a count limits the atoms: then fewer of them are what was asked for."""
    X, D = np.array([[1.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])
    with pytest.warns(ConvergenceWarning, match="1e\\+03 times as large when no atom"):
        sparse_encode(X, D, algorithm=algorithm, residual_tol=1e-3)
    sparse_encode(X, D, algorithm=algorithm, residual_tol=1e-3, n_nonzero_coefs=1)
    sparse_encode(X[1:], D, algorithm=algorithm, residual_tol=1e-3)


def test_float32_takes_atoms_that_nearly_agree() -> None:
    """Half a percent apart: what the second adds is far above the rounding errors."""
    angle = 0.005
    D = np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]], dtype=np.float32)
    x = 100 * (D[:1] - D[1:])
    codes = sparse_encode(x, D, n_nonzero_coefs=2)
    assert np.linalg.norm(x - codes @ D) < 1e-2 * np.linalg.norm(x)


@every_algorithm
def test_float32_signals_have_codes(options) -> None:
    """Where a known peer answers in single precision with zeros alone."""
    X, D = signals(19, kind="f")
    assert sparse_encode(X, D, **options).nnz > 0


@every_algorithm
def test_zero_signals_raise_no_warning(options, recwarn) -> None:
    assert sparse_encode(np.zeros((5, 12)), signals()[1], **options).nnz == 0
    assert not recwarn.list


def test_a_smaller_tolerance_is_really_used() -> None:
    X, D = signals(20)
    for options in (
        {"algorithm": "lasso", "alpha": 0.3},
        {"algorithm": "iht", "n_nonzero_coefs": 3},
    ):
        loose, tight = (sparse_encode(X, D, tol=tol, **options).toarray() for tol in (0.1, 1e-8))
        assert np.any(loose != tight)
