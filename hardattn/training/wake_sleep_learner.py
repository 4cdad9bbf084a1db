"""The method wsram: glimpses are proposed by an inference network, which is learned awake and asleep.

Ba, Salakhutdinov, Grosse, Frey 2015, "Learning Wake-Sleep Recurrent Attention Models" (arXiv 1509.06812).

- Awake: M trajectories a of an image x are drawn from q(a | x, y), told the label y. Weighted by
  p(a, y | x) / q(a | x, y) they teach the network, `hardattn.objectives.wake_sleep.wake`, and q itself.
- Asleep: the network looks where it likes and dreams of a class that it believes in; q learns to say where
  the network has looked for it.

The network's classifier sees places: taught on the trajectories of q without their weights it would learn
where q looks for a class. So all other terms of the loss are of the network's own trajectories.

Shapes: B images, M trajectories, T glimpses, K classes, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from data.errors import SettingsError
from data.gpu import mixed_precision, sent
from data.places import whole_image
from hardattn.model.draws import drawn
from hardattn.model.inference import InferenceNetwork
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.model.policies import Action
from hardattn.model.rollout import Look, Walk, read, walk
from hardattn.objectives import wake_sleep
from hardattn.objectives.methods import Method
from hardattn.objectives.terms import LossInputs, counted, terms
from hardattn.training.augment import Variation
from hardattn.training.distributed import Part
from hardattn.training.learner import Learner
from hardattn.training.registry import LEARNERS
from supervision.batches import MixedBatches


@dataclass
class Proposal:
    """Chooses where a network looks next, as its inference network proposes, for `rollout.walk`.

    Attributes:
        network: that looks.
        context: (B, D) of the inference network.
        log_q: (B,) of each place that was drawn so far.
    """

    network: HardAttention
    context: Tensor
    log_q: list[Tensor] = field(default_factory=list)

    def __call__(self, state: Tensor, generator: torch.Generator | None, taken: Tensor | None) -> Action:
        read_state = self.network.core.output(state)
        proposed = inference_of(self.network)(self.context, read_state, taken)
        places = proposed.sample(generator)
        self.log_q.append(proposed.log_prob(places))
        return Action(places, self.network.log_prob(state, places, taken))


def inference_of(network: HardAttention) -> InferenceNetwork:
    """Of a network that is trained by wake-sleep; raises SettingsError where it has none."""
    if network.inference is None:
        raise SettingsError("expected infers=True in a method with learner='wake-sleep', found False; set it")
    return network.inference


@LEARNERS.register("wake-sleep")
class WakeSleepLearner(Learner):
    """The training of a network and its inference network; see `Learner` for what it takes."""

    def __init__(
        self, network: HardAttention, method: Method, batches: MixedBatches, *others: Any, **named: Any
    ) -> None:
        super().__init__(network, method, batches, *others, **named)
        whole = replace(self.geometry.known_retina(), sides=(max(self.geometry.image_size),))
        self.glance = look_of(batches.pool, whole, self.device)

    compiles = False

    def _weighted(self, part: Part, fraction: float) -> dict[str, Tensor]:
        index = sent(part.batch.index, self.device)
        with self.draws(), mixed_precision(self.device, self.precision):
            weighted = part.rows.drawn(self._awake_and_asleep)(index)
        return counted(weighted, {"all": part.rows.share})

    def _awake_and_asleep(self, index: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the loss on images `index` (B,)."""
        varied = self.variation(len(index))
        labels, targets = self.labels[index], self.targets[index]
        look = varied.look(self.look, self.grid)
        whole = whole_image(self.grid.image_size, index.device).expand(len(index), 1, 3)
        glances = varied.look(self.glance, self.grid)(index, whole)[:, 0]
        walked = walk(self.network, look, index, self.grid, self.steps, mode="sample")
        rollout = read(self.network, walked, self.grid)
        dreamt = drawn(rollout.logits[:, -1].detach().float().softmax(-1), None)
        own = self._awake(index, labels, glances, varied)
        own["sleep-inference"] = wake_sleep.asleep(self._log_q(walked, glances, dreamt))
        nobody = torch.zeros_like(labels, dtype=torch.bool)
        inputs = LossInputs(rollout, labels, nobody, self.recipe.objective, class_targets=targets)
        return terms(self.method, inputs, own)

    def _awake(self, index: Tensor, labels: Tensor, glances: Tensor, varied: Variation) -> dict[str, Tensor]:
        """What M trajectories of the inference network teach the network, and itself."""
        many = self.method.trajectories
        rows = torch.arange(len(index), device=self.device).repeat_interleave(many)
        look: Look = varied.of(rows).look(self.look, self.grid)
        context = inference_of(self.network).context(glances, labels).repeat_interleave(many, 0)
        proposal = Proposal(self.network, context)
        walked = walk(
            self.network,
            look,
            index[rows],
            self.grid,
            self.steps,
            mode="sample",
            choose=proposal,
        )
        rollout, log_q = read(self.network, walked, self.grid), torch.stack(proposal.log_q, 1).sum(1)
        wakes = wake_sleep.Trajectories.of(rollout, labels[rows], many, log_q)
        return {"wake-sleep": wake_sleep.wake(wakes), "wake-inference": wake_sleep.wake_inference(wakes)}

    def _log_q(self, walked: Walk, glances: Tensor, labels: Tensor) -> Tensor:
        """(B,) log q of the trajectories that were walked, for these labels."""
        chosen = slice(int(self.grid.first_glance), None)
        states, places = walked.states[:, :-1][:, chosen], walked.locations[:, chosen]
        context = inference_of(self.network).context(glances, labels).repeat_interleave(places.shape[1], 0)
        read_states = self.network.core.output(states.flatten(0, 1))
        log_q = inference_of(self.network)(context, read_states).log_prob(places.flatten(0, 1))
        return log_q.view(places.shape[:2]).sum(1)
