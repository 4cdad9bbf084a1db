"""Names of file formats that a step is exported to; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

FORMATS: Registry[Any] = Registry(
    "export format",
    {"onnx": "hardattn.exporting.onnx_format", "torch": "hardattn.exporting.torch_format"},
)
"""What other programs read: `hardattn.exporting.traced.Format`."""
STOPPING = ("fixed", "gain", "accuracy-gain", "entropy", "confidence", "halting")
"""Rules by which a loop can stop that knows what its steps say and no more."""
DEFAULT = "onnx"
FREE = "free"
"""Of a batch whose size is left open."""
STEP = "step"
"""Name of an exported file, but for its suffix."""
