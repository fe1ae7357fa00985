"""Modules of torch: layers found, moments by hooks, factors in the place of layers."""

import copy
import io

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import (
    FAMILIES,
    CompressedNetwork,
    Sum,
    as_network,
    calibrate,
    compress,
    factorize,
    from_torch,
    read,
    read_compressed,
    to_torch,
)

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Net(nn.Module):
    """Every kind of layer, and one of each thing that is none."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, groups=16)
        self.line = nn.Conv1d(16, 20, 3, padding="same", dilation=2, padding_mode="circular")
        self.volume = nn.Conv3d(20, 8, (1, 1, 2), bias=False)
        self.embed = nn.Embedding(30, 24)
        self.first = nn.Linear(8, 24)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(24, 24, bias=False)
        self.head = nn.Linear(24, 30)
        self.to(dtype)

    def forward(self, x, ids=None):
        h = torch.relu(self.norm(self.conv(x)))
        h = self.line(self.depthwise(h).flatten(2))
        h = self.volume(h[:, :, None, None])[:, :, 0, 0].mean(-1)
        h = self.drop(self.first(h))
        if ids is not None:
            h = h + self.embed(ids)
        return self.head(torch.relu(self.second(h)))


X = np.random.default_rng(0).standard_normal((6, 3, 9, 8)).astype(np.float32)
IDS = np.arange(6)


def compressed(module, method="low_rank", budget=0.5, **options):
    """Every layer in one form, without a search."""
    net = from_torch(module)
    forms = {a.name: factorize(net.weight(a), method, budget=budget, **options) for a in net.layers}
    kept = net.carrying({n: a for n, a in net.items() if n not in forms and n not in net.tied})
    return CompressedNetwork(forms, kept, tuple(net), 8 * net.n_bytes, tied=net.tied)


def test_the_layers_of_a_module():
    net = from_torch(Net())
    shapes = {layer.name: (layer.shape, layer.kernel) for layer in net.layers}
    assert shapes == {
        "conv.weight": ((16, 27), (3, 3)),
        "line.weight": ((20, 48), (3,)),
        "volume.weight": ((8, 40), (1, 1, 2)),
        "first.weight": ((24, 8), ()),
        "second.weight": ((24, 24), ()),
        "head.weight": ((30, 24), ()),
    }
    assert net.layout.left_alone == {
        "depthwise.weight": "a convolution in 16 groups",
        "embed.weight": "the weight of a module Embedding",
    }
    assert list(net) == list(Net().state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_dtype_comes_back_from_a_file(tmp_path, dtype):
    module = Net(dtype)
    net = from_torch(module)
    expected = ml_dtypes.bfloat16 if dtype == torch.bfloat16 else str(dtype).removeprefix("torch.")
    assert {layer.dtype for layer in net.layers} == {np.dtype(expected)}
    net.write(tmp_path / "net.safetensors")
    again = read(tmp_path / "net.safetensors")
    assert again == net
    from safetensors.torch import load_file

    Net(dtype).load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)


def test_a_state_dict_is_read_by_shapes():
    net = from_torch(Net().state_dict())
    assert {"embed.weight", "depthwise.weight", "conv.weight"} <= {a.name for a in net.layers}
    assert "line.weight" not in {layer.name for layer in net.layers}
    with pytest.raises(TypeError, match=r"has to be a torch\.nn\.Module or a state dict"):
        from_torch(np.eye(3))
    with pytest.raises(ValueError, match="'a' is no tensor but int"):
        from_torch({"a": 3})
    with pytest.raises(ValueError, match=r"'a' of torch\.float8_e4m3fn.*cannot be seen"):
        from_torch({"a": torch.zeros(2, 2).to(torch.float8_e4m3fn)})


def test_tensors_that_numpy_cannot_see_name_the_function_that_can():
    state = Net(torch.bfloat16).state_dict()
    with pytest.raises(ValueError, match=r"BFloat16.*call layers\.from_torch"):
        as_network(state)
    assert len(from_torch(state).layers) > 2


def test_pickles_are_refused_with_the_way_out(tmp_path):
    for suffix in (".pt", ".pth", ".bin"):
        torch.save(Net().state_dict(), tmp_path / f"net{suffix}")
        with pytest.raises(ValueError, match=r"is a pickle .* safetensors\.torch\.save_file"):
            read(tmp_path / f"net{suffix}")


# Calibration ---------------------------------------------------------------------------------


def test_hooks_see_what_enters_the_layers_and_leave_the_module_as_it_was():
    module = Net().train()
    module.drop.eval()
    before = copy.deepcopy(module.state_dict())
    net = from_torch(module)
    moments = calibrate(net, (X, IDS))
    moments.check(net)
    assert set(moments.names) == {layer.name for layer in net.layers}
    assert module.training
    assert module.norm.training
    assert not module.drop.training
    assert all(torch.equal(before[n], t) for n, t in module.state_dict().items())
    assert not any(part._forward_pre_hooks for part in module.modules())
    seen = []
    module.second.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        module.eval()(torch.as_tensor(X), torch.as_tensor(IDS))
    x = seen[0].double().numpy()
    # The inputs are single precision, and their sums in torch hang on its threads.
    np.testing.assert_allclose(moments.gram("second.weight"), x.T @ x / 6, rtol=1e-5, atol=1e-6)


def test_batches_of_every_kind_add_up():
    module = Net().eval()
    whole = calibrate(module, {"x": X, "ids": IDS})
    parts = calibrate(module, [{"x": X[:4], "ids": IDS[:4]}, (torch.as_tensor(X[4:]), IDS[4:])])
    twos = calibrate(module, (X.astype(float), IDS), batch_size=2, n_threads=1)
    for other in (parts, twos):
        for name in whole.names:
            assert other.n_samples(name) == whole.n_samples(name)
            np.testing.assert_allclose(other.gram(name), whole.gram(name), rtol=1e-4, atol=1e-6)


CONVOLUTIONS = [
    (1, {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"}),
    (2, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    (2, {"kernel_size": (4, 3), "padding": "same", "padding_mode": "replicate"}),
    (2, {"kernel_size": 2, "padding": "valid", "bias": False}),
    (2, {"kernel_size": (2, 5), "padding": 2, "padding_mode": "circular"}),
    (3, {"kernel_size": (2, 1, 3), "padding": (0, 1, 1), "dilation": (1, 1, 2)}),
]


@pytest.mark.parametrize(("n_axes", "options"), CONVOLUTIONS)
def test_the_error_in_the_moments_is_that_of_the_convolutions_outputs(n_axes, options):
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[n_axes]
    conv = kind(3, 5, **options).double()
    x = torch.randn(4, 3, *(9, 8, 7)[:n_axes], dtype=torch.float64)
    net = from_torch(nn.Sequential(conv))
    moments = calibrate(net, x)
    other = copy.deepcopy(conv)
    with torch.no_grad():
        other.weight += 0.1 * torch.randn_like(other.weight)
        difference = conv(x) - other(x)
    n = difference.numel() // 5
    assert moments.n_samples("0.weight") == n
    D = (conv.weight - other.weight).detach().numpy().reshape(5, -1)
    by_moments = np.trace(D @ moments.gram("0.weight") @ D.T)
    assert by_moments == pytest.approx(float((difference**2).sum()) / n, rel=1e-10)


def test_the_patches_are_those_of_unfold():
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    conv, x = nn.Conv2d(3, 5, **options).double(), torch.randn(4, 3, 9, 8, dtype=torch.float64)
    rows = nn.functional.unfold(x, **options).transpose(1, 2).reshape(-1, 18).numpy()
    moments = calibrate(nn.Sequential(conv), x)
    np.testing.assert_allclose(moments.gram("0.weight"), rows.T @ rows / len(rows), rtol=1e-12)


def test_inputs_that_do_not_fit_a_module_are_one_error():
    for inputs in (X[:, :2], (X, IDS, IDS), {"y": X}, (X, IDS + 100)):
        with pytest.raises(ValueError, match="the module cannot be run on these inputs"):
            calibrate(Net(), inputs)


def test_a_transformers_short_cut_does_not_hide_its_layers():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    moments = calibrate(layer, np.random.default_rng(0).standard_normal((3, 5, 16)))
    assert {"linear1.weight", "linear2.weight"} <= set(moments.names)
    assert torch.backends.mha.get_fastpath_enabled()
    made = to_torch(compressed(layer), layer.eval())
    with torch.no_grad():
        assert made(torch.randn(3, 5, 16)).shape == (3, 5, 16)


# Back to torch -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_factors_compute_what_the_dense_layers_do(method, dtype):
    module = Net(dtype).eval()
    small = compressed(module, method, budget=1.0 if method == "dense" else 0.8)
    dense, made = to_torch(small, module, factored=False), to_torch(small, module)
    x, ids = torch.as_tensor(X).to(dtype), torch.as_tensor(IDS)
    with torch.no_grad():
        expected, found = dense(x, ids), made(x, ids)
    tol = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(found, expected, rtol=tol, atol=tol)
    Net(dtype).load_state_dict(dense.state_dict(), strict=True)
    assert not torch.equal(dense.first.weight, module.first.weight) or method == "dense"
    for name, form in small.factorizations.items():
        weight = made.get_submodule(name.removesuffix(".weight")).weight
        W = form.to_dense()
        np.testing.assert_allclose(weight.detach().numpy().reshape(W.shape), W, rtol=tol, atol=tol)


@pytest.mark.parametrize("factored", [True, "all"])
@pytest.mark.parametrize("padding", ["zeros", "reflect", "same"])
@pytest.mark.parametrize("form", ["tucker", "spatial", "low_rank+sparse", "sum"])
def test_the_kernel_of_a_convolution_goes_where_it_is(form, padding, factored):
    options = {"padding": "same"} if padding == "same" else {"padding": (2, 1), "stride": (2, 1)}
    if padding != "same":
        options["padding_mode"] = padding
    module = nn.Conv2d(8, 24, (3, 5), dilation=(1, 2), **options)
    W = from_torch(module).weight("weight")
    kernel = {"kernel_shape": (8, 3, 5)}
    if form == "low_rank+sparse":
        made = factorize(W, form, budget=0.5, n_rounds=2)
    elif form == "sum":
        made = Sum([factorize(W, "low_rank", budget=0.1), factorize(W, "sparse", budget=0.1)])
    else:
        made = factorize(W, "low_rank", budget=0.4, form=form, **kernel)
    net = from_torch(module)
    kept = net.carrying({"bias": net["bias"]})
    small = CompressedNetwork({"weight": made}, kept, tuple(net), 8 * net.n_bytes)
    found, dense = (
        to_torch(small, module, factored=factored),
        to_torch(small, module, factored=False),
    )
    x = torch.randn(2, 8, 11, 13)
    torch.testing.assert_close(found(x), dense(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.weight, dense.weight, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.bias, module.bias)
    if form in ("tucker", "spatial"):
        assert len(found) == (3 if form == "tucker" else 2)
    else:  # a sparse path takes the time of a dense one
        assert hasattr(found, "parts") == (factored is True)
        assert isinstance(found, nn.Sequential) == (factored == "all")


def test_factors_are_used_where_they_are_less_work():
    module = nn.Linear(20, 30)
    for budget, kind in ((0.9, nn.Sequential), (1.0, nn.Linear)):
        W = from_torch(module).weight("weight")
        bits = {"value_bits": None} if budget < 1 else {}
        form = factorize(W, "low_rank", budget=budget, **bits)
        assert form.rank == int(budget * 12)
        net = from_torch(module)
        kept = net.carrying({"bias": net["bias"]})
        small = CompressedNetwork({"weight": form}, kept, tuple(net), 8 * net.n_bytes)
        assert isinstance(to_torch(small, module), kind)
        assert isinstance(to_torch(small, module, factored="all"), nn.Sequential)
    with pytest.raises(TypeError, match="factored has to be True or False"):
        to_torch(small, module, factored="some")


def test_low_rank_layers_become_two_layers():
    module = Net()
    made = to_torch(compressed(module, "low_rank"), module)
    first, last = made.conv
    assert (first.kernel_size, first.stride, first.padding, first.bias) == (
        (3, 3),
        (2, 2),
        (1, 1),
        None,
    )
    assert (last.kernel_size, last.stride) == ((1, 1), (1, 1))
    assert torch.equal(last.bias, module.conv.bias)
    assert last.bias is not module.conv.bias
    first, last = made.second
    assert (first.in_features, first.out_features, last.bias) == (24, last.in_features, None)
    n = sum(p.numel() for p in made.parameters())
    assert n < sum(p.numel() for p in module.parameters())
    made(torch.as_tensor(X)).sum().backward()
    assert first.weight.grad is not None
    assert type(made.depthwise) is nn.Conv2d


@pytest.mark.parametrize("method", ["sparse", "dictionary", "low_rank+sparse"])
def test_packed_layers_are_saved_and_loaded(method):
    module = Net().eval()
    small = compressed(module, method, budget=0.8)
    made = to_torch(small, module)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    other = to_torch(compressed(Net().eval(), method, budget=0.8), module)
    state = torch.load(file, weights_only=True)
    if method == "sparse":
        other.load_state_dict(state, strict=True)
        x = torch.as_tensor(X)
        torch.testing.assert_close(other(x), made(x))
    assert len(state) > len(module.state_dict())
    assert copy.deepcopy(made)(torch.as_tensor(X)).shape == (6, 30)


class Tied(nn.Module):
    def __init__(self, embedding):
        super().__init__()
        self.wte = nn.Embedding(40, 24) if embedding else nn.Linear(24, 40)
        self.head = nn.Linear(24, 40)
        self.head.weight = self.wte.weight

    def forward(self, x):
        return self.head(x) if isinstance(self.wte, nn.Embedding) else self.head(x) + self.wte(x)


@pytest.mark.parametrize("embedding", [True, False])
def test_tied_weights_count_once_and_come_back_tied(tmp_path, embedding):
    module = Tied(embedding)
    net = from_torch(module)
    assert net.tied == {"head.weight": "wte.weight"}
    assert net.n_bytes == 4 * sum(p.numel() for p in module.parameters())
    assert [layer.name for layer in net.layers] == ["wte.weight"]
    x = np.random.default_rng(0).standard_normal((50, 24)).astype(np.float32)
    moments = calibrate(net, x)
    assert moments.n_samples("wte.weight") == (50 if embedding else 100)
    small = compress(net, 0.6, methods="low_rank", calibration=moments)
    small.write(tmp_path / "small.safetensors")
    small = read_compressed(tmp_path / "small.safetensors")
    dense, made = to_torch(small, module, factored=False), to_torch(small, module, factored="all")
    assert dense.head.weight is dense.wte.weight
    np.testing.assert_allclose(
        made(torch.as_tensor(x)).detach(), dense(torch.as_tensor(x)).detach(), rtol=1e-4, atol=1e-4
    )
    if embedding:  # a table of vectors cannot be two layers
        assert made.head.weight is made.wte.weight
    else:
        assert made.head[0].weight is made.wte[0].weight
        assert made.head[1].weight is made.wte[1].weight
        assert made.head[1].bias is not made.wte[1].bias
        packed = to_torch(small, module)  # which it is: so high a rank in so few bits
        assert "Linear, LowRank(" in repr(packed.head)
        kept = [dict(part.named_buffers()) for part in (packed.head, packed.wte)]
        assert kept[0]
        assert all(kept[1][name] is buffer for name, buffer in kept[0].items())


def test_a_module_used_twice_is_replaced_once():
    part = nn.Linear(16, 16)
    module = nn.Sequential(part, nn.ReLU(), part)
    net = from_torch(module)
    assert net.tied == {"2.weight": "0.weight", "2.bias": "0.bias"}
    assert calibrate(net, np.ones((3, 16), np.float32)).n_samples("0.weight") == 6
    made = to_torch(compressed(module), module)
    assert made[0] is made[2]
    assert len(made[0]) == 2


def test_a_single_layer_is_a_module_too():
    layer = nn.Linear(16, 12)
    made = to_torch(compressed(layer), layer)
    x = torch.randn(3, 16)
    dense = to_torch(compressed(layer), layer, factored=False)
    torch.testing.assert_close(made(x), dense(x), rtol=1e-4, atol=1e-5)


def test_another_module_is_refused():
    small = compressed(Net())
    with pytest.raises(ValueError, match="only one of the network and the module has a tensor"):
        to_torch(small, nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"'conv\.weight' is float32 .* and float64"):
        to_torch(small, Net(torch.float64))
    with pytest.raises(TypeError, match=r"module has to be a torch\.nn\.Module"):
        to_torch(small, {})


def test_without_torch_one_line_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install sparsecode\[torch\]"):
        from_torch({})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_torch_exports_is_read_with_the_same_layers(tmp_path):
    """The names and the way round are torch's own choice; the matrices are those of the module."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 20, bias=False),
        nn.ReLU(), nn.Linear(20, 6),
    ).eval()  # fmt: skip
    x = np.random.default_rng(0).standard_normal((7, 3, 4, 4)).astype(np.float32)
    torch.onnx.export(
        module,
        (torch.as_tensor(x),),
        str(tmp_path / "m.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )
    ours, theirs = from_torch(module), read(tmp_path / "m.onnx")
    assert [a.shape for a in theirs.layers] != []
    by_shape = {a.shape: a.name for a in theirs.layers}
    moments, others = calibrate(ours, x), calibrate(theirs, x)
    assert len(by_shape) == len(ours.layers) == 3
    for layer in ours.layers:
        name = by_shape[layer.shape]
        np.testing.assert_array_equal(ours.weight(layer), theirs.weight(name))
        np.testing.assert_allclose(
            moments.gram(layer.name), others.gram(name), rtol=1e-4, atol=1e-5
        )
