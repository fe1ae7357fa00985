"""A network of digits in few bytes: ``python benchmarks/layers/digits_cnn.py``.

A convolutional network is trained by torch on 1,257 of the 1,797 images of `load_digits` (about
half a minute), written as an ONNX model, and stored in a quarter, an eighth and a sixteenth of its
bytes: by every method alone at the same share of every layer, by each with the best allocation,
and by all of them. Each file is read again, written as a dense model, and run by onnxruntime and by
torch, dense and as factors, on the 540 images that were held out: one number where all agree, and
the size of the file.
``--tiny`` trains for two epochs and stores it once.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sparsecode import layers
from sparsecode.layers.report import text_table

EPOCHS, BATCH, RATE = 40, 64, 2e-3
SHARES = (1 / 4, 1 / 8, 1 / 16)
CALIBRATION = 512


class DigitsCNN(nn.Module):
    """Three convolutions and two linear layers: 57,034 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(256, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of the ten digits for images (n, 1, 8, 8)."""
        x = torch.relu(self.conv1(images))
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv3(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images for training and for testing, and their digits."""
    X, y = load_digits(return_X_y=True)
    images = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    X_train, X_test, y_train, y_test = train_test_split(
        images, y, test_size=540, random_state=0, stratify=y
    )
    return X_train, X_test, y_train, y_test


def trained(X: np.ndarray, y: np.ndarray, epochs: int) -> DigitsCNN:
    """Adam with a falling rate, the same weights each time."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the order of sums, and so the weights, would hang on it
    module, images, digits = DigitsCNN(), torch.as_tensor(X), torch.as_tensor(y)
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images[rows]), digits[rows]).backward()
            optimizer.step()
        schedule.step()
    return module.eval()


def to_onnx(module: DigitsCNN, path: Path) -> None:
    """The same graph under the same names, so that one compressed file serves both."""
    node, pads = helper.make_node, {"pads": [1, 1, 1, 1]}
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Conv", ["images", "conv1.weight", "conv1.bias"], ["c1"], **pads),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], **pads),
        node("Relu", ["c2"], ["r2"]),
        node("MaxPool", ["r2"], ["p2"], **pool),
        node("Conv", ["p2", "conv3.weight", "conv3.bias"], ["c3"], **pads),
        node("Relu", ["c3"], ["r3"]),
        node("MaxPool", ["r3"], ["p3"], **pool),
        node("Flatten", ["p3"], ["f"]),
        node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["g1"], transB=1),
        node("Relu", ["g1"], ["r4"]),
        node("Gemm", ["r4", "fc2.weight", "fc2.bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(t.numpy(), name) for name, t in module.state_dict().items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def accuracy_in_onnxruntime(path: Path, X: np.ndarray, y: np.ndarray) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"images": X})
    return float(np.mean(scores.argmax(axis=1) == y))


def accuracy_in_torch(module: nn.Module, X: np.ndarray, y: np.ndarray) -> float:
    with torch.no_grad():
        return float(np.mean(module(torch.as_tensor(X)).numpy().argmax(axis=1) == y))


def at_equal_shares(
    network: layers.Network, method: str, budget: float, calibration: layers.Calibration
) -> layers.CompressedNetwork | None:
    """One method, the same share of every layer: the largest that fits, in the best of its numbers.

    None where the smallest layers have no such form.
    """
    found = []
    for options in layers.FAMILIES[method].variants:
        low, high, fitting = budget / 2, budget, None
        for _ in range(6):
            share = (low + high) / 2
            rule = layers.Rule(match="re:.*", methods=[method], options=options, share=share)
            try:
                small = layers.compress(network, 1.0, rules=[rule], calibration=calibration)
            except layers.BudgetError:  # the share is too small for a layer
                low = share
                continue
            if small.bits <= 8 * int(budget * network.n_bytes):
                low, fitting = share, small
            else:
                high = share
        found += [] if fitting is None else [fitting]
    errors = [small.report.mean_error("calibration_error") for small in found]
    return found[int(np.argmin(errors))] if found else None


def allocated(
    network: layers.Network, method: str, budget: float, calibration: layers.Calibration
) -> layers.CompressedNetwork | None:
    """Bits given to the layers where they gain most."""
    try:
        return layers.compress(network, budget, methods=method, calibration=calibration)
    except layers.BudgetError:
        return None


def accuracies(
    small: layers.CompressedNetwork, module: DigitsCNN, folder: Path, test: tuple
) -> str:
    """Read back from its file: in onnxruntime, in torch, and in torch as factors; its bytes."""
    path = folder / "small.safetensors"
    small.write(path)
    again = layers.read_compressed(path)
    again.to_dense().write(folder / "dense.onnx")
    found = [
        f"{accuracy_in_onnxruntime(folder / 'dense.onnx', *test):.1%}",
        f"{accuracy_in_torch(layers.to_torch(again, module, factored=False), *test):.1%}",
        f"{accuracy_in_torch(layers.to_torch(again, module), *test):.1%}",
    ]
    told = found[0] if len(set(found)) == 1 else ", ".join(found)
    return f"{told} in {path.stat().st_size:,} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two epochs, one compression")
    parser.add_argument("--keep", metavar="FOLDER", help="where model.onnx and the files stay")
    args = parser.parse_args()
    X_train, X_test, y_train, y_test = data()
    module = trained(X_train, y_train, 2 if args.tiny else EPOCHS)
    shares = SHARES[:1] if args.tiny else SHARES
    methods = [m for m in layers.FAMILIES if m != "dense"]
    ways = [(method, at_equal_shares) for method in methods]
    ways += [(method, allocated) for method in [*methods, "all"]]
    ways = [("sparse", allocated)] if args.tiny else ways
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        to_onnx(module, folder / "model.onnx")
        test = X_test, y_test
        network = layers.read(folder / "model.onnx")
        calibration = layers.calibrate(network, {"images": X_train[:CALIBRATION]})
        before = (
            accuracy_in_onnxruntime(folder / "model.onnx", *test),
            accuracy_in_torch(module, *test),
        )
        told = f"{before[0]:.1%} in onnxruntime, {before[1]:.1%} in torch"
        print(f"original: {told}, {network.n_bytes:,} bytes of arrays")
        rows = []
        for method, way in ways:
            row = [method, way.__name__.replace("_", " ")]
            for share in shares:
                small = way(network, method, share, calibration)
                row.append("-" if small is None else accuracies(small, module, folder, test))
            rows.append(row)
    header = ["method", "bits", *(f"1/{1 / share:g}" for share in shares)]
    print(text_table(header, rows))


if __name__ == "__main__":
    main()
