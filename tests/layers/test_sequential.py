"""Layer after layer, on what the compressed layers before give: nearer to the original."""

import numpy as np
import pytest

from sparsecode import layers

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
    with pytest.raises(ValueError, match=r"inputs_of names 'd', no layer"):
        layers.distill(small, NET, lambda net: {"d": X})
    with pytest.raises(ValueError, match=r"have to be \(n_samples, 32\)"):
        layers.distill(small, NET, lambda net: {"a": X[:, :3]})
    with pytest.raises(TypeError, match="inputs_of has to give a mapping"):
        layers.distill(small, NET, lambda net: [X])
    sizes = iter([600, 599])
    with pytest.raises(ValueError, match="it has to give the same ones each time"):
        layers.distill(small, NET, lambda net: {"a": X[: next(sizes)]})
