import numpy as np
import pyro
import pytest
import torch
from boed_tiny import split_of
from torch import Tensor

from boed.completions.retrieval import (
    RetrievalCompletion,
    effective_sample_size,
    joined,
    squared_distances,
    tempered,
)
from data.dataset import Split
from data.grey import grey_levels
from data.retina import Retina


def noise_split(count: int, channels: int = 1, side: int = 12, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (count, side, side, channels), dtype=np.uint8))
    return Split(images, torch.arange(count) % 2, torch.arange(count), "")


def weights_of(distances: Tensor, target: float) -> Tensor:
    r = RetrievalCompletion(noise_split(distances.shape[1]), Retina(4), target)
    return r.log_weights(distances).exp()


def distances_at(bank: Split, retina: Retina, glimpses: Tensor, place: Tensor) -> Tensor:
    """(B, M) squared distances of glimpses (B, S*C, G, G) to the whole bank's at a place (3,)."""
    rows = torch.arange(len(bank))
    shown = retina(bank.images, rows, place.expand(len(rows), 1, 3))[:, 0]
    return squared_distances(grey_levels(glimpses), grey_levels(shown))


@pytest.mark.parametrize("scales", [1, 2])
def test_weights_are_those_of_the_pyro_model(scales: int) -> None:
    """Two glimpses of another image: the log-joint of the model for every image of the bank, normalised."""
    bank, other, retina = noise_split(15, channels=2), noise_split(1, channels=2, seed=5), Retina(4, scales)
    r = RetrievalCompletion(bank, retina, target_ess=4)
    places = torch.tensor([[0, 3, 4], [7, 6, 4]])
    glimpses = retina(other.images, torch.tensor([0]), places[None])  # (1, 2, S*C, G, G)
    distances = torch.stack([distances_at(bank, retina, glimpses[:, i], places[i]) for i in (0, 1)]).sum(0)
    found = r.log_weights(distances)
    gap = distances - distances.amin(1, keepdim=True)
    precision = (-found + found.amax(1, keepdim=True))[0, gap[0].argmax()] / gap.amax()  # 1 / (2 sigma^2)
    sigma = (1 / (2 * precision)).sqrt() / 255  # of glimpses in [0, 1]
    joint = []
    for n in range(len(bank)):
        observed = {"image": torch.tensor(n), "glimpses": glimpses.double()}
        model = pyro.poutine.condition(
            r.model, {"image": torch.tensor([n]), "glimpses": observed["glimpses"]}
        )
        trace = pyro.poutine.trace(model).get_trace(places, sigma)
        trace.compute_log_prob()
        joint.append(trace.nodes["image"]["log_prob"] + trace.nodes["glimpses"]["log_prob"])
    expected = torch.cat(joint).log_softmax(0)
    assert torch.allclose(found[0], expected, atol=1e-4)
    assert expected.exp().max() < 0.9  # else the comparison would be one of a single image


@pytest.mark.parametrize("target", [1.5, 5.0, 20.0, 49.0])
def test_effective_sample_size_meets_its_target(target: float) -> None:
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(7, 60, generator=generator).argsort(1)
    distances = (order + torch.rand(7, 60, generator=generator, dtype=torch.float64)) ** 2
    distances = 3.0 + distances * 10.0 ** torch.tensor([[-3], [0], [1], [3], [6], [9], [12]])
    weights = weights_of(distances, target)
    assert weights.sum(1).tolist() == pytest.approx([1.0] * 7)
    assert (1 / weights.square().sum(1)).tolist() == pytest.approx([target] * 7, rel=1e-3)
    assert torch.equal(weights.argmax(1), distances.argmin(1))
    order = distances.argsort(1)
    assert (weights.gather(1, order).diff(dim=1) <= 0).all()  # the nearer, the heavier


