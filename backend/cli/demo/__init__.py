"""The main job from end to end: every stage goes over HTTP, the chain or a process of its own, as users would."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backend.cli.demo.run import Plan, Run
from backend.cli.demo.stages import STAGES
from backend.cli.display import Stages, checks_table, table
from backend.cli.services import Services, exclusive
from backend.settings import Settings


class Demo:
    """One run; it cleans up after one that was killed and leaves no process behind unless asked to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stages = Stages()

    def run(self) -> dict[str, Any]:
        """Run every stage and return the summary object."""
        base = Settings()
        state_dir = (base.state_dir / "demo").absolute()
        started = time.monotonic()
        with exclusive(base.state_dir / "demo.run"):
            services = Services(state_dir)
            services.stop_all()
            shutil.rmtree(state_dir, ignore_errors=True)
            state_dir.mkdir(parents=True, mode=0o700)
            run = Run(self.plan, base, services, {"ok": False})
            with self._services(services):
                for name, stage in STAGES:
                    with self.stages.stage(name) as tell:
                        tell(stage(run, tell))
                summary = self._summary(run, time.monotonic() - started)
            self._show(run, summary)
            return summary

    @contextmanager
    def _services(self, services: Services) -> Iterator[None]:
        keep = False
        try:
            yield
            keep = self.plan.keep
        except KeyboardInterrupt:
            self.stages.console.print("interrupted: whatever was started is ended; run it again at any time")
            raise
        finally:
            if not keep:
                services.stop_all()

    def _summary(self, run: Run, seconds: float) -> dict[str, Any]:
        summary = run.summary
        summary["seconds"] = round(seconds, 1)
        summary["stages"] = [{"name": name, "seconds": spent} for name, spent in self.stages.done]
        summary["ok"] = all(check["result"] == "pass" for check in summary["verify"]["checks"])
        keys = ("ok", "seconds", "network", "login", "model", "data", "evaluation", "orders", "log", "anchor", "var",
                "evidence", "verify", "audit", "stages")  # fmt: skip
        ordered = {key: summary[key] for key in keys}
        (run.state_dir / "summary.json").write_text(json.dumps(ordered, indent=2))
        return ordered

    def _show(self, run: Run, summary: dict[str, Any]) -> None:
        console = self.stages.console
        orders, refused = summary["orders"], summary["orders"]["refused"]
        console.print(checks_table(summary["verify"]["checks"]))
        console.print(table("Result", [
            ("result", "ok" if summary["ok"] else "FAILED"),
            ("data", "{source}, {first} to {last} ({licence})".format(**summary["data"])),
            ("clock", f"the data's: {len(run.replayed)} days replayed, {run.replayed[0]} to {run.replayed[-1]}"),
            *((name.replace("_", " "), _performance(summary["evaluation"][name])) for name in summary["evaluation"]),
            ("decisions", str(orders["decisions"])),
            ("orders filled", str(orders["filled"])),
            ("orders refused", ", ".join(f"{count} {gate}" for gate, count in refused.items())),
            ("log", f"{summary['log']['size']} entries, root {summary['log']['root']}"),
            ("anchor", "size {size} in block {block_number}, {gas_used} gas, {tx_hash}".format(**summary["anchor"])),
            ("VaR", "{value} USD of {limit}".format(**summary["var"])),
            ("expected shortfall", "{es} USD of {es_limit}".format(**summary["var"])),
            ("proof of both", "{constraints} constraints, {prove_seconds} s, {gas_used} gas".format(**summary["var"])),
            ("evidence", str(summary["evidence"])),
            ("regulator", "{size} leaves and {anchors} anchors recomputed".format(**summary["audit"]["log"])
             + ", {records} records of the trader, none left out".format(**summary["audit"]["account"])),
            ("seconds", str(summary["seconds"])),
        ]))  # fmt: skip
        if not self.plan.keep:
            console.print("\nThe chain and the server are down again. Look next:")
            console.print(f"  {run.facts['verify_offline']}   what the pack shows without a chain", soft_wrap=True)
            console.print("  refi demo --keep   leaves them up, to ask the chain and the API yourself")
            return
        console.print("\nLeft running; end it with `refi down`:")
        for entry in run.services.running():
            console.print(f"  {entry.name:<6} {entry.url}")
        console.print(f"  API    {run.api_url}/api/v1/openapi.json")
        console.print(f"Look next:\n  {run.facts['verify_command']}", soft_wrap=True)


def _performance(result: dict[str, Any]) -> str:
    return (
        f"return {result['return']:+.2%}, Sharpe {result['annualised_sharpe']:+.2f}, "
        f"drawdown {result['max_drawdown']:.2%}, {result['trades']} trades (out of sample, after costs)"
    )
