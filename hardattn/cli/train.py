"""The command `hardattn train`: parse, one call into the library, print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import Task, open_task, sensor_of
from data.errors import SettingsError, UnfinishedError
from hardattn.cli.recipe import (
    recipe_of,
    refuse_deviation,
    refuse_what_baselines_need,
    refuse_what_glimpses_need,
    wanted_geometry,
)
from hardattn.cli.train_options import LEFT, OWN, train_options
from hardattn.training.budget import Budget, TimeLimit
from hardattn.training.choices import TEACHER_SHARE
from hardattn.training.group import process_group

if TYPE_CHECKING:
    from hardattn.distillation import Teacher
    from hardattn.warm_start import LearnedFeatures
    from supervision.store import SequenceStore


@click.command(cls=Command, resumable=True, params=train_options())
@click.pass_context
def train(context: click.Context, /, baseline: str | None, **options: Any) -> None:
    """Trains a network into RUN/hardattn-METHOD-SEED, or takes up the run that is there.

    With sequences of another file than the run's own it is RUN/hardattn-METHOD-FILE-SEED, and with a network
    on the whole image RUN/hardattn-BASELINE-SEED.

    \b
    Examples:
      hardattn train --supervise
      hardattn train --method random --minutes 1
      hardattn train --method ram --compile
      hardattn train --policy mixture --policy-reads-state --reward log-likelihood --discount 0.01
      hardattn train --supervise --patience 10 --tracker tensorboard
      hardattn train --supervise --epochs 200 --time-limit 55
      torchrun --nproc-per-node 2 -m -- hardattn train --supervise
      hardattn train --baseline fc --hidden 64
      hardattn train --baseline separable --width 0.5 --resolution 20
      hardattn train --method ps-fixed --supervise
      hardattn train --first-glance --name glance
      hardattn train --method multiglimpse --epochs 20
      hardattn train --method act --ponder-cost 0.05
      hardattn train --method glimpsenet --supervise
      hardattn train --encoder efficientnet-lite0 --frozen --dataset cub --data-root DIR --supervise
      hardattn train --supervise --distil runs/digits/hardattn-cnn-0 --loss-at 4,2,1,1,1 --name anytime
      hardattn train --policy gaussian --core rnn --combine add --reward final --reward box=0.5 --name box
      hardattn train --dataset celebahq --attribute Male --data-root DIR --supervise
      hardattn train --dataset cluttered-mnist --canvas 60 --data-root DIR --glimpses 8
    """
    common = {
        "budget": Budget(options["epochs"], options["minutes"], options["patience"]),
        "time_limit": None if options["time_limit"] is None else TimeLimit(options["time_limit"]),
        "tracker": options["tracker"],
        "seed": options["seed"],
        "device": options["device"],
        "command": command_line(),
        "accumulate": options["accumulate"],
        "precision": options["precision"],
        **recipe_of(options),
    }
    with process_group(options["device"]) as first:
        try:
            folder = _trained(context, baseline, options, common)
        except UnfinishedError as left:
            if first:
                click.echo(str(left), err=True)
            context.exit(LEFT)
    if first:
        _say_how_it_ended(folder)


def _trained(
    context: click.Context, baseline: str | None, options: Mapping[str, Any], common: dict[str, Any]
) -> Path:
    """The run folder of either kind of network, trained."""
    if baseline is not None:
        refuse_what_glimpses_need(context)
        return _train_baseline(baseline, options, common)
    refuse_what_baselines_need(options)
    return _train_attention(options, common)


def _say_how_it_ended(folder: Path) -> None:
    from hardattn.training.ending import early_end

    if (reason := early_end(folder)) is not None:
        click.echo(reason)
    click.echo(f"trained network in {folder}; next: hardattn evaluate {folder}")


def _train_baseline(baseline: str, options: Mapping[str, Any], common: dict[str, Any]) -> Path:
    """The run folder of a network that sees the whole image, trained."""
    task = open_task(options)
    from hardattn.baselines.training import train_baseline
    from hardattn.training.run_folder import require_tested_on

    folder = task.run / f"hardattn-{options['run_name'] or baseline}-{options['seed']}"
    require_tested_on(folder, task.dataset.origin or {})
    return train_baseline(task.dataset, folder, baseline, **common)


def _train_attention(options: Mapping[str, Any], common: dict[str, Any]) -> Path:
    """The run folder of a hard-attention network, trained."""
    refuse_deviation(options)
    sensor, supervise, task = sensor_of(options), options["supervise"], open_task(options)
    from hardattn.objectives.methods import method_of
    from hardattn.objectives.registry import METHODS
    from hardattn.runs import train
    from hardattn.training.run_folder import require_tested_on

    method = method_of(options["method"], supervise is not None)
    store, stem = sequences_of(supervise, task.run, METHODS[method].sequences)
    name = options["run_name"] or "-".join([method, *stem])
    folder = task.run / f"hardattn-{name}-{options['seed']}"
    require_tested_on(folder, task.dataset.origin or {})
    return train(
        task.dataset,
        folder,
        method=method,
        store=store,
        geometry=wanted_geometry(task.dataset, store, sensor),
        glimpses=options["glimpses"],
        supervised_images=options["supervised_images"],
        teacher=_teacher(options, task),
        features=_features(options["features"]),
        magnification=options["magnification"],
        compile_step=options["compile_step"],
        **common,
    )


def _teacher(options: Mapping[str, Any], task: Task) -> Teacher | None:
    """The trained baseline that the options name."""
    run, share = options["distil"], options["distil_share"]
    if run is None and share is not None:
        raise SettingsError("expected --distil RUN_DIR with --distil-share, found none; add it")
    if run is None:
        return None
    from hardattn.distillation import teacher_of

    share = TEACHER_SHARE if share is None else share
    return teacher_of(run, dataset=task.dataset, share=share, device=options["device"])


def _features(folder: Path | None) -> LearnedFeatures | None:
    """What the fit or the run in a folder has learned."""
    if folder is None:
        return None
    from hardattn.warm_start import features_in

    return features_in(folder)


def sequences_of(supervise: str | None, run: Path, stem: str) -> tuple[SequenceStore | None, list[str]]:
    """The store to imitate, and its stem as a list when it is not the method's own of the run."""
    if supervise is None:
        return None, []
    from supervision.store import SequenceStore

    own = run / f"{stem}.h5"
    path = own if supervise == OWN else Path(supervise)
    return SequenceStore.read(path), [] if path.resolve() == own.resolve() else [path.stem]
