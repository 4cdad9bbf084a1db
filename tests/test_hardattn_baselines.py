"""Networks on the whole image: shapes, sizes, and the counter's MFLOPs against a count by hand."""

import pytest
import torch
from torch import nn

from data.errors import SettingsError
from hardattn.baselines.choices import POOLINGS
from hardattn.baselines.layers import Baseline, read_out
from hardattn.baselines.networks import make_baseline
from hardattn.baselines.registry import BASELINES
from hardattn.stopping.flops import mflops, parameters

SIZES = [(1, 28, 28), (1, 40, 40), (3, 60, 60), (3, 100, 100), (3, 224, 224)]


def counted(network: Baseline, image: tuple[int, int, int]) -> float:
    return mflops(network.eval(), torch.zeros(1, *image))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("image", SIZES, ids=str)
def test_images_in_logits_out(name: str, image: tuple[int, int, int]) -> None:
    network = make_baseline(name, image, 7)
    logits = network(torch.rand(2, *image))
    assert logits.shape == (2, 7) and network.device == torch.device("cpu")
    logits.square().sum().backward()
    assert all(weights.grad is not None for weights in network.parameters())


@pytest.mark.parametrize("name", ["conv", "conv-dropout", "cnn", "resnet"])
def test_images_need_not_be_square(name: str) -> None:
    assert make_baseline(name, (3, 40, 56), 2)(torch.rand(2, 3, 40, 56)).shape == (2, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 29, 56, 57, 60, 100, 112, 113, 224])
def test_the_residual_network_has_under_100_000_parameters(channels: int, side: int) -> None:
    assert 70_000 < parameters(make_baseline("resnet", (channels, side, side), 100)) < 100_000


@pytest.mark.parametrize("side", [28, 60, 100, 224])
def test_the_plain_network_is_small(side: int) -> None:
    assert parameters(make_baseline("cnn", (3, side, side), 10)) < 200_000


@pytest.mark.parametrize("hidden", [64, 256])
def test_parameters_and_flops_of_fc_by_hand(hidden: int) -> None:
    image, classes = (1, 28, 28), 10
    network = make_baseline("fc", image, classes, hidden)
    products = 28 * 28 * hidden + hidden * hidden + hidden * classes
    assert counted(network, image) == pytest.approx(2 * products / 1e6)
    assert parameters(network) == products + hidden + hidden + classes


@pytest.mark.parametrize(("side", "places"), [(28, 4), (60, 11), (100, 19)])
def test_parameters_and_flops_of_conv_by_hand(side: int, places: int) -> None:
    classes, filters, units = 10, 8, 256
    network = make_baseline("conv", (1, side, side), classes)
    dense = filters * places**2 * units + units * classes
    assert counted(network, (1, side, side)) == pytest.approx(
        2 * (places**2 * filters * 10 * 10 + dense) / 1e6
    )
    assert parameters(network) == filters * (10 * 10 + 1) + dense + units + classes


@pytest.mark.parametrize(("side", "places"), [(13, 1), (28, 4), (60, 12)])
def test_parameters_and_flops_of_conv_dropout_by_hand(side: int, places: int) -> None:
    """Two convolutions without a border, the first of which leaves (side - 3) // 2 places in each axis."""
    classes, units = 10, 256
    network = make_baseline("conv-dropout", (1, side, side), classes)
    dense = 32 * places**2 * units + units * classes
    seen = ((side - 3) // 2) ** 2 * 16 * 25 + places**2 * 32 * 16 * 25
    assert counted(network, (1, side, side)) == pytest.approx(2 * (seen + dense) / 1e6)
    assert parameters(network) == 16 * (25 + 1) + 32 * (16 * 25 + 1) + dense + units + classes
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [*("Conv2d", "ReLU") * 2, "Dropout", "Flatten", "Linear", "Linear"]


@pytest.mark.parametrize("name", ["resnet", "cnn"])
def test_in_evaluation_an_image_does_not_depend_on_its_batch(name: str) -> None:
    torch.manual_seed(0)
    network, images = make_baseline(name, (1, 28, 28), 4).eval(), torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(network(images)[:2], network(images[:2]))


@pytest.mark.parametrize("name", BASELINES)
def test_overall_brightness_is_not_seen(name: str) -> None:
    torch.manual_seed(0)
    network, images = make_baseline(name, (3, 28, 28), 4).eval(), torch.rand(5, 3, 28, 28) / 2
    torch.testing.assert_close(network(images + 0.4), network(images), atol=1e-4, rtol=0)


def test_the_residual_network_has_no_parameter_for_a_place() -> None:
    small, large = (make_baseline("resnet", (1, side, side), 4) for side in (28, 56))
    large.load_state_dict(small.state_dict())


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("mlp", (1, 28, 28), 10), "mlp"),
        (("resnet", (1, 28, 28), 10, 64), "--hidden"),
        (("cnn", (1, 28, 28), 10, 64), "--hidden"),
        (("conv", (1, 9, 28), 10), "9"),
        (("fc", (1, 28, 28), 10, None, None, "max"), "no --pooling with --baseline fc, found max"),
        (("cnn", (1, 28, 28), 10, None, None, "sum"), "pooling of mean, max, flatten; found 'sum'"),
        (("conv-dropout", (1, 12, 28), 10), "12"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: tuple[object, ...], found: str) -> None:
    with pytest.raises(SettingsError, match=f"expected .*{found}"):
        make_baseline(*arguments)


@pytest.mark.parametrize("name", ["resnet", "cnn", "separable", "mobilenet_v2", "shufflenet_v2"])
def test_the_last_map_is_read_as_asked(name: str) -> None:
    networks = {pooling: make_baseline(name, (3, 64, 64), 2, pooling=pooling) for pooling in POOLINGS}
    inputs = {pooling: list(network.parameters())[-2].numel() for pooling, network in networks.items()}
    assert inputs["mean"] == inputs["max"] < inputs["flatten"]
    assert all(module.training for network in networks.values() for module in network.modules())
    images = torch.rand(2, 3, 64, 64)
    assert all(network.eval()(images).shape == (2, 2) for network in networks.values())


def test_a_maximum_hears_one_cell_among_many_and_a_mean_hardly() -> None:
    maps = torch.zeros(1, 1, 8, 8)
    maps[..., 3, 5] = 64.0
    heard = {}
    for pooling in ("mean", "max"):
        network = read_out([nn.Identity()], (1, 8, 8), 1, pooling)
        heard[pooling] = float(network.layers[:-1](maps))
    assert heard == {"mean": 1.0, "max": 64.0}
