"""Weights for `benchmarks.fuzz`: safetensors with other tensors, and with something else noted with them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.fuzz.bytes import Input, Strategy, damaged, made_up, sealed, unsealed
from benchmarks.fuzz.text import DEEP, replaced
from data.tensors import digest_of
from data.tensors import sealed as headed


def safetensors_inputs(whole: bytes) -> Strategy:
    """What is noted with tensors, or a tensor, replaced, with and without a right digest; and raw bytes."""
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    about = json.loads(header["__metadata__"]["about"].partition("\n")[0])
    tensors = load(whole)

    def resealed(new: Any) -> bytes:
        noted = json.dumps(new)
        return save(tensors, headed(noted, digest_of(tensors, noted)))

    def with_header(new: Any) -> bytes:
        text = json.dumps(new).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + size :]

    deep = st.just(save(tensors, headed("[" * DEEP, digest_of(tensors, "[" * DEEP))))
    sizes = st.sampled_from([0, 2**31, 2**62, 2**64 - 1]).map(lambda n: struct.pack("<Q", n) + whole[8:])
    return (
        sealed(replaced(about).map(resealed), "about")
        | sealed(deep, "deep")
        | unsealed(replaced(header).map(with_header), "header")
        | unsealed(sizes, "size")
        | _tensors(tensors, json.dumps(about))
        | damaged(whole)
        | made_up((struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 40)))
    )


def _tensors(tensors: dict[str, Tensor], noted: str) -> Strategy:
    """One of the tensors is another or gone; with a right digest, or with that of the whole ones."""

    def change(found: tuple[str, str, bool]) -> Input:
        name, how, right = found
        other = dict(tensors)
        del other[name]
        if how != "gone":
            other[name] = TENSORS[how](tensors[name]).contiguous()
        digest = digest_of(other if right else tensors, noted)
        return Input(save(other, headed(noted, digest)), f"tensor, {how}", sealed=right)

    triple = st.tuples(st.sampled_from(sorted(tensors)), st.sampled_from(["gone", *TENSORS]), st.booleans())
    return triple.map(change)


TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda tensor: torch.full_like(tensor, torch.nan if tensor.is_floating_point() else 0),
    "infinite": lambda tensor: torch.full_like(tensor, torch.inf if tensor.is_floating_point() else 1),
    "large": lambda tensor: torch.full_like(tensor, 1e38 if tensor.is_floating_point() else 100),
    "flat": lambda tensor: tensor.reshape(-1),
    "shorter": lambda tensor: tensor[:-1] if tensor.ndim else tensor.reshape(1),
    "double": lambda tensor: tensor.double(),
    "whole numbers": lambda tensor: tensor.long(),
    "empty": lambda tensor: tensor.reshape(-1)[:0],
    "negative": lambda tensor: -tensor - 1 if tensor.dtype != torch.uint8 else tensor // 2,
}
