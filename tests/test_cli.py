"""Every command: what it prints and writes, its exit status, and one line for each bad input."""

import hashlib
import inspect
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import scipy.stats
from safetensors.numpy import load_file

from sparsecode import __version__, layers, solvers
from sparsecode.cli import COMMANDS, _terminal, main
from sparsecode.cli._terminal import Progress, print_table
from sparsecode.layers.formats import write_tensors

NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]


def tensors():
    rng = np.random.default_rng(0)
    low = rng.standard_normal((48, 3)) @ rng.standard_normal((3, 64))
    return {
        "block.0.weight": (low + 0.1 * rng.standard_normal(low.shape)).astype(np.float32),
        "block.0.bias": rng.standard_normal(48).astype(np.float32),
        "block.1.weight": rng.standard_t(3, (40, 48)).astype(np.float32),
        "scale": np.array(2.5),
    }


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """However slow the machine is, nothing here takes long enough for a line about it."""
    monkeypatch.setattr(_terminal, "SHORT", 3600.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network, inputs of its layers, the network compressed, and a matrix to split."""
    folder = tmp_path_factory.mktemp("made")
    layers.Network(tensors(), metadata={"made": "by a test"}).write(folder / "net.safetensors")
    rng = np.random.default_rng(1)
    mix = rng.standard_normal((64, 8)) @ rng.standard_normal((8, 64))
    inputs = {
        "block.0.weight": rng.standard_normal((200, 64)) @ mix,
        "block.1.weight": rng.standard_normal((200, 48)),
    }
    write_tensors(folder / "acts.npz", inputs)
    layers.compress(tensors(), 0.4, methods="sparse").write(folder / "small.safetensors")
    rank_one = np.outer(np.arange(1.0, 21), np.ones(20))
    rank_one[3, 4] += 50
    np.save(folder / "M.npy", rank_one)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A working folder of its own with these files."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder):
    """All but the folder from which an interrupted compression goes on."""
    paths = [path for path in folder.iterdir() if path.suffix != ".checkpoint"]
    return {path.name: path.stat().st_mtime_ns for path in paths}


def in_process(capsys, *argv):
    status = main(argv)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def in_new_process(*argv, **options):
    return subprocess.run(
        [sys.executable, "-m", "sparsecode", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


# Usage


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in NAMES)])
def test_help(capsys, argv):
    status, out, err = in_process(capsys, *argv)
    assert status == 0
    assert out.startswith("usage: sparsecode")
    assert err == ""


def test_help_of_compress_names_every_method(capsys):
    _, out, _ = in_process(capsys, "compress", "--help")
    named = set(re.findall(r"[\w+]+", out))
    assert set(layers.FAMILIES) - {"dense"} <= named


@pytest.mark.parametrize("word", ["", " ", "a\0b"])
def test_a_word_that_names_no_file_is_told_with_its_option(capsys, word):
    for argv, told in ((["inspect", word], "FILE"), (["compress", "x", "-o", word], "-o/--output")):
        status, out, err = in_process(capsys, *argv)
        assert (status, out) == (2, "")
        assert err.startswith(f"sparsecode: error: argument {told}: has to name a file, got ")
        assert len(err.splitlines()) == 1


def test_version(capsys):
    assert in_process(capsys, "--version") == (0, f"sparsecode {__version__}\n", "")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from sparsecode.cli import main; main(['--help']); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stderr.split())
    assert "sparsecode" in loaded
    heavy = {"numba", "sklearn", "scipy", "numpy", "matplotlib", "cvxpy", "rich", "jinja2"}
    assert not loaded & heavy


# inspect


def test_inspect_lists_layers_and_other_tensors(capsys, folder):
    status, out, err = in_process(capsys, "inspect", "net.safetensors")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    for name in ("block.0.weight", "block.1.weight"):
        W = tensors()[name].astype(np.float64)
        s = np.linalg.svd(W, compute_uv=False)
        effective_rank = np.exp(scipy.stats.entropy(s))
        kurtosis = scipy.stats.kurtosis(W, axis=None)
        shape = f"{W.shape[0]}x{W.shape[1]}"
        expected = [shape, "float32", f"{W.size * 4:,}", f"{effective_rank:.1f}", f"{kurtosis:.2f}"]
        assert rows[name] == expected
    assert rows["block.0.bias"] == ["48", "float32", "192", "-", "-"]
    assert rows["scale"] == ["scalar", "float64", "8", "-", "-"]
    assert "4 tensors, 20,168 bytes; 2 layers, 19,968 bytes" in out


def test_inspect_shows_layers_as_out_by_in(capsys, folder):
    write_tensors("keras.npz", {"kernel": np.arange(15.0).reshape(5, 3)})
    _, out, _ = in_process(capsys, "inspect", "keras.npz", "--orientation", "in_out")
    assert out.splitlines()[1].split()[:2] == ["kernel", "3x5"]


@pytest.mark.parametrize(
    ("W", "effective_rank", "kurtosis"),
    [
        (np.eye(8, dtype=ml_dtypes.bfloat16), "8.0", "3.14"),  # (1 - 6pq) / pq, p = 1/8
        (np.full((4, 4), 3.0), "1.0", "-3.00"),
        (np.zeros((4, 4)), "0.0", "-3.00"),
        (np.array([[1.0, -1.0], [-1.0, 1.0]]) * 1e300, "1.0", "-2.00"),
        (np.array([[1.0, -1.0], [-1.0, 1.0]]) * 1e-300, "1.0", "-2.00"),
    ],
)
def test_inspect_knows_the_extremes(capsys, folder, W, effective_rank, kurtosis):
    write_tensors("one.safetensors", {"w": W})
    _, out, _ = in_process(capsys, "inspect", "one.safetensors")
    assert out.splitlines()[1].split()[-2:] == [effective_rank, kurtosis]


def test_inspect_survives_a_layer_that_is_not_finite(capsys, folder):
    write_tensors("nan.safetensors", {"bad": np.full((3, 3), np.nan), "good": np.eye(3)})
    status, out, _ = in_process(capsys, "inspect", "nan.safetensors")
    assert status == 0
    assert out.count("not finite") == 2
    assert "3.0" in out


def test_inspect_shows_the_report_of_a_compressed_file(capsys, folder):
    status, out, _ = in_process(capsys, "inspect", "small.safetensors")
    small = layers.read_compressed("small.safetensors")
    assert status == 0
    assert out.splitlines()[1].split()[:2] == ["block.0.weight", "sparse"]
    assert f"{Path('small.safetensors').stat().st_size:,} bytes" in out
    assert f"of {small.original_bits // 8:,}" in out
    assert "errors" not in out  # a file that was read back knows none


# compress and expand


def test_compress_keeps_the_budget_and_equals_the_function(capsys, folder):
    argv = ["compress", "net.safetensors", "-o", "out.safetensors", "--budget", "0.3"]
    status, out, err = in_process(capsys, *argv, "--calibration", "acts.npz", "--seed", "3")
    assert (status, err) == (0, "")
    assert Path("out.safetensors").stat().st_size <= 0.3 * layers.read("net.safetensors").n_bytes
    calibration = layers.Calibration.from_arrays(dict(np.load("acts.npz", allow_pickle=False)))
    expected = layers.compress(
        layers.read("net.safetensors"), 0.3, calibration=calibration, random_state=3
    )
    written = layers.read_compressed("out.safetensors")
    assert written.factorizations == expected.factorizations
    assert written.to_dense() == expected.to_dense()
    for line in str(expected.report).splitlines()[:2]:
        assert line.split()[:7] == next(
            shown.split()[:7] for shown in out.splitlines() if shown.split()[:1] == line.split()[:1]
        )


def test_compress_takes_methods_with_commas_and_by_repeating(capsys, folder):
    argv = ["compress", "net.safetensors", "--budget", "0.4", "-o"]
    in_process(capsys, *argv, "a.npz", "--method", "low_rank,sparse")
    in_process(capsys, *argv, "b.npz", "--method", "low_rank", "--method", "sparse")
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
    forms = layers.read_compressed("a.npz").factorizations.values()
    assert {form.kind for form in forms} <= {"low_rank", "sparse", "dense"}


def test_compress_leaves_alone_what_is_not_chosen(capsys, folder):
    argv = ["compress", "net.safetensors", "--budget", "0.7", "--method", "sparse"]
    status, _, _ = in_process(
        capsys, *argv, "-o", "one.safetensors", "--include", r"re:block\..*", "--exclude",
        "block.1.weight",
    )  # fmt: skip
    small = layers.read_compressed("one.safetensors")
    assert status == 0
    assert list(small.factorizations) == ["block.0.weight"]
    np.testing.assert_array_equal(small.to_dense()["block.1.weight"], tensors()["block.1.weight"])


@pytest.mark.slow
def test_compress_does_not_depend_on_threads(capsys, folder):
    for n_threads in "12":
        argv = ["-o", f"t{n_threads}.safetensors", "--threads", n_threads, "--budget", "0.3"]
        assert main(["compress", "net.safetensors", *argv]) == 0
    assert Path("t1.safetensors").read_bytes() == Path("t2.safetensors").read_bytes()


def test_compress_reports_held_out_errors_and_writes_a_page(capsys, folder):
    argv = ["compress", "net.safetensors", "-o", "out.npz", "--budget", "0.4", "--method", "sparse"]
    moments = ["--calibration", "acts.npz", "--heldout", "acts.npz"]
    status, out, _ = in_process(capsys, *argv, *moments, "--report", "report.html")
    cells = out.splitlines()[1].split()
    header = out.splitlines()[0].split()
    assert status == 0
    assert cells[header.index("calibration")] == cells[header.index("held-out")]
    page = Path("report.html").read_text(encoding="utf-8")
    assert "block.0.weight" in page
    assert "wrote report.html" in out


def test_force_replaces_and_nothing_else_does(capsys, folder):
    Path("out.safetensors").write_text("precious")
    argv = ["compress", "net.safetensors", "-o", "out.safetensors", "--budget", "0.4"]
    assert in_process(capsys, *argv)[0] == 2
    assert Path("out.safetensors").read_text() == "precious"
    assert in_process(capsys, *argv, "--force")[0] == 0
    assert layers.read_compressed("out.safetensors").ratio <= 0.4


def test_expand_gives_what_stock_tools_load(capsys, folder):
    status, out, err = in_process(capsys, "expand", "small.safetensors", "-o", "dense.safetensors")
    assert (status, err) == (0, "")
    dense = load_file("dense.safetensors")
    assert {n: (a.shape, a.dtype) for n, a in dense.items()} == {
        n: (a.shape, a.dtype) for n, a in tensors().items()
    }
    expected = layers.read_compressed("small.safetensors").to_dense()
    assert all(np.array_equal(dense[name], expected[name]) for name in expected)
    assert "20,168 bytes" in out


# decompose


def test_decompose_splits_a_matrix(capsys, folder):
    status, out, err = in_process(capsys, "decompose", "M.npy", "-o", "parts.npz")
    assert (status, err) == (0, "")
    assert out.startswith("rank 1, 1 of 400 entries sparse")
    M, parts = np.load("M.npy"), np.load("parts.npz", allow_pickle=False)
    assert set(parts) == {
        "low_rank", "sparse", "singular_values", "components", "objective", "dual_gap",
    }  # fmt: skip
    low_rank, sparse = parts["low_rank"], parts["sparse"]
    np.testing.assert_allclose(low_rank + sparse, M, atol=1e-5 * np.abs(M).max())
    assert np.flatnonzero(np.abs(sparse) > 1e-3).tolist() == [3 * 20 + 4]
    nuclear = np.linalg.norm(low_rank, "nuc")
    assert parts["objective"] == pytest.approx(nuclear + np.abs(sparse).sum() / np.sqrt(20))
    assert 0 <= parts["dual_gap"] < 1e-3
    np.testing.assert_allclose(parts["singular_values"], [nuclear])
    np.testing.assert_allclose(low_rank @ parts["components"].T @ parts["components"], low_rank)


def test_decompose_takes_the_solvers_defaults(capsys, folder, monkeypatch):
    solve, seen = solvers.principal_component_pursuit, {}

    def spy(X, **options):
        seen.update(options)
        return solve(X, **options)

    monkeypatch.setattr(solvers, "principal_component_pursuit", spy)
    in_process(capsys, "decompose", "M.npy", "-o", "parts.npz")
    defaults = inspect.signature(solve).parameters
    assert {name: defaults[name].default for name in ("alpha", "tol", "max_iter")} == {
        name: seen[name] for name in ("alpha", "tol", "max_iter")
    }
    _, help_text, _ = in_process(capsys, "decompose", "--help")
    assert f"default {seen['max_iter']}" in help_text


@pytest.mark.parametrize("tol", ["1e-7", "0.1"])
def test_decompose_says_what_the_certificate_is(capsys, folder, tol):
    X = np.random.default_rng(0).standard_normal((20, 20))
    X = X if tol == "0.1" else np.load("M.npy")
    np.save("X.npy", X)
    _, out, _ = in_process(capsys, "decompose", "X.npy", "-o", "p.npz", "--tol", tol)
    parts = np.load("p.npz")
    split = parts["low_rank"] + parts["sparse"]
    known = {
        "residual": np.linalg.norm(X - split) / np.linalg.norm(X),
        "duality gap": float(parts["dual_gap"]),
    }
    certificate, what = re.search(
        r"certificate ([\d.e+-]+) \(the relative ([\w ]+)\)", out
    ).groups()
    assert what == ("duality gap" if tol == "0.1" else "residual")
    assert float(certificate) == pytest.approx(known.pop(what), rel=0.05)
    assert float(certificate) != pytest.approx(*known.values(), rel=0.05)


def test_the_tolerances_of_decompose_are_the_solvers():
    from sparsecode.cli.decompose import METHODS

    for name, tol, _ in METHODS.values():
        assert inspect.signature(getattr(solvers, name)).parameters["tol"].default == tol


def noisy_parts(**kwargs):
    rng = np.random.default_rng(0)
    X = np.load("M.npy") + 1e-3 * rng.standard_normal((20, 20))
    for index in kwargs.get("missing", ()):
        X[index] = np.nan
    np.save("X.npy", X)
    return X


def test_decompose_by_other_methods(capsys, folder):
    X = noisy_parts()
    for options, solve in (
        (["--method", "stable", "--sigma", "1e-3"], lambda X: solvers.stable_pcp(X, 1e-3)),
        (
            ["--method", "alternating_projections", "--rank", "1", "--tol", "1e-2"],
            lambda X: solvers.alternating_projections(X, 1, tol=1e-2),
        ),
        (
            ["--method", "godec", "--rank", "1", "--n-outliers", "1"],
            lambda X: solvers.godec(X, 1, 1),
        ),
    ):
        arguments = ["decompose", "X.npy", "-o", "p.npz", "--force", *options]
        status, out, err = in_process(capsys, *arguments)
        assert (status, err) == (0, "")
        parts, result = np.load("p.npz"), solve(X)
        np.testing.assert_array_equal(parts["low_rank"], result.low_rank)
        np.testing.assert_array_equal(parts["dual_gap"], result.dual_gap)
        assert ("duality gap" in out) is (options[1] == "stable")


def test_decompose_leaves_out_what_is_missing(capsys, folder):
    X = noisy_parts(missing=[(2, 3), (5, 5)])
    check_refused(capsys, folder, ["decompose", "X.npy", "-o", "x.npz"], "contains NaN")
    assert main(["decompose", "X.npy", "-o", "p.npz", "--missing"]) == 0
    parts = np.load("p.npz")
    assert np.all(np.isfinite(parts["low_rank"]))
    assert not parts["sparse"][np.isnan(X)].any()


def test_decompose_maps_a_large_file(capsys, folder, monkeypatch):
    from sparsecode._mapped import mapping_of
    from sparsecode.cli import decompose

    assert mapping_of(decompose.read_matrix("M.npy")) is None
    assert main(["decompose", "M.npy", "-o", "read.npz"]) == 0
    monkeypatch.setattr(decompose, "MAPPED", 100)
    assert mapping_of(decompose.read_matrix("M.npy")) is not None
    assert main(["decompose", "M.npy", "-o", "mapped.npz"]) == 0
    assert Path("mapped.npz").read_bytes() == Path("read.npz").read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, ">f8", np.int16, bool])
def test_decompose_reads_every_kind_of_real_matrix(capsys, folder, dtype):
    np.save("A.npy", np.asfortranarray(np.load("M.npy").astype(dtype)))
    assert main(["decompose", "A.npy", "-o", "A.npz", "--alpha", "0.3"]) == 0
    assert np.load("A.npz")["low_rank"].shape == (20, 20)


def test_decompose_says_when_it_did_not_converge_and_still_writes(capsys, folder):
    status, _, err = in_process(capsys, "decompose", "M.npy", "-o", "p.npz", "--max-iter", "2")
    assert status == 1
    assert re.fullmatch(r"sparsecode: warning: .*did not converge.*max_iter.*\n", err)
    assert "low_rank" in np.load("p.npz")


def hostile_npy(shape, dtype="<f8", data=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + data


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        (b"not an array at all", "magic"),
        (hostile_npy((1 << 20, 1 << 20)), "asks for 8796093022208 bytes"),
        (hostile_npy((3, 3), data=b"\0" * 71), "asks for 72 bytes of data, and it holds 71"),
        (hostile_npy((-1, -9), data=b"\0" * 72), "cannot be read"),
        (hostile_npy((2, 2), dtype="|O"), "real numbers are needed"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9001) + b"-" * 9000 + b"1", "cannot be read"),
        (saved(np.zeros(4)), "two axes"),
        (saved(np.zeros((2, 2, 2))), "two axes"),
        (saved(np.zeros((2, 2), complex)), "real numbers are needed"),
        (saved(np.array([["a"]])), "real numbers are needed"),
        (saved(np.array([[1.0, np.nan]])), "NaN"),
        (saved(np.zeros((0, 3))), "empty"),
    ],
)
def test_decompose_refuses_what_is_no_matrix(capsys, folder, content, reason):
    Path("bad.npy").write_bytes(content)
    check_refused(capsys, folder, ["decompose", "bad.npy", "-o", "x.npz"], reason)


def test_decompose_does_not_take_a_lack_of_memory_for_damage(capsys, folder, monkeypatch):
    from sparsecode import _memory

    def fail(*args, **kwargs):
        raise MemoryError("Unable to allocate")

    np.save("large.npy", np.zeros((400, 400)))
    monkeypatch.setattr(np, "load", fail)  # by others' use of it: the check saw enough
    argv = ["decompose", "large.npy", "-o", "x.npz"]
    check_refused(capsys, folder, argv, "not enough memory", "Unable to allocate")
    monkeypatch.setattr(_memory, "_machine", lambda: 2**20)
    estimate = "not enough memory for this input (the matrix in large.npy would take 0.00119 GiB"
    check_refused(capsys, folder, argv, estimate)


def test_decompose_never_unpickles(capsys, folder):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, ("exploded",))

    array = np.empty((1, 1), object)
    array[0, 0] = Bomb()
    Path("bomb.npy").write_bytes(hostile_npy((1, 1), dtype="|O"))
    with open("bomb.npy", "ab") as file:
        import pickle

        pickle.dump(array, file)
    check_refused(capsys, folder, ["decompose", "bomb.npy", "-o", "x.npz"], "real numbers")
    assert not Path("exploded").exists()


# warmup


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_warmup_compiles_every_kernel_for_both_precisions(capsys):
    import importlib
    import pkgutil

    from sparsecode.solvers import _kernels

    status, out, _ = in_process(capsys, "warmup")
    assert status == 0
    assert out.startswith("all kernels are compiled")
    dispatchers = {
        f"{found.name}.{name}": value
        for found in pkgutil.iter_modules(_kernels.__path__)
        for name, value in vars(
            importlib.import_module(f"{_kernels.__name__}.{found.name}")
        ).items()
        if hasattr(value, "nopython_signatures") and not name.startswith("_")  # those are callees
    }
    assert len(dispatchers) >= 3
    for name, dispatcher in dispatchers.items():
        signatures = [str(signature) for signature in dispatcher.nopython_signatures]
        # These compute in double whatever they are given.
        double = name.split(".")[0] in ("clusters", "homotopy", "subspace")
        for precision in ("float64",) if double else ("float32", "float64"):
            found = any(f"Array({precision}" in signature for signature in signatures)
            assert found, f"{name} is not compiled for {precision}: {signatures}"


# Bad input: exit status 2, one line that says what to do, nothing written


def check_refused(capsys, folder, argv, *words):
    before = listing(folder)
    status, out, err = in_process(capsys, *argv)
    assert status == 2
    assert out == ""
    assert re.fullmatch(r"sparsecode: error: [^\n]{10,}\n", err), err
    for word in words:
        assert word in err, err
    assert listing(folder) == before


COMPRESS = ["compress", "net.safetensors", "-o", "x.safetensors"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["name a command", "compress", "sparsecode --help"]),
        (["shrink"], ["shrink", "compress"]),
        (["inspect"], ["FILE", "sparsecode inspect --help"]),
        (["compress", "net.safetensors"], ["-o"]),
        ([*COMPRESS, "--meth", "sparse"], ["--meth"]),
        ([*COMPRESS, "--budget", "much"], ["--budget", "much"]),
        ([*COMPRESS, "--budget", "0"], ["--budget", "(0, 1]"]),
        ([*COMPRESS, "--budget", "1.5"], ["--budget", "1.5"]),
        ([*COMPRESS, "--budget", "nan"], ["--budget", "nan"]),
        ([*COMPRESS, "--budget", "0.001"], ["budget", "20 bytes"]),
        ([*COMPRESS, "--seed", "-1"], ["--seed", "-1"]),
        ([*COMPRESS, "--threads", "0"], ["--threads", "0"]),
        ([*COMPRESS, "--method", "magic"], ["--method", "magic", *layers.FAMILIES, "'all'"]),
        ([*COMPRESS, "--method", "sparse,"], ["--method", "''"]),
        ([*COMPRESS, "--include", "blok.0.weight"], ["blok", "mean", "block.0.weight"]),
        ([*COMPRESS, "--include", "re:blok.*"], ["re:blok.*", "matches no layer", "block.0"]),
        ([*COMPRESS, "--exclude", "re:["], ["re:[", "regular expression"]),
        ([*COMPRESS, "--exclude", "re:.*"], ["exclude", "layers"]),
        ([*COMPRESS, "--calibration", "none.npz"], ["none.npz"]),
        ([*COMPRESS, "--calibration", "renamed.npz"], ["renamed.npz", "'blok'", "block.0.weight"]),
        ([*COMPRESS, "--calibration", "wide.npz"], ["wide.npz", "65 columns", "64 inputs"]),
        ([*COMPRESS, "--heldout", "renamed.npz"], ["renamed.npz"]),
        ([*COMPRESS, "--calibration", "no_arrays.npz"], ["no_arrays.npz", "no arrays"]),
        ([*COMPRESS, "--report", "x.safetensors"], ["two outputs"]),
        ([*COMPRESS, "--report", "nowhere/r.html"], ["nowhere", "create it"]),
        ([*COMPRESS, "--report", "acts.npz", "--calibration", "acts.npz"], ["acts.npz", "input"]),
        ([*COMPRESS, "--report", "r.txt"], ["--report", ".html", "r.txt"]),
        ([*COMPRESS, "--manifest", "record"], ["--manifest", ".json", "record"]),
        ([*COMPRESS, "--recipe", "words.npz"], ["words.npz", ".toml or .json"]),
        (["frontier", "only_bias.npz", "-o", "x.html"], ["only_bias.npz has no layer"]),
        (["frontier", "net.safetensors", "-o", "x.html", "--exclude", "re:.*"], ["--exclude"]),
        (["frontier", "net.safetensors", "-o", "x.txt"], ["-o", ".html", "x.txt"]),
        (["compress", "net.safetensors", "-o", "net.safetensors", "--force"], ["is the input"]),
        (["compress", "net.safetensors", "-o", "link.safetensors", "--force"], ["is the input"]),
        (["compress", "net.safetensors", "-o", "small.safetensors"], ["exists", "--force"]),
        (["compress", "net.safetensors", "-o", "x.pt"], [".pt", ".safetensors"]),
        (["compress", "net.safetensors", "-o", "nowhere/x.npz"], ["nowhere", "create it"]),
        (["compress", "net.safetensors", "-o", "sub"], ["folder"]),
        (["compress", "small.safetensors", "-o", "x.npz"], ["compressed already", "expand"]),
        (["compress", "only_bias.npz", "-o", "x.npz"], ["no layer"]),
        (["inspect", "none.safetensors"], ["no file none.safetensors"]),
        (["inspect", "sub"], ["folder"]),
        (["inspect", "net.pt"], [".pt", ".safetensors"]),
        (
            ["inspect", "small.safetensors", "--orientation", "in_out"],
            ["--orientation", "small.safetensors", "leave it out"],
        ),
        (["inspect", "cut.safetensors"], ["cut.safetensors", "cannot be read"]),
        (["inspect", "words.npz"], ["words.npz", "cannot be read"]),
        (["expand", "net.safetensors", "-o", "x.npz"], ["no compressed network"]),
        (["expand", "small.safetensors", "-o", "small.safetensors"], ["is the input"]),
        (["expand", "small.safetensors", "-o", "acts.npz"], ["exists", "--force"]),
        (["expand", "forged.safetensors", "-o", "x.npz"], ["forged.safetensors", "damaged"]),
        (["decompose", "M.npy", "-o", "M.npy"], ["is the input"]),
        (["decompose", "M.npy", "-o", "x.csv"], [".csv", ".npz"]),
        (["decompose", "M.npy", "-o", "x.npz", "--alpha", "0"], ["--alpha"]),
        (["decompose", "M.npy", "-o", "x.npz", "--tol", "-1"], ["--tol"]),
        (["decompose", "M.npy", "-o", "x.npz", "--max-iter", "0"], ["--max-iter"]),
        (["decompose", "M.npy", "-o", "x.npz", "--rank", "2"], ["--rank", "--method pcp"]),
        (["decompose", "M.npy", "-o", "x.npz", "--sigma", "1"], ["--sigma", "--method pcp"]),
        (["decompose", "M.npy", "-o", "x.npz", "--method", "stable"], ["needs --sigma"]),
        (
            ["decompose", "M.npy", "-o", "x.npz", "--method", "alternating_projections"],
            ["needs --rank"],
        ),
        (
            ["decompose", "M.npy", "-o", "x.npz", "--method", "godec", "--rank", "1"],
            ["needs --n-outliers"],
        ),
        (["demo", "-o", "net.safetensors"], ["is a file", "-o"]),
        (["demo", "-o", ""], ["--output has to name a file or folder"]),
        (["demo", "-o", "new", "--budget", "2"], ["--budget"]),
        (["demo", "-o", "new", "--seed", "-5"], ["--seed"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line(capsys, folder, argv, words):
    Path("sub").mkdir()
    Path("net.pt").write_bytes(b"PK")
    Path("cut.safetensors").write_bytes(Path("net.safetensors").read_bytes()[:-5])
    Path("words.npz").write_text("many\nlines\nof text")
    os.link("net.safetensors", "link.safetensors")
    zipfile.ZipFile("no_arrays.npz", "w").close()
    write_tensors("renamed.npz", {"blok": np.ones((3, 64))})
    write_tensors("wide.npz", {"block.0.weight": np.ones((3, 65))})
    write_tensors("only_bias.npz", {"b": np.ones(3)})
    write_tensors("forged.safetensors", {"w": np.eye(2)}, {"sparsecode.compressed": '{"format":1}'})
    check_refused(capsys, folder, argv, *words)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_cannot_be_written(capsys, folder):
    Path("locked").mkdir()
    Path("locked").chmod(0o500)
    argv = ["compress", "net.safetensors", "-o", "locked/x.safetensors"]
    check_refused(capsys, folder, argv, "locked/x.safetensors", "read-only")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "x.safetensors"), "x.safetensors: Permission"),
        (OSError(28, "No space left on device"), "No space left"),
        (MemoryError(), "not enough memory"),
        (ValueError("there are two\nlines"), "there are two lines"),
    ],
)
def test_what_goes_wrong_late_is_one_line_too(capsys, folder, monkeypatch, error, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(layers.CompressedNetwork, "write", fail)
    check_refused(capsys, folder, [*COMPRESS, "--budget", "0.5", "--method", "sparse"], words)


def test_a_fault_of_ours_keeps_its_traceback(capsys, folder, monkeypatch):
    def fail(*args, **kwargs):
        raise TypeError("a bug")

    monkeypatch.setattr(layers, "compress", fail)
    with pytest.raises(TypeError, match="a bug"):
        main(COMPRESS)


# Interrupts and pipes


@pytest.mark.parametrize("where", ["sparsecode.layers.compress", "sparsecode._files.os.replace"])
def test_an_interrupt_leaves_nothing_half_written(capsys, folder, monkeypatch, where):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    before = listing(folder)
    monkeypatch.setattr(where, interrupt)
    status, out, err = in_process(capsys, *COMPRESS, "--budget", "0.5", "--method", "sparse")
    assert (status, out) == (130, "")
    assert err.count("\n") == 1
    assert listing(folder) == before


def test_an_interrupted_compression_goes_on_to_the_same_bytes(capsys, folder, monkeypatch):
    command = [*COMPRESS, "--budget", "0.5", "--method", "sparse"]
    assert in_process(capsys, *command)[0] == 0
    whole = (folder / "x.safetensors").read_bytes()
    (folder / "x.safetensors").unlink()
    (folder / "x.safetensors.manifest.json").unlink()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(layers.CompressedNetwork, "write", interrupt)
        assert in_process(capsys, *command)[0] == 130
    kept = folder / "x.safetensors.checkpoint"
    assert any(kept.iterdir())
    with monkeypatch.context() as patched:  # nothing is fitted again
        patched.setattr(
            "sparsecode.layers.pricing.factorize", lambda *a, **k: pytest.fail("fitted")
        )
        assert in_process(capsys, *command)[0] == 0
    assert (folder / "x.safetensors").read_bytes() == whole
    assert not kept.exists()


def test_a_folder_of_somebody_else_is_not_taken_for_a_checkpoint(capsys, folder):
    theirs = folder / "x.safetensors.checkpoint"
    theirs.write_text("a file")
    check_refused(capsys, folder, COMPRESS, "x.safetensors.checkpoint is a file", "another output")
    theirs.unlink()
    for name in ("notes.txt", f"{64 * 'a'}.json.bak", f"{64 * 'a'}.json/inner"):
        (theirs / name).parent.mkdir(parents=True)
        (theirs / name).write_text("kept")
        first = name.split("/")[0]
        check_refused(capsys, folder, [*COMPRESS, "--force"], f"checkpoint holds '{first}'")
        assert (theirs / name).read_text() == "kept"
        shutil.rmtree(theirs)


def test_what_somebody_puts_into_the_checkpoint_stays(capsys, folder, monkeypatch):
    theirs, write = folder / "x.safetensors.checkpoint", layers.CompressedNetwork.write

    def put(small, path):
        assert any(theirs.iterdir())
        (theirs / "notes.txt").write_text("kept")
        write(small, path)

    monkeypatch.setattr(layers.CompressedNetwork, "write", put)
    assert in_process(capsys, *COMPRESS, "--budget", "0.5", "--method", "sparse")[0] == 0
    assert [path.name for path in theirs.iterdir()] == ["notes.txt"]


def test_a_layer_that_fails_is_kept_and_said(capsys, folder):
    weights = {"good": np.random.default_rng(0).standard_normal((40, 40)), "bad": np.eye(40)}
    weights["bad"][3, 4] = np.nan
    write_tensors("nan.npz", weights)
    command = ["compress", "nan.npz", "-o", "x.npz", "--budget", "0.9", "--method", "sparse"]
    status, _, err = in_process(capsys, *command)
    assert status == 1
    assert "the layer 'bad': sparse failed on it: W contains NaN" in err
    dense = layers.read_compressed("x.npz").to_dense()
    np.testing.assert_array_equal(dense["bad"], weights["bad"])


def test_the_manifest_records_what_was_made_of_what(capsys, folder):
    command = [*COMPRESS, "--budget", "0.5", "--method", "sparse", "--calibration", "acts.npz"]
    assert in_process(capsys, *command)[0] == 0
    record = json.loads((folder / "x.safetensors.manifest.json").read_bytes())
    for what, name in (("input", "net.safetensors"), ("output", "x.safetensors")):
        data = (folder / name).read_bytes()
        assert record["files"][what]["sha256"] == hashlib.sha256(data).hexdigest()
        assert record["files"][what]["bytes"] == len(data)
    assert record["files"]["calibration"]["name"] == "acts.npz"
    assert sum(record["bits"].values()) == 8 * record["files"]["output"]["bytes"]
    assert 0 < record["allocation"]["bound"] <= record["allocation"]["error"]
    assert all(row["calibration_error"] < 1 for row in record["layers"])


def test_the_manifest_is_a_recipe_that_makes_the_same_file(capsys, folder):
    command = ["compress", "net.safetensors", "--calibration", "acts.npz"]
    first = [*command, "-o", "x.npz", "--budget", "0.5", "--method", "low_rank,sparse"]
    assert in_process(capsys, *first)[0] == 0
    recipe = ["--recipe", "x.npz.manifest.json", "-o", "y.npz"]
    assert in_process(capsys, *command, *recipe)[0] == 0
    assert (folder / "x.npz").read_bytes() == (folder / "y.npz").read_bytes()
    status, _, err = in_process(capsys, *command, *recipe, "--force", "--method", "sparse")
    assert status == 2
    assert "--method and --seed are not used with --recipe" in err


def test_a_size_in_words_and_an_error(capsys, folder):
    assert in_process(capsys, *COMPRESS, "--budget", "12 kB", "--method", "sparse")[0] == 0
    assert 10_000 < (folder / "x.safetensors").stat().st_size <= 12_000
    error = ["--max-error", "0.3", "--method", "sparse", "--force"]
    assert in_process(capsys, *COMPRESS, *error)[0] == 0
    record = json.loads((folder / "x.safetensors.manifest.json").read_bytes())
    assert np.mean([row["weight_error"] for row in record["layers"]]) <= 0.3
    assert in_process(capsys, *COMPRESS, *error, "--budget", "0.5")[0] == 2


def test_frontier_writes_a_page(capsys, folder):
    command = ["frontier", "net.safetensors", "-o", "f.html", "--method", "low_rank,sparse"]
    status, out, _ = in_process(capsys, *command, "--calibration", "acts.npz")
    assert status == 0
    assert "block.0.weight" in out
    page = (folder / "f.html").read_text()
    assert page.count("<img") == len(layers.read("net.safetensors").layers)
    assert in_process(capsys, *command)[0] == 2  # f.html exists


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently")
def test_a_reader_that_leaves_is_no_error(folder):
    command = [sys.executable, "-m", "sparsecode", "inspect", "net.safetensors"]
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(write)
    assert run.stderr == b""
    assert run.returncode == 141


def test_output_that_is_piped_is_plain(folder):
    argv = ["compress", "net.safetensors", "-o", "x.npz", "--budget", "0.4", "--method", "sparse"]
    run = in_new_process(*argv)
    assert run.returncode == 0
    assert "\x1b" not in run.stdout + run.stderr
    assert run.stdout.isascii()
    again = in_new_process(*argv)
    assert again.returncode == 2
    assert again.stdout == ""
    assert again.stderr.count("\n") == 1
    assert "Traceback" not in again.stderr


# Names that others wrote

HOSTILE = "[red]\x1b[2J<b>\u202e\nnaïve.weight"


def test_hostile_names_cannot_reach_the_terminal(capsys, folder):
    write_tensors("evil.npz", {HOSTILE: np.eye(4)})
    for argv in (["inspect", "evil.npz"], [*COMPRESS, "--include", HOSTILE]):
        status, out, err = in_process(capsys, *argv)
        assert "[red]" in out + err
        assert "\\x1b[2J" in out + err
        assert "\x1b" not in out + err
        assert "\u202e" not in out + err
        assert len((out if status == 0 else err).splitlines()) == (3 if status == 0 else 1)


def test_names_show_in_any_encoding(folder):
    write_tensors("evil.npz", {HOSTILE: np.eye(4)})
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    run = in_new_process("inspect", "evil.npz", env=environment)
    assert run.returncode == 0, run.stderr
    assert "na\\xefve.weight" in run.stdout


# The terminal


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A function that makes both streams a terminal of some width."""

    def of(width):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")

    return of


HEADER = ["name", *(f"column {i}" for i in range(8))]
ROWS = [["[bold]a" + "x" * 60, *["123,456,789"] * 8], ["b", *["-"] * 8]]


@pytest.mark.parametrize("width", [40, 80, 120, 400])
def test_a_table_fits_the_terminal_and_loses_nothing(capsys, terminal, width):
    terminal(width)
    print_table(HEADER, ROWS)
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= width
    assert out.count("123,456,789") == 8
    assert all(len(re.findall(rf"(?<!\d){i}(?!\d)", out)) == 1 for i in range(8))
    assert "[bold]a" in out


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capsys):
    print_table(HEADER, ROWS)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_work_that_is_short_shows_no_progress(capsys):
    with Progress("thinking") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_without_a_terminal_is_a_few_lines(capsys, monkeypatch):
    monkeypatch.setattr(_terminal, "SHORT", 0.0)
    with Progress("thinking") as progress:
        progress._timer.join()
        for done in range(1, 6):
            progress(done, 5)
        progress.stage("writing")
    progress(1, 1)  # from a thread that comes late
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["thinking ...", "writing ..."]


def test_progress_on_a_terminal_is_a_bar(capsys, terminal, monkeypatch):
    terminal(80)
    monkeypatch.setattr(_terminal, "SHORT", 0.0)
    with Progress("thinking") as progress:
        progress._timer.join()
        progress(5, 5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "thinking" in err
    assert "100%" in err


def test_the_console_script_is_installed():
    script = shutil.which("sparsecode", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the package is not installed in this environment")
    run = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"sparsecode {__version__}\n"
