"""The moving average of the weights is that of its equation, and that of a training that was taken up."""

import torch
from torch import nn

from data.moving_average import moving_average


def steps(iteration: int, count: int) -> tuple[list[float], list[float]]:
    """Averages by the module, and by the equation, of a weight that is 1, 2, 3, ... from 0 on."""
    network, by_hand = nn.Linear(1, 1, bias=False), list[float]()
    nn.init.zeros_(network.weight)
    averaged, found, mean = moving_average(network, 0.8, iteration), list[float](), 0.0
    for number in range(iteration, iteration + count):
        nn.init.constant_(network.weight, number - iteration + 1)
        averaged.update_parameters(network)
        mean += (1 - min(0.8, number / (number + 10))) * (number - iteration + 1 - mean)
        by_hand.append(mean)
        found.append(next(averaged.parameters()).item())
    return found, by_hand


def test_weights_follow_the_equation() -> None:
    for iteration in (0, 1, 39):  # from 40 on the decay is the one that was asked for
        found, by_hand = steps(iteration, 5)
        torch.testing.assert_close(found, by_hand)
    assert steps(0, 1)[0] == [1.0]


def test_running_statistics_are_the_networks_own() -> None:
    network = nn.BatchNorm1d(2)
    averaged = moving_average(network, 0.99, iteration=1)
    network(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    averaged.update_parameters(network)
    own, kept = network.get_buffer("running_mean"), averaged.module.get_buffer("running_mean")
    assert torch.equal(kept, own)
    assert not averaged.module.training and own.abs().sum() > 0
