"""An independent judge of glimpse sequences: a posterior that had no part in making them.

Whether sequences are good is not for the posterior to say that they were chosen by: choosing seeks out its
errors. The judge is a fresh glimpse-set posterior, trained on images without sequences (the train split), at
the places of all sources' sequences together, so that it serves none of them better than another, and
calibrated by one temperature per t on validation images. One that is taught by covering glimpses learns half
of the time from these, and is validated at the sequences of the other fold's images: at sequences that were
made for another image it would rarely see what tells.

It is cross-fitted: the images with sequences are parted in two folds, and a judge of one fold is trained with
the sequences of the other. So no judge has met a sequence that was made for an image that it judges.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from boed.comparison.masks import Masks, covered_batch, draw, look, pair
from boed.comparison.settings import JudgeSettings
from boed.posteriors.posterior import Posterior, best_temperature, negative_log_posterior
from boed.posteriors.registry import POSTERIORS
from boed.search.balance import balanced, shift
from boed.settings import FitSettings
from data.dataset import DataSet, Split
from data.device import at_device, one_thread, seed_draws
from data.errors import DataError
from data.gpu import mixed_precision
from data.moving_average import moving_average
from data.progress import progress
from data.stages import stage

LEARNING_RATE, WEIGHT_DECAY, AVERAGE = 3e-3, 0.1, 0.99
CHECK_EVERY, VALID_IMAGES = 250, 500
FOLDS, FEWEST, CHUNK = 2, 4, 500


def judge(dataset: DataSet, masks: Masks, settings: JudgeSettings) -> Tensor:
    """(S, N, T, K) log-probabilities of the class after each glimpse, in nats.

    Each image is judged by judges that were trained with the masks of the other fold's images.

    Raises:
        DataError: there are too few images to part.
    """
    fold = folds(masks.split, masks.rows, settings.seed)
    log_probs = torch.empty(*masks.locations.shape[:3], len(dataset.classes))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        for number in range(FOLDS):
            others, own = masks.take(fold != number), masks.take(fold == number)
            parts = []
            for copy_number in range(settings.judges):
                seed = (settings.seed * settings.judges + copy_number) * FOLDS + number
                title = f"judge {number + 1 + FOLDS * copy_number} of {FOLDS * settings.judges}"
                q = train_judge(dataset, others, settings, seed=seed, title=title)
                parts.append(predict(q, own).log_softmax(-1))
            log_probs[:, fold == number] = torch.stack(parts).logsumexp(0).cpu() - math.log(len(parts))
    return log_probs


def folds(split: Split, rows: Tensor, seed: int) -> Tensor:
    """(N,) fold 0 or 1 of each of these rows; versions of one original lie in one fold.

    >>> split = Split(torch.zeros(6, 8, 8, 1), torch.zeros(6), torch.arange(6), "")
    >>> folds(split, torch.arange(6), seed=0).bincount().tolist()
    [3, 3]
    """
    names, inverse = split.originals[rows.cpu()].unique(return_inverse=True)
    if len(names) < FEWEST:
        raise DataError(
            f"expected at least {FEWEST} images with sequences to part in two, found {len(names)}; "
            "generate more"
        )
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    return (order % FOLDS)[inverse]


def train_judge(
    dataset: DataSet, masks: Masks, settings: JudgeSettings, *, seed: int, title: str = "judge"
) -> Posterior:
    """A posterior trained on the train split at these masks, calibrated on the valid split at them.

    Of a moving average of the weights that with the lowest NLL on the validation images is kept. Iteration i
    draws from (seed, i) alone.
    """
    device, kind = masks.split.images.device, POSTERIORS.require(settings.posterior)
    train = at_device(dataset["train"], device)
    if kind.covering:
        valid = Held.own(masks)
    else:
        valid = Held.of(at_device(dataset["valid"], device), masks, settings)
    torch.manual_seed(seed)
    size = FitSettings(glimpses=masks.locations.shape[2], width=settings.width)
    places = masks.locations.flatten(0, 2).unique(dim=0)
    q = kind.new(masks.geometry, size, places, classes=len(dataset.classes), attributes=1).to(device)
    pool = balanced(train.labels) if settings.balanced else torch.arange(len(train), device=device)
    drawn_oftener = shift(train.labels, pool, len(dataset.classes)) if settings.balanced else None
    best, learner = Best(q), Learner(q, settings.iterations, drawn_oftener)
    covered = settings.iterations // 2 if kind.covering else 0
    for iteration in (bar := progress(range(settings.iterations), desc=title, unit="it")):
        seed_draws(seed * 1_000_003 + iteration)  # dropout has no generator argument
        generator = torch.Generator().manual_seed(seed * 1_000_003 + iteration)
        if iteration < covered:
            learner.step(covered_batch(train, pool, masks.geometry, generator, mirror=dataset.symmetric))
        else:
            learner.step(draw(train, pool, masks, settings.alike, generator, mirror=dataset.symmetric))
        best.follow(q)
        if (iteration + 1) % CHECK_EVERY == 0 or iteration + 1 == settings.iterations:
            bar.set_postfix(nll=f"{best.check(valid):.4f}")
    return best.calibrated(valid)


class Learner:
    """AdamW with one cycle of the learning rate, on `negative_log_posterior` of every prefix.

    Args:
        q: trained in place.
        iterations: of the cycle.
        shift: (K,) see `boed.search.balance.shift`; None: labels are drawn as they are.
    """

    def __init__(self, q: Posterior, iterations: int, shift: Tensor | None = None) -> None:
        self.q, self.shift = q, shift
        self.optimiser = torch.optim.AdamW(
            q.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            LEARNING_RATE,
            total_steps=iterations + 1,
            pct_start=0.1,
            cycle_momentum=False,
        )

    @stage("training of judges")
    def step(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        """One iteration on glimpses, centres and labels."""
        device = batch[0].device
        with mixed_precision(device):
            loss = negative_log_posterior(self.q.train(), *batch, self.shift)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()


class Best:
    """The moving average of the weights, and what it was when it did best on the validation images."""

    def __init__(self, q: Posterior) -> None:
        self.averaged = moving_average(q, AVERAGE)
        self.average = cast(Posterior, self.averaged.module)
        self.state, self.lowest = self.average.state_dict(), math.inf

    @stage("average of weights")
    def follow(self, q: Posterior) -> None:
        """The average takes a step towards the weights; a longer one at the beginning."""
        self.averaged.update_parameters(q)

    @stage("validation of judges")
    def check(self, valid: Held) -> float:
        """NLL on the validation images; the weights are kept if it is the lowest so far."""
        nll = valid.nll(self.average)
        if nll < self.lowest:
            self.lowest, self.state = nll, copy.deepcopy(self.average.state_dict())
        return nll

    @stage("calibration of judges")
    def calibrated(self, valid: Held) -> Posterior:
        """The best average, with one temperature for each number of glimpses."""
        self.average.load_state_dict(self.state)
        self.average.temperature.copy_(valid.temperatures(self.average))
        return self.average


@dataclass(frozen=True)
class Held:
    """The validation images as every source would look at them.

    Attributes:
        glimpses: (S*V, T, C, G, G) of V images at masks of S sources.
        centres: (S*V, T, 2).
        labels: (S*V,).
    """

    glimpses: Tensor
    centres: Tensor
    labels: Tensor

    @classmethod
    def of(cls, split: Split, masks: Masks, settings: JudgeSettings) -> Held:
        """At most 500 validation images, each with a mask of every source."""
        generator = torch.Generator().manual_seed(settings.seed)
        rows = torch.randperm(len(split), generator=generator)[:VALID_IMAGES].to(masks.rows.device)
        sources = torch.arange(len(masks.locations)).repeat_interleave(len(rows))
        rows = rows.repeat(len(masks.locations))
        straight = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        places = pair(masks, sources, split, rows, straight, settings.alike, generator)
        glimpses = look(split, rows, places, masks.geometry, straight)
        return cls(glimpses, masks.geometry.centres(places), split.labels[rows])

    @classmethod
    def own(cls, masks: Masks) -> Held:
        """The images that the masks were made for, each with its own of every source."""
        rows = masks.rows.repeat(len(masks.locations))
        places = masks.locations.flatten(0, 1).to(rows.device)
        straight = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        glimpses = look(masks.split, rows, places, masks.geometry, straight)
        return cls(glimpses, masks.geometry.centres(places), masks.split.labels[rows])

    @torch.no_grad()
    def logits(self, q: Posterior) -> Tensor:
        """(S*V, T, K)."""
        parts = zip(self.glimpses.split(CHUNK), self.centres.split(CHUNK), strict=True)
        return torch.cat([prefix_logits(q, *part) for part in parts])

    def nll(self, q: Posterior) -> float:
        """Mean of -log q(label) over images, sources and prefixes, in nats."""
        labels = self.labels[:, None].expand(self.centres.shape[:2])
        return float(cross_entropy(self.logits(q).movedim(-1, 1), labels))

    def temperatures(self, q: Posterior) -> Tensor:
        """(T+1,) the temperature of each number of glimpses with the lowest NLL."""
        temperatures = [best_temperature(logits, self.labels) for logits in self.logits(q).unbind(1)]
        return torch.tensor([1.0, *temperatures])


@stage("judgements")
@torch.no_grad()
def predict(q: Posterior, masks: Masks) -> Tensor:
    """(S, N, T, K) calibrated logits for the images that the masks were made for."""
    straight = torch.zeros(len(masks.rows), dtype=torch.bool, device=masks.rows.device)
    logits = []
    for places in masks.locations.to(masks.rows.device):
        parts = [
            prefix_logits(
                q,
                look(masks.split, masks.rows[chunk], places[chunk], masks.geometry, straight[chunk]),
                masks.geometry.centres(places[chunk]),
            )
            for chunk in torch.arange(len(places), device=places.device).split(CHUNK)
        ]
        logits.append(torch.cat(parts))
    return torch.stack(logits)


def prefix_logits(q: Posterior, glimpses: Tensor, centres: Tensor) -> Tensor:
    """(B, T, K) logits after each of the glimpses (B, T, S*C, G, G)."""
    counts = torch.arange(1, glimpses.shape[1] + 1, device=glimpses.device)
    return q.logits(q.prefixes(q.embed(glimpses, centres)), counts)
