"""Sums and chains: the laws of a factorization, of several in one."""

import json

import numpy as np
import pytest

from sparsecode.layers import (
    Bits,
    Chain,
    CompressedNetwork,
    Network,
    Sum,
    factorize,
    read_compressed,
    unpack,
)

FAMILIES = ["dense", "low_rank", "sparse", "uniform", "codebook", "dictionary"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def form(rng, family, shape, dtype=np.float32):
    options = {"value_bits": 6} if family in ("low_rank", "sparse") else {}
    return factorize(rng.standard_normal(shape).astype(dtype), family, budget=1, **options)


def a_sum(rng, dtype=np.float32):
    return Sum([form(rng, family, (12, 20), dtype) for family in FAMILIES])


def a_chain(rng, dtype=np.float32):
    shapes = [(12, 20), (20, 9), (9, 16), (16, 16), (16, 24), (24, 30)]
    forms = zip(FAMILIES, shapes, strict=True)
    return Chain(tuple(form(rng, family, shape, dtype) for family, shape in forms))


def nested(rng, dtype=np.float32):
    return Sum(
        [Chain([a_sum(rng, dtype), form(rng, "uniform", (20, 30), dtype)]), a_chain(rng, dtype)]
    )


COMPOSITES = pytest.mark.parametrize("make", [a_sum, a_chain, nested])


@COMPOSITES
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_laws(rng, make, dtype):
    f = make(rng, dtype)
    dense = f.to_dense()
    assert (dense.shape, dense.dtype) == (f.shape, f.dtype) == (f.shape, np.dtype(dtype))
    X = rng.standard_normal((5, f.shape[1]))
    eps = 1e-2 if dtype == np.float16 else 1e-4 if dtype == np.float32 else 1e-11
    scale = np.abs(dense.astype(np.float64)).max() * np.abs(X).sum(axis=1, keepdims=True)
    assert np.all(np.abs(f.apply(X) - X @ dense.T.astype(np.float64)) <= eps * scale)
    arrays, meta = f.pack()
    assert 8 * sum(array.nbytes for array in arrays.values()) == f.bits().total
    again = unpack(arrays, json.loads(json.dumps(meta)))
    assert again == f
    assert again.to_dense().tobytes() == dense.tobytes()


def test_a_sum_adds_and_a_chain_multiplies(rng):
    forms = [form(rng, "uniform", (8, 8), np.float64) for _ in range(3)]
    A, B, C = (f.to_dense() for f in forms)
    np.testing.assert_allclose(Sum(forms).to_dense(), A + B + C, atol=1e-12)
    np.testing.assert_allclose(Chain(forms).to_dense(), A @ B @ C, atol=1e-12)
    assert Sum(forms).bits() == sum((f.bits() for f in forms), Bits())
    assert repr(Sum(forms[:1])).startswith("Sum(8x8 float64, uniform (")


def test_they_are_written_and_read(rng, tmp_path):
    net = CompressedNetwork({"w": nested(rng)}, Network({}), ("w",), 1000)
    net.write(tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size == net.predicted_bytes()
    assert read_compressed(tmp_path / "net.safetensors").factorizations == net.factorizations


@pytest.mark.parametrize("kind", [Sum, Chain])
def test_parts_that_do_not_fit_are_refused(rng, kind):
    one = form(rng, "dense", (4, 6))
    for parts in (
        [],
        [one, form(rng, "dense", (4, 7))],
        [one, form(rng, "dense", (4, 6) if kind is Sum else (6, 4), np.float64)],
    ):
        with pytest.raises(ValueError, match=r"do not fit|at least one part"):
            kind(parts)


@COMPOSITES
def test_hostile_descriptions_are_refused(rng, make):
    arrays, meta = make(rng).pack()
    for parts in (
        None,
        [],
        {},
        "parts",
        [3],
        meta["parts"][:-1],
        [*meta["parts"], meta["parts"][0]],
    ):
        with pytest.raises(ValueError, match=r"describes its parts|does not use|has no array|fit"):
            unpack(arrays, meta | {"parts": parts})
    with pytest.raises(ValueError, match="does not use"):
        unpack(arrays | {"99.weight": np.ones(3)}, meta)
    with pytest.raises(ValueError, match="kind has to be one of"):
        unpack(arrays, meta | {"parts": [{"kind": "no"}] * len(meta["parts"])})


def test_forms_inside_one_another_have_an_end(rng):
    f = form(rng, "dense", (3, 3))
    for _ in range(4):
        f = Sum([f])
    assert unpack(*f.pack()) == f
    with pytest.raises(ValueError, match="inside"):
        Sum([f])
    arrays, meta = f.pack()
    for _ in range(5000):
        meta = {"kind": "sum", "parts": [meta]}
    with pytest.raises(ValueError, match="inside one another"):
        unpack({f"0.{name}": array for name, array in arrays.items()}, meta)


def test_a_part_cannot_ask_for_any_memory():
    nothing = {"values": np.empty(0, "f4"), "indices": np.empty(0, "u4")}
    nothing["pointers"] = np.zeros(11, "u4")
    huge = {"kind": "sparse", "shape": [10, 10**12]}
    arrays = {f"0.{name}": array for name, array in nothing.items()}
    with pytest.raises(ValueError, match="over the limit"):
        unpack(arrays, {"kind": "chain", "parts": [huge]})
