"""The AVP-CNN's network and heads: what they make of a masked image, and what they learn."""

import copy

import pytest
import torch
from avp_cnn_tiny import COLOUR, INSIDE, OUTSIDE, look, posterior, seen, sites
from boed_tiny import FINE, GEOMETRY, PLACES, POINTER, pointer_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from boed.posteriors.avp_cnn import AvpCnnPosterior
from boed.posteriors.posterior import negative_log_posterior


def test_logits_are_those_of_the_masked_image() -> None:
    q, (images, y, centres) = posterior(), look(COLOUR, INSIDE)
    mask = seen(COLOUR, INSIDE).expand(2, -1, -1, -1)
    direct = torch.cat([images * mask, mask], 1).flatten(1)
    expected = q.logits(direct, 3)
    assert torch.allclose(q.logits(q.embed(y, centres).sum(1), 3), expected, atol=1e-5)
    again = torch.cat([y, y[:, :1]], 1), torch.cat([centres, centres[:, :1]], 1)
    assert torch.allclose(q.logits(q.embed(*again).sum(1), 3), expected, atol=1e-5)  # seen twice, there once
    moved = q.embed(y, centres.roll(1, 1)).sum(1)
    assert (q.logits(moved, 3) - expected).abs().max() > 1e-3  # what is seen where does


def test_the_network_sees_nothing_but_a_mask_where_nobody_looked() -> None:
    q, (images, y, centres) = posterior(), look(COLOUR, INSIDE)
    inputs: list[Tensor] = []
    q.network.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    q.logits(q.embed(y, centres).sum(1), 3)
    mask = seen(COLOUR, INSIDE).expand(2, -1, -1, -1)
    assert torch.allclose(inputs[0], torch.cat([(images - 0.45) / 0.225 * mask, mask], 1), atol=1e-5)


def test_leading_dimensions_and_counts() -> None:
    q, (_, y, centres) = posterior(attributes=2), look(COLOUR, INSIDE)
    q.temperature[:3] = torch.tensor([1.0, 0.5, 2.0])
    parts = q.embed(y, centres)
    assert parts.shape == (2, 3, 4 * 24 * 24)
    total = parts.cumsum(1)
    logits = q.attribute(0).logits(total, torch.arange(1, 4))
    assert logits.shape == (2, 3, 4)
    assert torch.allclose(q.attribute(0).logits(total[:, 1], 2), logits[:, 1], atol=1e-5)
    every = q.logits(total, torch.arange(1, 4))
    assert every.shape == (2, 3, 2, 4)
    assert torch.allclose(every[:, :, 0], logits, atol=1e-5)
    assert torch.allclose(q.attribute(1).logits(total, torch.arange(1, 4)), every[:, :, 1], atol=1e-5)
    q.temperature.fill_(1.0)
    scale = torch.tensor([0.5, 2.0, 1.0])[:, None, None]
    assert torch.allclose(q.logits(total, torch.arange(1, 4)), every * scale, atol=1e-6)
    assert q.logits(torch.zeros(4 * 24 * 24), 0).shape == (2, 4)


