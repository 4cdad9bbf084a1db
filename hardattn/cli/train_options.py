"""The options of `hardattn train`, by the panels of its help."""

from __future__ import annotations

import click

from data.cli.options import (
    PATH,
    AtLeast,
    Name,
    Option,
    Within,
    data_options,
    device_option,
    glance_option,
    panel,
    sensor_options,
    sides_option,
    tracker_option,
)
from data.side_names import MAGNIFICATION
from hardattn.baselines.choices import POOLINGS
from hardattn.baselines.registry import BASELINES
from hardattn.cli.recipe import LEARNED
from hardattn.model.choices import DEVIATION
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES
from hardattn.objectives.choices import (
    AUXILIARY,
    GAIN_TARGETS,
    IMITATE_FOR,
    LOSS_AT,
    PONDER_COST,
    REINFORCE_LOSSES,
)
from hardattn.objectives.registry import METHODS, REWARDS
from hardattn.training.budget import CHECK_EVERY, DEFAULT_ITERATIONS
from hardattn.training.choices import (
    DECAY,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    SELECTIONS,
    TEACHER_SHARE,
    UNCLIPPED,
)

OWN = "(of the run)"
LEFT = 75
"""Exit code of a training that is left at its time limit: "temporary failure, try again" of sysexits.h."""


def train_options() -> list[click.Parameter]:
    """All options of the command, by panel."""
    return [
        *_method_options(),
        *_length_options(),
        *data_options(),
        *sensor_options(glance_option(), sides_option()),
        *_network_options(),
        *_policy_options(),
        *_objective_options(),
        *_supervision_options(),
        *_augmentation_options(),
        *_baseline_options(),
        *panel("Output", tracker_option()),
    ]


def _method_options() -> list[click.Parameter]:
    return panel(
        "Method",
        Option(
            ["--supervise"],
            is_flag=False,
            flag_value=OWN,
            metavar="[FILE]",
            help="Imitate the glimpse sequences of FILE; without FILE, of the run's own, see --method.",
        ),
        Option(
            ["--method"],
            type=Name(METHODS),
            help=f"One of {', '.join(METHODS)}. [default: ps-nogs with --supervise, else ram]",
        ),
        Option(
            ["--baseline"],
            type=click.Choice(list(BASELINES)),
            help="Train a rival that sees the whole image at once, instead of a hard-attention network.",
        ),
        Option(
            ["--name", "run_name"],
            help="Of the run's folder, hardattn-NAME-SEED. [default: METHOD, METHOD-FILE or BASELINE]",
        ),
        Option(["--seed"], default=0, show_default=True, help="Of weights, batches and draws."),
        device_option(),
        Option(
            ["--compile", "compile_step"],
            is_flag=True,
            help="Compile the training step first: it takes up to minutes and a C++ compiler, and makes each "
            "step faster; not with epe-head, wsram and --gradient-equilibrium.",
        ),
        Option(
            ["--accumulate"],
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Parts of a batch, one after the other in memory: what is learned is the same; not with "
            "batch norm, --compile and --gradient-equilibrium.",
        ),
        Option(
            ["--precision"],
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="Of products in training. auto: bfloat16 on a GPU, else float32.",
        ),
    )


