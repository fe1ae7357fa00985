"""Networks: layers found and oriented, everything else carried along untouched."""

import copy
import os
import pickle

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import compress
from sparsecode.layers.formats import read_tensors
from sparsecode.layers.layout import Layer
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.patterns import near_misses
from sparsecode.layers.reading import read

RNG = np.random.default_rng(0)


def tensors():
    """A small transformer block with everything that is no layer around it."""
    return {
        "embed.weight": RNG.standard_normal((7, 4)).astype(np.float16),
        "block.0.attn.weight": RNG.standard_normal((4, 4)).astype(ml_dtypes.bfloat16),
        "block.0.attn.bias": RNG.standard_normal(4).astype(np.float32),
        "block.1.attn.weight": RNG.standard_normal((4, 4)).astype(np.float32),
        "conv.weight": RNG.standard_normal((3, 2, 3, 3)),
        "row": RNG.standard_normal((1, 5)),
        "column": RNG.standard_normal((5, 1)),
        "empty": np.zeros((0, 5)),
        "ids": np.arange(6).reshape(2, 3),
        "mask": np.eye(3, dtype=bool),
        "step": np.array(3.5),
        "head.weight": RNG.standard_normal((3, 4)),
    }


LAYERS = [
    "embed.weight",
    "block.0.attn.weight",
    "block.1.attn.weight",
    "conv.weight",
    "head.weight",
]


@pytest.fixture
def net():
    return Network(tensors())


def test_it_is_an_ordered_read_only_mapping(net):
    arrays = tensors()
    assert list(net) == list(arrays)
    assert len(net) == len(arrays)
    assert "row" in net
    assert "nothing" not in net
    with pytest.raises(KeyError):
        net["nothing"]
    with pytest.raises(TypeError):
        net["row"] = np.zeros(3)
    assert net.n_bytes == sum(array.nbytes for array in arrays.values())
    assert repr(net).startswith("Network(12 tensors, 5 layers,")


def test_arrays_are_kept_and_not_copied():
    array = np.ones((2, 2))
    assert Network({"w": array})["w"] is array


def test_layers_are_floating_matrices_and_convolutions(net):
    assert [layer.name for layer in net.layers] == LAYERS
    embed, head = net.layer("embed.weight"), net.layers[-1]
    assert (embed.shape, embed.n_outputs, embed.n_inputs) == ((7, 4), 7, 4)
    assert embed == Layer("embed.weight", (7, 4), False, np.dtype(np.float16))
    np.testing.assert_array_equal(net.weight(head), net["head.weight"])


