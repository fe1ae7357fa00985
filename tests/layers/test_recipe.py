"""Recipes: sizes in words, rules for layers, and a result that its own recipe makes again."""

import json

import numpy as np
import pytest

from sparsecode.layers import BudgetError, Layout, Network, Recipe, Rule, Stored, compress
from sparsecode.layers.recipe import plans
from sparsecode.layers.sizes import share_of

QUICK = ["low_rank", "sparse"]


def a_network(n=32, seed=0):
    rng = np.random.default_rng(seed)
    return {f"block.{i}.w": rng.standard_normal((n, n)).astype(np.float32) for i in range(3)}


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("24 MB", 24_000_000), ("1.5MiB", 1.5 * 2**20), ("512 kb", 512_000), ("7 B", 7)],
)
def test_sizes_in_words(text, n_bytes) -> None:
    assert share_of(text, 10**9) * 10**9 == pytest.approx(n_bytes)
    assert share_of(text, 7) == 1.0  # more than the original has is all of it


def test_a_size_in_words_is_not_a_byte_less_by_rounding() -> None:
    for n_bytes in range(3000, 4000, 7):
        assert all(int(share_of(f"{n} B", n_bytes) * n_bytes) == n for n in range(1, n_bytes, 13))


@pytest.mark.parametrize("text", ["24", "MB", "24 XB", "-1 MB", "0 MB", "1 2 MB", ""])
def test_what_is_no_size_is_refused(text) -> None:
    with pytest.raises(ValueError, match="a size such as '24 MB'"):
        compress(a_network(), text)


def test_a_budget_in_bytes_holds(tmp_path) -> None:
    small = compress(a_network(), "6 kB", methods=QUICK)
    small.write(tmp_path / "small.safetensors")
    assert 5000 < (tmp_path / "small.safetensors").stat().st_size <= 6000


def test_the_first_rule_that_matches_applies() -> None:
    rules = [
        {"match": "block.1.w", "methods": ["dense"]},
        {"match": "re:block.*", "methods": ["low_rank"]},
    ]
    small = compress(a_network(), 0.8, methods="sparse", rules=rules)
    kinds = [form.kind for form in small.factorizations.values()]
    assert kinds[1] == "dense"
    assert set(kinds[::2]) <= {"low_rank", "dense"}
    assert "low_rank" in kinds


def test_a_cap_is_kept_and_a_weight_draws_bits() -> None:
    net = a_network()
    plain = compress(net, 0.22, methods=QUICK).report.rows
    capped = compress(net, 0.22, methods=QUICK, rules=[Rule(match="block.0.w", cap=0.1)])
    assert capped.report.rows[0].bits.total <= 0.1 * 8 * net["block.0.w"].nbytes
    weighed = compress(net, 0.22, methods=QUICK, rules=[Rule(match="block.0.w", weight=50)])
    assert weighed.report.rows[0].bits.total > 1.2 * plain[0].bits.total
    assert weighed.report.rows[0].weight_error < plain[0].weight_error


def test_the_error_of_a_layer_is_limited() -> None:
    net = a_network()
    plain = compress(net, 0.22, methods=QUICK).report.rows
    limit = plain[1].weight_error / 2
    limited = compress(
        net, 0.22, methods=QUICK, rules=[Rule(match="block.1.w", max_error=limit)]
    ).report
    assert limited.rows[1].weight_error <= limit
    assert limited.rows[1].bits.total > plain[1].bits.total
    assert limited.bits.total <= 0.22 * limited.original_bits
    with pytest.raises(BudgetError, match=r"budget=0\.22 allows"):
        compress(net, 0.22, methods=QUICK, rules=[Rule(match="re:.*", max_error=1e-6)])


def test_a_share_is_taken_without_a_search() -> None:
    calls = []
    rules = [Rule(match="re:.*", methods=["low_rank"], share=0.4)]
    small = compress(
        a_network(), 1.0, rules=rules, progress=lambda done, total: calls.append(total)
    )
    assert calls[-1] == 3
    assert [form.rank for form in small.factorizations.values()] == [6, 6, 6]


def test_options_reach_the_family() -> None:
    rules = [Rule(match="re:.*", methods=["dictionary"], options={"atoms_per_nonzero": 4.0})]
    small = compress({"w": a_network()["block.0.w"]}, 0.7, rules=rules)
    form = small.factorizations["w"]
    assert len(form.dictionary) == 4 * form.codes.values.size / 32


def test_the_effective_recipe_makes_the_same_network_again(tmp_path) -> None:
    net = a_network()
    small = compress(net, 0.4, methods=QUICK)
    path = tmp_path / "again.json"
    path.write_text(json.dumps(small.recipe.as_mapping()))
    recipe = Recipe.from_file(path)
    again = compress(net, 1.0, rules=recipe.rules, random_state=recipe.seed)
    assert again.factorizations == small.factorizations
    assert again.bits == small.bits


def test_the_smallest_network_within_an_error() -> None:
    net = a_network()
    small = compress(net, max_error=0.2, methods=QUICK)
    errors = [row.weight_error for row in small.report.rows]
    assert np.mean(errors) <= 0.2
    tighter = compress(net, max_error=0.1, methods=QUICK)
    assert tighter.bits > small.bits
    with_all_these_bits = compress(net, small.ratio, methods=QUICK)
    found = np.mean([row.weight_error for row in with_all_these_bits.report.rows])
    assert found > 0.9 * np.mean(errors)  # there is little that a budget of them would do better


