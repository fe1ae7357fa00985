"""What a file says of a network beside its tensors: how layers are stored, and what is tied."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sparsecode._strict import strict_json
from sparsecode._validation import check_option
from sparsecode.layers.layout import ORIENTATIONS, Layer, Layout, Stored

ORIENTATION_KEY = "sparsecode.orientation"
LAYERS_KEY = "sparsecode.layers"
TIED_KEY = "sparsecode.tied"

_RECORD = re.compile(r"(out_in|in_out)(?::([1-9]\d{0,8}(?:x[1-9]\d{0,8}){0,2}))?")


class Records(NamedTuple):
    """What was found in a file."""

    orientation: str | None
    layers: str | None
    tied: dict[str, str]

    def layout(self, orientation: str | None) -> Layout:
        """As it is asked for, or else as the file has it."""
        given = self.orientation or "out_in" if orientation is None else orientation
        check_option(given, "orientation", ORIENTATIONS)
        if orientation is not None or self.layers is None:
            return Layout(given)
        return Layout(given, from_record(strict_json(self.layers.encode())))


def take_records(metadata: dict[str, str]) -> Records:
    """Take the records out of the metadata of a file."""
    ties = metadata.pop(TIED_KEY, None)
    tied = {} if ties is None else check_ties(strict_json(ties.encode()))
    return Records(metadata.pop(ORIENTATION_KEY, None), metadata.pop(LAYERS_KEY, None), tied)


def records_of(
    tensors: Mapping[str, np.ndarray],
    layers: tuple[Layer, ...],
    orientation: str,
    tied: Mapping[str, str],
) -> dict[str, str]:
    """What a file has to say so that the same layers and ties are found in it."""
    records = {}
    if orientation == "in_out":
        records[ORIENTATION_KEY] = "in_out"
    owners = {name: array for name, array in tensors.items() if name not in tied}
    if layers != Layout(orientation).layers(owners):
        stored = to_record({layer.name: layer.stored for layer in layers})
        records[LAYERS_KEY] = json.dumps(stored, ensure_ascii=False)
    if tied:
        records[TIED_KEY] = json.dumps(tied, ensure_ascii=False)
    return records


def to_record(stored: Mapping[str, Stored]) -> dict[str, str]:
    """The layers as a file keeps them."""
    return {name: str(how) for name, how in stored.items()}


def from_record(record: Any) -> dict[str, Stored]:
    """The inverse of `to_record`."""
    if not isinstance(record, dict):
        raise ValueError("the record of layers has to be a JSON object")
    found = {}
    for name, text in record.items():
        match = _RECORD.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"the record of the layer {name[:80]!r} is {str(text)[:80]!r}")
        kernel = tuple(int(side) for side in match[2].split("x")) if match[2] else ()
        found[name] = Stored(match[1] == "in_out", kernel)
    return found


def check_ties(record: Any) -> dict[str, str]:
    """What a file says is tied, once it can be."""
    if not isinstance(record, dict) or not all(isinstance(owner, str) for owner in record.values()):
        raise ValueError("the record of tied tensors has to map names to names")
    if record.keys() & set(record.values()):
        raise ValueError("the record of tied tensors ties a name to one that is tied itself")
    return record
