import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from boed.completions import cvae
from boed.completions.canvas_state import Seen, observed_cells, random_seen, to_cells
from boed.completions.cvae import ConditionalVae, ConditionalVaeCompletion
from boed.completions.factor_analysis import FactorAnalysis
from boed.completions.quality import completion_quality
from boed.fitting import fit_state
from boed.fitting.cvae_training import train_cvae
from data.dataset import Split
from data.errors import CheckpointError
from data.geometry import Geometry
from data.tensors import save_tensors

TELLING, SILENT = 0, 4
SIZES = {"latent": 6, "width": 48}


def templates(count: int, seed: int) -> tuple[Split, Tensor]:
    """Images of eight templates, with noise, and these. One place tells which; the middle is alike in all."""
    cells = np.random.default_rng(0).integers(20, 236, (8, 9))
    cells[:, SILENT] = 128
    pixels = cells.reshape(8, 3, 3).repeat(4, 1).repeat(4, 2)
    for bit, (row, col) in enumerate([(0, 0), (0, 2), (2, 0)]):
        pixels[:, row : row + 2, col : col + 2] = 40 + 170 * (np.arange(8) >> bit & 1)[:, None, None]
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, count)
    images = pixels[labels] + random.integers(-10, 11, (count, 12, 12))
    made, clean = (torch.from_numpy(array.astype(np.uint8))[..., None] for array in (images, pixels))
    return Split(made, torch.from_numpy(labels), torch.arange(count), f"templates {count}"), clean


TRAIN, TEMPLATES = templates(600, seed=1)
HELD_OUT = templates(48, seed=2)[0]


def trained(iterations: int, **options: Any) -> ConditionalVae:
    settings = {"glimpses": 3, "places": PLACES, "iterations": iterations, "seed": 0} | SIZES | options
    return train_cvae(TRAIN, torch.arange(600), GEOMETRY, **settings)


@pytest.fixture(scope="module")
def network() -> ConditionalVae:
    return trained(800)


def noise_for(count: int, draws: int, seed: int = 0) -> Tensor:
    size = SIZES["latent"] + 144  # and the error of every pixel
    return torch.randn(count, draws, size, generator=torch.Generator().manual_seed(seed))


def look(split: Split, *places: int) -> tuple[Tensor, Tensor]:
    locations = PLACES[list(places)].expand(len(split), -1, -1)
    return GEOMETRY.retina()(split.images, torch.arange(len(split)), locations), locations


def losses(network: ConditionalVae) -> tuple[float, float]:
    """Of both stages on held-out images."""
    rows = torch.arange(len(HELD_OUT))
    images = to_cells(HELD_OUT.images, rows, network.cells)
    generator = torch.Generator().manual_seed(0)
    seen = random_seen(HELD_OUT, rows, GEOMETRY, network.cells, PLACES, 3, generator)
    elbo = TraceMeanField_ELBO()
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(0)
        whole = elbo.loss(network.model, network.guide, images)
        return whole, elbo.loss(network.partial_model, network.partial_guide, images, seen)


def test_inference_lowers_both_losses(network: ConditionalVae) -> None:
    start, middle, end = trained(0), trained(100), network
    found = [losses(each)[0] for each in (start, middle, end)]
    assert found[0] > found[1] + 0.1 and found[1] > found[2] + 0.1
    start.load_state_dict({k: v for k, v in end.state_dict().items() if "partial" not in k}, strict=False)
    assert losses(start)[1] > losses(end)[1] + 0.3


def test_the_partial_encoder_is_trained_by_the_forward_divergence(network: ConditionalVae) -> None:
    rows = torch.arange(len(HELD_OUT))
    images = to_cells(HELD_OUT.images, rows, network.cells)
    seen = observed_cells(*look(HELD_OUT, 1, 5), GEOMETRY, network.cells)
    with torch.no_grad(), pyro.get_param_store().scope():
        q = network.encode(images).base_dist
        c = network.posterior(seen)
        whole = MultivariateNormal(q.loc, q.scale.square().diag_embed())
        expected = kl_divergence(whole, MultivariateNormal(c.loc, c.covariance_matrix)) / SIZES["latent"]
        found = TraceMeanField_ELBO().loss(network.partial_model, network.partial_guide, images, seen)
    assert found == pytest.approx(expected.mean().item(), rel=1e-3)


