"""The figures of `benchmarks.train_speed` for people."""

from __future__ import annotations

from typing import Any


def lines(name: str, figures: dict[str, Any]) -> list[str]:
    """The figures of a task for people."""
    text = [f"{name} x {name}: the core's own product runs at {figures['product_gflops']:.0f} GFLOP/s"]
    return text + [f"  {work}: {said(about)}" for work, about in figures["works"].items()]


def said(about: dict[str, Any]) -> str:
    """The figures of one work for people."""
    text = f"{about['images_per_second']:,} images/s of {about['mflops']:.2f} MFLOPs, "
    text += f"{100 * about['share_of_product_rate']:.0f} % of that rate"
    if "times_the_loop" in about:
        times = about["times_the_loop"]
        text += f", {times['middle']:.2f} times the loop ({times['least']:.2f} to {times['most']:.2f})"
    if about.get("asked") is not None:
        text += f", asked {about['asked']:g}"
    if "compiled_in_seconds" in about:
        text += f", compiled in {about['compiled_in_seconds']:.0f} s"
    shares = [f"{part} {100 * share:.0f} %" for part, share in about.get("shares", {}).items()]
    return text + (f" ({', '.join(shares)})" if shares else "")
