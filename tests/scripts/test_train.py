"""Training from the command line: what is wrong with an option is said before the work begins."""

from pathlib import Path

import pytest

from scripts.train import main, table


def test_a_folder_that_cannot_be_made_is_named_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        main(["--out", str(tmp_path / "file" / "model")])
    assert end.value.code == 2
    assert "cannot be made: Not a directory" in capsys.readouterr().err


def test_the_table_has_a_column_for_every_policy() -> None:
    figures = dict.fromkeys(
        ("return", "annualised_sharpe", "max_drawdown", "trades", "orders_a_day", "cost", "cost_share"), -0.25
    )
    heading, *rows = table({"out_of_sample": {"agent": figures, "random": figures}}).splitlines()
    assert heading.split() == ["out", "of", "sample", "agent", "random"]
    assert [row.split() for row in rows] == [[name, "-0.2500", "-0.2500"] for name in figures]
