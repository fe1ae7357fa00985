"""Positions: the cheapest way to say them, to the byte, and back; damage is refused."""

import itertools
import json
import math

import numpy as np
import pytest

from sparsecode.layers import Sparse, unpack
from sparsecode.layers.factorizations._positions import largest_count


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sparse(support, dtype=np.float32):
    return Sparse(np.arange(1, np.count_nonzero(support) + 1, dtype=dtype), support)


def position_bits(f):
    arrays, meta = f.pack()
    assert unpack(arrays, json.loads(json.dumps(meta))) == f
    assert 8 * sum(array.nbytes for array in arrays.values()) == f.bits().total
    return f.bits().total - 8 * f.values.nbytes


def by_hand(m, n, count):
    """Mask, rows and list."""
    index, flat = 16 if n <= 65_536 else 32, 16 if m * n <= 65_536 else 32
    return 8 * -(-m * n // 8), count * index + 32 * (m + 1), count * flat


@pytest.mark.parametrize("n", [101, 65_536, 65_537])
@pytest.mark.parametrize("m", [3, 50])
def test_positions_are_packed_the_cheapest_way(rng, m, n):
    """16 bits an index up to 65,536, then 32; 32 bits a pointer; or a bit an entry."""
    counts = [1, m, 2 * m + 1, 10 * m + 1, *(m * n // k - 1 for k in (33, 31, 17, 15))]
    ways = set()
    for count in counts:
        support = np.zeros(m * n, bool)
        support[rng.permutation(m * n)[:count]] = True
        f = sparse(support.reshape(m, n))
        assert position_bits(f) == min(by_hand(m, n, count))
        ways |= {frozenset(f.pack()[0])}
    lists, masks = frozenset({"values", "indices"}), frozenset({"values", "mask"})
    assert {lists, masks} <= ways
    assert (frozenset({"values", "indices", "pointers"}) in ways) == (m * n > 65_536 >= n)


@pytest.mark.parametrize(
    ("keep", "of"), [(2, 4), (1, 4), (3, 4), (4, 8), (1, 2), (5, 32), (31, 32)]
)
def test_groups_take_the_bits_of_a_combination(rng, keep, of):
    m, n = 6, 96
    order = rng.random((m * n // of, of)).argsort(axis=1)
    f = sparse((order < keep).reshape(m, n))
    width = math.ceil(math.log2(math.comb(of, keep)))
    assert position_bits(f) == 8 * -(-m * n // of * width // 8)
    assert f.bits().mask == position_bits(f)
    assert set(f.pack()[0]) == {"values", "groups"}


def test_every_combination_of_a_group_has_a_number_of_its_own():
    for of in range(2, 9):
        for keep in range(1, of):
            support = np.zeros((math.comb(of, keep), of), bool)
            for row, places in zip(support, itertools.combinations(range(of), keep), strict=True):
                row[list(places)] = True
            for order in (slice(None), slice(None, None, -1)):
                assert unpack(*sparse(support[order]).pack()) == sparse(support[order])


def test_two_of_four_in_float16_takes_35_bits_instead_of_64(rng):
    support = (rng.random((64, 64, 4)).argsort(axis=2) < 2).reshape(64, 256)
    assert sparse(support, np.float16).bits().total == 64 * 64 * 35


@pytest.mark.parametrize(
    ("block", "bits"), [((1, 64), 48), ((48, 1), 64), ((4, 8), 96), ((48, 64), 8)], ids=str
)
def test_rows_columns_and_blocks_take_a_bit_each(block, bits):
    cells = np.arange(48 // block[0] * (64 // block[1])) % 3 == 0
    if cells.size > 4:
        cells[4] = True  # no period
    cells = cells.reshape(48 // block[0], -1)
    f = sparse(np.kron(cells, np.ones(block, bool)).astype(bool))
    assert position_bits(f) == bits
    assert f.pack()[1].get("block") == list(block)


def test_a_few_rows_are_a_list():
    support = np.zeros((4096, 8), bool)
    support[[3, 1000, 4095]] = True
    assert position_bits(sparse(support)) == 3 * 16


def test_nothing_and_everything_take_a_byte_at_the_most():
    assert position_bits(sparse(np.zeros((5, 7), bool))) == 0
    assert position_bits(sparse(np.ones((5, 7), bool))) == 8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (3, 5)])
@pytest.mark.parametrize("block", ["entry", "row", "column"])
def test_the_largest_count_that_fits_and_not_one_more(shape, dtype, block):
    """Independent: the cheapest of three ways by hand, for every count."""
    m, n = shape
    a, b = {"entry": (1, 1), "row": (1, n), "column": (m, 1)}[block]
    m, n, width = m // a, n // b, 8 * np.dtype(dtype).itemsize
    costs = np.array([k * a * b * width + min(by_hand(m, n, k)) for k in range(m * n + 1)])
    costs[-1] = m * n * a * b * width + 8  # all of it is one block
    for budget in range(0, costs[-1] + 100, 97):
        count = largest_count(shape, budget, width, (a, b))
        fitting = np.flatnonzero(costs <= budget)
        assert count == fitting[-1] if fitting.size else count <= 0


def rejected(arrays, meta, message, **changes):
    with pytest.raises(ValueError, match=message):
        unpack({**arrays, **changes}, meta)


def test_row_pointers_that_do_not_count_and_indices_out_of_range_are_refused():
    support = np.zeros((4, 40_000), bool)
    support[0, [3, 7, 100, 200]] = support[2, [5, 9, 11, 300]] = True
    support[3, 10:20] = True
    f = sparse(support)
    arrays, meta = f.pack()
    assert arrays["pointers"].tolist() == [0, 4, 4, 8, 18]
    for pointers in (
        [0, 4, 4, 8],
        [0, 4, 4, 8, 19],
        [1, 4, 4, 8, 18],
        [0, 4, 3, 8, 18],
        [0, 29, 4, 8, 18],
    ):
        rejected(arrays, meta, "pointers", pointers=np.array(pointers, "u4"))
    good = arrays["indices"]
    for place, index, message in [
        (1, 40_000, "a column index is 40000 in a layer of 40000 inputs"),
        (1, 65_535, "a column index is 65535"),
        (1, 3, "do not increase"),
        (1, 2, "do not increase"),  # else the values would change places
    ]:
        indices = good.copy()
        indices[place] = index
        rejected(arrays, meta, message, indices=indices)
    for name, dtype in [("indices", "u4"), ("indices", "i2"), ("pointers", "i4")]:
        rejected(arrays, meta, f"packed array '{name}'", **{name: arrays[name].astype(dtype)})


def test_a_list_that_does_not_increase_or_is_out_of_range_is_refused():
    support = np.zeros((4, 5), bool)
    support[[0, 2], [3, 4]] = True
    arrays, meta = sparse(support[:, [0, 1, 2, 3, 4]].repeat(1, 0)).pack()
    if "indices" not in arrays:  # as cheap as a mask: state it as a list
        arrays = {"values": arrays["values"], "indices": np.array([3, 14], "u2")}
        meta = meta | {"positions": "list"}
    assert np.array_equal(unpack(arrays, meta).support, support)
    for indices in ([14, 3], [3, 3], [3, 20], [3, 65_535]):
        rejected(arrays, meta, "increase|an index is", indices=np.array(indices, "u2"))
    rejected(arrays, meta, "values has 2 entries for 1", indices=np.array([3], "u2"))
    rejected(arrays, meta | {"positions": "tree"}, "positions 'tree'")


def test_damaged_groups_and_blocks_are_refused(rng):
    support = (rng.random((6, 12, 4)).argsort(axis=2) < 2).reshape(6, 48)
    arrays, meta = sparse(support).pack()
    for group in ([2, 5], [4, 4], [0, 4], [2], "2:4", [2.0, 4], [16, 48], [True, 4]):
        rejected(arrays, meta | {"group": group}, "group|layer")
    groups = arrays["groups"].copy()
    groups[0] = 255  # 7 of 6 combinations
    rejected(arrays, meta, "no choice of 2 in 4", groups=groups)
    rejected(arrays, meta, "have 26 bytes", groups=groups[:-1])
    for block in ([4, 1], [0, 1], [1, -1], [1], None, [1.0, 1], [10**9, 1]):
        rejected(arrays, meta | {"block": block}, "block")