def test_each_history_has_weights_of_its_own() -> None:
    distances = torch.rand(5, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([weights_of(row[None], 4.0) for row in distances])
    assert torch.equal(weights_of(distances, 4.0), alone)


def test_an_infinite_distance_excludes_an_image() -> None:
    distances = torch.rand(3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    excluded = distances.clone()
    excluded[torch.arange(3), torch.tensor([0, 7, 19])] = torch.inf
    weights = weights_of(excluded, 5.0)
    assert weights[torch.arange(3), torch.tensor([0, 7, 19])].tolist() == [0, 0, 0]
    assert (1 / weights.square().sum(1)).tolist() == pytest.approx([5.0] * 3, rel=1e-3)


@pytest.mark.parametrize("target", [19.0, 19.5, 20.0, 500.0])
def test_a_target_beyond_the_bank_gives_equal_weights(target: float) -> None:
    distances = torch.rand(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    distances[:, 3] = torch.inf
    weights = weights_of(distances, target)
    expected = torch.full((2, 20), 1 / 19, dtype=torch.float64)
    expected[:, 3] = 0
    assert torch.allclose(weights, expected, rtol=1e-3)


def test_ties_share_the_weight() -> None:
    distances = torch.full((1, 8), 4.0, dtype=torch.float64)
    assert weights_of(distances, 2.0)[0].tolist() == pytest.approx([1 / 8] * 8)
    distances[0, :3] = 0
    assert weights_of(distances, 2.0)[0].tolist() == pytest.approx([1 / 3] * 3 + [0] * 5, abs=1e-6)


def test_effective_sample_size_of_known_weights() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.25], [1, 0, 0]], dtype=torch.float64)
    found = effective_sample_size(weights.log() + 3)
    assert found[:, 0].tolist() == pytest.approx([1 / 0.375, 1])


@pytest.mark.parametrize("count", [1, 10, 97])
def test_systematic_resampling(count: int) -> None:
    """Each image is drawn its share of times, rounded up or down; nothing but the offset is random."""
    log_weights = torch.randn(6, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2
    log_weights[:, [0, 24]] = -torch.inf
    log_weights = log_weights.log_softmax(1)
    offsets = torch.tensor([0.0, 1e-12, 0.3, 0.5, 0.999, 1 - 1e-12], dtype=torch.float64)
    drawn = RetrievalCompletion.draw(log_weights, count, offsets)
    assert drawn.shape == (6, count)
    assert torch.equal(drawn, RetrievalCompletion.draw(log_weights, count, offsets))
    assert (drawn.diff(dim=1) >= 0).all()
    for row in range(6):
        counts = torch.bincount(drawn[row], minlength=25)
        assert (counts - count * log_weights[row].exp()).abs().max() < 1
        assert counts[0] == counts[24] == 0


def test_mean_of_the_draws_is_the_weight() -> None:
    log_weights = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64).log().expand(1000, -1)
    offsets = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = RetrievalCompletion.draw(log_weights, 3, offsets)
    assert (torch.bincount(drawn.flatten()) / 3000).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=1e-3)


@pytest.mark.parametrize("target", [1.0, 2.5, 6.0])
def test_a_prior_multiplies_the_likelihood(target: float) -> None:
    """What is twice as likely before weighs as much as two of its kind, the effective sample size apart."""
    distances = torch.tensor([[0.0, 1, 2, 3, 5, 8, 13]], dtype=torch.float64)
    prior = torch.tensor([1, 2, 1, 3, 1, 1, 1], dtype=torch.float64)
    found = tempered(distances, target, prior / prior.sum())[0]
    likelihood = found - prior.log()
    rate = likelihood.diff() / distances[0].diff()
    assert rate.tolist() == pytest.approx([rate[0].item()] * 6)  # log w = log prior - c d
    size = effective_sample_size(found[None]).item()
    assert found.exp().sum().item() == pytest.approx(1)
    assert size == pytest.approx(min(target, 100 / 18), rel=1e-3)  # without likelihood it is 10^2 / 18


