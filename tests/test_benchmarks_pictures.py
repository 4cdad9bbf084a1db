"""The pictures of the documentation show the design as it is made."""

import torch
from boed_tiny import pointer_dataset

from benchmarks.pictures import draw_maps, draw_posterior, walk
from boed.approximations import Approximations
from boed.search.designer import Designer, design_sequences


def test_what_is_drawn_is_the_design(pointer_fit: Approximations) -> None:
    dataset, designer = pointer_dataset(), Designer(pointer_fit)
    steps = list(walk(designer, dataset, 3))
    row, steps_of = torch.tensor([3]), (designer.weights, designer.calibrations)
    designs = design_sequences(designer, dataset["design"], row, pointer_fit.glimpses, *steps_of, seed=0)
    assert torch.equal(steps[-1].looked, designs.locations[0])
    for step, chosen_by in zip(steps[:-1], designs.epe_map[0], strict=True):
        torch.testing.assert_close(step.mixed, chosen_by)
        assert step.mixed[step.chosen] == step.mixed.amin()


def test_probabilities_are_such(pointer_fit: Approximations) -> None:
    steps = list(walk(Designer(pointer_fit), pointer_dataset(), 0))
    for step in steps:
        torch.testing.assert_close(step.probabilities.sum().item(), 1.0)


def test_pictures_have_a_row_or_a_column_for_every_step(pointer_fit: Approximations) -> None:
    dataset, designer = pointer_dataset(), Designer(pointer_fit)
    steps = list(walk(designer, dataset, 0))
    glimpses = pointer_fit.glimpses
    maps = draw_maps(dataset, 0, designer, steps)
    assert sum(not axes.get_label() for axes in maps.axes) == 4 * glimpses  # the others are colour bars
    assert len(draw_posterior(dataset, 0, steps).axes) == 2 * (glimpses + 1)
