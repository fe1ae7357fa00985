"""Files that went wrong at random: every reader gives a clear error or an answer that holds.

``PYTHONPATH=tests/helpers python tests/layers/test_fuzz.py SECONDS [SEED]`` goes on for longer.
"""

import contextlib
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import mutations
import numpy as np
import pytest

from sparsecode import layers
from sparsecode.cli import main
from sparsecode.layers.formats import read_tensors, write_tensors

onnx = pytest.importorskip("onnx")

import onnx_models  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

LIMIT = 10_000_000  # bytes
RECIPE = """budget = "24 kB"
methods = ["low_rank", "sparse"]
seed = 3

[[rules]]
match = "a"
methods = ["low_rank"]
options = {value_bits = 4}
weight = 2.0
cap = 0.5

[[rules]]
match = 're:(b).*'
max_error = 0.001
stacked = true
"""


def compressed(rng, suffix):
    """A network with one layer in every form, tied, stacked and plain tensors."""

    def W(m, n):
        return rng.standard_normal((m, n)).astype(np.float32)

    def rule(name, method, share=0.5, **options):
        return {"match": name, "methods": [method], "share": share, "options": options}

    tied = W(12, 16)
    net = {"tied": tied, "again": tied, "bias": np.ones(3), "step": np.array(3)}
    rules = [rule("tied", "uniform", bits=4)]
    for method in layers.FAMILIES:
        for bits in (None, 4, "float16"):
            if method in ("dense", "uniform") and bits is not None:
                continue
            name = f"{method} {bits}"
            net[name] = W(24, 32)
            rules.append(
                rule(
                    name,
                    method,
                    1.0 if method == "dense" else 0.5,
                    **({} if bits is None else {"value_bits": bits}),
                )
            )
    for form in ("tucker", "spatial"):
        net[form] = rng.standard_normal((6, 4, 3, 3)).astype(np.float32)
        rules.append(rule(form, "low_rank", 0.8, form=form))
    net |= {"q": W(8, 24), "k": W(16, 24)}
    rules.append(rule("re:[qk]", "dictionary", 0.9, learning="orthogonal") | {"stacked": True})
    return layers.compress(net, budget=1.0, rules=rules, suffix=suffix)


def corpus(folder):
    """Honest files by name, and the suffix each goes by."""
    rng = np.random.default_rng(0)
    dtypes = ("float16", "bfloat16", "float32", "float64", "int8", "int64", "uint16", "bool")
    arrays = {f"t.{name}": rng.integers(0, 2, (3, 4)).astype(name) for name in dtypes}
    arrays |= {"scalar": np.array(2.5), "none": np.zeros((0, 3)), "five": np.ones((1, 2, 1, 2, 3))}
    for suffix in (".npz", ".safetensors"):
        write_tensors(folder / f"plain{suffix}", arrays, {"made by": "hand"})
        layers.Network({"w": np.eye(3), "v": np.ones((3, 4))}, orientation="in_out").write(
            folder / f"turned{suffix}"
        )
        compressed(rng, suffix).write(folder / f"small{suffix}")
    made = onnx_models.model()
    made.graph.sparse_initializer.add(
        values=numpy_helper.from_array(np.ones(1, np.float32), "s"),
        indices=numpy_helper.from_array(np.zeros((1, 1), np.int64), "i"),
        dims=[2, 2],
    )
    inner = helper.make_graph([], "inner", [], [], [numpy_helper.from_array(np.eye(2), "e")])
    made.graph.node.append(helper.make_node("If", ["y"], ["z"], then_branch=inner))
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    tensor = made.graph.initializer[3]
    (folder / "beside.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", "beside.bin"), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)
    (folder / "apart.onnx").write_bytes(made.SerializeToString())
    small = layers.compress(layers.read(folder / "model.onnx"), 0.9, methods="uniform")
    small.write(folder / "graph.safetensors")
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = {"recipe": layers.Recipe.from_file(folder / "recipe.toml").as_mapping()}
    (folder / "recipe.json").write_text(json.dumps({"manifest": 1, **recipe}))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def use(path, out):
    """Read it as all who would, and hold them to it."""
    if path.suffix in (".toml", ".json"):
        recipe = layers.Recipe.from_file(path)
        assert layers.Recipe.from_mapping(recipe.as_mapping()) == recipe
        return
    if path.suffix != ".onnx":
        tensors, metadata = read_tensors(path, max_bytes=LIMIT)
        write_tensors(out / f"again{path.suffix}", tensors, metadata)
    network = layers.read(path, max_bytes=LIMIT)
    if "sparsecode.compressed" not in network.metadata:
        network.write(out / f"net{path.suffix}")
        assert layers.read(out / f"net{path.suffix}") == network
        for layer in network.layers:
            assert network.weight(layer).shape == layer.shape
        return
    small = layers.read_compressed(path, max_bytes=LIMIT)
    small.write(out / f"small{path.suffix}")
    again = layers.read_compressed(out / f"small{path.suffix}")
    assert again.factorizations == small.factorizations
    assert small.bits == 8 * (out / f"small{path.suffix}").stat().st_size
    assert str(small.report)
    small.to_dense().write(out / f"dense{path.suffix}")


