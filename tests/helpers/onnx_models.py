"""Small ONNX models with every way to use a weight."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def weights(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "conv.w": (16, 3, 3, 3),
        "conv.b": (16,),
        "depthwise.w": (16, 1, 3, 3),
        "gemm.w": (24, 16),
        "gemm.b": (24,),
        "turned.w": (24, 20),
        "right.w": (20, 18),
        "left.w": (12, 18),
        "shared.w": (12, 12),
        "const.w": (12, 14),
    }
    return {n: 0.3 * rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


def nodes(arrays):
    node = helper.make_node
    constant = numpy_helper.from_array(arrays["const.w"], "a name of its own")
    return [
        node("Conv", ["x", "conv.w", "conv.b"], ["c1"], strides=[2, 1], pads=[1, 0, 1, 2]),
        node("Relu", ["c1"], ["c2"]),
        node("Conv", ["c2", "depthwise.w"], ["c3"], group=16, pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["c3"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "gemm.w", "gemm.b"], ["g1"], transB=1, alpha=0.5, beta=2.0),
        node("Gemm", ["g1", "turned.w"], ["g2"], alpha=1.5),
        node("MatMul", ["g2", "right.w"], ["m1"]),
        node("Transpose", ["m1"], ["t1"], perm=[1, 0]),
        node("MatMul", ["left.w", "t1"], ["m2"]),
        node("Transpose", ["m2"], ["t2"], perm=[1, 0]),
        node("MatMul", ["t2", "shared.w"], ["s1"]),
        node("Relu", ["s1"], ["s2"]),
        node("MatMul", ["s2", "shared.w"], ["s3"]),
        node("Constant", [], ["const"], value=constant),
        node("MatMul", ["s3", "const"], ["y"]),
    ]


LAYERS = {  # name: (n_outputs, n_inputs), transposed, kernel
    "conv.w": ((16, 27), False, (3, 3)),
    "gemm.w": ((24, 16), False, ()),
    "turned.w": ((20, 24), True, ()),
    "right.w": ((18, 20), True, ()),
    "left.w": ((12, 18), False, ()),
    "shared.w": ((12, 12), True, ()),
    "const": ((14, 12), True, ()),
}


def model(all_nodes=None, arrays=None, *, inputs=None, outputs=("y",), opset=17, **kwargs):
    """A model in an old enough dialect for any runtime; its Constant's tensor is no initializer."""
    arrays = weights() if arrays is None else arrays
    all_nodes = nodes(arrays) if all_nodes is None else all_nodes
    inputs = {"x": ["N", 3, 9, 8]} if inputs is None else inputs
    graph = helper.make_graph(
        all_nodes,
        "a graph",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, [None, None]) for name in outputs],
        [numpy_helper.from_array(a, n) for n, a in arrays.items() if n != "const.w"],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **kwargs
    )
    made.metadata_props.add(key="made by", value="hand")
    return made


def saved(path, made=None):
    path.write_bytes((model() if made is None else made).SerializeToString())
    return path


def run(path_or_bytes, feed, outputs=None):
    import onnxruntime

    given = path_or_bytes if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feed)


def single(op, arrays, *, inputs, **attributes):
    """A model of one node: variable inputs first named, then the arrays, in the order given."""
    order = attributes.pop("order")
    return model([helper.make_node(op, order, ["y"], **attributes)], arrays, inputs=inputs)


__all__ = ["LAYERS", "model", "nodes", "onnx", "run", "saved", "single", "weights"]