def test_the_other_orientation_turns_layers_round():
    arrays = {"kernel": RNG.standard_normal((4, 3)), "bias": np.zeros(3)}
    net = Network(arrays, orientation="in_out")
    (layer,) = net.layers
    assert (layer.n_outputs, layer.n_inputs, layer.transposed) == (3, 4, True)
    x = RNG.standard_normal(4)
    np.testing.assert_allclose(net.weight(layer) @ x, x @ arrays["kernel"])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_orientation_is_written_and_read_back(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    for orientation, recorded in (("in_out", {"sparsecode.orientation": "in_out"}), ("out_in", {})):
        Network({"w": np.ones((4, 3))}, metadata={"k": "v"}, orientation=orientation).write(path)
        assert read_tensors(path)[1] == {"k": "v"} | recorded
        net = read(path)
        assert net.orientation == orientation
        assert net.metadata == {"k": "v"}
    Network({"w": np.ones((4, 3))}, orientation="in_out").write(path)
    assert read(path, orientation="out_in").layers[0].shape == (4, 3)


def test_a_wrong_orientation_is_refused(tmp_path):
    for wrong in ("oi", ""):
        with pytest.raises(ValueError, match="orientation has to be one of 'in_out', 'out_in'"):
            Network({}, orientation=wrong)
    np.savez(
        tmp_path / "net.npz",
        __metadata__=np.frombuffer(b'{"sparsecode.orientation": "up"}', np.uint8),
    )
    with pytest.raises(ValueError, match=r"net\.npz cannot be read as a network: orientation"):
        read(tmp_path / "net.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("orientation", ["in_out", "out_in"])
def test_a_file_gives_the_network_back(tmp_path, net, suffix, orientation):
    net = Network(net, metadata={"made by": "hand"}, orientation=orientation)
    net.write(tmp_path / f"net{suffix}")
    again = read(tmp_path / f"net{suffix}")
    assert again == net
    assert again.source == tmp_path / f"net{suffix}"
    again.write(tmp_path / f"again{suffix}")
    one, two = ((tmp_path / f"{n}{suffix}").read_bytes() for n in ("net", "again"))
    assert one == two


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_untouched_tensors_survive_byte_for_byte(tmp_path, net, suffix):
    net.write(tmp_path / f"net{suffix}")
    loaded = read(tmp_path / f"net{suffix}")
    loaded.replace({"head.weight": np.zeros((3, 4))}).write(tmp_path / f"new{suffix}")
    new = read(tmp_path / f"new{suffix}")
    assert list(new) == list(net)
    for name, array in net.items():
        assert new[name].dtype == array.dtype
        assert new[name].shape == array.shape
        assert (new[name].tobytes() == array.tobytes()) == (name != "head.weight")


def test_the_source_is_not_overwritten_unasked(tmp_path, net):
    path = tmp_path / "net.npz"
    net.write(path)
    before = path.read_bytes()
    (tmp_path / "link.npz").symlink_to(path)
    new = read(path).replace({"head.weight": np.zeros((3, 4))})
    for target in (path, tmp_path / "link.npz"):
        with pytest.raises(ValueError, match="is the input"):
            new.write(target)
    assert path.read_bytes() == before
    new.write(path, overwrite_source=True)
    assert not read(path)["head.weight"].any()
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "net.npz"]


def test_replace_keeps_order_dtypes_and_the_other_objects(net):
    new = net.replace({"block.0.attn.weight": np.full((4, 4), 1 / 3), "step": np.float32(2)})
    assert list(new) == list(net)
    assert new["block.0.attn.weight"].dtype == ml_dtypes.bfloat16
    assert new["step"].dtype == np.float64
    assert new["step"].shape == ()
    replaced = {"block.0.attn.weight", "step"}
    assert all((new[name] is net[name]) == (name not in replaced) for name in net)
    assert net["step"] == 3.5


@pytest.mark.parametrize("orientation", ["in_out", "out_in"])
def test_with_weights_is_the_inverse_of_weight(net, orientation):
    net = Network(net, orientation=orientation)
    same = net.with_weights({layer.name: net.weight(layer) for layer in net.layers})
    assert same == net
    layer = net.layer("head.weight")
    W = RNG.standard_normal(layer.shape)
    np.testing.assert_array_equal(net.with_weights({layer.name: W}).weight(layer), W)
    with pytest.raises(ValueError, match=r"n_outputs, n_inputs"):
        net.with_weights({layer.name: W.T})
    with pytest.raises(ValueError, match="'row' is no layer"):
        net.with_weights({"row": net["row"]})


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            {"head.weigth": np.zeros((3, 4))},
            r"no tensor 'head\.weigth'; did you mean 'head\.weight'",
        ),
        ({"head.weight": np.zeros((4, 3))}, r"has shape \(4, 3\), the old one \(3, 4\)"),
        ({"head.weight": np.zeros((3, 4), complex)}, "dtype complex128"),
        ({"head.weight": np.zeros((3, 4), int)}, "dtype int64, the old one float64"),
        ({"ids": np.zeros((2, 3))}, "dtype float64, the old one int64"),
        ({"embed.weight": np.full((7, 4), 1e5)}, "too large for its dtype float16"),
    ],
)
def test_replace_refuses_what_does_not_fit(net, new, message):
    with pytest.raises(ValueError, match=message):
        net.replace(new)