def test_double_precision() -> None:
    q, (_, y, centres) = posterior(), look(COLOUR, INSIDE)
    total = copy.deepcopy(q).double().embed(y.double(), centres.double()).sum(1)
    assert total.dtype == torch.float64
    exact = copy.deepcopy(q).double().logits(total, 3)
    assert torch.allclose(q.logits(q.embed(y, centres).sum(1), 3).double(), exact, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_an_image_does_not_depend_on_its_batch(training: bool) -> None:
    q, (_, y, centres) = posterior().train(training), look(COLOUR, INSIDE, count=300)
    q.dropout.p = 0.0
    with torch.no_grad():
        together = q.logits(q.embed(y, centres).sum(1), 3)
        for image in (0, 127, 128, 299):
            alone = q.logits(q.embed(y[image], centres[image]).sum(0), 3)
            assert torch.allclose(alone, together[image], atol=1e-5)


def test_it_is_a_guide_for_one_attribute_or_all() -> None:
    q, (_, y, centres) = posterior(attributes=3), look(COLOUR, INSIDE)
    every = q.logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4)).log_softmax(-1)
    label = sites(q.attribute(2), y, centres).nodes["label"]
    assert label["value"].shape == (3, 2)
    every = every.movedim(0, -2)  # (T, A, B, K)
    expected = every[:, 2].gather(-1, label["value"][..., None])[..., 0]
    assert torch.allclose(label["log_prob"], expected, atol=1e-5)
    label = sites(q, y, centres).nodes["label"]
    assert label["value"].shape == (3, 3, 2)
    expected = every.gather(-1, label["value"][..., None])[..., 0]
    assert torch.allclose(label["log_prob"], expected, atol=1e-5)
    last = q.logits(q.embed(y, centres).sum(1), 3).log_softmax(-1)  # (B, A, K)
    assert torch.allclose(last, every[2].movedim(0, 1), atol=1e-5)


def test_loss_is_the_mean_cross_entropy_over_heads() -> None:
    q, (_, y, centres) = posterior(attributes=2), look(COLOUR, INSIDE)
    labels = torch.tensor([[3, 1], [0, 2]])
    every = q.logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4))
    expected = [[cross_entropy(every[:, t, a], labels[:, a]) for a in (0, 1)] for t in range(3)]
    mean = sum(loss.item() for row in expected for loss in row) / 6
    assert negative_log_posterior(q, y, centres, labels).item() == pytest.approx(mean, rel=1e-5)


def test_training_the_copy_for_one_attribute_leaves_the_original_alone() -> None:
    q, (_, y, centres) = posterior(attributes=3), look(COLOUR, INSIDE)
    before, one = copy.deepcopy(q.state_dict()), q.attribute(1)
    optimiser = torch.optim.AdamW(one.parameters(), 1e-2, weight_decay=0.1)
    negative_log_posterior(one, y, centres, torch.tensor([3, 0])).backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in q.state_dict().items())
    assert not torch.equal(one.head.linear.weight, q.attribute(1).head.linear.weight)


def test_gradient_reaches_every_parameter_and_every_seen_pixel() -> None:
    q, (_, y, centres) = posterior(attributes=2), look(COLOUR, [*INSIDE, *OUTSIDE[:2]], count=16)
    y.requires_grad_()
    labels = torch.randint(4, (16, 2), generator=torch.Generator().manual_seed(0))
    loss = -sites(q, y, centres, labels.T).log_prob_sum()
    loss.backward()
    for name, parameter in q.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert y.grad is not None and y.grad.isfinite().all()
    assert (y.grad[:, :3] != 0).float().mean() > 0.9
    assert (y.grad[:, 3, :, :3] == 0).all()  # three rows over the border


def pointer_glimpses(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Glimpses, centres and labels of images in which the first place tells which other place to trust."""
    split = pointer_split(count, seed)
    places = PLACES[[POINTER, *FINE]].expand(count, -1, -1)
    y = GEOMETRY.retina()(split.images, torch.arange(count), places)
    return y, GEOMETRY.centres(places), split.labels


def test_it_learns_what_depends_on_where() -> None:
    """Two cells look alike and one of them misleads."""
    torch.manual_seed(0)
    q = AvpCnnPosterior(GEOMETRY, 4, 3, resolution=12, width=8)
    batch, held_out = pointer_glimpses(500, 1), pointer_glimpses(400, 2)
    optimiser = torch.optim.AdamW(q.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        negative_log_posterior(q, *batch).backward()
        optimiser.step()
    y, centres, labels = held_out
    with torch.no_grad():
        found = q.eval().logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4)).argmax(-1)
    right = (found == labels[:, None]).float().mean(0)
    assert right[0] == pytest.approx(0.5, abs=0.1)  # the first place tells two classes from two
    assert right[2] > 0.95
