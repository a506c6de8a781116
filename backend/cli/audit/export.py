"""`refi audit export`: an account's records as evidence packs, each whole and verified, to go on with after a stop."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import typer

from backend.cli.audit.access import Names, platform, signed_in, wallet_address
from backend.cli.audit.pages import Page, account_path, pages
from backend.cli.audit.shown import progress
from backend.cli.durable import write_durably
from backend.cli.site import Site
from backend.kernel.errors import Conflict, Invalid
from backend.transparency.engine.completeness import NAMING, PSEUDONYM, WALLET

INDEX = "index.json"
FORMAT = "refi-export/1"
FILES = "{:04d}.refi.json"


class Export:
    """A folder of packs and the index that lists the finished ones."""

    def __init__(self, folder: Path, account: str, wallet: str = "") -> None:
        self._folder = folder
        self._asked = (wallet or account).lower() if wallet or account.startswith("0x") else account
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.index = self._read(account)

    @property
    def after(self) -> int:
        """The seq of the last record that is exported."""
        return int(self.index["files"][-1]["last_seq"]) if self.index["files"] else 0

    def add(self, page: Page) -> None:
        """Write a verified page, then list it."""
        seqs, files = page.seqs, self.index["files"]
        if page.refused:
            raise Conflict(f"the records after seq {self.after} do not verify: {page.refused}")
        if seqs != list(range(self.after + 1, self.after + 1 + len(seqs))) or not seqs:
            raise Conflict(f"the records after seq {self.after} are not the next ones")
        self._require_account(page)
        name = FILES.format(len(files) + 1)
        write_durably(self._folder / name, page.content, 0o600)
        digest = sha256(page.content).hexdigest()
        files.append({"file": name, "sha256": digest, "first_seq": seqs[0], "last_seq": seqs[-1]})
        write_durably(self._folder / INDEX, json.dumps(self.index, indent=1).encode(), 0o600)

    def _require_account(self, page: Page) -> None:
        """Refuse a page of another account than the one asked for, and than the pages before."""
        records = [{name: one["value"] for name, one in entry["disclosed"].items()} for entry in page.pack["entries"]]
        naming = [record for record in records if str(record.get("event")) in NAMING and "subject" in record]
        named = {str(record["subject"]).lower() for record in naming}
        accounts = {str(record.get("account")) for record in records}
        due = self._asked if PSEUDONYM.fullmatch(self._asked) else self.index.get("pseudonym") or min(accounts)
        if accounts != {due} or (WALLET.fullmatch(self._asked) and not named <= {self._asked}):
            raise Conflict(f"the records after seq {self.after} are those of another account")
        self.index["pseudonym"] = due

    def _read(self, account: str) -> dict[str, Any]:
        path = self._folder / INDEX
        if not path.exists() and any(self._folder.glob("*.refi.json")):
            raise Conflict(f"{self._folder} holds packs that {INDEX} does not list: choose another folder")
        if not path.exists():
            # Before the first pack: a stop between a pack and its listing is gone on from.
            fresh: dict[str, Any] = {"format": FORMAT, "account": account, "files": []}
            write_durably(path, json.dumps(fresh, indent=1).encode(), 0o600)
            return fresh
        try:
            index: dict[str, Any] = json.loads(path.read_text())
            changed = [one["file"] for one in index["files"] if self._digest(one["file"]) != one["sha256"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"{path} is no index of an export") from error
        if index.get("account") != account:
            raise Invalid(f"{self._folder} holds the export of another account")
        if changed:
            raise Conflict(f"{changed[0]} is not the file that was exported: remove {path} to start again")
        return index

    def _digest(self, name: str) -> str:
        path = self._folder / Path(name).name
        return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def copy_records(
    kept: Export, site: Site, account: str, names: Names, tell: Callable[[int], None] = lambda _: None
) -> None:
    """Add every page after the last finished one."""
    for page in pages(site, account, names.trusted(), kept.after):
        kept.add(page)
        tell(kept.after)


def export(account: str, out: Path, api: str, wallet: Path, names: Names, *, as_json: bool) -> int:
    """Write an account's records as packs; a later call goes on after the last finished one."""
    account_path(account)
    kept = Export(out, account, wallet_address(wallet) if account == "me" else "")
    site, before = signed_in(platform(api), wallet), kept.after
    ended = False
    try:
        with progress() as bar:
            task = bar.add_task("records", total=None, completed=before)
            copy_records(kept, site, account, names, lambda seq: bar.update(task, completed=seq))
    except KeyboardInterrupt:
        ended = True
    facts = {"ok": not ended, "files": len(kept.index["files"]), "records": kept.after, "new": kept.after - before}
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"{facts['records']} records in {facts['files']} packs, {facts['new']} new, all verified: {out}")
    if ended:
        typer.echo("stopped: the same command goes on after the last finished pack", err=True)
    return 1 if ended else 0