@pytest.mark.parametrize("target", [4.0, 9.0])
def test_a_completion_has_the_sample_size_that_it_is_made_with(target: float) -> None:
    distances = torch.rand(3, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    r = RetrievalCompletion(noise_split(30), Retina(4), target)
    sizes = effective_sample_size(r.log_weights(distances))
    assert sizes[:, 0].tolist() == pytest.approx([target] * 3, rel=1e-3)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_squared_distances_are_exact(scales: int) -> None:
    """In units of grey levels, against integers: blocks of 4**s pixels are averaged, sums are counted."""
    bank, seen, retina = noise_split(9, channels=3), noise_split(6, channels=3, seed=1), Retina(4, scales)
    place = torch.tensor([5, 2, 4])
    rows = torch.arange(6)
    glimpses = retina(seen.images, rows, place.expand(6, 1, 3))[:, 0]
    found = distances_at(bank, retina, glimpses, place)
    for i in range(6):
        for n in range(9):
            assert found[i, n].item() == naive(seen.images[i], bank.images[n], (5, 2), scales)
    alone = torch.cat([distances_at(bank, retina, glimpses[i : i + 1], place) for i in range(6)])
    backwards = distances_at(bank, retina, glimpses.flip(0), place).flip(0)
    assert torch.equal(found, alone) and torch.equal(found, backwards)


def naive(one: Tensor, other: Tensor, place: tuple[int, int], scales: int) -> float:
    """Squared distance of two glimpses by loops over integers."""
    total = 0
    for scale in range(scales):
        factor = 2**scale
        shift = (factor - 1) * 4 // 2
        a, b = (np.pad(image.numpy().astype(int), ((20, 20), (20, 20), (0, 0))) for image in (one, other))
        row, col = place[0] - shift + 20, place[1] - shift + 20
        for i in range(4):
            for j in range(4):
                r, c = row + i * factor, col + j * factor
                gap = (a[r : r + factor, c : c + factor] - b[r : r + factor, c : c + factor]).sum((0, 1))
                total += int((gap**2).sum()) * 16 ** (2 - scale)  # mean over factor**2 pixels, times 256
    return total / 256


def test_the_nearest_image_is_found() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (12, 9))
    bank = split_of(cells, np.zeros(12, int))
    r = RetrievalCompletion(bank, Retina(4), target_ess=1)
    glimpses = Retina(4)(bank.images, torch.arange(12), torch.tensor([4, 8, 4]).expand(12, 1, 3))[:, 0]
    distances = distances_at(bank, Retina(4), glimpses, torch.tensor([4, 8, 4]))
    assert distances.diagonal().tolist() == [0] * 12
    assert torch.equal(r.log_weights(distances).argmax(1), torch.arange(12))


def test_the_model_samples_images_and_glimpses() -> None:
    r = RetrievalCompletion(noise_split(5), Retina(4), 2)
    trace = pyro.poutine.trace(r.model).get_trace(
        torch.tensor([[0, 0, 4], [4, 4, 4]]), torch.tensor(0.1).double()
    )
    assert trace.nodes["glimpses"]["value"].shape[-4:] == (2, 1, 4, 4)
    assert 0 <= trace.nodes["image"]["value"].item() < 5


def weights_and_classes(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights (6, 20) of which most underflow, labels (20,) of four classes, log q (6, 4)."""
    generator = torch.Generator().manual_seed(seed)
    log_weights = 1000 * torch.randn(6, 20, generator=generator, dtype=torch.float64)
    labels = torch.arange(20) % 4
    return log_weights, labels, torch.randn(6, 4, generator=generator, dtype=torch.float64).log_softmax(1)


def test_the_joint_belief_has_the_shares_of_q_and_the_proportions_of_r() -> None:
    log_weights, labels, log_q = weights_and_classes()
    found = joined(log_weights, labels, log_q)
    for label in range(4):
        inside = labels == label
        assert torch.allclose(found[:, inside].logsumexp(1), log_q[:, label])
        within = found[:, inside].log_softmax(1)
        assert torch.allclose(within, log_weights[:, inside].log_softmax(1))


def test_what_is_alike_for_all_images_of_a_class_changes_no_joint_belief() -> None:
    log_weights, labels, log_q = weights_and_classes()
    shifted = log_weights + torch.tensor([0.0, -5000.0, 7.0, 3000.0], dtype=torch.float64)[labels]
    assert torch.allclose(joined(shifted, labels, log_q), joined(log_weights, labels, log_q), atol=1e-8)


def test_a_class_without_images_gets_nothing_and_the_others_are_renormalised() -> None:
    """Class 2 is of no image, and all images of class 3 are excluded."""
    log_weights, labels, log_q = weights_and_classes()
    labels = torch.where(labels == 2, 1, labels)
    log_weights[:, labels == 3] = -torch.inf
    found = joined(log_weights, labels, log_q)
    assert (found[:, labels == 3] == -torch.inf).all()
    assert torch.allclose(found.logsumexp(1), torch.zeros(6, dtype=torch.float64))
    odds = found[:, labels == 0].logsumexp(1) - found[:, labels == 1].logsumexp(1)
    assert torch.allclose(odds, log_q[:, 0] - log_q[:, 1])


def test_a_posterior_that_retrieval_agrees_with_changes_nothing() -> None:
    log_weights, labels, _ = weights_and_classes()
    log_weights = (log_weights / 1000).log_softmax(1)
    shares = torch.zeros(6, 4, dtype=torch.float64).index_add_(1, labels, log_weights.exp())
    assert torch.allclose(joined(log_weights, labels, shares.log()), log_weights)
