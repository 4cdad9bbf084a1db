"""Images per second in training and inference, with the share of each part.

`python -m benchmarks.train_speed`: three tasks on made-up images, one thread. Two networks: the default
(convolutions, GRU) and the published one (linear layers, rectified recurrence, sums). Beside them the
glimpses alone, gathered in one call and by a loop over images, and the figures of public code on one core of
this kind for the same tasks. Rates are by the clock and, beside them, per second of CPU time: on a quiet core
with one thread the two agree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import click
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.stopwatch import Stopwatch, machine
from data.dataset import Split
from data.device import choose_device
from data.geometry import Geometry
from data.pool import ImagePool
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.stopping.flops import mflops_per_glimpse
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from hardattn.training.trainer import Trainer
from supervision.batches import MixedBatches

IMAGES, CLASSES, WARM_UP, COUNTED = 1024, 10, 3, 5
PUBLISHED_NETWORK: dict[str, Any] = {"encoder": "linear", "core": "rnn", "combine": "add"}


@dataclass(frozen=True)
class Task:
    """What is looked at, by how wide a network.

    Attributes:
        public: images per second in training of public code on one core, None where it is not known.
        goal: images per second that were asked for.
    """

    geometry: Geometry
    glimpses: int
    hidden: int
    batch_size: int
    public: int
    goal: int


TASKS = {
    "28": Task(Geometry(28, 28, 1, glimpse_size=8, per_axis=11), 6, 256, 128, 2530, 8000),
    "60": Task(Geometry(60, 60, 1, glimpse_size=12, per_axis=13, scales=3), 8, 256, 128, 786, 5000),
    "224": Task(Geometry(224, 224, 3, glimpse_size=16, per_axis=50), 5, 64, 64, 412, 2500),
}
STAGES: tuple[tuple[type, dict[str, str]], ...] = (
    (ImagePool, {"glimpses": "gather"}),
    (HardAttention, {"features": "encode", "policy": "heads", "classify": "heads"}),
    (Trainer, {"descend": "backward and optimiser"}),
)


def made_up(task: Task, device: torch.device) -> Split:
    """Noise images with labels."""
    size = (task.geometry.height, task.geometry.width, task.geometry.channels)
    images = torch.randint(256, (IMAGES, *size), dtype=torch.uint8)
    return Split(images, torch.randint(CLASSES, (IMAGES,)), torch.arange(IMAGES), "").to(device)


def learner_of(task: Task, method: str, device: torch.device, network: dict[str, Any]) -> tuple[Learner, Any]:
    """A learner of made-up images and its batches."""
    torch.manual_seed(0)
    split, chosen = made_up(task, device), METHODS[method]
    recipe = Recipe.suited(chosen, symmetric=False, aligned=False, hidden=task.hidden, **network)
    recipe = replace(recipe, batch_size=task.batch_size, supervised_share=chosen.supervised_share or 0.25)
    grid = task.geometry.grid()
    channels = task.geometry.glimpse_shape()[0]
    built = HardAttention(channels, grid, CLASSES, **recipe.network).to(device)
    imitated: dict[str, Any] = {}
    if chosen.supervised:
        places = torch.randint(len(grid), (IMAGES, task.glimpses))
        imitated = {"supervised": split, "locations": grid.locations[places].to(device)}
        imitated["supervised_share"] = recipe.supervised_share
    batches = MixedBatches(split, task.glimpses, task.batch_size, seed=0, **imitated)
    return Learner(built, chosen, batches, task.geometry, recipe, 0), iter(batches)


def training(
    task: Task, method: str, device: torch.device, network: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Images per second, and the share of each part in a second pass."""
    learner, batches = learner_of(task, method, device, network)
    rate, cpu_rate = rates(lambda: learner.step(next(batches), 0.1), task.batch_size, device, seconds)
    clock = Stopwatch()
    with ExitStack() as patches:
        for owner, stages in STAGES:
            patches.enter_context(clock.patched(owner, stages))
        with clock.stage("the rest"):
            for _ in range(COUNTED):
                learner.step(next(batches), 0.1)
    mflops = task.glimpses * mflops_per_glimpse(learner.network, task.geometry.glimpse_shape())
    shares = {name: round(share, 3) for name, share in clock.shares().items()}
    speed = {"images_per_second": round(rate), "images_per_cpu_second": round(cpu_rate)}
    return speed | {"mflops": round(mflops, 3), "shares": shares}


def inference(task: Task, device: torch.device, network: dict[str, Any], seconds: float) -> dict[str, int]:
    """Images per second, greedy, in batches of 1,000."""
    learner, _ = learner_of(task, "ram", device, network)
    split = made_up(task, device)

    def run() -> None:
        look_at_all(learner.network, split, task.geometry, task.glimpses, mode="greedy")

    rate, cpu_rate = rates(run, IMAGES, device, seconds)
    return {"images_per_second": round(rate), "images_per_cpu_second": round(cpu_rate)}


