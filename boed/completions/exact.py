"""The completion that is exact on an enumerated set of images."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.completions.completion import CompletionTask
from boed.completions.retrieval import RetrievalCompletion, squared_distances
from boed.enumeration.task import enumeration
from data.dataset import Split
from data.grey import grey_levels
from data.retina import Retina

SAME = 1e-6  # squared grey levels; distances are multiples of more than this


class ExactCompletion(RetrievalCompletion):
    """Completions by the templates that are consistent with the glimpses, all with the same weight.

    It is retrieval from a bank of all templates in the limit of no noise, p(x | history) of a uniform set. If
    no template is consistent (the glimpses are of some other image) it is the nearest ones.

    Args:
        bank: the templates with their labels (`Enumeration.bank`).
        retina: the sensor.

    >>> bank = Split(torch.zeros(4, 8, 8, 1, dtype=torch.uint8), torch.arange(4), torch.arange(4), "")
    >>> r = ExactCompletion(bank, Retina(4))
    >>> r.log_weights(torch.tensor([[0.0, 9, 0, 1], [2, 3, 4, 9]], dtype=torch.float64)).exp().tolist()
    [[0.5, 0.0, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, bank: Split, retina: Retina) -> None:
        super().__init__(bank, retina, target_ess=1.0)

    def log_weights(self, distances: Tensor) -> Tensor:
        """Normalised log-weights (B, M) from summed squared distances (B, M); infinite ones are excluded."""
        nearest = distances <= distances.amin(1, keepdim=True) + SAME
        return torch.zeros_like(distances).masked_fill(~nearest, -torch.inf).log_softmax(1)

    def consistent_weights(self, glimpses: Tensor, locations: Tensor) -> Tensor:
        """p(x | history) (B, M) for glimpses (B, t, S*C, G, G) at places (B, t, 3)."""
        distances = torch.zeros(len(glimpses), len(self.bank), dtype=torch.float64, device=glimpses.device)
        for seen, places in zip(glimpses.unbind(1), locations.unbind(1), strict=True):
            for place in places.unique(dim=0):
                here = (places == place).all(1).nonzero().view(-1)
                distances[here] += squared_distances(grey_levels(seen[here]), self._levels(place))
        return self.log_weights(distances).exp()

    def _levels(self, location: Tensor) -> Tensor:
        """(M, S*C*G*G) grey levels of the whole bank at one place (3,)."""
        rows = torch.arange(len(self.bank), device=location.device)
        return grey_levels(self.retina(self.bank.images, rows, location.expand(len(rows), 1, 3)))


def of_templates(task: CompletionTask) -> ExactCompletion:
    """All templates for the bank, and those that are consistent with a history for its completions."""
    world = enumeration(task.settings.dataset, task.geometry, task.places.cpu())
    return ExactCompletion(world.bank.to(task.places.device), task.geometry.retina())
