"""Model files: write a run, promote its models, load the promoted one.

A model file is a zip archive of `metadata.json` and `model.txt` (LightGBM's text format): one
self-contained file, checked by CRC when read, that can't run code when loaded (unlike a pickle).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

FORMAT = "repump-model-1"
PACKAGES = ("lightgbm", "scikit-learn", "numpy", "pandas", "duckdb")


class ModelFileError(RuntimeError):
    """A model file is damaged or is no model file."""


class MissingFeatureError(ValueError):
    """The rows to score lack columns that the model was trained on."""


@dataclass(frozen=True)
class PromotedModel:
    """A model and all that is needed to use it. Compare `features` and `definition_hash` with the
    views that feed it before trusting a score."""

    features: list[str]
    definition_hash: str
    thr: float
    """Alert at scores at or above this."""
    run_id: str
    horizon_minutes: int
    booster: lgb.Booster = field(repr=False)

    def predict(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the probability of a hit for each row of `frame`; its nulls count as missing.

        Columns may come in any order, with others among them. Raises MissingFeatureError.
        """
        if missing := [name for name in self.features if name not in frame.columns]:
            raise MissingFeatureError(
                f"model {self.run_id} needs the columns {', '.join(missing)}: "
                "it was trained on other features, run make train"
            )
        if frame.empty:
            return np.empty(0)
        inputs = frame[self.features].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(self.booster.predict(inputs, num_threads=1), dtype=np.float64)


def model_name(horizon_minutes: int) -> str:
    """Return the file name of the model of one horizon."""
    return f"model_lgbm_{horizon_minutes}m.bin"


def new_run_id(models_dir: Path, trained_at: datetime) -> str:
    """Return a name for a run that sorts by time and is not taken yet."""
    first = f"{trained_at:%Y%m%dT%H%M%SZ}"
    later = (f"{first}-{number}" for number in count(2))
    return next(name for name in chain([first], later) if not (models_dir / name).exists())


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that make a model what it is."""
    return {name: version(name) for name in PACKAGES}


def pack_model(model: PromotedModel) -> bytes:
    """Return `model` as the content of a model file; the same model gives the same bytes."""
    metadata = {
        "format": FORMAT,
        "run_id": model.run_id,
        "horizon_minutes": model.horizon_minutes,
        "features": model.features,
        "definition_hash": model.definition_hash,
        "thr": model.thr,
        "packages": package_versions(),
    }
    content = {
        "metadata.json": json.dumps(metadata, indent=2),
        "model.txt": model.booster.model_to_string(),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def load_model(path: Path) -> PromotedModel:
    """Read the model file at `path`. Raises ModelFileError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
            text = archive.read("model.txt").decode()
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is {metadata['format']}, not {FORMAT}")
        model = PromotedModel(
            features=[str(name) for name in metadata["features"]],
            definition_hash=str(metadata["definition_hash"]),
            thr=float(metadata["thr"]),
            run_id=str(metadata["run_id"]),
            horizon_minutes=int(metadata["horizon_minutes"]),
            booster=lgb.Booster(model_str=text),
        )
        if model.booster.feature_name() != model.features:
            raise ValueError("its metadata and its trees disagree on the features")
    except Exception as error:  # a damaged archive fails in a dozen ways, all with one remedy
        raise ModelFileError(
            f"{path} is not a usable model file: delete it and run make train ({error})"
        ) from error
    return model


def load_promoted(data_dir: Path, horizon_minutes: int) -> PromotedModel | None:
    """Return the promoted model of one horizon, or None while there is none.

    Raises ModelFileError where the file is damaged or holds a model of another horizon.
    """
    path = data_dir / model_name(horizon_minutes)
    if not path.exists():
        return None
    model = load_model(path)
    if model.horizon_minutes != horizon_minutes:
        raise ModelFileError(
            f"{path} holds a model for {model.horizon_minutes} minutes: "
            "delete it and run make train"
        )
    return model


def save_run(models_dir: Path, run_id: str, files: Mapping[str, bytes]) -> Path:
    """Write `files` to a new folder `models_dir/run_id`, all of them or none; return the folder."""
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".writing-") as folder:
        staged = Path(folder) / run_id
        staged.mkdir()
        for name, content in files.items():
            (staged / name).write_bytes(content)
        return staged.rename(models_dir / run_id)


def promote(data_dir: Path, model_file: Path) -> None:
    """Make `model_file` the promoted one of its horizon; readers see the old file or the new."""
    replace_file(data_dir / model_file.name, model_file.read_bytes())


def replace_file(path: Path, content: bytes) -> None:
    """Write `path` atomically: it holds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def to_json(value: Any) -> bytes:
    """Return `value` as JSON text; NaN becomes null and dates ISO text."""
    return json.dumps(_plain(value), indent=2, default=_iso, allow_nan=False).encode() + b"\n"


def _iso(value: date) -> str:
    return value.isoformat()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
