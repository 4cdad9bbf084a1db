"""The last layer of a posterior: one linear head for each attribute."""

from __future__ import annotations

import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from data.errors import SettingsError


class Heads(PyroModule):
    """A heads of K classes each, computed as one product.

    Args:
        features: size of what they read.
        classes: K.
        attributes: A.

    Raises:
        SettingsError: no attribute.

    >>> heads = Heads(8, classes=2, attributes=3)
    >>> heads.by_attribute(heads(torch.zeros(5, 8))).shape, heads.only(1)(torch.zeros(5, 8)).shape
    (torch.Size([5, 3, 2]), torch.Size([5, 2]))
    """

    def __init__(self, features: int, classes: int, attributes: int = 1) -> None:
        if attributes < 1:
            raise SettingsError(f"expected at least 1 attribute, found {attributes}; each has a head")
        super().__init__()
        self.linear = PyroModule[nn.Linear](features, attributes * classes)
        self.classes, self.attributes = classes, attributes

    def forward(self, features: Tensor) -> Tensor:
        """(..., A * K) unnormalised log-probabilities from features (..., F).

        Where nothing is learned the products of features (P, L, F) are P small ones, class by class: bits of
        one do not depend on those beside it, and what follows over the classes is several times as fast.
        """
        if self.training or features.device.type != "cpu" or features.dim() < 3:
            return self.linear(features)
        flat = features.flatten(0, -3)
        weight = self.linear.weight.expand(len(flat), -1, -1)
        logits = torch.baddbmm(self.linear.bias[:, None], weight, flat.mT)  # (P, A * K, L)
        return logits.mT.unflatten(0, features.shape[:-2])

    def by_attribute(self, logits: Tensor) -> Tensor:
        """(..., A, K) of (..., A * K); of a single attribute (..., K)."""
        return logits if self.attributes == 1 else logits.unflatten(-1, (self.attributes, self.classes))

    @torch.no_grad()
    def only(self, attribute: int) -> Heads:
        """A copy of one of the heads, as much in training as this is."""
        one = Heads(self.linear.in_features, self.classes).to(self.linear.weight.device).train(self.training)
        some = slice(attribute * self.classes, (attribute + 1) * self.classes)
        one.linear.weight.copy_(self.linear.weight[some])
        one.linear.bias.copy_(self.linear.bias[some])
        return one
