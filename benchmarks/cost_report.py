"""What was measured of the cost of designs, and the report that says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.figures import markdown

FIT, ONCE, DESIGN = "fit", "bank, once", "design of an image"


@dataclass(frozen=True)
class Row:
    """What one way to design costs.

    Attributes:
        name: what it is.
        seconds_per_sequence: wall time.
        cpu_seconds_per_sequence: of all threads.
        flops_per_sequence: floating-point operations of convolutions and matrix products.
        extrapolated: whether a part was measured and multiplied.
        stages: share of the time of each stage; they sum to 1.
    """

    name: str
    seconds_per_sequence: float
    cpu_seconds_per_sequence: float
    flops_per_sequence: float
    extrapolated: bool
    stages: dict[str, float]


@dataclass(frozen=True)
class Timed:
    """What one piece of work took.

    Attributes:
        name: what was fitted.
        work: FIT, ONCE or DESIGN, perhaps with more.
        cpu_seconds: of all threads.
        wall_seconds: wall time.
        goal: CPU seconds that it may take; None: no goal.
        stages: share of the CPU time of each stage; they sum to 1.
    """

    name: str
    work: str
    cpu_seconds: float
    wall_seconds: float
    goal: float | None
    stages: dict[str, float]

    def each(self, count: int) -> Timed:
        """One of so many that were timed together."""
        return replace(self, cpu_seconds=self.cpu_seconds / count, wall_seconds=self.wall_seconds / count)


@dataclass(frozen=True)
class Loop:
    """The size of the published loop.

    Args:
        completions, candidates, glimpses: N, L and T of a sequence.
        side, glimpse_size: of the image and of a glimpse, in pixels.
        passes: inputs of the network that are timed, at least.
        batch: inputs at a time.
    """

    completions: int = 200
    candidates: int = 2500
    glimpses: int = 5
    side: int = 224
    glimpse_size: int = 16
    passes: int = 8
    batch: int = 4

    @property
    def pairs(self) -> int:
        """(completion, candidate) pairs of a sequence, a pass each."""
        return self.completions * self.candidates * self.glimpses

    @property
    def rounds(self) -> int:
        """Batches that are timed."""
        return -(-self.passes // self.batch)


@dataclass(frozen=True)
class Report:
    """What was measured, and on what.

    Attributes:
        machine, threads, torch: where.
        images: how many designs were averaged.
        loop: the size of the published loop.
        once: seconds and FLOPs of what is done once for a task, before its first design.
        rows: the published loop first.
        fits: fits that were made and designs with them.
    """

    machine: str
    threads: int
    torch: str
    images: int
    loop: Loop
    once: dict[str, float] | None
    rows: list[Row]
    fits: list[Timed] = field(default_factory=list)

    def text(self) -> str:
        """Markdown: where, the table, and what the figures are of."""
        loop = self.loop
        lines = [
            f"{self.machine}, torch {self.torch}, {self.threads} threads.",
            table(self.rows),
            f"Published loop: {loop.glimpses} x {loop.candidates:,} x {loop.completions} = {loop.pairs:,} "
            f"passes of a DenseNet-121 at {loop.side} pixels, extrapolated from {loop.rounds * loop.batch}.",
        ]
        if self.once is not None:
            seconds, flops = self.once["seconds"], self.once["flops"]
            lines.append(
                f"Designs: the mean of {self.images} images. Once for the task, before the first of them: "
                f"{seconds:.3g} s and {flops:.3g} FLOPs, to embed the bank."
            )
        if self.fits:
            loop_seconds = self.rows[0].cpu_seconds_per_sequence
            lines += [fits_table(self.fits, loop_seconds), self._about_fits()]
        return "\n\n".join(lines)

    def _about_fits(self) -> str:
        return (
            "Fits have the default settings, and the table that ends them is in their time; starting Python "
            f"and decoding photographs is not. Designs: the mean of {self.images} images, or all that there "
            "are. Times fewer: CPU seconds of the published loop for an image over those of the row."
        )


def table(rows: Sequence[Row]) -> str:
    """Markdown; the ratios are those of the first row to each.

    >>> loop = Row("a", 1000.0, 900.0, 4e12, True, {"network": 1.0})
    >>> print(table([loop]).splitlines()[2])
    | a (extrapolated) | 1e+03          | 900   | 4e+12 | 1             | 1                 | network 100 % |
    """
    head = ["design", "s per sequence", "CPU s", "FLOPs", "times fewer s", "times fewer FLOPs", "share of s"]
    return markdown(head, [_cells(row, rows[0]) for row in rows])


def fits_table(fits: Sequence[Timed], loop: float) -> str:
    """Markdown.

    Args:
        fits: rows.
        loop: CPU seconds of the published loop for an image.

    >>> print(fits_table([Timed("digits", DESIGN, 0.02, 0.04, 0.03, {"own maps": 1.0})], 2.0).splitlines()[2])
    | digits | design of an image | 0.02  | 0.04   | 0.03, met   | 100         | own maps 100 % |
    """
    head = ["fit of", "work", "CPU s", "wall s", "goal, CPU s", "times fewer", "share of CPU s"]
    return markdown(head, [_timed_cells(row, loop) for row in fits])


def _timed_cells(row: Timed, loop: float) -> list[str]:
    return [
        row.name,
        row.work,
        f"{row.cpu_seconds:.3g}",
        f"{row.wall_seconds:.3g}",
        "" if row.goal is None else f"{row.goal:g}, {'met' if row.cpu_seconds <= row.goal else 'missed'}",
        f"{loop / row.cpu_seconds:.3g}",
        _shares(row.stages),
    ]


def _cells(row: Row, reference: Row) -> list[str]:
    seconds, flops = row.seconds_per_sequence, row.flops_per_sequence
    return [
        row.name + (" (extrapolated)" if row.extrapolated else ""),
        f"{seconds:.3g}",
        f"{row.cpu_seconds_per_sequence:.3g}",
        f"{flops:.3g}",
        f"{reference.seconds_per_sequence / seconds:.3g}",
        f"{reference.flops_per_sequence / flops:.3g}",
        _shares(row.stages),
    ]


def _shares(stages: Mapping[str, float]) -> str:
    """The largest first."""
    shares = sorted(stages.items(), key=lambda stage: -stage[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
