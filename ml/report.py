"""What training prints: progress while it runs, then the evidence for each model as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ml.dataset import Dataset
from ml.registry import PromotedModel, model_name

METRICS = (
    ("AUC in fold", "fold_auc"), ("AUC", "auc"), ("PR-AUC", "pr_auc"),
    ("log loss", "log_loss"), ("Brier", "brier"), ("ECE", "ece"),
    ("prec@5", "precision_at_5"), ("lift@5", "lift_at_5"),
    ("prec@10", "precision_at_10"), ("lift@10", "lift_at_10"),
)  # fmt: skip


@contextmanager
def progress(
    console: Console, horizon_minutes: int, dataset: Dataset
) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for one horizon; what is yielded moves it: (fits done, fits in all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        rows, sessions = len(dataset.rows), len(dataset.sessions)
        task = bar.add_task(
            f"{horizon_minutes}-minute model: {rows:,} rows, {sessions} sessions", total=None
        )
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(
    console: Console,
    model: PromotedModel,
    metrics: dict[str, Any],
    is_promoted: bool,
    outcome: str,
    *,
    brief: bool = False,
) -> None:
    """Print the evidence for one model (a line of it with `brief`) and what became of it."""
    if brief:
        _show_line(console, model.horizon_minutes, metrics)
    else:
        _show_tables(console, model, metrics)
    is_good = is_promoted and "NOT" not in outcome
    file = model_name(model.horizon_minutes)
    deed = f"promoted to {file}, thr {model.thr:.3f}" if is_promoted else f"{file} left as it is"
    console.print(Panel(f"{outcome}\n{deed}", style="green" if is_good else "bold red"))


def _show_line(console: Console, horizon_minutes: int, metrics: dict[str, Any]) -> None:
    contenders = ", ".join(
        f"{name} {_with_interval(row['fold_auc'], row.get('fold_auc_95'))}"
        for name, row in metrics["contenders"].items()
    )
    console.print(f"{horizon_minutes} minutes, AUC on unseen sessions: {contenders}")


def _show_tables(console: Console, model: PromotedModel, metrics: dict[str, Any]) -> None:
    console.rule(f"{model.horizon_minutes}-minute model {model.run_id}")
    console.print(_folds_table(metrics["folds"]))
    if metrics["folds_left_out"]:
        console.print(f"Folds left out, a part having one outcome: {metrics['folds_left_out']}")
    console.print(_contenders_table(metrics["contenders"]))
    console.print(_calibration_table(metrics["calibration"]))
    console.print(f"Alerting at each fold's thr, on its unseen sessions ({_alerts(metrics)}):")
    console.print(metrics["alerts"]["classification_report_text"], highlight=False)
    top = ", ".join(f"{name} {share:.0%}" for name, share in list(metrics["gain"].items())[:6])
    console.print(f"Gain by feature: {top}")


def _folds_table(folds: list[dict[str, Any]]) -> Table:
    table = _table("LightGBM, fold by fold", ["tested on", *(_span(fold) for fold in folds)])
    table.add_row("trained to", *(f"{fold['train_sessions'][-1]}" for fold in folds))
    for header, name in (("rows, train", "train_rows"), ("rows", "rows"), ("rounds", "rounds")):
        table.add_row(header, *(f"{fold[name]:,.0f}" for fold in folds))
    for header, name in (("base rate", "base_rate"), ("thr", "thr"), *METRICS):
        table.add_row(header, *(_number(fold[name]) for fold in folds))
    return table


def _contenders_table(contenders: dict[str, dict[str, Any]]) -> Table:
    table = _table("All unseen sessions, 95 % intervals by session", ["", *contenders])
    for header, name in METRICS:
        cells = (_with_interval(row[name], row.get(f"{name}_95")) for row in contenders.values())
        table.add_row(header, *cells)
    table.caption = (
        "AUC in fold decides. prec@k: mean over sessions. lift: over same session, hour."
    )
    return table


def _calibration_table(bins: list[dict[str, float]]) -> Table:
    table = _table("Calibration of LightGBM", ["rows", "mean score", "hit rate"])
    for row in bins:
        table.add_row(f"{row['rows']:,.0f}", _number(row["mean_score"]), _number(row["hit_rate"]))
    return table


def _table(title: str, headers: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for header in headers:
        table.add_column(header, justify="right")
    return table


def _span(fold: dict[str, Any]) -> str:
    return f"{fold['test_sessions'][0]}\n{fold['test_sessions'][-1]}"


def _alerts(metrics: dict[str, Any]) -> str:
    alerts = metrics["alerts"]
    return (
        f"{alerts['alerts_per_session']:.1f} a session, {_number(alerts['precision'])} hit, "
        f"{_number(alerts['precision_net'])} after costs; "
        f"of all rows {_number(alerts['base_rate_net'])} after costs"
    )


def _with_interval(value: float, bounds: tuple[float, float] | None) -> str:
    if bounds is None or math.isnan(bounds[0]):
        return _number(value)
    return f"{_number(value)} [dim]{_number(bounds[0])}..{_number(bounds[1])}[/]"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
