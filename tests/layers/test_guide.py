"""The user guide is followed word by word: its commands and its code run, one after another."""

import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest

from sparsecode.cli import _terminal, main

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

from onnx import helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.torch
GUIDE = (Path(__file__).parents[2] / "docs/user_guide/compress.rst").read_text(encoding="utf-8")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 24)).astype(np.float32)


def blocks(language):
    found = re.findall(rf"\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", GUIDE)
    return [textwrap.dedent(block) for block in found]


def commands():
    lines = "\n".join(blocks("console")).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ sparsecode")]


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(24, 96), torch.nn.ReLU(), torch.nn.Linear(96, 64))


@pytest.fixture
def folder(tmp_path, monkeypatch, module):
    """What the guide takes for given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_terminal, "SHORT", 3600.0)
    node = helper.make_node
    nodes = [
        node("Gemm", ["images", "0.weight", "0.bias"], ["a"], transB=1),
        node("Relu", ["a"], ["b"]),
        node("Gemm", ["b", "2.weight", "2.bias"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "two layers",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [None, 24])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 64])],
        [numpy_helper.from_array(t.numpy(), n) for n, t in module.state_dict().items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, "model.onnx")
    np.savez("inputs.npz", images=X)
    return tmp_path


def test_the_commands(folder, capsys):
    given = commands()
    assert len(given) == 3
    for command in given:
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    whole = (folder / "model.onnx").stat().st_size
    assert (folder / "small.safetensors").stat().st_size <= 0.25 * whole
    assert {"report.html", "small.safetensors.manifest.json", "dense.onnx"} <= {
        path.name for path in folder.iterdir()
    }


def test_the_recipe(folder):
    (recipe,) = blocks("toml")
    named = recipe.replace("blocks.0.down.weight", "0.weight").replace("head.weight", "2.weight")
    (folder / "recipe.toml").write_text(named.replace(".*attn.*", "0.weight"))
    command = "compress model.onnx -o small.safetensors --recipe recipe.toml"
    assert main(command.split()) == 0


def test_the_code(folder, module):
    W1, W2 = RNG.standard_normal((48, 24)), RNG.standard_normal((40, 48))
    given = {
        "inputs": X,
        "module": module,
        "W1": W1,
        "b1": np.zeros(48),
        "W2": W2,
        "b2": np.zeros(40),
        "batches": [X[:20], X[20:]],
        "hidden": lambda batch: np.maximum(batch @ W1.T, 0),
        "W": W1,
        "H": X.T @ X,
        "W_new": W1[:3] + 0.1,
    }
    found = blocks("python")
    assert len(found) == 5
    code = compile("import sparsecode\n" + "\n".join(found), "compress.rst", "exec")
    exec(code, given)
    assert given["session"].run(None, {"images": X})[0].shape == (40, 64)
    with torch.no_grad():
        x = torch.as_tensor(X)
        np.testing.assert_allclose(given["smaller"](x), given["same"](x), atol=1e-4)
        error = np.linalg.norm(given["same"](x) - module(x)) / np.linalg.norm(module(x))
    assert error < 0.1
    assert {n: a.shape for n, a in given["dense"].items()} == {
        n: a.shape for n, a in given["arrays"].items()
    }