def _length_options() -> list[click.Parameter]:
    return panel(
        "Budget and optimiser",
        Option(
            ["--epochs"],
            type=float,
            help=f"Length of training. [default: {DEFAULT_ITERATIONS} iterations]",
        ),
        Option(["--minutes"], type=float, help="Length of training, by the clock."),
        Option(
            ["--patience"],
            type=AtLeast(1),
            metavar="CHECKS",
            help=f"End it as soon as so many checks in a row, one every {CHECK_EVERY} iterations, have found "
            "no better --select. The learning rate goes by the whole length. [default: never]",
        ),
        Option(
            ["--time-limit"],
            type=float,
            metavar="MINUTES",
            help="Of this call, by the clock on the wall: then the state is saved, the exit code is "
            f"{LEFT}, and the same command takes it up. [default: none]",
        ),
        Option(["--batch-size"], type=click.IntRange(min=1), help="Images. [default: 128]"),
        Option(["--learning-rate"], type=float, help="The largest. [default: 0.003]"),
        Option(["--optimizer"], type=click.Choice(OPTIMIZERS), help="[default: adamw]"),
        Option(["--momentum"], type=float, help="Of sgd. [default: 0]"),
        Option(
            ["--weight-decay"],
            type=float,
            help="Decoupled with adamw, else part of the gradient. [default: 0.1 with adamw, else 0]",
        ),
        Option(
            ["--clip"],
            metavar=f"NUMBER|{UNCLIPPED}",
            help="Largest norm of the gradient. [default: 1]",
        ),
        Option(
            ["--gradient-equilibrium"],
            metavar="FIRST[,FINAL]",
            help="Bring the spread of the gradient that comes back from where to look next to 1/FIRST of "
            "the classifier's, at the end of the budget to 1/FINAL (multiglimpse). [default: as it comes]",
        ),
        Option(
            ["--schedule"],
            metavar=f"{'|'.join(SCHEDULES)}|{DECAY}=G",
            help="Of the learning rate: warming up and then a cosine to 0 over the budget; as it is; up and "
            "down once; or times G after every epoch. [default: cosine]",
        ),
        Option(
            ["--select"],
            type=click.Choice(SELECTIONS),
            help="Keep the weights of the smallest NLL of the validation images, or of the largest accuracy. "
            "[default: nll]",
        ),
    )


def _network_options() -> list[click.Parameter]:
    return panel(
        "Network",
        Option(
            ["--hidden"],
            type=click.IntRange(min=1),
            help="Width of the network. [default: 128; of a baseline 256]",
        ),
        Option(
            ["--encoder"],
            type=click.Choice(list(ENCODERS)),
            help="Of a glimpse. plain, which comes with --combine plain: linear layers and ReLU alone (Mnih "
            "et al. 2014). efficientnet-lite0: its first blocks, with weights learned on ImageNet. "
            "[default: conv]",
        ),
        Option(
            ["--features"],
            type=PATH,
            metavar="RUN_DIR|FIT_DIR",
            help="Begin with the encoder of this run, as one of --method multiglimpse --glimpses 1 "
            "--magnification 1; or with the local features that the glimpse-max posterior of this fit has "
            "learned, as runs/NAME/approximations-glimpse-max (--encoder local, --hidden twice as many).",
        ),
        Option(
            ["--frozen"],
            is_flag=True,
            default=None,
            help="Leave the encoder of --features, or the blocks of efficientnet-lite0, as it is, with "
            "the statistics of its norms.",
        ),
        Option(
            ["--combine"],
            type=click.Choice(list(COMBINATIONS)),
            help="Of what is seen with where. [default: modulate, or plain with --encoder plain]",
        ),
        Option(["--core"], type=click.Choice(list(CORES)), help="What remembers. [default: gru]"),
        Option(
            ["--batch-norm"],
            is_flag=True,
            default=None,
            help="In the encoder, instead of a layer norm.",
        ),
        Option(
            ["--magnification"],
            type=float,
            help="Of affine crops (multiglimpse): images are so many times as wide as glimpses. "
            f"[default: {MAGNIFICATION}]",
        ),
    )


def _policy_options() -> list[click.Parameter]:
    return panel(
        "Policy",
        Option(
            ["--policy"],
            type=click.Choice(list(POLICIES)),
            help="Where to look next. gaussian-state: how far around its mean depends on what was seen. "
            "[default: categorical]",
        ),
        Option(
            ["--policy-shapes-state/--policy-reads-state"],
            default=None,
            help="Whether the gradient of where to look goes on into what the network remembers. [default: "
            "it does, but for imitating on aligned images]",
        ),
        Option(
            ["--deviation"],
            metavar=f"NUMBER|{LEARNED}",
            help=f"Of a Gaussian policy, where the image is 2 wide. [default: {DEVIATION}]",
        ),
    )


