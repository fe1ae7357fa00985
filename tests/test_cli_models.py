"""The command line on ONNX models."""

import numpy as np
import pytest

from sparsecode.cli import _terminal, main
from sparsecode.layers import read, read_compressed
from sparsecode.layers.formats import write_tensors

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 8, 6, 6)).astype(np.float32)
SHAPES = {"conv.w": (24, 8, 3, 3), "dw.w": (24, 1, 3, 3), "fc.w": (24, 48), "fc.b": (48,)}


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """However slow the machine is, nothing here takes long enough for a line about it."""
    monkeypatch.setattr(_terminal, "SHORT", 3600.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    arrays = {n: 0.2 * RNG.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "conv.w"], ["a"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "dw.w"], ["b"], group=24),
        node("GlobalAveragePool", ["b"], ["c"]),
        node("Flatten", ["c"], ["d"]),
        node("Gemm", ["d", "fc.w", "fc.b"], ["y"]),
    ]
    made = models.model(nodes, arrays, inputs={"x": [None, 8, 6, 6]})
    models.saved(tmp_path / "model.onnx", made)
    np.savez(tmp_path / "inputs.npz", x=X)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_process(capsys, *argv):
    status = main(argv)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_inspect_says_what_is_no_layer_and_why(capsys, folder):
    status, out, err = in_process(capsys, "inspect", "model.onnx")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["conv.w"][:2] == ["24x8x3x3", "float32"]
    assert rows["fc.w"][0] == "48x24"
    assert rows["dw.w"][-1] == "-"
    assert "left alone: dw.w is a convolution in 24 groups" in out


def test_inspect_says_what_is_tied(capsys, folder):
    W = np.eye(4)
    write_tensors("tied.npz", {"a": W, "b": W}, {"sparsecode.tied": '{"b": "a"}'})
    _, out, _ = in_process(capsys, "inspect", "tied.npz")
    assert "tied: b is a, which counts once" in out
    assert "2 tensors, 128 bytes; 1 layer, 128 bytes" in out


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_model_there_and_back(capsys, folder, suffix):
    small = f"small{suffix}"
    rule = '[[rules]]\nmatch = "re:.*"\nmethods = ["low_rank"]\noptions = {metric = "full"}\n'
    (folder / "plain.toml").write_text(f"budget = 0.6\n{rule}")  # no numbers of a few bits
    options = ["--recipe", "plain.toml", "--calibration", "inputs.npz"]
    options += ["--heldout", "inputs.npz"]
    status, out, err = in_process(capsys, "compress", "model.onnx", "-o", small, *options)
    assert (status, err) == (0, "")
    assert "held-out" in out
    again = read_compressed(small)
    assert (folder / small).stat().st_size * 8 == again.bits
    (folder / "model.onnx").unlink()
    assert in_process(capsys, "expand", small, "-o", "dense.onnx")[0] == 0
    assert in_process(capsys, "expand", small, "-o", "factored.onnx", "--factored")[0] == 0
    dense, factored = (models.run(f"{n}.onnx", {"x": X})[0] for n in ("dense", "factored"))
    np.testing.assert_allclose(factored, dense, rtol=1e-3, atol=1e-4)
    assert read("dense.onnx") == again.to_dense()
    assert (folder / "factored.onnx").stat().st_size < (folder / "dense.onnx").stat().st_size
    assert in_process(capsys, "expand", small, "-o", "dense.npz")[0] == 0
    assert read("dense.npz").layers == read("dense.onnx").layers


def test_calibration_may_be_the_layers_inputs(capsys, folder):
    np.savez("rows.npz", **{"conv.w": RNG.standard_normal((99, 72))})
    argv = ["compress", "model.onnx", "--budget", "0.6", "--method", "sparse", "-o", "s.npz"]
    status, out, _ = in_process(capsys, *argv, "--calibration", "rows.npz")
    assert status == 0
    assert "conv.w" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["inspect", "model.onnx", "--orientation", "in_out"],
            "orientation is not used by an ONNX",
        ),
        (["compress", "model.onnx", "-o", "small.onnx"], "is a model, not a file of named arrays"),
        (["compress", "model.onnx", "-o", "s.npz", "--calibration", "other.npz"], "named images; "),
        (["expand", "small.npz", "-o", "d.npz", "--factored"], "--factored is not used by d.npz"),
        (["expand", "small.npz", "-o", "d.onnx"], "there is no graph"),
        (["expand", "small.npz", "-o", "d.onnx", "--factored"], "there is no graph"),
        (["inspect", "weights.pt"], "is a pickle by its suffix"),
        (["inspect", "broken.onnx"], "broken.onnx cannot be read: "),
    ],
)
def test_what_cannot_be_is_one_line(capsys, folder, argv, message):
    from sparsecode.layers import compress

    np.savez("other.npz", images=X)
    compress({"w": RNG.standard_normal((64, 64))}, 0.5, methods="sparse").write("small.npz")
    (folder / "weights.pt").write_bytes(b"\x80\x04.")
    (folder / "broken.onnx").write_bytes((folder / "model.onnx").read_bytes()[:100])
    before = sorted(path.name for path in folder.iterdir())
    status, out, err = in_process(capsys, *argv)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_without_onnx_one_line_says_how_to_get_it(capsys, folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    status, _, err = in_process(capsys, "inspect", "model.onnx")
    assert status == 2
    assert "pip install sparsecode[onnx]" in err
