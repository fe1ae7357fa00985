r"""What is asked of a compression: rules for layers, and files that hold them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

from sparsecode._files import check_path
from sparsecode._strict import strict_json, strict_toml
from sparsecode._validation import check_bool, check_int, check_option, check_real
from sparsecode.layers.factorizations import FAMILIES, LowRank, check_options
from sparsecode.layers.layout import Layer
from sparsecode.layers.patterns import captured, matches, near_misses
from sparsecode.layers.sizes import share_of

__all__ = ["Recipe", "Rule"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is done to the layers that a pattern matches.

    Parameters
    ----------
    match : str
        A layer's name, or ``re:`` and a regular expression.
    methods : sequence of str, optional
        The families to choose from; ``["dense"]`` keeps the layer as it is. By default those of
        the recipe.
    options : mapping, optional
        Options of the family, where `methods` names just one. `kernel_shape` is that of the layer
        where it is left out.
    share : float, optional
        The share of the layer's own bits that it gets; nothing is searched then.
    weight : float, default=1
        What the layer's relative error counts, beside the others'.
    cap : float, default=1
        The layer takes at most this share of its own bits.
    max_error : float, optional
        Its relative squared error, on the calibration inputs if there are any, is at most this,
        whatever the other layers would gain by its bits. Without it the limit is what rounding to
        the nearest would lose, where the budget allows that: see `compress`.
    stacked : bool, default=False
        Store the layers that it matches as one, row upon row: those that share their inputs, as
        queries, keys and values do, then share the atoms of a dictionary, or a factor, too. Layers
        for which the groups of the expression differ are kept apart: ``re:(block.[0-9]+).attn.*``
        makes one stack a block. Stacks are dense in ONNX and torch.

    Raises
    ------
    ValueError, TypeError
        If a value is out of range, or options are given for no family or several.

    Examples
    --------
    >>> from sparsecode.layers import Rule
    >>> Rule(match="re:.*attn.*", methods=["low_rank"], weight=2).methods
    ('low_rank',)
    """

    match: str
    methods: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None
    weight: float = 1.0
    cap: float = 1.0
    max_error: float | None = None
    stacked: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.match, str):
            raise TypeError(f"match has to be a string, got {self.match!r}")
        matches(self.match, "", "match")
        if self.methods is not None:
            object.__setattr__(self, "methods", check_methods(self.methods))
        if not isinstance(self.options, Mapping):
            raise TypeError(f"options has to be a mapping of names to values, got {self.options!r}")
        if self.options and (self.methods is None or len(self.methods) != 1):
            raise ValueError(
                f"the rule for {self.match!r} has options but not one method that they belong to"
            )
        if self.options and self.methods is not None:
            check_options(self.methods[0], self.options)
        if self.share is not None:
            check_real(self.share, "share", low=0, high=1, open_low=True)
            if self.methods is None or len(self.methods) != 1:
                raise ValueError(f"the rule for {self.match!r} has a share but not one method")
        check_real(self.weight, "weight", low=0, open_low=True)
        check_real(self.cap, "cap", low=0, high=1, open_low=True)
        if self.max_error is not None:
            check_real(self.max_error, "max_error", low=0, open_low=True)
            if self.share is not None:
                raise ValueError(f"the rule for {self.match!r} has a share: max_error is not used")
        check_bool(self.stacked, "stacked")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that `compress` is told but the network and its inputs; read from TOML or JSON.

    Parameters
    ----------
    budget : float or str, optional
        As for `compress`.
    max_error : float, optional
        As for `compress`.
    methods : str or sequence of str, default="all"
        As for `compress`.
    damping : float, optional
        As for `compress`.
    seed : int, default=0
        Of the methods that draw.
    rules : sequence of Rule or mapping, default=()
        The first one whose pattern matches a layer applies to it.

    Raises
    ------
    ValueError, TypeError
        If a value is out of range, both `budget` and `max_error` are given, or a key is unknown.

    Examples
    --------
    >>> from sparsecode.layers import Recipe
    >>> recipe = Recipe(budget=0.25, rules=[{"match": "head", "methods": ["dense"]}])
    >>> recipe.rules[0].methods
    ('dense',)
    """

    budget: float | str | None = None
    max_error: float | None = None
    methods: str | Sequence[str] = "all"
    damping: float | None = None
    seed: int = 0
    rules: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if self.budget is not None and self.max_error is not None:
            raise ValueError("give budget or max_error, not both")
        if self.budget is not None:
            share_of(self.budget, 1)
        if self.max_error is not None:
            check_real(self.max_error, "max_error", low=0, open_low=True)
        object.__setattr__(self, "methods", check_methods(self.methods))
        check_int(self.seed, "seed", low=0, high=2**32 - 1)
        if self.damping is not None:
            check_real(self.damping, "damping", low=0)
        if not isinstance(self.rules, Sequence) or isinstance(self.rules, str):
            raise TypeError(f"rules has to be a sequence of rules, got {self.rules!r}")
        rules = tuple(rule if isinstance(rule, Rule) else _rule(rule) for rule in self.rules)
        object.__setattr__(self, "rules", rules)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """From what a TOML or JSON file holds; a key that is unknown is an error."""
        if not isinstance(mapping, Mapping):
            raise TypeError(f"mapping has to be one of a recipe's keys, got {mapping!r:.80}")
        return cls(**_known(cls, mapping, "a recipe"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """From ``.toml``, or ``.json``: a recipe, or the manifest of a compression.

        Raises
        ------
        ValueError
            If the file is neither, or says what a recipe cannot.
        OSError
            If it cannot be read.
        """
        path = check_path(path)
        data, suffix = path.read_bytes(), path.suffix.lower()
        if suffix not in (".toml", ".json"):
            raise ValueError(f"{path} is no recipe by its suffix; use .toml or .json")
        try:
            if suffix == ".toml":
                return cls.from_mapping(strict_toml(data))
            content = strict_json(data)
            if not isinstance(content, Mapping):
                raise ValueError("it is no mapping")
            if "manifest" in content:
                content = content.get("recipe")
                if not isinstance(content, Mapping):
                    raise ValueError("it is a manifest without one")
            return cls.from_mapping(content)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is no recipe: {error}") from error

    def as_mapping(self) -> dict[str, Any]:
        """What `from_mapping` takes, without what is not set."""
        default = {f.name: f.default for f in fields(Rule)}
        rules = [
            {
                name: list(value) if name == "methods" else value
                for name, value in ((f.name, getattr(rule, f.name)) for f in fields(Rule))
                if value != default[name] and (name != "options" or value)
            }
            for rule in self.rules
        ]
        given = {"budget": self.budget, "max_error": self.max_error, "damping": self.damping}
        said = {name: value for name, value in given.items() if value is not None}
        return {**said, "methods": list(self.methods), "seed": self.seed, "rules": rules}


class Plan(NamedTuple):
    """What is done to one layer, or to a stack of some."""

    layer: Layer
    methods: tuple[tuple[str, Mapping[str, Any]], ...]  # families with their options
    share: float | None
    weight: float
    cap: float
    max_error: float  # infinite: any
    members: tuple[Layer, ...]  # the layer itself, or those of the stack, whose first names it

    @property
    def match(self) -> str:
        """What a rule for it would match."""
        names = [layer.name for layer in self.members]
        return names[0] if len(names) == 1 else f"re:{'|'.join(map(re.escape, names))}"


def plans(layers: Sequence[Layer], recipe: Recipe) -> list[Plan]:
    """Each layer, or stack of layers, with the first rule that matches it."""
    names = [layer.name for layer in layers]
    for rule in recipe.rules:
        if not any(matches(rule.match, name, "match") for name in names):
            hint = near_misses(rule.match.removeprefix("re:"), names)
            raise ValueError(f"the rule for {rule.match!r} matches no layer{hint}")
    stacks: dict[Any, tuple[Rule, list[Layer]]] = {}
    for layer in layers:
        rules = (rule for rule in recipe.rules if matches(rule.match, layer.name, "match"))
        rule = next(rules, Rule(match=layer.name))
        key = (rule.match, captured(rule.match, layer.name)) if rule.stacked else layer.name
        stacks.setdefault(key, (rule, []))[1].append(layer)
    return [_plan(rule, members, recipe) for rule, members in stacks.values()]


def _plan(rule: Rule, members: Sequence[Layer], recipe: Recipe) -> Plan:
    layer = members[0]
    if odd := [m for m in members if (m.n_inputs, m.dtype) != (layer.n_inputs, layer.dtype)]:
        raise ValueError(
            f"the rule for {rule.match!r} stacks {layer.name!r} of {layer.n_inputs} inputs in "
            f"{layer.dtype} and {odd[0].name!r} of {odd[0].n_inputs} in {odd[0].dtype}"
        )
    n_outputs = sum(member.n_outputs for member in members)
    layer = replace(layer, shape=(n_outputs, layer.n_inputs))
    chosen = recipe.methods if rule.methods is None else rule.methods
    searched = not rule.options and rule.share is None
    methods = tuple(
        (method, options)
        for method in chosen
        for options in (_variants(method, layer) if searched else [_with_kernel(rule, layer)])
    )
    weight = rule.weight * len(members)
    most = math.inf if rule.max_error is None else rule.max_error
    return Plan(layer, methods, rule.share, weight, rule.cap, most, tuple(members))


def _variants(method: str, layer: Layer) -> list[Mapping[str, Any]]:
    """The options that a search tries: of a convolution its own forms of low rank, too."""
    variants = list(FAMILIES[method].variants)
    if method == LowRank.kind and math.prod(layer.kernel) > 1:
        kernel = kernel_shape(layer)
        forms = ["tucker", "spatial"] if min(kernel[1:]) > 1 else ["tucker"]
        variants += [
            {"form": form, "kernel_shape": kernel, **some}
            for form in forms
            for some in variants[:-1]
        ]
    return variants


def _with_kernel(rule: Rule, layer: Layer) -> Mapping[str, Any]:
    """The options of a rule, and the kernel that its form of a convolution needs."""
    options = rule.options
    if options.get("form", "matrix") == "matrix" or "kernel_shape" in options:
        return options
    if not layer.kernel:
        raise ValueError(
            f"the rule for {rule.match!r} asks for form={options['form']!r} of {layer.name!r}, "
            "which is no convolution"
        )
    return {**options, "kernel_shape": kernel_shape(layer)}


def kernel_shape(layer: Layer) -> tuple[int, int, int]:
    """Channels, height and width of a convolution; all sides but the last make up the height."""
    *sides, width = layer.kernel
    return layer.n_inputs // math.prod(layer.kernel), math.prod(sides), width


def check_methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Names of families; "all" is every one but `dense`, which a layer may always stay."""
    names = (
        [methods] if isinstance(methods, str) or not isinstance(methods, Iterable) else [*methods]
    )
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"methods has to be a name or a sequence of names, got {methods!r}")
    if names == ["all"]:
        names = [name for name in FAMILIES if name != "dense"]
    if not names:
        raise ValueError("methods is empty; name at least one, or 'all'")
    return tuple(check_option(name, "methods", FAMILIES) for name in dict.fromkeys(names))


def _rule(mapping: Any) -> Rule:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"a rule has to be a mapping, got {mapping!r}")
    return Rule(**_known(Rule, mapping, "a rule"))


def _known(cls: Any, mapping: Mapping[str, Any], what: str) -> dict[str, Any]:
    names = [f.name for f in fields(cls)]
    if unknown := sorted(set(mapping) - set(names)):
        raise ValueError(f"{what} has no key {unknown[0]!r}{near_misses(unknown[0], names)}")
    if cls is Rule and "match" not in mapping:
        raise ValueError("a rule needs match, a layer's name or re: and an expression")
    return dict(mapping)