def _objective_options() -> list[click.Parameter]:
    return panel(
        "Objective",
        Option(
            ["--loss-at"],
            metavar=f"{'|'.join(LOSS_AT)}|W1,..,WT",
            help="Cross-entropy before and after every glimpse, after every one, after the last, the mean of "
            "every and last, or with these weights: how often the budget is 1 to T glimpses. With ram the "
            "reward at the end comes on top. [default: every; of multiglimpse after, of act last]",
        ),
        Option(
            ["--ponder-cost"],
            type=float,
            metavar="NATS",
            help="Of each glimpse until the network halts (act, ps-act); the larger, the sooner it does. "
            f"[default: {PONDER_COST}]",
        ),
        Option(
            ["--auxiliary"],
            type=Within(0, 1),
            metavar="SHARE",
            help="Of the cross-entropies, of a classifier on each glimpse alone (multiglimpse). "
            f"[default: {AUXILIARY}]",
        ),
        Option(
            ["--reinforce-loss"],
            type=click.Choice(REINFORCE_LOSSES),
            help="Of a Gaussian policy: its log-likelihood, or the distance alone. [default: likelihood]",
        ),
        Option(
            ["--reward", "rewards"],
            multiple=True,
            metavar="NAME[=WEIGHT]",
            help=f"For REINFORCE; may be repeated: {', '.join(REWARDS)}. [default: final=1]",
        ),
        Option(
            ["--discount"],
            type=float,
            metavar="GAMMA",
            help="Of a reward, for every glimpse that it comes later; above 0 to 1. [default: 1]",
        ),
        Option(
            ["--trajectories"],
            type=click.IntRange(min=1),
            help="Of each image of a batch, for REINFORCE alone; of several, what the others earn is what "
            "each is compared with, in place of what the network expects. A batch has so many times fewer "
            "images. [default: 1]",
        ),
        Option(
            ["--classification-weight"],
            type=float,
            help="Of the cross-entropy; 0: the classifier is not learned. [default: 1]",
        ),
        Option(
            ["--gain-target"],
            type=click.Choice(GAIN_TARGETS),
            help="What a glimpse is predicted to gain, in nats. realised: the fall of the cross-entropy of "
            "the label. entropy: the fall of the entropy of the predicted class. design: what its design "
            "expected; images of a batch that are not supervised, most of them with ps-nogs, have none and "
            "learn what was realised. [default: realised]",
        ),
    )


def _supervision_options() -> list[click.Parameter]:
    return panel(
        "Supervision",
        Option(
            ["--supervised-images"],
            type=int,
            help="Use only so many of the sequences: a fair sample, part of every larger one.",
        ),
        Option(["--supervision-weight"], type=float, help="Of imitating sequences. [default: 1]"),
        Option(
            ["--anneal-supervision"],
            is_flag=True,
            default=None,
            help="Let that weight fall linearly to 0 over the budget, so that REINFORCE takes over.",
        ),
        Option(
            ["--imitate-for"],
            type=float,
            metavar="SHARE",
            help=f"Of the budget, before REINFORCE takes over (nogs-finetuned). [default: {IMITATE_FOR}]",
        ),
        Option(
            ["--distil"],
            type=PATH,
            metavar="RUN_DIR",
            help="Mix the class probabilities of this trained baseline into the labels of the training "
            "images.",
        ),
        Option(
            ["--distil-share"],
            type=float,
            help=f"Of these probabilities, above 0 to 1. [default: {TEACHER_SHARE}]",
        ),
    )


def _augmentation_options() -> list[click.Parameter]:
    return panel(
        "Augmentation",
        Option(
            ["--augment/--no-augment"],
            default=None,
            help="Shift, mirror (where the class does not mind) and tint training glimpses. "
            "[default: augment]",
        ),
        Option(
            ["--dropout"],
            type=Within(0, 1, max_open=True),
            help="Share of the features that is left out in training; 0 learns faster at first. "
            "[default: 0.2]",
        ),
    )


def _baseline_options() -> list[click.Parameter]:
    return panel(
        "Baselines alone",
        Option(
            ["--width"],
            type=float,
            help="Of a baseline with channels: multiplier of their numbers. [default: 1]",
        ),
        Option(
            ["--pooling"],
            type=click.Choice(POOLINGS),
            help="Of a baseline with channels: how its last map is read. [default: mean]",
        ),
        Option(
            ["--resolution"],
            type=click.IntRange(min=2),
            help="Of a baseline: the side to which images are averaged down first. [default: all pixels]",
        ),
    )
