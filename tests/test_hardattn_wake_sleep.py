"""Wake-sleep: weights that normalise, exact gradients, a q that comes closer to the posterior."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split
from torch import Tensor

from data.errors import SettingsError
from data.pool import ImagePool
from data.tensors import load_tensors
from hardattn.evaluation import evaluate
from hardattn.loading import open_trained
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore, read, walk
from hardattn.objectives.registry import METHODS
from hardattn.objectives.terms import LossInputs, terms
from hardattn.objectives.wake_sleep import Trajectories, asleep, wake, wake_inference
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.checkpoint import LAST
from hardattn.training.wake_sleep_learner import Proposal, inference_of

PRIOR = torch.tensor([0.2, -0.4, 0.9])
LIKELIHOOD = torch.tensor([0.7, 0.1, 0.4])  # of the label, by place
SPLIT = tiny_split(8, 0)
SHORT: dict[str, Any] = {"budget": Budget(epochs=2), "device": "cpu", "hidden": 16, "batch_size": 16}


def posterior() -> Tensor:
    """(3,) exact, of places that are counted."""
    joint = PRIOR.softmax(0) * LIKELIHOOD
    return joint / joint.sum()


def drawn(log_p: Tensor, log_q: Tensor, count: int, seed: int = 0) -> Trajectories:
    """Paths of one glimpse of one image, drawn from q."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.multinomial(log_q.detach().exp(), count, replacement=True, generator=generator)
    each = (LIKELIHOOD.log(), log_p, log_q)
    return Trajectories(*(values[places][None] for values in each))


def seen(network: HardAttention) -> Rollout:
    look = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina())
    generator = torch.Generator().manual_seed(0)
    return explore(network, look, torch.arange(8), GEOMETRY.grid(), 3, mode="sample", generator=generator)


def test_weights_normalise_and_are_those_of_importance() -> None:
    paths = Trajectories(*torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)).unbind(0))
    for weights in (paths.weights, paths.prior_weights):
        torch.testing.assert_close(weights.sum(1), torch.ones(5))
    ratio = (paths.log_likelihood + paths.log_p - paths.log_q).exp()
    torch.testing.assert_close(paths.weights, ratio / ratio.sum(1, keepdim=True))
    assert not paths.weights.requires_grad


def test_proposed_by_the_policy_itself_the_prior_weights_are_alike_and_the_likelihood_decides() -> None:
    """Two trajectories of one image, of likelihoods 1/4 and 3/4."""
    rollout = seen(tiny_network())
    labels = SPLIT.labels
    own = Trajectories.of(rollout, labels, 2)
    told = Trajectories.of(rollout, labels, 2, rollout.log_prob.sum(1))
    torch.testing.assert_close(own.prior_weights, torch.full((4, 2), 0.5))
    torch.testing.assert_close(own.weights, own.log_likelihood.detach().softmax(1))
    torch.testing.assert_close(wake(told), wake(own))
    by_hand = Trajectories(
        torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[-3.0, -5.0]]), torch.tensor([[-3.0, -5.0]])
    )
    told_classes = -(0.25 * torch.tensor(0.25).log() + 0.75 * torch.tensor(0.75).log())
    paths = -((0.25 - 0.5) * -3 + (0.75 - 0.5) * -5)
    assert wake(by_hand).item() == pytest.approx(told_classes.item() + paths)


@pytest.mark.parametrize("proposed", [PRIOR, torch.tensor([-0.5, 0.8, 0.1])])
def test_whatever_proposes_the_gradient_is_that_of_the_log_of_the_mean_likelihood(proposed: Tensor) -> None:
    theta = PRIOR.clone().requires_grad_()
    (exact,) = torch.autograd.grad(-(theta.softmax(0) * LIKELIHOOD).sum().log(), theta)
    paths = drawn(theta.log_softmax(0), proposed.log_softmax(0), 200_000)
    (estimate,) = torch.autograd.grad(wake(paths), theta)
    torch.testing.assert_close(estimate, exact, atol=4e-3, rtol=0)


def divergence(logits: Tensor) -> float:
    """KL from the exact posterior to q, in nats."""
    exact = posterior()
    return float((exact * (exact.log() - logits.log_softmax(0))).sum())


