"""A network of digits in few bytes: ``python benchmarks/layers/digits_cnn.py``.

A convolutional network is trained by torch on 1,257 of the 1,797 images of `load_digits` (about
half a minute), written as an ONNX model, and stored in a quarter, an eighth and a sixteenth of its
bytes: by every method alone at the same share of every layer, and by all of them with the best
allocation. Each file is read again, written as a dense model, and run by onnxruntime and by torch
on the 540 images that were held out. ``--tiny`` trains for two epochs and stores it once.
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


def compressed_row(
    model: Path, module: DigitsCNN, method: str, share: float, inputs: np.ndarray, test: tuple
) -> list[str]:
    """What one method makes of the model in a share of its bytes, read back from its file."""
    network = layers.read(model)
    calibration = layers.calibrate(network, {"images": inputs})
    try:
        small = layers.compress(network, share, methods=method, calibration=calibration)
    except layers.BudgetError:
        return [method, f"1/{1 / share:g}", "-", "not possible", "-", "-"]
    folder = model.parent
    small.write(folder / "small.safetensors")
    again = layers.read_compressed(folder / "small.safetensors")
    again.to_dense().write(folder / "dense.onnx")
    return [
        method,
        f"1/{1 / share:g}",
        f"{(folder / 'small.safetensors').stat().st_size:,}",
        f"{accuracy_in_onnxruntime(folder / 'dense.onnx', *test):.1%}",
        f"{accuracy_in_torch(layers.to_torch(again, module, factored=False), *test):.1%}",
        f"{accuracy_in_torch(layers.to_torch(again, module), *test):.1%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two epochs, one compression")
    parser.add_argument("--keep", metavar="FOLDER", help="where model.onnx and the files stay")
    args = parser.parse_args()
    X_train, X_test, y_train, y_test = data()
    module = trained(X_train, y_train, 2 if args.tiny else EPOCHS)
    header = ["method", "share", "bytes", "onnxruntime", "torch, dense", "torch, factors"]
    methods = ["sparse"] if args.tiny else [*(m for m in layers.FAMILIES if m != "dense"), "all"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        to_onnx(module, folder / "model.onnx")
        test = X_test, y_test
        rows = [
            [
                "original",
                "1",
                f"{(folder / 'model.onnx').stat().st_size:,}",
                f"{accuracy_in_onnxruntime(folder / 'model.onnx', *test):.1%}",
                f"{accuracy_in_torch(module, *test):.1%}",
                "-",
            ]
        ]
        for share in SHARES[:1] if args.tiny else SHARES:
            for method in methods:
                inputs = X_train[:CALIBRATION]
                rows.append(
                    compressed_row(folder / "model.onnx", module, method, share, inputs, test)
                )
    print(text_table(header, rows))


if __name__ == "__main__":
    main()