def gathering(task: Task, device: torch.device, seconds: float) -> tuple[float, float]:
    """Images per second of the glimpses alone: in one call, and image by image."""
    split, grid = made_up(task, device), task.geometry.grid()
    index = torch.arange(task.batch_size, device=device)
    places = torch.randint(len(grid), (task.batch_size, task.glimpses))
    locations, retina = grid.locations[places].to(device), task.geometry.retina()
    once = per_second(lambda: retina(split.images, index, locations), task.batch_size, device, seconds)
    loop = per_second(
        lambda: loop_glimpses(split.images, index, locations, task.geometry), task.batch_size, device, seconds
    )
    return once, loop


def loop_glimpses(images: Tensor, index: Tensor, locations: Tensor, geometry: Geometry) -> Tensor:
    """The same glimpses by a loop over images, glimpses and scales, the image padded each time."""
    size, glimpses = geometry.glimpse_size, []
    for image, own in zip(images[index], locations.tolist(), strict=True):
        for row, col, _ in own:
            for scale in range(geometry.scales):
                margin = (2**scale - 1) * size // 2
                whole = pad(image.permute(2, 0, 1).float() / 255, [margin] * 4)
                side = size * 2**scale
                patch = whole[:, row : row + side, col : col + side]
                glimpses.append(avg_pool2d(patch[None], 2**scale)[0])
    shape = (len(index), locations.shape[1], geometry.scales * geometry.channels, size, size)
    return torch.stack(glimpses).view(shape)


def per_second(work: Callable[[], Any], images: int, device: torch.device, seconds: float) -> float:
    """Images per second of a call that handles so many, over at least `seconds`."""
    return rates(work, images, device, seconds)[0]


def rates(work: Callable[[], Any], images: int, device: torch.device, seconds: float) -> tuple[float, float]:
    """The same by the clock, and per second that this process had a CPU.

    On a quiet core with one thread both agree; beside other work only the second says what the code does.
    """
    for _ in range(WARM_UP):
        work()
    calls, start, start_cpu = 0, now(device), time.process_time()
    while now(device) - start < seconds:
        work()
        calls += 1
    done = calls * images
    return done / (now(device) - start), done / (time.process_time() - start_cpu)


def now(device: torch.device) -> float:
    """Seconds; a GPU is waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(name: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """All figures of a task."""
    task = TASKS[name]
    once, loop = gathering(task, device, seconds)
    figures: dict[str, Any] = {"goal": task.goal, "public_code": task.public}
    figures["glimpses"] = {"one_call": round(once), "loop": round(loop), "ratio": round(once / loop, 1)}
    for label, network in (("default", {}), ("published", PUBLISHED_NETWORK)):
        figures[label] = {
            "imitating": training(task, "nogs-all", device, network, seconds),
            "reinforce": training(task, "ram", device, network, seconds),
            "inference": inference(task, device, network, seconds),
        }
    return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--task", "names", type=click.Choice(list(TASKS)), multiple=True, help="May be repeated. [default: all]"
)
@click.option("--seconds", default=5.0, show_default=True, help="Of each measurement.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(names: tuple[str, ...], seconds: float, threads: int, device: str, as_json: bool) -> None:
    """Images per second, training and inference, for images of 28, 60 and 224 pixels.

    \b
    Examples:
      python -m benchmarks.train_speed
      python -m benchmarks.train_speed --task 60 --seconds 20 --json
    """
    torch.set_num_threads(threads)
    chosen = choose_device(device)
    found = {name: measure(name, chosen, seconds) for name in names or TASKS}
    if as_json:
        click.echo(json.dumps({"machine": machine(chosen), "tasks": found}))
        return
    click.echo(machine(chosen))
    for name, figures in found.items():
        click.echo("\n".join(lines(name, figures)))


def lines(name: str, figures: dict[str, Any]) -> list[str]:
    """The figures of a task for people."""
    glimpses = figures["glimpses"]
    text = [
        f"{name} x {name}: goal {figures['goal']:,} images/s in training, public code "
        f"{figures['public_code']:,}",
        f"  glimpses alone: {glimpses['one_call']:,} images/s, {glimpses['ratio']} times a loop",
    ]
    for label in ("default", "published"):
        part = figures[label]
        for method in ("imitating", "reinforce"):
            shares = [f"{stage} {100 * share:.0f} %" for stage, share in part[method]["shares"].items()]
            text.append(
                f"  {label}, {method}: {said(part[method])}, "
                f"{part[method]['mflops']:.2f} MFLOPs per image ({', '.join(shares)})"
            )
        text.append(f"  {label}, inference: {said(part['inference'])}")
    return text


def said(part: dict[str, Any]) -> str:
    """Both rates for people."""
    return f"{part['images_per_second']:,} images/s ({part['images_per_cpu_second']:,} per CPU second)"


if __name__ == "__main__":
    main()
