"""The moving average of a network's weights, which is what is validated and kept of a training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 10  # iterations after which the average has about half of its memory


def moving_average(network: nn.Module, decay: float, iteration: int = 0) -> MovingAverage:
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

    averaged = MovingAverage(network, decay).eval()
    averaged.n_averaged.fill_(iteration)
    return averaged


class MovingAverage(AveragedModel):
    """What `moving_average` makes; it knows the tensors of the network, so that no step looks for them.

    The number of its steps stays on the CPU, where it is asked for.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self.decay = decay
        self._weights = (list[Tensor](self.module.parameters()), list[Tensor](network.parameters()))
        self._kept = (list(self.module.buffers()), list(network.buffers()))

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        number = int(self.n_averaged)
        torch._foreach_lerp_(*self._weights, 1 - min(self.decay, number / (number + WARM_UP)))
        if self._kept[0]:
            torch._foreach_copy_(*self._kept)
        self.n_averaged += 1
