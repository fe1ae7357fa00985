"""Layer after layer, on what the compressed layers before give: nearer to the original."""

import numpy as np
import pytest

from sparsecode import layers
from sparsecode.layers.pairs import Pair, watched

RNG = np.random.default_rng(0)
NET = {name: (RNG.standard_normal((32, 32)) / 5).astype(np.float32) for name in "abc"}
X = RNG.standard_normal((600, 32)) @ (RNG.standard_normal((32, 32)) * np.logspace(0, -1, 32))


def inputs_of(net, X=X):
    seen = {}
    for name in "abc":
        seen[name] = X
        X = np.maximum(X @ np.asarray(net[name], float).T, 0) + 0.1 * X
    return {**seen}


def output(net, X):
    last = inputs_of({**net}, X)["c"]
    return np.maximum(last @ np.asarray(net["c"], float).T, 0) + 0.1 * last


@pytest.mark.parametrize("method", ["low_rank", "sparse"])
def test_the_network_comes_nearer_on_held_out_inputs_too(method) -> None:
    calibration = layers.Calibration.from_arrays(inputs_of(NET))
    small = layers.compress(NET, 0.24, methods=method, calibration=calibration)
    fitted = layers.distill(small, NET, inputs_of)
    assert fitted.bits <= small.bits
    other = (
        np.random.default_rng(1).standard_normal((300, 32)) @ np.linalg.cholesky(X.T @ X / 600).T
    )
    for inputs in (X, other):
        true = output(NET, inputs)
        misses = [np.sum((output(s.to_dense(), inputs) - true) ** 2) for s in (small, fitted)]
        assert misses[1] < 0.97 * misses[0]


def test_layers_that_are_left_out_are_left_alone() -> None:
    small = layers.compress(NET, 0.5, methods="sparse")
    fitted = layers.distill(small, NET, lambda net: {"b": inputs_of(net)["b"]})
    changed = [n for n in NET if fitted.factorizations[n] != small.factorizations[n]]
    assert changed == ["b"]


def test_what_cannot_be_done_is_said(tmp_path) -> None:
    small = layers.compress(NET, 0.5, methods="sparse")
    small.write(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="compressed has no recipe"):
        layers.distill(layers.read_compressed(tmp_path / "s.npz"), NET, inputs_of)
    with pytest.raises(ValueError, match=r"inputs names 'd', no layer"):
        layers.distill(small, NET, lambda net: {"d": X})
    with pytest.raises(ValueError, match=r"have to be \(n_samples, 32\)"):
        layers.distill(small, NET, lambda net: {"a": X[:, :3]})
    with pytest.raises(TypeError, match="inputs has to give a mapping"):
        layers.distill(small, NET, lambda net: [X])
    with pytest.raises(
        ValueError, match=r"arrays alone, which cannot be run: inputs has to be a f"
    ):
        layers.distill(small, NET, X)
    with pytest.raises(TypeError, match="compressed has to be a CompressedNetwork"):
        layers.distill(NET, small, inputs_of)
    seen = iter([{"a": X, "b": X}, {"b": X}])
    with pytest.raises(ValueError, match="gives those of 'a' for one network and not another"):
        layers.distill(small, NET, lambda net: next(seen))
    with pytest.raises(ValueError, match="batch_size is not used by a function"):
        layers.distill(small, NET, inputs_of, batch_size=3)
    sizes = iter([600, 599])
    with pytest.raises(ValueError, match="it has to give the same ones each time"):
        layers.distill(small, NET, lambda net: {"a": X[: next(sizes)]})


def images(n, seed):
    """Smooth ones: what enters the layers is correlated."""
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((n, 2, 4, 4))
    return np.kron(low, np.ones((2, 2))).astype(np.float32) + 0.1


