"""The main job on the parts that production uses: PostgreSQL, Redis, a Celery worker."""

import json
import subprocess
import sys
from pathlib import Path

from backend.settings import child_environment
from scripts.check_summary import SHAPE, broken_promises, faults
from tests.servers import postgres, postgres_url, redis_url

__all__ = ["postgres", "postgres_url", "redis_url"]

ROOT = Path(__file__).resolve().parents[2]
DAYS = 20


def test_the_main_job_runs_on_postgresql_and_celery(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    environment = child_environment(
        database_url=postgres_url,
        redis_url=redis_url,
        jobs="celery",
        state_dir=tmp_path / "state",
        deployments_dir=tmp_path / "deployments",
        proving_keys_dir=ROOT / ".refi" / "zk",
    )
    command = [sys.executable, "-m", "backend.cli", "demo", "--json", "--days", str(DAYS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "postgresql, worker Celery" in done.stderr
    summary = json.loads(done.stdout)
    assert faults(summary, SHAPE) == []
    # Fewer days than a whole run make fewer orders; every other promise holds.
    assert [promise for promise in broken_promises(summary) if "orders filled" not in promise] == []
    left = json.loads((tmp_path / "state" / "demo" / "summary.json").read_text())
    assert left == summary
    assert not (tmp_path / "state" / "demo" / "services.json").exists()
