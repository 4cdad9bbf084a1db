"""What the options of `hardattn train` make: a recipe and a geometry; refusals of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from data.cli.config import is_given
from data.errors import SettingsError
from hardattn.model.choices import DEVIATION, WITH_DEVIATION, WITHOUT_DEVIATION
from hardattn.objectives.choices import LOSS_AT, LossAt
from hardattn.objectives.registry import REWARDS
from hardattn.training.choices import UNCLIPPED

if TYPE_CHECKING:
    from data.dataset import DataSet
    from data.geometry import Geometry
    from supervision.store import SequenceStore

LEARNED = "learned"
ONLY_BASELINE = ("width", "pooling", "resolution")
PLAIN = {"jitter": 0.0, "mirror": False, "tone": 0.0}
OPTIMISER = ("learning_rate", "optimizer", "momentum", "weight_decay", "schedule", "select")
NAMES = (
    "hidden",
    "encoder",
    "combine",
    "core",
    "batch_norm",
    "policy",
    "policy_shapes_state",
    "loss_at",
    "reinforce_loss",
    "supervision_weight",
    "anneal_supervision",
    "imitate_for",
    "gain_target",
    "classification_weight",
    "discount",
    "trajectories",
    "auxiliary",
    "ponder_cost",
    "frozen",
    "dropout",
    *ONLY_BASELINE,
    "batch_size",
    *OPTIMISER,
)

WITH_BASELINE = (
    *ONLY_BASELINE,
    *("name", "attribute", "canvas", "region", "placements", "data_root", "run_dir", "device"),
    *("image_size", "classes", "data_seed", "canvas_seed", "scatter", "face_widths"),
    *("baseline", "run_name", "seed", "epochs", "minutes", "accumulate", "precision"),
    *("patience", "time_limit", "tracker"),
    *("hidden", "augment", "batch_size", "clip", *OPTIMISER),
)


def recipe_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `hardattn.training.recipe.Recipe` that the options name.

    >>> recipe_of({"core": "rnn", "rewards": ("box=0.5",), "deviation": "learned", "augment": None})
    {'core': 'rnn', 'deviation': None, 'rewards': {'box': 0.5}}
    """
    chosen = {name: options[name] for name in NAMES if options.get(name) is not None}
    if "loss_at" in chosen:
        chosen["loss_at"] = loss_at_of(chosen["loss_at"])
    if options.get("deviation") is not None:
        learned = options["deviation"] == LEARNED
        chosen["deviation"] = None if learned else _number(options["deviation"], f"a number or {LEARNED}")
    if options.get("clip") is not None:
        unclipped = options["clip"] == UNCLIPPED
        chosen["clip"] = None if unclipped else _number(options["clip"], f"a --clip, a number or {UNCLIPPED}")
    if options.get("gradient_equilibrium") is not None:
        chosen["gradient_equilibrium"] = ratios_of(options["gradient_equilibrium"])
    if options.get("rewards"):
        chosen["rewards"] = rewards_of(options["rewards"])
    return chosen | (PLAIN if options.get("augment") is False else {})


def refuse_what_glimpses_need(context: click.Context) -> None:
    """Raises SettingsError when an option is named, here or in a file, that says nothing to a baseline."""
    for option in context.command.params:
        if is_given(context, option) and option.name not in WITH_BASELINE:
            raise SettingsError(
                f"expected no {option.opts[0]} with --baseline, found it; leave one of the two out"
            )


def refuse_what_baselines_need(options: Mapping[str, Any]) -> None:
    """Raises SettingsError when an option is named that says nothing to a hard-attention network."""
    for name in ONLY_BASELINE:
        if options.get(name) is not None:
            raise SettingsError(f"expected --baseline with --{name}, found none; add it or leave it out")


def refuse_deviation(options: Mapping[str, Any]) -> None:
    """Raises SettingsError for a deviation of a policy of this project that has none."""
    policy = options.get("policy") or WITHOUT_DEVIATION[0]
    asked = recipe_of({"deviation": options.get("deviation")}).get("deviation", DEVIATION)
    if asked != DEVIATION and policy in WITHOUT_DEVIATION:
        raise SettingsError(
            f"expected --policy {' or '.join(WITH_DEVIATION)} with --deviation, found {policy}; take one or "
            "leave the option out"
        )


def rewards_of(words: Sequence[str]) -> dict[str, float]:
    """Weights of rewards, 1 where none is given.

    >>> rewards_of(["final", "information=0.2"])
    {'final': 1.0, 'information': 0.2}
    """
    weights = {}
    for word in words:
        name, _, weight = word.partition("=")
        if name not in REWARDS:
            raise SettingsError(f"expected --reward of {', '.join(REWARDS)}; found {name!r}")
        weights[name] = _number(weight, "a number after =") if weight else 1.0
    return weights


def loss_at_of(word: str) -> LossAt:
    """A name, or weights, of `hardattn.objectives.losses.step_weights`.

    >>> loss_at_of("last"), loss_at_of("3,1,0.5")
    ('last', (3.0, 1.0, 0.5))
    """
    if word in LOSS_AT:
        return word
    wanted = f"--loss-at of {', '.join(LOSS_AT)}, or weights W1,..,WT"
    return tuple(_number(part, wanted) for part in word.split(","))


def ratios_of(word: str) -> tuple[float, ...]:
    """The first and the final ratio of `hardattn.model.gradient_equilibrium`.

    >>> ratios_of("8"), ratios_of("8,2")
    ((8.0, 8.0), (8.0, 2.0))
    """
    wanted = "--gradient-equilibrium FIRST or FIRST,FINAL"
    ratios = tuple(_number(part, wanted) for part in word.split(","))
    return ratios * 2 if len(ratios) == 1 else ratios


def wanted_geometry(
    dataset: DataSet, store: SequenceStore | None, sensor: Mapping[str, Any]
) -> Geometry | None:
    """The geometry that options ask for, None without any; what is not asked for is the sequences'.

    Args:
        sensor: see `data.cli.options.sensor_of`.
    """
    if not sensor:
        return None
    from dataclasses import replace

    default = store.geometry if store else dataset.geometry
    return replace(default, **sensor)


def _number(word: str, wanted: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SettingsError(f"expected {wanted}, found {word!r}") from None
