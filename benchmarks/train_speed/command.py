"""Images per second in training and inference, beside the public loop, which runs in turn with them.

`python -m benchmarks.train_speed`: three tasks on made-up images, one thread. Two networks: the default
(convolutions, GRU) and the published one (linear layers, rectified recurrence, sums), by REINFORCE and by
imitation, and at inference; the rival is `benchmarks.train_speed.ram_loop`. In every round each has its turn,
and ratios are those of a round. Beside each stand the operations of an image and what share they are of the
rate of the core's own product of matrices, in the same round; and the products of the same step made again
by themselves, which nothing around them can make faster. Rates are per second that the process had a CPU: on
a quiet core these are those of the clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import click
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.alternation import Spread, Work, clock_of, rates, ratios
from benchmarks.stopwatch import Stopwatch, machine
from benchmarks.train_speed.allocator import keep_memory
from benchmarks.train_speed.lines import lines
from benchmarks.train_speed.own_products import own_products
from benchmarks.train_speed.ram_loop import LoopTraining
from data.dataset import Split
from data.device import choose_device
from data.geometry import Geometry
from data.linear import linear
from data.pool import ImagePool
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.stopping.flops import COUNTED, mflops_per_glimpse
from hardattn.training.compilation import require_compiler
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from hardattn.training.trainer import Trainer
from supervision.batches import MixedBatches

IMAGES, CLASSES, COUNTED_STEPS = 1024, 10, 5
NETWORKS: dict[str, dict[str, Any]] = {
    "published": {"encoder": "linear", "core": "rnn", "combine": "add"},
    "default": {},
}
METHOD = {"reinforce": "ram", "imitation": "nogs-all"}


@dataclass(frozen=True)
class Task:
    """What is looked at, by how wide a network.

    Attributes:
        asked: how many times as fast as the loop the published network is to be, by kind of work; of the
            default one half of that is asked in training.
    """

    geometry: Geometry
    glimpses: int
    hidden: int
    batch_size: int
    asked: dict[str, float]


TASKS = {
    "28": Task(
        *(Geometry(28, 28, 1, glimpse_size=8, per_axis=11), 6, 256, 128),
        {"reinforce": 3.0, "imitation": 5.0, "inference": 5.0},
    ),
    "60": Task(
        *(Geometry(60, 60, 1, glimpse_size=12, per_axis=13, scales=3), 8, 256, 128),
        {"reinforce": 6.0, "imitation": 8.0, "inference": 5.0},
    ),
    "224": Task(
        *(Geometry(224, 224, 3, glimpse_size=16, per_axis=50), 5, 64, 64),
        {"reinforce": 6.0, "imitation": 8.0, "inference": 5.0},
    ),
}
STAGES: tuple[tuple[type, dict[str, str]], ...] = (
    (ImagePool, {"glimpses": "gather"}),
    (HardAttention, {"features": "encode", "act": "heads", "log_prob": "heads", "classify": "heads"}),
    (Trainer, {"descend": "backward and optimiser"}),
)


def made_up(task: Task, device: torch.device) -> Split:
    """Noise images with labels."""
    size = (task.geometry.height, task.geometry.width, task.geometry.channels)
    images = torch.randint(256, (IMAGES, *size), dtype=torch.uint8)
    return Split(images, torch.randint(CLASSES, (IMAGES,)), torch.arange(IMAGES), "").to(device)


def loop_of(task: Task, device: torch.device) -> LoopTraining:
    """The rival at made-up images, which are floats already."""
    split, geometry = made_up(task, device), task.geometry
    images = (split.images.permute(0, 3, 1, 2).float() / 255).contiguous()
    sizes = (geometry.glimpse_size, geometry.scales, task.glimpses, task.hidden, CLASSES)
    return LoopTraining(images, split.labels, *sizes)


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


@dataclass(frozen=True)
class Measured:
    """One kind of work at one task.

    Attributes:
        work: that is measured.
        mflops: of an image.
        rival: name of the loop's work that it is compared with.
        asked: how many times as fast it is to be; None: nothing is asked.
        shares: of the parts of a training step, in a pass of its own.
        compiled_in: seconds of the first step, of a compiled one.
    """

    work: Work
    mflops: float
    rival: str = ""
    asked: float | None = None
    shares: dict[str, float] | None = None
    compiled_in: float | None = None


def works_of(task: Task, device: torch.device, compile_step: bool) -> dict[str, Measured]:
    """All that is measured in turn, by name; first the loop."""
    works = loop_works(task, device)
    for name, network in NETWORKS.items():
        for kind in METHOD:
            works[f"{name}, {kind}"] = training(task, name, kind, device)
            works[f"{name}, {kind}, its products alone"] = products_alone(task, name, kind, device)
            if compile_step:
                works[f"{name}, {kind}, compiled"] = training(task, name, kind, device, compile_step=True)
        works[f"{name}, inference"] = inference(task, name, network, device)
    return works


def loop_works(task: Task, device: torch.device) -> dict[str, Measured]:
    """Training and inference of the loop."""
    loop, everyone = loop_of(task, device), torch.arange(IMAGES, device=device)

    def step() -> Any:
        return loop.step(torch.randint(IMAGES, (task.batch_size,), device=device))

    def predict() -> Tensor:
        return loop.predict(everyone)

    return {
        "loop, training": Measured(Work(step, task.batch_size), mflops(step, task.batch_size)),
        "loop, inference": Measured(Work(predict, IMAGES), mflops(predict, IMAGES)),
    }


def training(
    task: Task, name: str, kind: str, device: torch.device, *, compile_step: bool = False
) -> Measured:
    """One way of training one of our networks."""
    learner, step = stepping(task, name, kind, device)
    asked = task.asked[kind] / (1 if name == "published" else 2)
    plain = Measured(Work(step, task.batch_size), mflops(step, task.batch_size), "loop, training", asked)
    if not compile_step:
        return replace(plain, shares=parts(step))
    learner.compile()
    start = time.perf_counter()
    step()
    return replace(plain, compiled_in=time.perf_counter() - start)


def products_alone(task: Task, name: str, kind: str, device: torch.device) -> Measured:
    """What a step of that training multiplies, and nothing else."""
    again = own_products(stepping(task, name, kind, device)[1])
    return Measured(Work(again, task.batch_size), mflops(again, task.batch_size), "loop, training")


def stepping(task: Task, name: str, kind: str, device: torch.device) -> tuple[Learner, Callable[[], None]]:
    """The learner of one way of training, and one iteration of it."""
    learner, batches = learner_of(task, METHOD[kind], device, NETWORKS[name])

    def step() -> None:
        learner.step(next(batches), 0.1)

    return learner, step


def inference(task: Task, name: str, network: dict[str, Any], device: torch.device) -> Measured:
    """Greedy predictions of one of our networks, in batches of 1,000."""
    learner, _ = learner_of(task, METHOD["reinforce"], device, network)
    split = made_up(task, device)
    call = partial(look_at_all, learner.network, split, task.geometry, task.glimpses, mode="greedy")
    asked = task.asked["inference"] if name == "published" else None
    cost = task.glimpses * mflops_per_glimpse(learner.network, task.geometry.glimpse_shape())
    return Measured(Work(call, IMAGES), cost, "loop, inference", asked)


def parts(step: Callable[[], Any]) -> dict[str, float]:
    """Share of each part of a training step."""
    clock = Stopwatch()
    with ExitStack() as patches:
        for owner, stages in STAGES:
            patches.enter_context(clock.patched(owner, stages))
        with clock.stage("the rest"):
            for _ in range(COUNTED_STEPS):
                step()
    return {name: round(share, 3) for name, share in clock.shares().items()}


def mflops(call: Callable[[], Any], images: int) -> float:
    """Millions of operations for each image of products and convolutions, forward and backward."""
    with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        call()
    return float(counter.get_total_flops()) / images / 1e6


def product_of(task: Task, device: torch.device) -> Work:
    """The core's own product of matrices, of the size of a layer at all glimpses of a batch; its MFLOPs."""
    inputs = torch.randn(task.batch_size * task.glimpses, task.hidden, device=device)
    weight = torch.randn(task.hidden, task.hidden, device=device)
    return Work(lambda: linear(inputs, weight), 2 * inputs.numel() * task.hidden / 1e6)


