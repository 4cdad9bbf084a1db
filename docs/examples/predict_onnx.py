"""Prediction that stops early, from an exported step, with numpy and onnxruntime alone.

python predict_onnx.py step.onnx one.npy two.npy: images are uint8 (H, W, C), of the size in step.onnx.json
"""

import json
import sys

import numpy as np
import onnxruntime


def shares(start: float, side: float, extent: int, glimpse: dict) -> np.ndarray:
    """(G, extent) how much of each value of a glimpse is of each pixel of a row, or of a column."""
    width, pixel = side / glimpse["side"], np.arange(extent)
    first = start + width * np.arange(glimpse["side"])[:, None]
    if glimpse["interpolated"]:
        return np.clip(1 - abs(first + (width - 1) / 2 - pixel), 0, None)
    return np.clip(np.minimum(first + width, pixel + 1) - np.maximum(first, pixel), 0, None) / width


def look(image: np.ndarray, place: np.ndarray, glimpse: dict) -> np.ndarray:
    """(1, S*C, G, G) what is seen of an image (H, W, C) at a place (row, column, side)."""
    (row, col, side), (height, width, _), squares = place, image.shape, []
    whole = side >= max(height, width) and not glimpse["interpolated"]
    for wide in side * 2 ** np.arange(glimpse["scales"]):
        top, left = (0, 0) if whole else (corner - (wide - side) // 2 for corner in (row, col))
        down = shares(top, height if whole else wide, height, glimpse)
        across = shares(left, width if whole else wide, width, glimpse)
        seen = np.tensordot(across, np.tensordot(down, image, 1), (1, 1)).T  # (C, G, G)
        squares.append(np.rint(seen) if whole else seen)
    return (np.concatenate(squares)[None] / glimpse["divided_by"]).astype(np.float32)


def is_enough(stop: dict, said: dict, taken: int, halted: float) -> bool:
    """Whether so many glimpses are enough, by what was said after the last."""
    (rule, threshold), chances = stop.values(), said["probabilities"][0]
    if rule in ("fixed", "halting"):
        return {"fixed": taken, "halting": halted}[rule] >= threshold
    if rule == "entropy":
        return -(chances * np.log(np.maximum(chances, 1e-30))).sum() < threshold
    return (1 - chances.max() if rule == "confidence" else said[rule.replace("-", "_")][0]) < threshold


def predict(session: onnxruntime.InferenceSession, facts: dict, image: np.ndarray) -> dict:
    """The class of an image, how likely all are, and where it was looked."""
    state, place = (np.array([facts[name]], np.float32) for name in ("initial_state", "first_place"))
    places, halted, over = [], 0.0, False
    while not over:
        places.append(place[0].tolist())
        inputs = {"state": state, "glimpse": look(image, place[0], facts["glimpse"]), "place": place}
        said = dict(zip(facts["outputs"], session.run(None, inputs), strict=True))
        state, place, halted = said["next_state"], said["next_place"], halted + said.get("halting", [0])[0]
        enough = is_enough(facts["stop"], said, len(places), halted)
        over = enough or len(places) == facts["glimpses"]
    chances = said["probabilities"][0]
    return {"label": facts["classes"][chances.argmax()], "probabilities": chances.tolist(), "places": places}


if __name__ == "__main__":
    step, *images = sys.argv[1:]
    with open(f"{step}.json", encoding="utf-8") as file:
        about = json.load(file)
    session = onnxruntime.InferenceSession(step)
    for name in images:
        print(json.dumps(predict(session, about, np.load(name))))