def tried(name, data, folder, seed):
    """Use the file with what the seed changes in it; True if it was refused."""
    rng, suffix = random.Random(seed), Path(name).suffix
    path, out = folder / f"bad{suffix}", folder / "out"
    path.write_bytes(mutations.mutated(data[name], suffix, list(data.values()), rng))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Reading `.npy`")  # headers it has to repair
        with np.errstate(all="ignore"):
            try:
                use(path, out)
            except (ValueError, OSError) as error:
                message = str(error)
                assert message, "an error without a word"
                assert "\n" not in message, message
                return True
    return False


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return corpus(folder)


NAMES = [
    *(f"{name}.npz" for name in ("plain", "turned", "small")),
    *(f"{name}.safetensors" for name in ("plain", "turned", "small", "graph")),
    "model.onnx",
    "apart.onnx",
    "recipe.toml",
    "recipe.json",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_at_random_is_refused_or_right(honest, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "beside.bin").write_bytes(honest["beside.bin"])
    n_refused = sum(tried(name, honest, tmp_path, seed) for seed in range(100))
    assert 15 < n_refused < 100
    made = {f"bad{Path(name).suffix}", "beside.bin", "out"}
    assert set(os.listdir(tmp_path)) == made  # nothing is written elsewhere


def inspected(path):
    """As the command line shows it, whose errors are one line."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["inspect", str(path)]) in (0, 2)


def fuzz(seconds, seed, folder):
    """Go on until the time is over; say what broke, and where."""
    for name in ("out", "honest"):
        (folder / name).mkdir()
    data = corpus(folder / "honest")
    (folder / "beside.bin").write_bytes(data["beside.bin"])
    end, count, n_refused, slowest, broken = time.time() + seconds, 0, 0, (0.0, ""), {}
    while time.time() < end:
        name, start = NAMES[count % len(NAMES)], time.process_time()
        try:
            n_refused += tried(name, data, folder, seed + count)
            if not name.startswith("recipe") and count % 7 == 0:
                inspected(folder / f"bad{Path(name).suffix}")
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            cases = broken.setdefault((type(error).__name__, where.filename, where.lineno), [])
            cases.append((name, seed + count, str(error)[:150]))
        slowest = max(slowest, (time.process_time() - start, f"{name} {seed + count}"))
        count += 1
    print(f"{count} files, {n_refused} refused; slowest: {slowest}")
    for what, cases in broken.items():
        print(len(cases), *what, cases[:2])


if __name__ == "__main__":
    seconds, *seed = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as temporary:
        fuzz(seconds, seed[0] if seed else 0, Path(temporary))
