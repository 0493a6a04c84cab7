"""What reports have read before, so that the next one reads only what is new: a small database of one's own.

It lies under `$XDG_CACHE_HOME/livepair` (`~/.cache/livepair`), mode 0600, one for each deployment. It holds
rows: no key, no value of a pair, no face, no secret. A row counts as long as LIST shows its record with the
same ETag, so a record that is marked delivered is read anew. One that is gone is forgotten: by the next
report, and by `forget` at once. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from handler.cli.deployment import Deployment, Problem
from handler.cli.report.row import Row, dump_row, load_row

FORMAT = 1
"""Another one empties the cache: to be counted up when a row changes."""

MANY = 500  # ids in one question


def cache_path(deployment: Deployment) -> Path:
    """Where the cache of a deployment lies."""
    settings = deployment.settings
    named = (settings.local_cloud or "", deployment.region, deployment.state.name, settings.state_prefix)
    digest = hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "livepair" / f"report-{digest}.sqlite"


class Cache:
    """Rows by their verifications' ids. Without a path they are kept for this run only.

    Raises Problem where the file cannot be used, and says what to do.
    """

    def __init__(self, path: Path | None) -> None:
        self._database = _opened(path) if path else _connected("")
        self._database.execute("create temp table shown (id text primary key)")

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def show(self, ids: Iterable[str]) -> None:
        """Note that LIST shows the records of these ids."""
        with self._database:
            self._database.executemany("insert or ignore into shown values (?)", [(id_,) for id_ in ids])

    def known(self, etags: Mapping[str, str]) -> dict[str, Row]:
        """The rows of those ids whose ETag is still the same."""
        found: dict[str, Row] = {}
        for id_, etag, text in self._stored(list(etags)):
            if etags[id_] == etag:
                with suppress(ValueError, TypeError, KeyError):
                    found[id_] = load_row(text)
        return found

    def _stored(self, ids: list[str]) -> Iterable[tuple[str, str, str]]:
        for start in range(0, len(ids), MANY):
            some = ids[start : start + MANY]
            marks = ",".join("?" * len(some))
            yield from self._database.execute(
                f"select id, etag, row from rows where id in ({marks})",  # noqa: S608 # question marks only
                some,
            )

    def keep(self, rows: Iterable[tuple[str, str, Row]]) -> None:
        """Keep rows, each with its verification's id and its record's ETag."""
        with self._database:
            self._database.executemany(
                "insert or replace into rows values (?, ?, ?)",
                [(id_, etag, dump_row(row)) for id_, etag, row in rows],
            )

    def forget(self, ids: Iterable[str]) -> None:
        """Forget the rows of these ids."""
        with self._database:
            self._database.executemany("delete from rows where id = ?", [(id_,) for id_ in ids])

    def forget_what_was_not_shown(self) -> None:
        """Forget all that LIST was not said to show since this was opened: their records are gone."""
        with self._database:
            self._database.execute("delete from rows where id not in (select id from shown)")

    def __len__(self) -> int:
        (count,) = self._database.execute("select count(*) from rows").fetchone()
        return int(count)


def forget_erased(deployment: Deployment, keys: Iterable[str]) -> None:
    """Forget the rows of erased records, by the keys of all that was erased; done where there is a cache."""
    path = cache_path(deployment)
    if not path.is_file():
        return
    ids = [key.rpartition("/")[2].removesuffix(".json") for key in keys if key.endswith(".json")]
    with Cache(path) as cache:
        cache.forget(ids)


def _opened(path: Path) -> sqlite3.Connection:
    """The database at `path`, made where there is none; one that cannot be read is made anew."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_symlink() or not _is_ours(path):
            path.unlink()
            _is_ours(path)
        try:
            return _connected(str(path))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            path.unlink()
            _is_ours(path)
            return _connected(str(path))
    except (OSError, sqlite3.OperationalError) as error:
        raise Problem(
            f"the cache {path} cannot be used ({error}); another report may be at work: wait, delete it, or "
            "give --no-cache"
        ) from None


def _is_ours(path: Path) -> bool:
    """Whether nobody else may read or write the file; makes it where there is none."""
    opened = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        found = os.fstat(opened)
    finally:
        os.close(opened)
    return found.st_uid == os.getuid() and not found.st_mode & 0o077


def _connected(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5)
    try:
        # No old row stays behind, neither in the file nor in a journal beside it.
        database.execute("pragma secure_delete = on")
        database.execute("pragma journal_mode = memory")
        (found,) = database.execute("pragma user_version").fetchone()
        if found != FORMAT:
            database.execute("drop table if exists rows")
        database.execute(f"pragma user_version = {FORMAT:d}")
        database.execute("create table if not exists rows (id text primary key, etag text, row text)")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database