def test_nan_and_infinite_weights_stay(net):
    strange = np.array([[np.nan, np.inf], [-np.inf, 1.0]])
    new = Network({"w": np.zeros((2, 2), np.float16)}).replace({"w": strange})
    np.testing.assert_array_equal(new["w"], strange)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), LAYERS),
        ("head.weight", (), ["head.weight"]),
        (["head.weight", "embed.weight"], (), ["embed.weight", "head.weight"]),
        (r"re:block\..*", (), LAYERS[1:3]),
        ((), [r"re:.*attn\.weight"], ["embed.weight", "conv.weight", "head.weight"]),
        ([r"re:.*"], ["embed.weight", "re:head.*"], LAYERS[1:4]),
        ("head.weight", "re:.*", []),
    ],
)
def test_select(net, include, exclude, expected):
    assert [layer.name for layer in net.select(include, exclude)] == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("head.wieght", r"matches no layer; did you mean 'head\.weight'"),
        ("head", "matches no layer"),
        ("re:head", r"matches no layer; did you mean|there are"),
        ("re:.*bias", "matches no layer"),
        ("row", r"matches no layer: it is a tensor of shape \(1, 5\) and dtype float64"),
        ("ids", "it is a tensor of shape .* int64, and a layer is 2-D or a conv"),
        ("re:(", "is not a regular expression"),
        ("", "matches no layer"),
    ],
)
def test_a_pattern_that_matches_no_layer_is_an_error(net, pattern, message):
    with pytest.raises(ValueError, match=f"include pattern .*{message}"):
        net.select(include=[pattern])
    with pytest.raises(ValueError, match=f"exclude pattern .*{message}"):
        net.select(exclude=["head.weight", pattern])


@pytest.mark.parametrize("given", [None, 3, [3], ["head.weight", None], b"re:.*"])
def test_patterns_are_strings(net, given):
    with pytest.raises(TypeError, match="include has to be a pattern or a sequence of patterns"):
        net.select(include=given)
    with pytest.raises(TypeError, match=r"exclude has to be .*, which are strings, got "):
        net.select(exclude=given)


def test_patterns_may_come_from_an_iterator(net):
    assert net.select(iter(["head.weight"])) == net.select("head.weight")


def test_a_mask_is_not_dropped(net):
    masked = np.ma.masked_equal(np.array([[1.0, 2.0], [3.0, 4.0]]), 2.0)
    for take in (Network, as_network, lambda tensors: compress(tensors, 0.5)):
        with pytest.raises(ValueError, match="the tensor 'w' has masked entries; fill them"):
            take({"b": np.zeros(2), "w": masked})
    with pytest.raises(ValueError, match=r"'head\.weight' has masked entries"):
        net.replace({"head.weight": np.ma.masked_invalid(np.full((3, 7), np.nan))})
    unmasked = np.ma.masked_array(np.eye(2))
    np.testing.assert_array_equal(Network({"w": unmasked})["w"], np.eye(2))


def test_near_misses():
    assert near_misses("fc", []) == "; there are none"
    assert near_misses("zzz", ["a", "b", "c", "d"]) == "; there are 'a', 'b', 'c', ..."
    assert near_misses("fc2", ["fc1", "head"]) == "; did you mean 'fc1'?"


def test_a_plain_mapping_will_do(net):
    assert as_network(net) is net
    assert as_network({"w": [[1.0, 2.0], [3.0, 4.0]]})["w"].shape == (2, 2)
    with pytest.raises(TypeError, match="got ndarray"):
        as_network(np.ones((2, 2)))
    with pytest.raises(ValueError, match="name of a tensor has to be a string, got 0"):
        as_network({0: np.ones(2)})
    with pytest.raises(ValueError, match=r"'w' .* holds objects"):
        as_network({"w": np.array([None])})


def test_a_tensor_of_another_library():
    class Tensor:
        def __init__(self, array, needs_gradient=False):
            self.array, self.needs_gradient = array, needs_gradient

        def __array__(self, dtype=None, copy=None):
            if self.needs_gradient:
                raise RuntimeError("call detach first")
            return self.array

    assert as_network({"w": Tensor(np.eye(3))}).layers[0].shape == (3, 3)
    with pytest.raises(
        ValueError, match=r"'w' cannot be seen .*call detach first.*layers\.from_torch"
    ):
        as_network({"w": Tensor(np.eye(3), needs_gradient=True)})


def test_equality_means_every_bit(net):
    same = Network(dict(net))
    assert net == same
    assert net == pickle.loads(pickle.dumps(net)) == copy.deepcopy(net)
    assert net != Network(dict(list(net.items())[::-1]))
    assert net != Network(net, metadata={"k": "v"})
    assert net != Network(net, orientation="in_out")
    assert net != net.replace({"step": -3.5})
    assert Network({"z": np.array([0.0])}) != Network({"z": np.array([-0.0])})
    assert Network({"z": np.array([np.nan])}) == Network({"z": np.array([np.nan])})
    assert net != dict(net)


def test_reading_is_limited(tmp_path, net):
    net.write(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="over the limit"):
        read(tmp_path / "net.npz", max_bytes=100)
