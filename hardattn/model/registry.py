"""Names of what a network is built from: encoders, their combination with the place, cores, policies, heads.

Nothing is imported for a name alone; each is looked up in its registry, see `data.plugins.Registry`.
"""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

_ENCODERS, _CORES = "hardattn.model.encoders", "hardattn.model.cores"
_POLICIES, _LOCALISERS = "hardattn.model.policies", "hardattn.model.localisers"
_PLAIN = "hardattn.model.plain_encoder"

ENCODERS: Registry[Any] = Registry(
    "encoder",
    {
        "conv": _ENCODERS,
        "linear": _ENCODERS,
        "plain": _PLAIN,
        "patches": "hardattn.model.patch_encoder",
        "local": "hardattn.model.local_encoder",
        **dict.fromkeys(("residual", "resnet18"), "hardattn.model.residual_encoder"),
        "efficientnet-lite0": "hardattn.model.efficientnet",
    },
)
"""Of a glimpse: (channels, size, features, *, batch_norm) -> module, see `hardattn.model.encoders`; without
the keyword it has no norm. An attribute `combination` names the one that goes with it by default. One
that has seen other images gives the weights by `pretrained`, takes them by `load_pretrained`, and has an
attribute `backbone`, the part that they are of; see `hardattn.model.efficientnet`."""
COMBINATIONS: Registry[Any] = Registry(
    "combination",
    {
        **dict.fromkeys(("modulate", "add", "concat"), _ENCODERS),
        "plain": _PLAIN,
        **dict.fromkeys(("clue", "spatial-clue", "no-clue"), "hardattn.model.clues"),
    },
)
"""Of what is seen with where: (features, *, coordinates) -> module, see `hardattn.model.encoders.Modulate`;
one without the keyword is for glimpses of one side. With the keyword `grid` it is told the sizes; an
attribute `width` says how wide its result is, where that is not as wide as features."""
CORES: Registry[Any] = Registry(
    "core",
    {
        **dict.fromkeys(("gru", "lstm", "rnn"), _CORES),
        **dict.fromkeys(("attention", "mean"), "hardattn.model.fusion"),
    },
)
"""What remembers: (features,) -> `hardattn.model.cores.Core`; with the keywords `glimpses` and `carried`, see
`hardattn.model.fusion.MemoryCore`."""
POLICIES: Registry[Any] = Registry(
    "policy",
    {
        **dict.fromkeys(("categorical", "product", "epe", "gaussian", "mixture"), _POLICIES),
        "gaussian-state": "hardattn.model.state_gaussian",
        "glance": "hardattn.model.glance_policy",
        **dict.fromkeys(("affine", "affine-attention", "affine-map"), _LOCALISERS),
    },
)
"""Where to look next: (features, grid, **options) -> `hardattn.model.policies.Policy`, a subclass of it."""
HEADS: Registry[Any] = Registry(
    "head", dict.fromkeys(("gain", "accuracy_gain", "act", "stochastic"), "hardattn.model.heads")
)
"""What stopping rules go by: `hardattn.model.heads.HeadKind`."""
