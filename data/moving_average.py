"""The moving average of a network's weights, which is what is validated and kept of a training."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 10  # iterations after which the average has about half of its memory


def moving_average(network: nn.Module, decay: float, iteration: int = 0) -> AveragedModel:
    r"""$\bar w \leftarrow \bar w + (1 - d_i)(w - \bar w), \; d_i = \min(d, i / (i + 10))$, in eval mode.

    The average of the first weights counts little: what was drawn at random is forgotten soon. Buffers, such
    as the running statistics of a batch norm, are those of the network. The step is the i-th call of
    `update_parameters`.

    Args:
        network: whose weights w are averaged; the average starts from them.
        decay: d.
        iteration: i of the next step; a step 0 takes the weights as they are.

    >>> network = nn.Linear(1, 1, bias=False)
    >>> nn.init.zeros_(network.weight).item()
    0.0
    >>> averaged = moving_average(network, 0.99, iteration=1)
    >>> nn.init.ones_(network.weight).item()
    1.0
    >>> averaged.update_parameters(network)
    >>> round(next(averaged.parameters()).item(), 4)  # 1 - 1 / 11
    0.9091
    """

    def step(average: list[Tensor], weights: list[Tensor], number: Tensor | int) -> None:
        rate = 1 - min(decay, int(number) / (int(number) + WARM_UP))
        for mean, value in zip(average, weights, strict=True):
            mean.lerp_(value, rate)

    averaged = AveragedModel(network, multi_avg_fn=step).eval()  # type: ignore[arg-type]
    averaged.n_averaged.fill_(iteration)
    return averaged
