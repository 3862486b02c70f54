"""A face detector from the web, as it is: its integer network finds the faces that its float network finds.

Its file ends in box decoding, where one int8 scale for coordinates and sizes is too coarse. So the network is compiled up to the raw
scores and box offsets, and the model's own tail, in float, decodes them: the cut is what a user would make.
"""

import numpy as np
import onnx
import onnx.utils
import onnxruntime as ort
import pytest

import edgec
from tests.conftest import enable
from tests.models import SHARED

MODEL, PHOTOS = SHARED / "models" / "face_rfb_320.onnx", SHARED / "data" / "faces"
RAW = ["scores", "460"]
"""What the cut gives: class scores, and box offsets before decoding."""

SURE, OVERLAP = 0.7, 0.7


def photos() -> np.ndarray:
    """float32 [N, 3, 240, 320], preprocessed as in the model's training: (RGB − 127) / 128."""
    image = pytest.importorskip("PIL.Image", reason=enable("Pillow is not installed", "pip install pillow"))
    if not MODEL.is_file() or not PHOTOS.is_dir():
        pytest.skip(enable("the shared models are absent", f"EDGEC_SHARED=<folder with models/{MODEL.name} and data/faces>"))
    files = sorted(PHOTOS.glob("*.jpg"), key=lambda p: int(p.stem))
    pictures = [np.asarray(image.open(p).convert("RGB").resize((320, 240), image.BILINEAR), np.float32) for p in files]
    return ((np.stack(pictures) - 127) / 128).transpose(0, 3, 1, 2)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes [N, 4] and [M, 4], corners: [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None, :] - both, 1e-12)


def found(float_scores, float_boxes, scores, boxes) -> tuple[int, int]:
    """(float boxes with a score over SURE that the other network finds, how many there are)."""
    hits = total = 0
    for s, b, t, c in zip(float_scores, float_boxes, scores, boxes, strict=True):
        wanted, offered = b[s[:, 1] > SURE], c[t[:, 1] > SURE]
        total += len(wanted)
        if len(wanted) and len(offered):
            hits += int((overlap(wanted, offered).max(axis=1) >= OVERLAP).sum())
    return hits, total


def run_float(path, feeds, outputs):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    count = len(next(iter(feeds.values())))
    rows = [session.run(outputs, {k: v[i : i + 1] for k, v in feeds.items()}) for i in range(count)]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def test_cut_before_the_decoding_finds_nine_of_ten(tmp_path):
    x = photos()
    calibration, held = x[::2], x[1::2]
    artifact = edgec.compile(MODEL, "host", calibration=calibration, outputs=RAW)
    left = artifact.manifest["left_to_caller"]["after"]
    assert left, "the report says which nodes are left to the caller"
    raw = artifact.run(held)
    whole = onnx.shape_inference.infer_shapes(onnx.load(MODEL))
    onnx.save(onnx.utils.Extractor(whole).extract_model(RAW[1:], ["boxes"]), tmp_path / "tail.onnx")
    (boxes,) = run_float(tmp_path / "tail.onnx", {"460": raw["460"]}, ["boxes"])
    want = run_float(MODEL, {"input": held}, ["scores", "boxes"])
    hits, total = found(*want, raw["scores"], boxes)
    print(f"{hits} of {total} boxes on {len(held)} photos that calibration has not seen")
    assert total > 50 and hits >= 0.9 * total


@pytest.mark.slow
def test_the_whole_file_compiles_and_boxes_in_int8_are_coarse():
    x = photos()
    artifact = edgec.compile(MODEL, "host", calibration=x)
    got = artifact.run(x)
    hits, total = found(*run_float(MODEL, {"input": x}, ["scores", "boxes"]), got["scores"], got["boxes"])
    print(f"{hits} of {total} boxes with the decoding in int8")
    assert 0.5 * total < hits < total
