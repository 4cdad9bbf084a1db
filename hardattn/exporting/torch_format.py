"""The file format of `torch.export`: a graph and its weights in an archive, without Python classes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hardattn.exporting.registry import FORMATS
from hardattn.exporting.traced import Format, Run, Traced, quietly


def written(traced: Traced, texts: Mapping[str, str]) -> bytes:
    """The archive; texts are extra files in it, with the suffix .json."""
    file = io.BytesIO()
    extra = {f"{name}.json": text for name, text in texts.items()}
    with quietly():
        torch.export.save(traced.program, file, extra_files=extra)
    return file.getvalue()


def opened(file: bytes) -> Run:
    """The step of an archive."""
    with quietly():
        step = torch.export.load(io.BytesIO(file)).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(step(*inputs))

    return run


FORMATS.register("torch")(Format(".pt2", ("torch", torch.__version__), written, opened))
