"""The promoted model, as long as it was trained on the very features that the views here give."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from live.signals import Score

if TYPE_CHECKING:
    from ml.registry import PromotedModel

log = logging.getLogger(__name__)

HORIZON_MINUTES = 30


@dataclass
class Scorer:
    """Scores entries with the promoted model; takes up a newly promoted one by itself."""

    data_dir: Path
    features: list[str]
    """The model inputs that the views give."""
    definition_hash: str
    refusal: str | None = None
    """Why signals go without the promoted model's score; None where they don't, or without one."""
    _model: PromotedModel | None = field(default=None, repr=False)
    _stamp: tuple[int, int] | None = None

    @property
    def run_id(self) -> str | None:
        """The run of the model in use."""
        return self._model.run_id if self._model else None

    def refresh(self) -> None:
        """Load the promoted model where it has changed; refuse it where it does not fit."""
        path = self.data_dir / f"model_lgbm_{HORIZON_MINUTES}m.bin"
        try:
            status = path.stat()
        except OSError:
            self._model = self._stamp = self.refusal = None
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._model, self.refusal = self._load()
        if self._model:
            log.info("model %s in use, thr %.4g", self._model.run_id, self._model.thr)

    def _load(self) -> tuple[PromotedModel | None, str | None]:
        from ml.registry import ModelFileError, load_promoted  # noqa: PLC0415 LightGBM takes a second

        try:
            model = load_promoted(self.data_dir, horizon_minutes=HORIZON_MINUTES)
        except ModelFileError as error:
            return None, f"refused, signals go without a score: {error}"
        misfit = None if model is None else self._misfit(model)
        if misfit is None:
            return model, None
        return None, f"refused, signals go without a score: {misfit}"

    def _misfit(self, model: PromotedModel) -> str | None:
        if set(model.features) != set(self.features):
            differing = ", ".join(sorted(set(model.features) ^ set(self.features)))
            return (
                f"model {model.run_id} was trained on other features than the views give "
                f"(differing: {differing}): run make train"
            )
        if model.definition_hash != self.definition_hash:
            return (
                f"model {model.run_id} was trained on other definitions of its features "
                f"({model.definition_hash} against {self.definition_hash}): run make train"
            )
        return None

    def score(self, rows: pa.Table) -> list[Score]:
        """Return the score of each row of marts.states_1m; empty scores while no model is used."""
        if self._model is None:
            return [Score()] * rows.num_rows
        chances = self._model.predict(rows.select(self._model.features).to_pandas())
        return [Score(float(chance), self._model.thr, self._model.run_id) for chance in chances]
