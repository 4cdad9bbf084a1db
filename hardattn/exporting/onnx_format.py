"""ONNX: a graph that many programs run, without Python and without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hardattn.exporting.registry import FORMATS
from hardattn.exporting.traced import BATCH, INPUTS, Format, Run, Traced, quietly

OPSET = 18
"""The oldest that PyTorch's exporter writes: read by the most programs."""
PROVIDER = "CPUExecutionProvider"
NEEDS = ("onnxscript", "onnxruntime")
"""By the first PyTorch writes models, by the second they are run."""


def written(traced: Traced, texts: Mapping[str, str]) -> bytes:
    """The model; texts are among its metadata."""
    free = None if traced.batch else ({0: BATCH},) * len(INPUTS)
    with quietly():
        program: Any = torch.onnx.export(
            traced.program,
            dynamo=True,
            input_names=INPUTS,
            output_names=traced.outputs,
            dynamic_shapes=free,
            opset_version=OPSET,
            verbose=False,
        )
    model = program.model_proto
    model.metadata_props.extend(_entry(model, name, text) for name, text in texts.items())
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _entry(model: Any, name: str, text: str) -> Any:
    """One of the metadata of a model; a new one is of the type that the others have."""
    entry = type(model)().metadata_props.add()
    entry.key, entry.value = name, text
    return entry


def opened(file: bytes) -> Run:
    """The step of a model, by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=[PROVIDER])

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        named = {name: each.numpy() for name, each in zip(INPUTS, inputs, strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, named)]

    return run


FORMATS.register("onnx")(Format(".onnx", ("opset", OPSET), written, opened, NEEDS))
