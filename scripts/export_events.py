"""Write docs/events.md from the table of events."""

from pathlib import Path

from backend.pipeline.events import page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "events.md"

if __name__ == "__main__":
    PAGE.write_text(page())