def test_awake_the_inference_network_comes_closer_to_the_posterior() -> None:
    logits, found = torch.tensor([-1.0, 1.0, 0.0], requires_grad=True), list[float]()
    optimiser = torch.optim.SGD([logits], lr=0.5)
    for step in range(60):
        found.append(divergence(logits.detach()))
        optimiser.zero_grad()
        wake_inference(drawn(PRIOR.log_softmax(0), logits.log_softmax(0), 2000, seed=step)).backward()
        optimiser.step()
    assert found[0] > 0.5 and all(b < a for a, b in zip(found[:15], found[1:15], strict=False))
    assert divergence(logits.detach()) < 0.005


def test_asleep_too_from_dreams_alone() -> None:
    """A place and the class, drawn from the network; q of that class is taught on those of its dreams."""
    generator, logits = torch.Generator().manual_seed(0), torch.zeros(2, 3, requires_grad=True)  # by class
    places = torch.multinomial(PRIOR.softmax(0), 20_000, replacement=True, generator=generator)
    classes = (torch.rand(20_000, generator=generator) > LIKELIHOOD[places]).long()
    optimiser = torch.optim.SGD([logits], lr=2.0)
    before = divergence(logits[0].detach())
    for _ in range(100):
        optimiser.zero_grad()
        asleep(logits.log_softmax(1)[classes, places]).backward()
        optimiser.step()
    assert divergence(logits[0].detach()) < 0.001 < before


def test_a_proposal_is_scored_by_both_and_shapes_no_state() -> None:
    network = tiny_network(infers=True)
    look, grid = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina()), GEOMETRY.grid()
    context = inference_of(network).context(torch.rand(8, 1, 4, 4), SPLIT.labels)
    proposal = Proposal(network, context)
    walked = walk(
        network,
        look,
        torch.arange(8),
        grid,
        3,
        mode="sample",
        generator=torch.Generator().manual_seed(0),
        choose=proposal,
    )
    first = network.core.output(walked.states[:, 0])
    expected = inference_of(network)(context, first).log_prob(walked.locations[:, 0])
    torch.testing.assert_close(proposal.log_q[0], expected)
    own = network.log_prob(walked.states[:, 1], walked.locations[:, 1])
    torch.testing.assert_close(walked.log_prob[:, 1], own)
    paths = Trajectories.of(
        read(network, walked, grid), SPLIT.labels, 1, torch.stack(proposal.log_q, 1).sum(1)
    )
    wake_inference(paths).backward()
    learned = {name.split(".")[0] for name, weights in network.named_parameters() if weights.grad is not None}
    assert learned == {"inference"}


def test_a_training_learns_every_part_and_is_evaluated_without_the_inference_network(tmp_path: Path) -> None:
    dataset = tiny_dataset()
    run = train(dataset, tmp_path / "run", method="wsram", **SHORT)
    opened = open_trained(run, dataset=dataset, device="cpu")
    network = opened.glimpsing()[0]
    kept, _ = load_tensors(run / LAST, "hardattn train")
    moved = {
        name.split(".")[2]
        for name, weights in kept.items()
        if name.startswith("network.inference.")
        and not torch.equal(weights, kept[name.replace("network.", "average.", 1)])
    }
    assert moved == {"image", "label", "state", "policy"}
    result = evaluate(run, dataset=dataset, device="cpu")
    with torch.no_grad():
        for weights in inference_of(network).parameters():
            weights.fill_(torch.nan)  # nothing asks it
    assert 0 <= result.accuracy_at["3"] <= 1
    assert not seen(network.eval()).logits.isnan().any()


@pytest.mark.parametrize("policy", ["gaussian", "product"])
def test_other_policies_and_a_first_glance(tmp_path: Path, policy: str) -> None:
    geometry = replace(GEOMETRY, first_glance=policy == "product")
    run = train(tiny_dataset(), tmp_path / "run", method="wsram", policy=policy, geometry=geometry, **SHORT)
    assert (run / "model.safetensors").exists()


def test_the_terms_need_their_learner() -> None:
    rollout = seen(tiny_network())
    inputs = LossInputs(rollout, SPLIT.labels, torch.zeros(8, dtype=torch.bool))
    with pytest.raises(SettingsError, match="learner='wake-sleep' in a method"):
        terms(METHODS["wsram"], inputs)


def test_its_learner_needs_an_inference_network() -> None:
    with pytest.raises(SettingsError, match="infers=True in a method with learner='wake-sleep', found False"):
        inference_of(tiny_network())
