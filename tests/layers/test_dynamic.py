"""Dynamic quantization: each row on its own grid, as ONNX and torch round."""

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import quantize_dynamic

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 40)) * np.logspace(-4, 4, 30)[:, None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(2, 17))
def test_no_entry_is_off_by_more_than_half_a_spacing(X, bits, symmetric, dtype):
    X = X.astype(dtype)
    X[:, 3] = 0
    q = quantize_dynamic(X, bits=bits, symmetric=symmetric)
    miss = np.abs(q.dequantize().astype(np.float64) - X)
    largest = np.abs(X).max(axis=1).astype(np.float64)
    assert np.all(miss.max(axis=1) <= 0.5 * q.scales + 8 * EPS[dtype] * largest)
    assert np.all(q.dequantize()[:, 3] == 0)
    levels = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    assert q.codes.min() >= (-levels if symmetric else 0)
    assert q.codes.max() <= levels
    # The range is used up: by the largest entry, or by both ends.
    if symmetric:
        assert np.all(np.abs(q.codes.astype(int)).max(axis=1) == levels)
    else:
        spread = q.codes.max(axis=1).astype(int) - q.codes.min(axis=1)
        assert np.all(spread >= levels - 1)


def test_it_is_onnx_dynamic_quantize_linear_for_each_row(X):
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    outputs = ["y", "scale", "zero"]
    node = onnx.helper.make_node("DynamicQuantizeLinear", ["x"], outputs)
    run = reference.ReferenceEvaluator(node).run
    X = np.vstack([X, np.abs(X[:3]), -np.abs(X[:3])]).astype(np.float32)
    q = quantize_dynamic(X, symmetric=False)
    for row, codes, scale, zero in zip(X, q.codes, q.scales, q.zeros, strict=True):
        expected = run(None, {"x": row})
        np.testing.assert_allclose(scale, expected[1], rtol=1e-6)
        assert zero == expected[2]
        # Where the quotient is half an integer but for rounding, either is the nearest.
        differ = codes != expected[0]
        at = row[differ] / expected[1] % 1
        assert np.all(np.abs(at - 0.5) < 1e-4)


def test_it_is_torch_fake_quantize_for_each_row(X):
    torch = pytest.importorskip("torch")
    X = X.astype(np.float32)
    q = quantize_dynamic(X, bits=6)
    zeros = torch.zeros(len(X), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(X), torch.from_numpy(q.scales), zeros, 0, -31, 31
    )
    np.testing.assert_allclose(q.dequantize(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("power", [-1000, -400, 400, 1000])
def test_scale_does_not_matter(X, power, symmetric):
    plain = quantize_dynamic(X, symmetric=symmetric)
    scaled = quantize_dynamic(np.ldexp(X, power), symmetric=symmetric)
    assert scaled.codes.tobytes() == plain.codes.tobytes()
    np.testing.assert_array_equal(np.ldexp(scaled.scales, -power), plain.scales)


@pytest.mark.parametrize("symmetric", [True, False])
def test_rows_of_one_value(symmetric):
    X = np.array([[0.0, 0.0], [3.0, 3.0], [-3.0, -3.0], [1e308, -1e308], [5e-324, 0.0]])
    found = quantize_dynamic(X, symmetric=symmetric).dequantize()
    np.testing.assert_allclose(found[:4], X[:4], rtol=0.005)
    assert np.abs(found[4]).max() <= 2e-322


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_short_floats_are_computed_in_float32_and_come_back(X, dtype):
    short = X[12:20].astype(dtype)
    q = quantize_dynamic(short, bits=5)
    assert q.dequantize().dtype == dtype
    full = quantize_dynamic(short.astype(np.float32), bits=5)
    assert q.codes.tobytes() == full.codes.tobytes()


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        ([[1.0]], {"bits": 1}, "bits has to be between 2 and 16"),
        ([[1.0]], {"bits": 17}, "bits has to be between 2 and 16"),
        ([[np.nan]], {}, "NaN"),
        ([1.0], {}, "X has to be 2-D"),
    ],
)
def test_what_is_wrong_is_said(X, options, message):
    with pytest.raises(ValueError, match=message):
        quantize_dynamic(X, **options)
