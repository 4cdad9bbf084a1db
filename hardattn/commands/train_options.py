"""The options of `hardattn train` that make a recipe: network, policy, objective, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from data.dataset import DataSet
from data.errors import SettingsError
from data.geometry import Geometry
from hardattn.cores import CORES
from hardattn.encoders import COMBINATIONS, GLIMPSE_ENCODERS
from hardattn.losses import LOSS_AT, LossAt
from hardattn.methods import IMITATE_FOR, REINFORCE_LOSSES
from hardattn.policies import DEVIATION, POLICIES
from hardattn.rewards import REWARDS
from hardattn.stopping.losses import GAIN_TARGETS
from supervision.store import SequenceStore

LEARNED = "learned"
ONLY_BASELINE = ("width", "resolution")
PLAIN = {"jitter": 0.0, "mirror": False, "tone": 0.0}

_RECIPE = (
    click.option(
        "--hidden", type=click.IntRange(min=1), help="Width of the network. [default: 128; of a baseline 256]"
    ),
    click.option(
        "--encoder", type=click.Choice(list(GLIMPSE_ENCODERS)), help="Of a glimpse. [default: conv]"
    ),
    click.option(
        "--combine",
        type=click.Choice(list(COMBINATIONS)),
        help="Of what is seen with where. [default: modulate]",
    ),
    click.option("--core", type=click.Choice(list(CORES)), help="What remembers. [default: gru]"),
    click.option("--batch-norm", is_flag=True, default=None, help="In the encoder, instead of a layer norm."),
    click.option(
        "--policy", type=click.Choice(list(POLICIES)), help="Where to look next. [default: categorical]"
    ),
    click.option(
        "--deviation",
        metavar=f"NUMBER|{LEARNED}",
        help=f"Of a Gaussian policy, where the image is 2 wide. [default: {DEVIATION}]",
    ),
    click.option(
        "--loss-at",
        metavar=f"{'|'.join(LOSS_AT)}|W1,..,WT",
        help="Cross-entropy before and after every glimpse, after the last, the mean of both, or with these "
        "weights: how often the budget is 1 to T glimpses. With ram the reward at the end comes on top. "
        "[default: every]",
    ),
    click.option(
        "--reinforce-loss",
        type=click.Choice(REINFORCE_LOSSES),
        help="Of a Gaussian policy: its log-likelihood, or the distance alone. [default: likelihood]",
    ),
    click.option(
        "--reward",
        "rewards",
        multiple=True,
        metavar="NAME[=WEIGHT]",
        help=f"For REINFORCE; may be repeated: {', '.join(REWARDS)}. [default: final=1]",
    ),
    click.option("--supervision-weight", type=float, help="Of imitating sequences. [default: 1]"),
    click.option(
        "--anneal-supervision",
        is_flag=True,
        default=None,
        help="Let that weight fall linearly to 0 over the budget, so that REINFORCE takes over.",
    ),
    click.option(
        "--imitate-for",
        type=float,
        metavar="SHARE",
        help=f"Of the budget, before REINFORCE takes over (nogs-finetuned). [default: {IMITATE_FOR}]",
    ),
    click.option(
        "--gain-target",
        type=click.Choice(GAIN_TARGETS),
        help="What a glimpse is predicted to gain, in nats. realised: the fall of the cross-entropy of the "
        "label. entropy: the fall of the entropy of the predicted class. design: what its design expected; "
        "images of a batch that are not supervised, most of them with ps-nogs, have none and learn what was "
        "realised. [default: realised]",
    ),
    click.option(
        "--augment/--no-augment",
        default=None,
        help="Shift, mirror (where the class does not mind) and tint training glimpses. [default: augment]",
    ),
    click.option(
        "--dropout",
        type=click.FloatRange(0, 1, max_open=True),
        help="Share of the features that is left out in training; 0 learns faster at first. [default: 0.2]",
    ),
    click.option(
        "--width", type=float, help="Of a baseline with channels: multiplier of their numbers. [default: 1]"
    ),
    click.option(
        "--resolution",
        type=click.IntRange(min=2),
        help="Of a baseline: the side to which images are averaged down first. [default: all pixels]",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), help="Images. [default: 128]"),
    click.option("--learning-rate", type=float, help="The largest, of AdamW. [default: 0.003]"),
)
NAMES = (
    "hidden",
    "encoder",
    "combine",
    "core",
    "batch_norm",
    "policy",
    "loss_at",
    "reinforce_loss",
    "supervision_weight",
    "anneal_supervision",
    "imitate_for",
    "gain_target",
    "dropout",
    *ONLY_BASELINE,
    "batch_size",
    "learning_rate",
)

WITH_BASELINE = (
    *ONLY_BASELINE,
    *("name", "attribute", "canvas", "data_root", "run_dir", "device"),
    *("baseline", "run_name", "seed", "epochs", "minutes"),
    *("hidden", "augment", "batch_size", "learning_rate"),
)


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a recipe."""
    for option in reversed(_RECIPE):
        command = option(command)
    return command