def test_toml(tmp_path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'budget = "24 MB"\nmethods = ["sparse"]\nseed = 3\n[[rules]]\nmatch = "re:.*"\nweight = 2\n'
    )
    recipe = Recipe.from_file(path)
    assert (recipe.budget, recipe.methods, recipe.seed) == ("24 MB", ("sparse",), 3)
    assert recipe.rules == (Rule(match="re:.*", weight=2),)
    assert Recipe.from_mapping(recipe.as_mapping()) == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("budgte = 0.2", "a recipe has no key 'budgte'; did you mean 'budget'"),
        ("budget = 0.2\nmax_error = 0.1", "give budget or max_error, not both"),
        ("budget = 2.0", "budget has to be"),
        ('methods = ["svd"]', "methods has to be one of"),
        ('[[rules]]\nmethods = ["sparse"]', "a rule needs match"),
        ('[[rules]]\nmatch = "a"\nshare = 0.5', "has a share but not one method"),
        ('[[rules]]\nmatch = "a"\noptions = {x = 1}', "has options but not one method"),
        ('[[rules]]\nmatch = "a"\ncap = 0', "cap has to be"),
        ('[[rules]]\nmatch = "a"\nmax_error = -1', "max_error has to be"),
        (
            '[[rules]]\nmatch = "a"\nmethods = ["sparse"]\nshare = 0.5\nmax_error = 0.1',
            "has a share: max_error is not used",
        ),
        ("rules = [3]", "a rule has to be a mapping"),
        ("rules = 3", "rules has to be a sequence of rules"),
        ("methods = 3", "methods has to be a name or a sequence of names"),
        ("methods = [[1]]", "methods has to be a name or a sequence of names"),
        ("damping = -1", "damping has to be"),
        ('[[rules]]\nmatch = "re:("', "is not a regular expression"),
        (
            '[[rules]]\nmatch = "a"\nmethods = ["sparse"]\noptions = 3',
            "options has to be a mapping",
        ),
        (
            '[[rules]]\nmatch = "a"\nmethods = ["sparse"]\noptions = {criterio = "alps"}',
            "method='sparse' has no option 'criterio'",
        ),
        ("a = " + 5000 * "[" + 5000 * "]", "nested too deeply"),
        ("budget = ", "is no recipe"),
        (
            "seed = " + 5000 * "1",
            r"recipe\.toml is no recipe: its TOML text has an integer",
        ),
    ],
)
def test_a_bad_recipe_is_one_sentence(tmp_path, content, message) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Recipe.from_file(path)


def test_a_manifest_without_a_recipe_is_none(tmp_path) -> None:
    path = tmp_path / "record.json"
    for content in ('{"manifest": 1}', '{"manifest": 1, "recipe": 3}'):
        path.write_text(content)
        with pytest.raises(
            ValueError, match=r"record\.json is no recipe: it is a manifest without"
        ):
            Recipe.from_file(path)


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the rule for 'blok.0.w' matches no layer; did you mean"):
        compress(a_network(), 0.5, rules=[{"match": "blok.0.w"}])


def convolutions(seed=0):
    """One of few channels behind a mixing, one of thin kernels, and one that is linear."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((40, 20)), rng.standard_normal((20, 4, 3, 3))
    tucker = np.einsum("oa,abyx,bi->oiyx", *parts, rng.standard_normal((4, 24)))
    thin = np.einsum(
        "riy,orx->oiyx", rng.standard_normal((6, 12, 5)), rng.standard_normal((40, 6, 5))
    )
    matrix = rng.standard_normal((40, 4)) @ rng.standard_normal((4, 30))
    tensors = {"mixed.weight": tucker, "thin.weight": thin, "linear.weight": matrix}
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def test_the_forms_of_convolutions_are_candidates() -> None:
    net = convolutions()
    small = compress(net, 0.14, methods="low_rank")
    kinds = [form.kind for form in small.factorizations.values()]
    assert kinds == ["tucker", "spatial", "low_rank"]
    assert max(row.weight_error for row in small.report.rows) < 1e-3
    # The recipe knows the kernels, through JSON too.
    recipe = Recipe.from_mapping(json.loads(json.dumps(small.recipe.as_mapping())))
    again = compress(net, 1.0, rules=recipe.rules)
    assert again.factorizations == small.factorizations


@pytest.mark.parametrize("form", ["tucker", "spatial"])
def test_a_rule_names_a_form_and_the_layer_has_the_kernel(form) -> None:
    rule = {"match": "re:.*(mixed|thin).*", "methods": ["low_rank"], "options": {"form": form}}
    small = compress(convolutions(), 0.3, methods="low_rank", rules=[rule])
    kinds = [form.kind for form in small.factorizations.values()]
    assert set(kinds[:2]) <= {form, "dense"}
    assert form in kinds
    with pytest.raises(ValueError, match=r"form='.*' of 'linear.weight', which is no convolution"):
        compress(convolutions(), 0.3, rules=[rule | {"match": "linear.weight"}])


def test_a_convolution_in_one_dimension_has_no_thin_kernels() -> None:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((32, 15)), rng.standard_normal((15, 3, 5))
    kernels = np.einsum("oa,abx,bi->oix", *parts, rng.standard_normal((3, 20))).astype(np.float32)
    net = Network({"w": kernels}, layout=Layout(declared={"w": Stored(kernel=(5,))}))
    (plan,) = plans(net.layers, Recipe(methods="low_rank"))
    assert {options.get("form") for _, options in plan.methods} == {None, "tucker"}
    rule = {"match": "w", "methods": ["low_rank"], "options": {"form": "tucker"}, "share": 0.3}
    small = compress(net, 1.0, rules=[rule])
    assert small.factorizations["w"].kernel_shape == (20, 1, 5)
    assert small.report.rows[0].weight_error < 1e-10
    assert small.to_dense()["w"].shape == (32, 20, 5)
