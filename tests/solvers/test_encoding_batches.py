"""Missing entries, mapped files, and certificates that trust no solver."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from sparsecode.objectives import duality_gap
from sparsecode.penalties import L1
from sparsecode.solvers import sparse_encode
from sparsecode.solvers.certificates import code_certificates

ALGORITHMS = [
    {"algorithm": "omp", "n_nonzero_coefs": 3},
    {"algorithm": "omp"},
    {"algorithm": "ols", "residual_tol": 0.7},
    {"algorithm": "iht", "n_nonzero_coefs": 2, "tol": 1e-2},
    {"algorithm": "gradient_pursuit", "n_nonzero_coefs": 2},
    {"algorithm": "lasso", "alpha": 0.4, "tol": 1e-4},
    {"algorithm": "lars", "alpha": 0.4, "positive": True},
    {"algorithm": "threshold", "alpha": 0.3},
]
every_algorithm = pytest.mark.parametrize(
    "options", ALGORITHMS, ids=lambda o: "-".join(map(str, o.values()))
)


def signals(seed=0, *, n=40, K=30, m=12, kind="d"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, m)).astype(kind), rng.standard_normal((K, m)).astype(kind)


def holes(X, seed=0, patterns=5):
    """Some rows complete, one empty, the others with one of a few patterns, or one of their own."""
    rng, X = np.random.default_rng(seed), X.copy()
    masks = rng.random((patterns, X.shape[1])) < 0.3
    for i in range(0, len(X), 2):
        X[i, masks[rng.integers(patterns)] if i % 4 else rng.random(X.shape[1]) < 0.2] = np.nan
    X[6] = np.nan
    return X


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@every_algorithm
@pytest.mark.parametrize("kind", ["f", "d"])
def test_a_signal_is_coded_on_its_observed_entries(options, kind) -> None:
    X, D = signals(kind=kind)
    full, X = X, holes(X)
    codes = sparse_encode(X, D, missing_values=np.nan, **options)
    assert isinstance(codes, sp.csr_array)
    assert codes.has_canonical_format
    rows = codes.toarray()
    complete = sparse_encode(full, D, **options).toarray()
    for x, row, whole in zip(X, rows, complete, strict=True):
        seen = ~np.isnan(x)
        if not seen.any():
            assert not row.any()
            continue
        alone = sparse_encode(x[seen][None], D[:, seen], **options).toarray()[0]
        if seen.all() or options["algorithm"] not in ("omp", "ols"):
            assert row.tobytes() == alone.tobytes()
        else:  # the products of a pursuit run over all features, with zeros for what is missing
            np.testing.assert_array_equal(row != 0, alone != 0)
            np.testing.assert_allclose(row, alone, rtol=2e3 * np.finfo(kind).eps, atol=0)
        if seen.all():
            assert row.tobytes() == whole.tobytes()


@pytest.mark.filterwarnings("ignore:.*did not (reach|converge)")
@every_algorithm
def test_threads_and_batches_change_no_bit_of_incomplete_signals(options) -> None:
    X, D = signals(1, n=1200)
    X = holes(X, patterns=2)
    X[::4] = X[2] * np.arange(1, 301)[:, None]  # more than a tile with one pattern
    one, two = (
        sparse_encode(X, D, missing_values=np.nan, n_threads=n, sparse_output=False, **options)
        for n in (1, 2)
    )
    assert one.tobytes() == two.tobytes()
    part = sparse_encode(X[300:700], D, missing_values=np.nan, sparse_output=False, **options)
    assert part.tobytes() == one[300:700].tobytes()


@every_algorithm
def test_without_missing_entries_the_option_changes_nothing(options) -> None:
    X, D = signals(2, n=600)
    plain = sparse_encode(X, D, **options)
    other = sparse_encode(X, D, missing_values=np.nan, **options)
    assert plain.data.tobytes() == other.data.tobytes()
    assert plain.indices.tobytes() == other.indices.tobytes()


def test_infinity_is_never_missing() -> None:
    X, D = signals(3)
    X[-1, 0] = np.inf
    with pytest.raises(ValueError, match="X contains infinity"):
        sparse_encode(X, D, missing_values=np.nan)
    with pytest.raises(ValueError, match="X contains infinity"):
        code_certificates(X, D, np.zeros((40, 30)), missing_values=np.nan)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-120])
def test_a_certificate_is_the_gap_of_the_objective(positive, scale) -> None:
    X, D = signals(4)
    codes = np.random.default_rng(4).standard_normal((40, 30))
    codes = np.abs(codes) if positive else codes
    residual = (X - codes @ D).T
    gaps = duality_gap(residual, D @ residual, codes.T, 0.7, L1(positive=positive))
    expected = gaps / (0.5 * np.sum(X**2, axis=1))
    for given in (codes, sp.csr_array(codes), sp.csc_array(codes)):
        certificates = code_certificates(
            X * scale, D, given * scale, alpha=0.7 * scale, positive=positive
        )
        np.testing.assert_allclose(certificates, expected, rtol=1e-12)


def test_a_certificate_without_alpha_is_the_relative_residual() -> None:
    X, D = signals(5, n=600)
    codes = sparse_encode(X, D, n_nonzero_coefs=3)
    expected = np.linalg.norm(X - codes @ D, axis=1) / np.linalg.norm(X, axis=1)
    found = code_certificates(X, D, codes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert code_certificates(X, D, codes, n_threads=3).tobytes() == found.tobytes()
    assert code_certificates(X[7:8], D, codes[[7]])[0] == found[7]


def test_certificates_of_incomplete_signals_are_those_of_the_observed_parts() -> None:
    X, D = signals(6)
    X = holes(X)
    for alpha in (None, 0.4):
        options = {"n_nonzero_coefs": 3} if alpha is None else {"algorithm": "lars", "alpha": alpha}
        codes = sparse_encode(X, D, missing_values=np.nan, **options)
        found = code_certificates(X, D, codes, alpha=alpha, missing_values=np.nan)
        for i in (0, 1, 2, 8, 9):
            seen = ~np.isnan(X[i])
            alone = code_certificates(X[i : i + 1, seen], D[:, seen], codes[[i]], alpha=alpha)
            np.testing.assert_allclose(found[i], alone[0], rtol=1e-9, atol=1e-14)
        assert found[6] == 0
    assert found.max() <= 1e-12


def test_certificates_at_the_edges() -> None:
    D = np.eye(2)
    X, codes = np.array([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), np.array([[0, 0], [1, 0], [-1, 0]])
    np.testing.assert_array_equal(code_certificates(X, D, codes), [0, np.inf, 1.5])
    gaps = code_certificates(X, D, codes, alpha=1.0, positive=True)
    np.testing.assert_array_equal(gaps, [0, np.inf, np.inf])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": np.zeros((40, 29))}, r"codes has shape \(40, 29\).*\(40, 30\)"),
        ({"codes": sp.csr_array((39, 30))}, r"codes has shape \(39, 30\).*\(40, 30\)"),
        ({"codes": np.full((40, 30), np.nan)}, "codes contains NaN"),
        ({"positive": True}, "positive is not used without alpha"),
        ({"alpha": 0.0}, "alpha has to be"),
        ({"missing_values": 1.0}, "missing_values has to be np.nan or None, got 1.0"),
    ],
    ids=str,
)
def test_bad_arguments_of_certificates(options, message) -> None:
    X, D = signals()
    options = {"codes": np.zeros((40, 30)), **options}
    with pytest.raises(ValueError, match=message):
        code_certificates(X, D, options.pop("codes"), **options)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_is_read_and_left_as_it_was(tmp_path, mode, order) -> None:
    X, D = signals(7, n=3000, m=16)
    path = tmp_path / "X"
    X.ravel(order).tofile(path)
    mapped = np.memmap(path, dtype="d", mode=mode, shape=X.shape, order=order)
    if mode != "r":  # what has been written to the map but not to the file must survive
        mapped[5] *= 2
        X[5] *= 2
    expected = sparse_encode(X, D, n_nonzero_coefs=3)
    for view, rows in ((mapped, slice(None)), (mapped[7:2000], slice(7, 2000))):
        codes = sparse_encode(view, D, n_nonzero_coefs=3)
        assert codes.data.tobytes() == expected[rows].data.tobytes()
    np.testing.assert_array_equal(mapped, X)


def test_a_mapped_file_of_integers_is_read_in_tiles(tmp_path) -> None:
    X, D = signals(8, n=600)
    X = (10 * X).astype(np.int16)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    codes = sparse_encode(mapped, D, n_nonzero_coefs=3)
    assert codes.data.tobytes() == sparse_encode(X.astype("d"), D, n_nonzero_coefs=3).data.tobytes()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted otherwise")
def test_a_million_patches_take_less_than_600_mb(tmp_path) -> None:
    path, rng = tmp_path / "patches", np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(20):
            rng.standard_normal((50_000, 64)).tofile(file)
    code = f"""
import numpy as np
from sparsecode.solvers import sparse_encode
X = np.memmap({str(path)!r}, dtype=np.float64, mode="r", shape=(1_000_000, 64))
D = np.random.default_rng(1).standard_normal((256, 64))
codes = sparse_encode(X, D, n_nonzero_coefs=8)
assert codes.nnz == 8_000_000, codes.nnz
with open("/proc/self/status") as status:  # ru_maxrss would count what the parent had
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 600


def test_certificates_keep_their_scale() -> None:
    rng = np.random.default_rng(0)
    X, D, codes = rng.standard_normal((3, 4)), np.eye(4), rng.standard_normal((3, 4))
    expected = np.linalg.norm(codes, axis=1) / np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(code_certificates(X * 1e-200, D, codes) * 1e-200, expected)
    assert np.all(code_certificates(X * 1e-310, D, codes) == np.inf)
    weighted = code_certificates(X, D, codes, alpha=1e300)
    l1, zero = np.abs(codes).sum(axis=1), 0.5 * np.sum(X**2, axis=1)
    np.testing.assert_allclose(weighted, 1e300 * (l1 / zero))
