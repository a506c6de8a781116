"""Train the shipped agent: `python -m scripts.train --out DIR --seed 7`.

Writes model.safetensors, model.json, model.ts, card.json and report.json, and prints the evaluation.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import cast

from agents.export import save_model
from agents.train import TrainConfig, TrainedModel, train
from backend.adapters.market_data.replay import ReplayMarketData
from backend.features.engine import bars_of

ROWS = ("return", "annualised_sharpe", "max_drawdown", "trades", "orders_a_day", "cost", "cost_share")


def write(trained: TrainedModel, folder: Path) -> str:
    """Write the model's files, its card and its report, and return the model's hash."""
    digest = save_model(trained.model, folder)
    for name, content in (("card", trained.card), ("report", trained.report)):
        text = json.dumps({**content, "model_sha256": digest}, indent=2, sort_keys=True)
        (folder / f"{name}.json").write_text(text + "\n")
    return digest


def table(report: Mapping[str, object]) -> str:
    """Lay the out-of-sample figures out, a policy a column."""
    results = cast("Mapping[str, Mapping[str, float]]", report["out_of_sample"])
    lines = [f"{'out of sample':<20}" + "".join(f"{name:>15}" for name in results)]
    lines += [f"{row:<20}" + "".join(f"{figures[row]:>15.4f}" for figures in results.values()) for row in ROWS]
    return "\n".join(lines)


def show_progress(step: int, steps: int) -> None:
    """Print every tenth of the progress to standard error."""
    if step * 10 // steps != (step - 100) * 10 // steps:
        sys.stderr.write(f"training {step}/{steps}\n")


def main(arguments: list[str] | None = None) -> None:
    """Train, write and print."""
    parser = argparse.ArgumentParser(description="Train the shipped agent on the shipped panel.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model's files")
    parser.add_argument("--seed", type=int, default=TrainConfig().seed)
    parser.add_argument("--first-test", type=date.fromisoformat, default=TrainConfig().first_test)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        parser.error(f"--out {options.out} cannot be made: {refused.strerror}")
    market = ReplayMarketData()
    days = market.days()
    started = perf_counter()
    config = TrainConfig(seed=options.seed, first_test=options.first_test)
    panel = market.history(days[-1], len(days))
    trained = train(bars_of(panel), days, market.universe(), config, show_progress)
    seconds = perf_counter() - started
    digest = write(trained, options.out)
    if options.json:
        print(json.dumps({"sha256": digest, "evaluation": trained.report["out_of_sample"], "seconds": seconds}))
        return
    print(f"trained on {trained.card['training_days']}, tested on {trained.card['test_days']}, {seconds:.1f} s")
    print(table(trained.report))
    print(f"model sha256 {digest}")


if __name__ == "__main__":
    main()