def measure(
    task: Task, device: torch.device, seconds: float, rounds: int, compile_step: bool
) -> dict[str, Any]:
    """The figures of a task, by name of the work."""
    torch.compiler.reset()  # what other tasks have compiled counts for the number of programs that are kept
    measured = works_of(task, device, compile_step)
    works = {name: each.work for name, each in measured.items()} | {"product": product_of(task, device)}
    found = rates(works, rounds, seconds, clock_of(device))
    products = found.pop("product")
    figures: dict[str, Any] = {"product_gflops": Spread.of(products).middle / 1e3}
    figures["works"] = {name: figures_of(each, name, found, products) for name, each in measured.items()}
    return figures


def figures_of(
    measured: Measured, name: str, found: dict[str, list[float]], products: list[float]
) -> dict[str, Any]:
    """Those of one work, from the rates of all in every round."""
    used = [measured.mflops * rate / product for rate, product in zip(found[name], products, strict=True)]
    figures: dict[str, Any] = {
        "images_per_second": round(Spread.of(found[name]).middle),
        "mflops": round(measured.mflops, 3),
        "share_of_product_rate": round(Spread.of(used).middle, 3),
    }
    if measured.rival:
        spread = ratios(found[name], found[measured.rival])
        figures["times_the_loop"] = {key: round(value, 2) for key, value in asdict(spread).items()}
        figures["asked"] = measured.asked
    if measured.shares is not None:
        figures["shares"] = measured.shares
    if measured.compiled_in is not None:
        figures["compiled_in_seconds"] = round(measured.compiled_in, 1)
    return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--task", "names", type=click.Choice(list(TASKS)), multiple=True, help="May be repeated. [default: all]"
)
@click.option("--seconds", default=0.5, show_default=True, help="Of each turn.")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="Turns of each.")
@click.option("--compile", "compile_step", is_flag=True, help="Compiled training steps beside the others.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    compile_step: bool,
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Images per second, training and inference, for images of 28, 60 and 224 pixels, beside the public loop.

    \b
    Examples:
      python -m benchmarks.train_speed
      python -m benchmarks.train_speed --task 60 --compile --rounds 15 --json
    """
    torch.set_num_threads(threads)
    keep_memory()
    if compile_step:
        require_compiler()
    chosen, found = choose_device(device), {}
    for name in names or TASKS:
        found[name] = measure(TASKS[name], chosen, seconds, rounds, compile_step)
    if as_json:
        click.echo(json.dumps({"machine": machine(chosen), "tasks": found}))
        return
    click.echo(machine(chosen))
    for name, figures in found.items():
        click.echo("\n".join(lines(name, figures)))
