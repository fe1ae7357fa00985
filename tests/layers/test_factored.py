"""Layers as products and sums of maps: the same function, and only where it is less work."""

import numpy as np
import pytest

from sparsecode.layers import (
    Chain,
    CompressedNetwork,
    Dense,
    LowRank,
    Sum,
    Tucker,
    factorize,
    read,
)
from sparsecode.layers.factored import KERNEL, POINT, Leaf, Product, Total, expression

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models  # noqa: E402
from onnx import helper  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3, 9, 8)).astype(np.float32)


def rank(shape, r, dtype=np.float32):
    m, n = shape
    return LowRank(
        RNG.standard_normal((m, r)).astype(dtype), RNG.standard_normal((r, n)).astype(dtype)
    )


def forms(shape, kernel):
    """A form of every kind, of small enough parts to be less work."""
    m, n = shape
    W = RNG.standard_normal(shape).astype(np.float32)
    made = {
        "low_rank": rank(shape, 2),
        "low_rank+sparse": factorize(W, "low_rank+sparse", budget=0.9, n_rounds=2),
        "dictionary": factorize(W, "dictionary", budget=0.9, n_rounds=2),
        "sparse": factorize(W, "sparse", budget=0.5),
        "sum": Sum([rank(shape, 1), rank(shape, 2), rank(shape, 1)]),
        "chain": Chain([Dense(W[:, :3].copy()), Dense(W[:3, :3].copy()), rank((3, n), 1)]),
        "sum in a chain": Chain([Sum([rank((m, 3), 1), rank((m, 3), 1)]), rank((3, n), 1)]),
        "chain in a sum": Sum([Chain([rank((m, 3), 1), Dense(W[:3].copy())]), rank(shape, 1)]),
    }
    if kernel:
        shape3 = (n // np.prod(kernel), *kernel)
        for form in ("tucker", "spatial"):
            made[form] = factorize(W, "low_rank", budget=0.4, form=form, kernel_shape=shape3)
        made["tucker in a sum"] = Sum([made["tucker"], rank(shape, 1)])
        made["spatial in a chain"] = Chain(
            [
                Dense(RNG.standard_normal((m, 4)).astype(np.float32)),
                factorize(W[:4], "low_rank", budget=0.8, form="spatial", kernel_shape=shape3),
            ]
        )
    return made


NAMES = list(forms((16, 27), (3, 3)))


def exported(net, name, tmp_path, **options):
    """Every layer in the form of that name, run as dense and through its factors."""
    chosen = {}
    for layer in net.layers:
        chosen[layer.name] = forms(layer.shape, layer.kernel).get(name, rank(layer.shape, 1))
    kept = net.carrying({n: a for n, a in net.items() if n not in chosen})
    small = CompressedNetwork(chosen, kept, tuple(net), 8 * net.n_bytes)
    small.write_onnx(tmp_path / "dense.onnx")
    small.write_onnx(tmp_path / "factored.onnx", **options)
    onnx.checker.check_model(str(tmp_path / "factored.onnx"), full_check=True)
    return small, onnx.load(tmp_path / "factored.onnx")


def assert_same_function(tmp_path, feed):
    dense, factored = (
        models.run(tmp_path / f"{name}.onnx", feed)[0] for name in ("dense", "factored")
    )
    assert np.abs(dense).max() > 0
    np.testing.assert_allclose(factored, dense, rtol=1e-3, atol=1e-4 * np.abs(dense).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factored", [True, "all"])
def test_every_form_computes_the_same_in_onnx(tmp_path, name, factored):
    net = read(models.saved(tmp_path / "m.onnx"))
    small, made = exported(net, name, tmp_path, factored=factored)
    assert_same_function(tmp_path, {"x": X})
    before = {node.output[0] for node in onnx.load(tmp_path / "dense.onnx").graph.node}
    after = [node.output[0] for node in made.graph.node]
    dense = {tensor.name for tensor in made.graph.initializer} & set(small.factorizations)
    if name == "sparse":
        assert dense == set(small.factorizations) - {"const"}
    elif factored == "all":
        assert not dense
        assert len(after) > len(before)
        assert ("Add" in {node.op_type for node in made.graph.node}) == (
            "+" in name or "sum" in name
        )


def test_low_rank_and_sparse_is_more_work_than_the_layer(tmp_path):
    net = read(models.saved(tmp_path / "m.onnx"))
    _, made = exported(net, "low_rank+sparse", tmp_path, factored=True)
    assert made == onnx.load(tmp_path / "dense.onnx")


@pytest.mark.parametrize("name", ["tucker", "spatial", "spatial in a chain", "low_rank+sparse"])
@pytest.mark.parametrize(
    "options",
    [
        {"strides": [2, 3], "pads": [1, 2, 0, 3], "dilations": [2, 1]},
        {"kernel_shape": [3, 2], "strides": [1, 2], "auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID"},
        {},
    ],
)
def test_strides_pads_and_dilations_go_where_the_kernel_is(tmp_path, name, options):
    W = RNG.standard_normal((20, 6, 3, 2)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["c"], **options)
    pool = helper.make_node("Flatten", ["c"], ["y"])
    arrays = {"w": W, "b": RNG.standard_normal(20).astype(np.float32)}
    net = read(
        models.saved(
            tmp_path / "m.onnx", models.model([node, pool], arrays, inputs={"x": [2, 6, 11, 10]})
        )
    )
    _, made = exported(net, name, tmp_path, factored="all")
    assert len(made.graph.node) > 2
    assert_same_function(tmp_path, {"x": RNG.standard_normal((2, 6, 11, 10)).astype(np.float32)})


def test_tucker_is_three_convolutions_and_spatial_two(tmp_path):
    net = read(models.saved(tmp_path / "m.onnx"))
    for name, kernels in [
        ("tucker", [[1, 1], [3, 3], [1, 1]]),
        ("spatial", [[3, 1], [1, 3]]),
    ]:
        _, made = exported(net, name, tmp_path, factored="all")
        tensors = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
        convolutions = [node for node in made.graph.node if node.op_type == "Conv"][: len(kernels)]
        assert [tensors[node.input[1]][2:] for node in convolutions] == kernels
        assert [len(node.input) for node in convolutions] == [2] * (len(kernels) - 1) + [3]


@pytest.mark.parametrize("name", ["low_rank+sparse", "sum", "chain in a sum"])
@pytest.mark.parametrize("on_the_left", [False, True])
def test_terms_of_a_gemm_are_all_scaled_and_the_bias_is_added_once(tmp_path, name, on_the_left):
    W = RNG.standard_normal((12, 9)).astype(np.float32)
    bias = RNG.standard_normal((1, 1) if on_the_left else 12).astype(np.float32)
    order = ["w", "x", "b"] if on_the_left else ["x", "w", "b"]
    switch = {} if on_the_left else {"transB": 1}
    arrays, given = {"w": W, "b": bias}, {"x": [9, 5] if on_the_left else [5, 9]}
    made = models.single("Gemm", arrays, inputs=given, order=order, alpha=0.7, beta=3.0, **switch)
    net = read(models.saved(tmp_path / "m.onnx", made))
    exported(net, name, tmp_path, factored="all")
    assert_same_function(tmp_path, {"x": RNG.standard_normal(given["x"]).astype(np.float32)})


def test_a_form_that_is_more_work_stays_one_map():
    assert isinstance(expression(rank((20, 30), 11)), Product)  # 550 products for 600
    assert isinstance(expression(rank((20, 30), 12)), Leaf)  # 600
    total = Sum([rank((20, 30), 5), rank((20, 30), 12)])
    assert isinstance(expression(total), Leaf)
    assert isinstance(expression(total, everywhere=True), Total)
    chain = expression(Chain([rank((20, 20), 12), rank((20, 30), 2)]))
    assert isinstance(chain, Product)
    outer, inner = chain.parts[1], chain.parts[0]
    assert isinstance(outer, Leaf)  # 480 for 400
    assert isinstance(inner, Product)


def test_strides_make_the_first_mixing_of_channels_dear():
    tucker = Tucker(np.ones((32, 8)), np.ones((8, 8, 3, 3)), np.ones((8, 32)))
    plain = expression(tucker, (3, 3), (1, 1))
    assert isinstance(plain, Product)
    assert [part.role for part in plain.parts] == [POINT, KERNEL, POINT]
    assert plain.work((1, 1)) == 8 * 32 + 8 * 8 * 9 + 32 * 8
    assert plain.work((2, 3)) == 6 * 8 * 32 + 8 * 8 * 9 + 32 * 8
    assert isinstance(expression(tucker, (3, 3), (8, 8)), Leaf)