def recipe_of(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of `hardattn.recipe.Recipe` that the options name.

    >>> recipe_of({"core": "rnn", "rewards": ("box=0.5",), "deviation": "learned", "augment": None})
    {'core': 'rnn', 'deviation': None, 'rewards': {'box': 0.5}}
    """
    chosen = {name: options[name] for name in NAMES if options.get(name) is not None}
    if "loss_at" in chosen:
        chosen["loss_at"] = loss_at_of(chosen["loss_at"])
    if options.get("deviation") is not None:
        learned = options["deviation"] == LEARNED
        chosen["deviation"] = None if learned else _number(options["deviation"], f"a number or {LEARNED}")
    if options.get("rewards"):
        chosen["rewards"] = rewards_of(options["rewards"])
    return chosen | (PLAIN if options.get("augment") is False else {})


def refuse_what_glimpses_need(context: click.Context) -> None:
    """Raises SettingsError when the command line names an option that says nothing to a baseline."""
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in WITH_BASELINE:
            raise SettingsError(
                f"expected no {option.opts[0]} with --baseline, found it; leave one of the two out"
            )


def refuse_what_baselines_need(options: dict[str, Any]) -> None:
    """Raises SettingsError when an option is named that says nothing to a hard-attention network."""
    for name in ONLY_BASELINE:
        if options.get(name) is not None:
            raise SettingsError(f"expected --baseline with --{name}, found none; add it or leave it out")


def rewards_of(words: Sequence[str]) -> dict[str, float]:
    """Weights of rewards, 1 where none is given.

    >>> rewards_of(["final", "information=0.2"])
    {'final': 1.0, 'information': 0.2}
    """
    found = {}
    for word in words:
        name, _, weight = word.partition("=")
        if name not in REWARDS:
            raise SettingsError(f"expected --reward of {', '.join(REWARDS)}; found {name!r}")
        found[name] = _number(weight, "a number after =") if weight else 1.0
    return found


def loss_at_of(word: str) -> LossAt:
    """A name, or weights, of `hardattn.losses.step_weights`.

    >>> loss_at_of("last"), loss_at_of("3,1,0.5")
    ('last', (3.0, 1.0, 0.5))
    """
    if word in LOSS_AT:
        return word
    wanted = f"--loss-at of {', '.join(LOSS_AT)}, or weights W1,..,WT"
    return tuple(_number(part, wanted) for part in word.split(","))


def wanted_geometry(
    dataset: DataSet,
    store: SequenceStore | None,
    glimpse_size: int | None,
    scales: int | None,
    first_glance: bool | None = None,
) -> Geometry | None:
    """The geometry that options ask for, None without any; what is not asked for is the sequences'."""
    asked = {"glimpse_size": glimpse_size, "scales": scales, "first_glance": first_glance}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    default = Geometry(**store.settings["geometry"]) if store else dataset.geometry
    return replace(default, **given)


def _number(word: str, wanted: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SettingsError(f"expected {wanted}, found {word!r}") from None
