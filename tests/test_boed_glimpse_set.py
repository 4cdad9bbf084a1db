import numpy as np
import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from torch import Tensor
from torch.nn.functional import cross_entropy

from boed.posteriors.glimpse_set import GlimpseSetPosterior, fourier_features
from boed.posteriors.posterior import negative_log_posterior


def posterior(seed: int = 0, glimpses: int = 3) -> GlimpseSetPosterior:
    torch.manual_seed(seed)
    return GlimpseSetPosterior((2, 6, 6), classes=4, glimpses=glimpses, width=16).eval()


def batch(count: int = 5, glimpses: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    y = torch.rand(count, glimpses, 2, 6, 6, generator=generator)
    centres = torch.rand(count, glimpses, 2, generator=generator) * 2 - 1
    return y, centres, torch.arange(count) % 4


def prefix_logits(q: GlimpseSetPosterior, y: Tensor, centres: Tensor) -> Tensor:
    """(B, T, K), one prefix at a time."""
    return torch.stack(
        [q.logits(q.embed(y[:, :t], centres[:, :t]).sum(1), t) for t in range(1, y.shape[1] + 1)], 1
    )


def test_the_order_of_glimpses_does_not_matter() -> None:
    q, (y, centres, _) = posterior(), batch()
    straight = q.logits(q.embed(y, centres).sum(1), 3)
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(q.logits(q.embed(y[:, order], centres[:, order]).sum(1), 3), straight, atol=1e-5)
    exchanged = q.logits(q.embed(y, centres[:, order]).sum(1), 3)
    assert (exchanged - straight).abs().max() > 1e-3  # what is seen where does


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 12, 16])
def test_any_size_of_glimpse(size: int) -> None:
    q = GlimpseSetPosterior((1, size, size), 2, 2, 8)
    assert q.embed(torch.rand(3, 2, 1, size, size), torch.zeros(3, 2, 2)).shape == (3, 2, 8)


def test_features_of_places_tell_all_of_them_apart() -> None:
    features = fourier_features(torch.cartesian_prod(torch.linspace(-1, 1, 50), torch.linspace(-1, 1, 50)))
    assert features.shape == (2500, 16)
    assert torch.cdist(features, features).fill_diagonal_(9).min() > 0.1


def test_it_is_a_guide_with_a_label_for_every_prefix() -> None:
    q, (y, centres, _) = posterior(), batch()
    q.temperature.copy_(torch.tensor([1.0, 0.7, 1.5, 2.0]))
    sites = pyro.poutine.trace(q).get_trace(y, centres)
    sites.compute_log_prob()
    assert set(sites.stochastic_nodes) == {"label"}
    label = sites.nodes["label"]
    assert [frame.name for frame in label["cond_indep_stack"]] == ["images", "prefixes"]
    assert label["value"].shape == (3, 5)
    expected = prefix_logits(q, y, centres).log_softmax(-1).gather(-1, label["value"].T[..., None])[..., 0]
    assert torch.allclose(label["log_prob"].T, expected, atol=1e-5)


def test_samples_follow_the_probabilities() -> None:
    q, (y, centres, _) = posterior(), batch()
    pyro.set_rng_seed(0)
    y, centres = (part[:1].expand(20_000, *part.shape[1:]) for part in (y, centres))
    with torch.no_grad():
        drawn = q(y, centres)[1]
        expected = prefix_logits(q, y[:1], centres[:1])[0, 1].softmax(-1)
    assert (torch.bincount(drawn, minlength=4) / 20_000).tolist() == pytest.approx(
        expected.tolist(), abs=0.015
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_loss_is_the_mean_cross_entropy_of_all_prefixes(seed: int) -> None:
    """Also of a second network in the same process: Pyro's parameters are known by name."""
    q, (y, centres, labels) = posterior(seed), batch()
    expected = torch.stack(
        [cross_entropy(prefix_logits(q, y, centres)[:, t], labels) for t in range(3)]
    ).mean()
    found = negative_log_posterior(q, y, centres, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    twice = negative_log_posterior(q, *(torch.cat([part, part]) for part in (y, centres, labels)))
    assert twice.item() == pytest.approx(found.item(), rel=1e-5)  # a mean, whatever the batch


def test_gradient_reaches_every_parameter() -> None:
    q, (y, centres, labels) = posterior(), batch(64)
    negative_log_posterior(q, y, centres, labels).backward()
    for name, parameter in q.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert q.count_bias.grad is not None
    assert q.count_bias.grad[0].abs().sum() == 0  # of no glimpses: not trained
    assert (q.count_bias.grad[1:].abs().sum(1) > 0).all()


def test_temperature_divides_the_logits_of_its_number_of_glimpses() -> None:
    q, (y, centres, _) = posterior(), batch()
    total = q.embed(y, centres).cumsum(1)
    before = q.logits(total, torch.arange(1, 4))
    q.temperature[2] = 2.0
    after = q.logits(total, torch.arange(1, 4))
    assert torch.allclose(after, before / torch.tensor([1.0, 2.0, 1.0])[:, None])
    assert torch.allclose(q.logits(total[:, 1], 2), after[:, 1])


def test_training_reaches_the_conditional_entropy_of_an_enumerable_model() -> None:
    """Two glimpses at fixed places: the loss ends near, and above, the exact mean posterior entropy."""
    world = Enumerated(count=16, classes=2, seed=1)
    seen = [0, 5]
    exact = float(np.mean([world.entropy(n, seen[:t]) for n in range(16) for t in (1, 2)]))
    places = PLACES[seen].expand(16, -1, -1)
    y = GEOMETRY.retina()(world.split.images, torch.arange(16), places)
    centres, labels = GEOMETRY.centres(places), world.split.labels
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 2, 2, 16).eval()
    before = negative_log_posterior(q, y, centres, labels).item()
    optimiser = torch.optim.Adam(q.parameters(), 5e-3)
    for _ in range(300):
        optimiser.zero_grad()
        negative_log_posterior(q, y, centres, labels).backward()
        optimiser.step()
    found = negative_log_posterior(q, y, centres, labels).item()
    assert 0.1 < exact < 0.6
    assert exact - 1e-4 <= found < exact + 0.02 < before


@torch.no_grad()
def test_more_glimpses_than_will_be_count_as_the_most() -> None:
    """Early in training there are more: their statistics still add."""
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 8, 8), classes=3, glimpses=2).eval()
    q.count_bias.normal_()
    glimpses, centres = torch.rand(4, 5, 1, 8, 8), torch.rand(4, 5, 2)
    trace = pyro.poutine.trace(q).get_trace(glimpses, centres)
    found = trace.nodes["label"]["fn"].logits
    total = q.embed(glimpses, centres).cumsum(1)
    for prefix, count in enumerate([1, 2, 2, 2, 2]):
        expected = q.logits(total[:, prefix].clone(), count).log_softmax(-1)
        assert torch.allclose(found[prefix], expected, atol=1e-5)
