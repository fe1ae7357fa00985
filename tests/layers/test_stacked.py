"""Layers that share their inputs, stored as one: a rule, a file, and what comes back."""

import json

import numpy as np
import pytest

from sparsecode.layers import (
    Calibration,
    Network,
    Recipe,
    compress,
    distill,
    factorize,
    factorize_shared,
    output_error,
    read_compressed,
)
from sparsecode.layers.compressed import METADATA_KEY
from sparsecode.layers.formats import read_tensors, write_tensors

NAMES = ["b0.q", "b0.k", "b0.v", "b1.q", "b1.k", "b1.v"]
RULE = {"match": r"re:(b\d)\.[qkv]", "stacked": True}


@pytest.fixture(scope="module")
def net():
    """Queries, keys and values of two blocks, each of a few atoms that the block has in common."""
    rng = np.random.default_rng(0)
    tensors = {}
    for block in ("b0", "b1"):
        atoms = rng.standard_normal((12, 40))
        for i, name in enumerate("qkv"):
            codes = np.zeros((20 + 4 * i, 12))
            for row in codes:
                row[rng.choice(12, 2, replace=False)] = rng.standard_normal(2)
            tensors[f"{block}.{name}"] = (codes @ atoms).astype(np.float32)
        tensors[f"{block}.bias"] = np.ones(3, np.float32)
    tensors["out"] = rng.standard_normal((16, 40)).astype(np.float32)
    return Network(tensors)


@pytest.fixture(scope="module")
def small(net):
    rules = [{**RULE, "methods": ["dictionary"], "share": 0.3}]
    return compress(net, 1.0, methods="uniform", rules=rules)


def test_a_rule_stacks_the_layers_of_each_block(net, small):
    assert small.stacked == {
        "b0.q": {"b0.q": 20, "b0.k": 24, "b0.v": 28},
        "b1.q": {"b1.q": 20, "b1.k": 24, "b1.v": 28},
    }
    assert small.factorizations["b0.q"].shape == (72, 40)
    dense = small.to_dense()
    assert list(dense) == list(net)
    assert {n: a.shape for n, a in dense.items()} == {n: a.shape for n, a in net.items()}
    assert dense["b1.bias"].tobytes() == net["b1.bias"].tobytes()
    row = small.report.rows[0]
    assert row.summary.endswith(", with 2 more")
    assert row.original_bits == 32 * 72 * 40
    assert row.bits.total <= 0.3 * row.original_bits


def test_it_is_the_dictionary_that_factorize_shared_finds(net, small):
    shared = factorize_shared([net[f"b1.{name}"] for name in "qkv"], budget=0.3)
    dense = small.to_dense()
    for name, form in zip("qkv", shared.forms, strict=True):
        np.testing.assert_allclose(dense[f"b1.{name}"], form.to_dense(), atol=1e-5)


def test_what_layers_have_in_common_is_stored_once(net):
    errors = []
    for stacked in (True, False):
        rules = [{**RULE, "stacked": stacked, "methods": ["dictionary"], "share": 0.3}]
        found = compress(net, 1.0, methods="uniform", rules=rules)
        dense = found.to_dense()
        errors.append(sum(output_error(net[name], dense[name]) for name in NAMES))
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("method", ["low_rank", "uniform", "codebook", "sparse"])
def test_any_family_may_be_stacked_and_a_search_finds_the_size(net, method):
    found = compress(net, 0.4, methods=method, rules=[RULE])
    assert found.ratio <= 0.4
    assert all(form.shape == (72, 40) for form in list(found.factorizations.values())[:2])
    dense, whole = found.to_dense(), found.factorizations["b0.q"].to_dense()
    parts = [dense[f"b0.{name}"] for name in "qkv"]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_moments_of_the_inputs_that_they_share_count(net):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 40)) * np.logspace(0, -2, 40)
    moments = Calibration.from_arrays(dict.fromkeys(["b0.q", "b0.k", "b0.v"], X))
    rules = [{**RULE, "methods": ["low_rank"], "share": 0.2}]
    found = compress(net, 1.0, rules=rules, methods="uniform", calibration=moments)
    stack = np.concatenate([net[f"b0.{name}"] for name in "qkv"])
    form = factorize(stack, "low_rank", budget=0.2, gram=moments.gram("b0.q"))
    assert found.factorizations["b0.q"] == form
    error = output_error(stack, form.to_dense(), moments.gram("b0.q"))
    np.testing.assert_allclose(found.report.rows[0].calibration_error, error, rtol=1e-9)
    assert found.report.rows[1].calibration_error is None


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("orientation", ["out_in", "in_out"])
def test_the_file_is_as_large_as_predicted_and_gives_all_back(net, tmp_path, suffix, orientation):
    if orientation == "in_out":
        turned = {n: np.ascontiguousarray(a.T) if a.ndim == 2 else a for n, a in net.items()}
        net = Network(turned, orientation="in_out")
    rules = [{**RULE, "methods": ["dictionary"], "share": 0.3}]
    small = compress(net, 1.0, methods="uniform", rules=rules, suffix=suffix)
    path = tmp_path / f"small{suffix}"
    small.write(path)
    assert path.stat().st_size == small.predicted_bytes() == small.bits // 8
    again = read_compressed(path)
    assert (again.stacked, again.factorizations) == (small.stacked, small.factorizations)
    dense = again.to_dense()
    assert dense == small.to_dense()
    assert again.bits == small.bits
    assert [row.summary for row in again.report.rows] == [row.summary for row in small.report.rows]
    for name in NAMES:
        assert output_error(net[name], dense[name]) < 0.2