def a_module(torch):
    torch.manual_seed(0)
    nn = torch.nn
    convolutions = [nn.Conv2d(2, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(576, 20)).eval()


def nearer(network, run):
    """What the answers lose, and lose after the distillation, on inputs that took no part."""
    calibration = layers.calibrate(network, images(600, 0))
    small = layers.compress(network, 0.05, methods="low_rank", calibration=calibration)
    fitted = layers.distill(small, network, images(600, 0), batch_size=250, max_positions=6000)
    assert fitted.bits <= small.bits
    assert [*fitted.factorizations] == [*small.factorizations]
    true = run(network, images(200, 1))
    return [np.sum((run(s.to_dense(), images(200, 1)) - true) ** 2) for s in (small, fitted)]


@pytest.mark.torch
def test_a_module_is_run() -> None:
    torch = pytest.importorskip("torch")
    module = a_module(torch)

    def run(net, X):
        module.load_state_dict({name: torch.as_tensor(np.array(a)) for name, a in net.items()})
        return module(torch.as_tensor(X)).detach().numpy()

    original = layers.Network({n: np.array(a) for n, a in layers.from_torch(module).items()})
    network = layers.from_torch(a_module(torch))
    assert all(np.array_equal(network[name], original[name]) for name in network)
    before, after = nearer(network, run)
    assert after < 0.98 * before


@pytest.mark.torch
def test_what_is_run_has_the_tensors_of_the_network() -> None:
    torch = pytest.importorskip("torch")
    network = layers.from_torch(a_module(torch))
    X = images(5, 0)
    other = network.replace({"0.weight": np.zeros_like(network["0.weight"])})
    seen = [layers.calibrate(net, X).gram("2.weight") for net in (network, other, network)]
    assert not np.allclose(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def a_model(path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import onnx_models as models

    rng = np.random.default_rng(0)
    shapes = {"last": (20, 576), "first": (12, 2, 3, 3), "second": (16, 12, 3, 3)}  # in no order
    arrays = {
        n: (rng.standard_normal(s) / np.sqrt(np.prod(s[1:]))).astype(np.float32)
        for n, s in shapes.items()
    }
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "first"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "second"], ["c"]),
        node("Relu", ["c"], ["d"]),
        node("Flatten", ["d"], ["e"]),
        node("Gemm", ["e", "last"], ["y"], transB=1),
    ]
    return models.saved(path, models.model(nodes, arrays, inputs={"x": ["N", 2, 8, 8]}))


def test_a_model_is_run(tmp_path) -> None:
    path = a_model(tmp_path / "model.onnx")
    import onnxruntime

    def run(net, X):
        net.write(tmp_path / "now.onnx")
        session = onnxruntime.InferenceSession(str(tmp_path / "now.onnx"))
        return session.run(None, {"x": X})[0]

    network = layers.read(path)
    assert layers.calibrate(network, images(3, 0)).names == ("first", "second", "last")
    before, after = nearer(network, run)
    assert after < 0.98 * before


def test_only_the_layer_that_is_watched_is_fetched(tmp_path, monkeypatch) -> None:
    network = layers.read(a_model(tmp_path / "model.onnx"))
    from sparsecode.layers.onnx.recording import OnnxRunner

    fetched, record = [], OnnxRunner._record

    def noted(self, name, use, X):
        fetched.append(name)
        record(self, name, use, X)

    how = {"batch_size": None, "max_positions": None, "random_state": None, "n_threads": 1}
    names, pair_of = watched(network, images(6, 0), **how)
    assert names == ["first", "second", "last"]
    monkeypatch.setattr(OnnxRunner, "_record", noted)
    pair = pair_of("second", network)
    assert fetched == ["second", "second"]  # of the teacher and of the student
    np.testing.assert_allclose(pair.cross, pair.student, rtol=1e-6, atol=1e-8)


@pytest.mark.torch
def test_only_the_module_that_is_watched_has_a_hook(monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    from sparsecode.layers.torch import recording

    hooks, hook = [], recording._hook
    monkeypatch.setattr(recording, "_hook", lambda *given: hooks.append(given[0]) or hook(*given))
    network = layers.from_torch(a_module(torch))
    how = {"batch_size": None, "max_positions": None, "random_state": None, "n_threads": 1}
    _, pair_of = watched(network, images(6, 0), **how)
    hooks.clear()
    pair_of("2.weight", network)
    assert hooks == ["2.weight", "2.weight"]


def test_what_is_missed_is_known_but_for_what_nothing_changes() -> None:
    rng = np.random.default_rng(0)
    x_t, x_s = rng.standard_normal((2, 50, 4))
    W, *tries = rng.standard_normal((3, 2, 4))
    pair = Pair(x_t.T @ x_s / 50, x_s.T @ x_s / 50)
    misses = [np.sum((x_t @ W.T - x_s @ V.T) ** 2) / 50 for V in tries]
    assert pair.missed(W, tries[0]) - pair.missed(W, tries[1]) == pytest.approx(
        misses[0] - misses[1]
    )
