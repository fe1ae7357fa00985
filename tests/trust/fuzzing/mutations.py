"""Files with something wrong in them: bytes changed anywhere, or one thing that a format says."""

import io
import json
import random
import re
import struct
import warnings
import zipfile

NUMBERS = (0, 1, -1, 2, 255, 2**16, 2**31, 2**32 - 1, 2**63, 10**30, 1e308, 0.5)
VALUES = (*NUMBERS, None, True, "", "x", "re:(", [], {}, [0], [[]], {"": 0}, "float32", "U8")
BYTES = (0, 1, 0x7F, 0x80, 0xFF, *b'09{}[]",:-PK')


def mutated(data: bytes, suffix: str, others: list[bytes], rng: random.Random) -> bytes:
    """The file with a few changes, of bytes or of what its format says."""
    inside = {".safetensors": of_header, ".npz": of_members, ".json": of_json, ".onnx": of_message}
    if suffix in inside and rng.random() < 0.7:
        return inside[suffix](data, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = of_bytes(data, others, rng)
    return data


def of_bytes(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One change of the bytes."""
    if not data:
        return rng.choice(others)[:100]
    i, n = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64))
    kind = rng.randrange(8)
    if kind == 0:
        return data[:i] + bytes([data[i] ^ 1 << rng.randrange(8)]) + data[i + 1 :]
    if kind == 1:
        return data[:i] + bytes([rng.choice(BYTES)]) + data[i + 1 :]
    if kind == 2:
        return data[:i]
    if kind == 3:
        return data[:i] + data[i + n :]
    if kind == 4:
        return data[: i + n] + data[i:]
    if kind == 5:
        other = rng.choice(others)
        j = rng.randrange(len(other))
        return data[:i] + other[j : j + n] + data[i + n * rng.randrange(2) :]
    if kind == 6:
        number = rng.choice([x for x in NUMBERS if isinstance(x, int)]) % 2**64
        return data[:i] + struct.pack("<Q", number)[: min(n, 8)] + data[i + min(n, 8) :]
    digits = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not digits:
        return data[:i]
    found = rng.choice(digits)
    return data[: found.start()] + repr(rng.choice(NUMBERS)).encode() + data[found.end() :]


def of_tree(tree: object, rng: random.Random) -> object:
    """One change of what JSON says; of texts that are JSON themselves, too."""
    if isinstance(tree, str) and tree[:1] in ("{", "[") and rng.random() < 0.9:
        try:
            return json.dumps(of_tree(json.loads(tree), rng))
        except ValueError:
            return tree[1:]
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.1:
        deep = "[" * 300 + "]" * 300
        return json.loads(deep) if rng.random() < 0.02 else rng.choice(VALUES)
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key, other = rng.choice(keys), rng.choice(keys)
    changed = tree.copy()
    kind = rng.randrange(12)
    if kind == 0:
        del changed[key]
    elif kind == 1:
        changed[key] = tree[other]
    elif kind == 2 and isinstance(tree, dict):
        changed[rng.choice(("", "x", "shape", "kind", "..", "/tmp/x"))] = changed.pop(key)
    elif kind == 2:
        changed.append(tree[key])
    else:
        changed[key] = of_tree(tree[key], rng)
    return changed


def of_json(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(of_tree(json.loads(data), rng)).encode()


def of_header(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header says something else, of its right length."""
    (length,) = struct.unpack("<Q", data[:8])
    text = of_json(data[8 : 8 + length], rng)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def of_members(data: bytes, rng: random.Random) -> bytes:
    """An archive with one other member, of the right sum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    i = rng.randrange(len(members))
    name, content = members[i]
    if name.startswith("__metadata__") and rng.random() < 0.9:
        start = content.index(b"\n") + 1
        text = of_json(content[start:], rng)
        header = content[:start].replace(b"(%d,)" % (len(content) - start), b"(%d,)" % len(text))
        header = header[:8] + struct.pack("<H", len(header) - 10) + header[10:]
        members[i] = name, header + text
    elif rng.random() < 0.1:
        members.append((rng.choice([n for n, _ in members] + ["../x.npy", "x"]), content))
    elif rng.random() < 0.1:
        del members[i]
    else:
        members[i] = name, of_bytes(content, [c for _, c in members], rng)
    made = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as file:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            file.writestr(name, content)
    return made.getvalue()


def of_message(data: bytes, rng: random.Random) -> bytes:
    """An ONNX model with one other field, somewhere."""
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    message = model
    while True:
        fields = message.ListFields()
        inner = [
            part
            for field, value in fields
            if field.type == field.TYPE_MESSAGE
            for part in (value if hasattr(value, "append") or hasattr(value, "add") else [value])
        ]
        if not inner or (message is not model and rng.random() < 0.3):
            break
        message = rng.choice(inner)
    if fields:
        _change_field(message, *rng.choice(fields), rng)
    return model.SerializeToString()


def _change_field(message: object, field: object, value: object, rng: random.Random) -> None:
    number = rng.choice((0, 1, -1, 2, 7, 10, 16, 2**31 - 1))
    repeated = hasattr(value, "extend")
    if rng.random() < 0.2 or (field.type == field.TYPE_MESSAGE and not repeated):
        message.ClearField(field.name)
    elif repeated and (field.type == field.TYPE_MESSAGE or rng.random() < 0.3):
        if rng.random() < 0.5:
            value.extend([rng.choice(list(value))])
        else:
            del value[rng.randrange(len(value))]
    else:
        if field.type == field.TYPE_BYTES:
            given = value[0] if repeated else value
            new = given[: rng.randrange(len(given) + 1)] + b"\xff" * rng.randrange(3)
        elif field.type == field.TYPE_STRING:
            new = rng.choice(("", "x", "w", "../x", "/etc/passwd", "out_in", "y"))
        elif field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
            new = rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
        elif field.type == field.TYPE_ENUM:
            new = rng.choice(list(field.enum_type.values_by_number))
        else:
            new = abs(number) if field.type == field.TYPE_UINT64 else number
        if repeated:
            value[rng.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)