def test_the_recipe_makes_the_same_stacks(net, small):
    recipe = Recipe.from_mapping(json.loads(json.dumps(small.recipe.as_mapping())))
    again = compress(net, 1.0, rules=recipe.rules)
    assert again.factorizations == small.factorizations
    assert again.stacked == small.stacked


def test_a_tied_name_of_a_stacked_layer_stays_tied(net):
    tied = Network({**net, "head": net["b0.k"]})
    assert tied.tied == {"head": "b0.k"}
    rules = [{**RULE, "methods": ["low_rank"], "share": 0.3}]
    dense = compress(tied, 1.0, methods="uniform", rules=rules).to_dense()
    assert dense["head"] is dense["b0.k"]


def test_distillation_leaves_stacks_alone(net, small):
    X = np.random.default_rng(2).standard_normal((100, 40))
    fitted = distill(small, net, lambda _: dict.fromkeys([*NAMES, "out"], X))
    assert fitted.stacked == small.stacked
    for name in small.stacked:
        assert fitted.factorizations[name] == small.factorizations[name]


def test_stacks_are_dense_in_torch():
    torch = pytest.importorskip("torch")
    from sparsecode.layers import from_torch, to_torch

    module = torch.nn.ModuleDict({name: torch.nn.Linear(16, 12) for name in "qkv"})
    rules = [{"match": r"re:[qkv]\.weight", "stacked": True, "methods": ["low_rank"], "share": 0.2}]
    small = compress(from_torch(module), 1.0, rules=rules)
    made, dense = to_torch(small, module), small.to_dense()
    for name in "qkv":
        assert type(made[name]) is torch.nn.Linear
        found = made[name].weight.detach().numpy()
        assert found.tobytes() == dense[f"{name}.weight"].tobytes()


def test_layers_of_other_inputs_cannot_be_stacked(net):
    odd = Network({**net, "b0.wide": np.ones((4, 41), np.float32)})
    with pytest.raises(ValueError, match=r"stacks 'b0.q' of 40 inputs .* 'b0.wide' of 41"):
        compress(odd, 0.5, rules=[{"match": r"re:b0\.(?:q|wide)", "stacked": True}])
    with pytest.raises(TypeError, match="stacked has to be True or False"):
        compress(net, 0.5, rules=[{"match": "out", "stacked": 1}])


def test_a_stack_of_one_is_a_layer(net):
    found = compress(net, 0.5, methods="uniform", rules=[{"match": "out", "stacked": True}])
    assert found.stacked == {}


DAMAGE = {
    "another size": lambda s: s["b0.q"].update({"b0.q": 21}),
    "no integer": lambda s: s["b0.q"].update({"b0.q": "20"}),
    "negative": lambda s: s["b0.q"].update({"b0.q": -4, "b0.k": 48}),
    "not first": lambda s: s.update({"b0.q": dict(reversed(s["b0.q"].items()))}),
    "a layer twice": lambda s: s["b1.q"].update({"b0.k": s["b1.q"].pop("b1.k")}),
    "an unknown layer": lambda s: s["b1.q"].update({"b9": s["b1.q"].pop("b1.k")}),
    "a layer of its own": lambda s: s["b1.q"].update({"out": s["b1.q"].pop("b1.k")}),
    "no form": lambda s: s.update({"b0.k": {"b0.k": 24}}),
    "no mapping": lambda s: s.update({"b0.q": 3}),
    "gone": lambda s: s.clear(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_one_error(small, tmp_path, damage):
    path = tmp_path / "small.safetensors"
    small.write(path)
    arrays, metadata = read_tensors(path)
    description = json.loads(metadata[METADATA_KEY])
    damage(description["stacked"])
    bad = tmp_path / "bad.safetensors"
    write_tensors(bad, arrays, {**metadata, METADATA_KEY: json.dumps(description)})
    with pytest.raises(ValueError, match="is damaged"):
        read_compressed(bad)


def test_an_array_beside_the_stack_is_damage(small, tmp_path):
    path = tmp_path / "small.safetensors"
    small.write(path)
    arrays, metadata = read_tensors(path)
    write_tensors(tmp_path / "bad.safetensors", {**arrays, "b0.k": np.ones((24, 40))}, metadata)
    with pytest.raises(ValueError, match=r"'b0\.k' belongs to nothing"):
        read_compressed(tmp_path / "bad.safetensors")