def test_the_second_stage_leaves_the_vae_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = list[dict[str, Tensor]]()
    save = save_tensors

    def spied(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        states.append({name: value.clone() for name, value in tensors.items() if name.startswith("network")})
        save(path, tensors, about)

    monkeypatch.setattr(fit_state, "save_tensors", spied)
    monkeypatch.setattr(fit_state, "SAVE_EVERY", 10)
    trained(20, state=tmp_path / "state")
    middle, end = states
    moved = {name.split(".")[1] for name in end if not torch.equal(middle[name], end[name])}
    assert moved == {"partial"}


def test_a_telling_glimpse_tells_all(network: ConditionalVae) -> None:
    """What is not seen is that of the right template; what is seen is reproduced, before any pasting."""
    completion = ConditionalVaeCompletion(network, pasted=False)
    rows = torch.arange(len(HELD_OUT))
    found = completion_quality(completion, HELD_OUT, rows, PLACES[[TELLING]], GEOMETRY)
    prior = HELD_OUT.images.float().std(0).mean().item()
    assert prior > 50
    assert found.rmse_observed < prior / 5
    assert found.std_observed < prior / 7
    completed = completion.complete(*look(HELD_OUT, TELLING), noise_for(len(rows), 8))
    distance = (completed.float()[:, :, None] - TEMPLATES.float()).square().mean((3, 4, 5))
    assert (distance.argmin(-1) == HELD_OUT.labels[:, None]).float().mean() > 0.9


def test_draws_differ_where_nothing_was_seen(network: ConditionalVae) -> None:
    completion = ConditionalVaeCompletion(network, pasted=False)
    found = completion_quality(completion, HELD_OUT, torch.arange(48), PLACES[[SILENT]], GEOMETRY)
    std = HELD_OUT.images.float().std(0)
    prior = std[std > 20].mean().item()
    assert found.std_observed < 12 and found.rmse_observed < 15
    assert found.std_unobserved > prior / 2
    nothing = completion.complete(torch.zeros(1, 0, 1, 4, 4), torch.zeros(1, 0, 3).long(), noise_for(1, 200))
    spread = nothing[0].float().std(0)
    outside = torch.ones(12, 12, 1, dtype=torch.bool)
    outside[4:8, 4:8] = False
    assert spread[outside].mean() > prior / 2


def test_draws_are_nearer_to_what_was_seen_than_those_of_the_partial_encoder(
    network: ConditionalVae, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(steps: int) -> float:
        monkeypatch.setattr(cvae, "STEPS", steps)
        completion = ConditionalVaeCompletion(network, pasted=False)
        return completion_quality(
            completion, HELD_OUT, torch.arange(48), PLACES[[1, 3]], GEOMETRY
        ).rmse_observed

    assert error(4) < 0.8 * error(0)


def linear_network(side: int) -> ConditionalVae:
    """No hidden unit switches: half of them are always on, and the others off. The encoder is untrained."""
    torch.manual_seed(0)
    network = ConditionalVae(GEOMETRY, **SIZES, resolution=side)
    with torch.no_grad():
        network.decoder[0].bias += 20 * (torch.arange(48) % 2 * 2 - 1)
        network.decoder[2].weight *= 2
        network.decoder[2].bias -= network.decoder(torch.zeros(SIZES["latent"]))
        network.within += 0.1
    return network


def seen_of_one(*places: int, side: int) -> Seen:
    seen = observed_cells(*look(HELD_OUT, *places), GEOMETRY, side)
    return Seen(seen.values[:1], seen.coverage[:1])


@pytest.mark.parametrize(("side", "places"), [(12, [1, 5]), (12, [0]), (5, [1, 5]), (5, [])])
@torch.no_grad()
def test_of_a_linear_decoder_draws_have_the_mean_and_the_covariance_of_the_posterior(
    side: int, places: list[int]
) -> None:
    """A draw is m + A noise: m is the posterior mean, and A A' its covariance, in closed form by PCA's."""
    network, seen = linear_network(side), seen_of_one(*places, side=side)
    exact = FactorAnalysis(GEOMETRY, factors=SIZES["latent"], resolution=side)
    exact.loadings.copy_(network.decode(torch.eye(SIZES["latent"])) - network.decode(torch.zeros(1, 6)))
    exact.variance.fill_(0.2**2)
    exact.within.copy_(network.within)
    posterior = exact.posterior(seen)
    mean = network.draw(seen, torch.zeros(1, network.noise))
    root = network.draw(seen, torch.eye(network.noise)) - mean  # (noise, D)
    assert torch.allclose(mean.double(), posterior.loc, atol=1e-4)
    assert torch.allclose((root.T @ root).double(), posterior.covariance_matrix[0], atol=1e-4)
    if places:
        assert posterior.covariance_matrix[0].det() < 0.2  # what was seen tells something


@torch.no_grad()
def test_of_a_scalar_draws_are_as_wide_as_the_posterior_whatever_the_encoder_says() -> None:
    """x = a z + noise of .2, a = .26: of a prior of width 1, 1 / sqrt(1 + 1.3^2) = .61 is left."""
    network = ConditionalVae(Geometry(2, 2, 1, glimpse_size=2), latent=1, width=2, resolution=1)
    for layer, weight, bias in ((0, [[1.0], [0.0]], [9.0, 0.0]), (2, [[0.26, 0.0]], [-9 * 0.26])):
        network.decoder[layer].weight.copy_(torch.tensor(weight))
        network.decoder[layer].bias.copy_(torch.tensor(bias))
    seen = Seen(torch.full((1, 1, 1, 1), 0.5), torch.ones(1, 1, 1, 1))
    noise = torch.randn(20_000, network.noise, generator=torch.Generator().manual_seed(0))
    drawn = network.draw(seen, noise)
    assert drawn.std().item() == pytest.approx(0.61, abs=0.01)
    assert drawn.mean().item() == pytest.approx(0.5 * 0.26 / (0.26**2 + 0.2**2), abs=0.015)


@torch.no_grad()
def test_of_a_bent_decoder_every_step_is_nearer(
    network: ConditionalVae, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, noise = seen_of_one(1, 3, side=12), noise_for(1, 64)[0]
    prior, errors = noise[:, :6], noise[:, 6:].view(-1, 1, 12, 12)
    scale = network.log_noise.exp()

    def cost(steps: int) -> Tensor:
        monkeypatch.setattr(cvae, "STEPS", steps)
        z = network.draw(seen, noise)
        misfit = ((network.decode(z) - seen.values) / scale - errors).square() * (seen.coverage > 0)
        return (z - prior).square().sum(1) + misfit.flatten(1).sum(1)

    costs = torch.stack([cost(steps) for steps in range(5)])
    assert (costs.diff(dim=0) <= 1e-3 * costs[:-1]).all()
    assert costs[4].mean() < 0.7 * costs[0].mean()


def test_noise_fixes_the_result_whatever_the_other_images(network: ConditionalVae) -> None:
    completion = ConditionalVaeCompletion(network)
    some = HELD_OUT.take(torch.arange(5))
    glimpses, locations = look(some, SILENT, 1)
    noise = noise_for(5, 3)
    found = completion.complete(glimpses, locations, noise)
    assert found.shape == (5, 3, 12, 12, 1) and found.dtype == torch.uint8
    assert torch.equal(found, completion.complete(glimpses, locations, noise))
    backwards = completion.complete(glimpses.flip(0), locations.flip(0), noise.flip(0)).flip(0)
    alone = completion.complete(glimpses[3:4], locations[3:4], noise[3:4])
    assert torch.equal(backwards, found) and torch.equal(alone[0], found[3])
    others = completion.complete(glimpses, locations, noise_for(5, 3, seed=1))
    assert ((others != found).flatten(1).any(1)).all()
    assert (found[:, 0] != found[:, 1]).flatten(1).any(1).all()


def test_observed_pixels_are_pasted(network: ConditionalVae) -> None:
    rows = torch.arange(len(HELD_OUT))
    found = completion_quality(ConditionalVaeCompletion(network), HELD_OUT, rows, PLACES[[2, 7]], GEOMETRY)
    assert found.rmse_observed == 0 and found.std_observed == 0 and found.std_unobserved > 5


def test_training_is_a_function_of_its_seed() -> None:
    one, same, other = (trained(12, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one if name.startswith("decoder"))


def interrupted_after(saves: int) -> Callable[..., None]:
    """Saves, and stops the training after that many."""
    count = 0

    def stopping(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        nonlocal count
        save_tensors(path, tensors, about)
        count += 1
        if count == saves:
            raise KeyboardInterrupt

    return stopping


@pytest.mark.parametrize(("saves", "left"), [(1, 15), (2, 10), (3, 5)])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    saves: int, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first stage, between the stages, and in the second."""
    state = tmp_path / "state.safetensors"
    expected = trained(20).state_dict()
    monkeypatch.setattr(fit_state, "SAVE_EVERY", 5)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit_state, "save_tensors", interrupted_after(saves))
        trained(20, state=state)
    steps = list[int]()
    step = SVI.step

    def counted(svi: Any, *inputs: Any) -> Any:
        steps.append(1)
        return step(svi, *inputs)

    monkeypatch.setattr(SVI, "step", counted)
    found = trained(20, state=state).state_dict()
    assert len(steps) == left
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    trained(20, state=state)
    assert len(steps) == left  # nothing is left to do


@pytest.mark.parametrize(
    ("change", "name"),
    [({"seed": 1}, "seed"), ({"iterations": 8}, "iterations"), ({"places": PLACES[1:]}, "places")],
)
def test_a_state_of_another_training_is_refused(change: dict[str, Any], name: str, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    trained(4, state=state)
    with pytest.raises(CheckpointError, match=f"with {name} = .*, found "):
        trained(**({"iterations": 4, "state": state} | change))


def test_training_leaves_no_parameters_behind() -> None:
    before = dict(pyro.get_param_store().items())
    trained(4)
    assert dict(pyro.get_param_store().items()).keys() == before.keys()


@pytest.mark.parametrize("shape", [(12, 12, 1), (9, 14, 3)])
def test_the_density_of_the_vae_is_that_of_its_parts(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    geometry = Geometry(height, width, channels, glimpse_size=4)
    torch.manual_seed(0)
    network = ConditionalVae(geometry, latent=3, width=8, resolution=7)
    images, z = torch.rand(2, channels, 7, 7), torch.randn(2, 3)
    with pyro.get_param_store().scope(), torch.no_grad():
        trace = pyro.poutine.trace(pyro.poutine.condition(network.model, {"z": z})).get_trace(images)
        residual = (images - network.decode(z)) / 0.2
    found = trace.log_prob_sum().item() * images.numel()
    constant = 0.5 * math.log(2 * math.pi)
    expected = -0.5 * z.square().sum() - 6 * constant
    expected = expected - 0.5 * residual.square().sum() - images.numel() * (constant + math.log(0.2))
    assert found == pytest.approx(expected.item(), rel=1e-4)
