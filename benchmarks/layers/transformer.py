"""A small transformer, trained on the standard library's own source text.

``python benchmarks/layers/transformer.py transformer.npz --seconds 180`` trains, and writes the
weights and the inputs that every linear layer sees on text it was trained on (calibration) and on
text it was not (held out). Seeded; torch is needed here and nowhere else in the comparison.
"""

from __future__ import annotations

import argparse
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CONTEXT, VOCABULARY = 128, 128
ROWS = 4096  # of inputs that are kept, for each layer and text


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.heads, C // self.heads).transpose(1, 2)
            for part in self.qkv(self.before_attention(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class Transformer(nn.Module):
    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, width)
        self.place = nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token(tokens) + self.place.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def text() -> np.ndarray:
    """The library's modules one after another, as ASCII."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"))
    codes = np.frombuffer(b"\n".join(file.read_bytes() for file in files), dtype=np.uint8)
    return np.where(codes < VOCABULARY, codes, ord("?")).astype(np.int64)


def batch(codes: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    starts = torch.randint(len(codes) - CONTEXT - 1, (size,), generator=generator)
    return torch.stack([codes[start : start + CONTEXT + 1] for start in starts])


def train(model: nn.Module, codes: torch.Tensor, seconds: float, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    began, step = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * max(0.02, 1 - spent / seconds)
        tokens = batch(codes, size, generator)
        loss = loss_of(model, tokens)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"{spent:5.0f} s, step {step}: {loss.item():.3f} nats a byte", flush=True)


def loss_of(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))


def inputs_of(model: nn.Module, tokens: torch.Tensor) -> dict[str, np.ndarray]:
    """What each linear layer sees, `ROWS` rows of it."""
    seen: dict[str, np.ndarray] = {}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, name=name: seen.update(
                {f"{name}.weight": args[0].reshape(-1, args[0].shape[-1])[:ROWS].numpy()}
            )
        )
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        model(tokens[:, :-1])
    for hook in hooks:
        hook.remove()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=24)
    args = parser.parse_args()
    torch.manual_seed(0)
    codes = torch.from_numpy(text())
    cut = int(0.9 * len(codes))
    model = Transformer(args.width, args.depth, heads=args.width // 32)
    train(model, codes[:cut], args.seconds, args.batch)
    generator = torch.Generator().manual_seed(1)
    parts = {"calibration": codes[:cut], "heldout": codes[cut:]}
    tokens = {name: batch(part, 64, generator) for name, part in parts.items()}
    with torch.no_grad():
        losses = {name: loss_of(model, t).item() for name, t in tokens.items()}
    print(f"nats a byte: {losses}")
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, t in tokens.items():
        arrays |= {f"{name}/{layer}": X for layer, X in inputs_of(model, t).items()}
    np.savez(args.output, **arrays)


if __name__ == "__main__":
    main()
