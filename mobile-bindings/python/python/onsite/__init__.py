"""On-site service records that work without a network and sync when there is one.

    async with await Onsite.open("records", app="my tool 1.0") as phone:
        await phone.enrol("https://onsite.example", code, "office script")
        await phone.sync()
        for job in (await phone.today()).jobs:
            print(job.customer_name, job.stage)

Times are aware ``datetime``, days ``datetime.date``, ids ``uuid.UUID``, money
integer fen. Every call may raise an ``OnsiteError``; its subclasses say what
an app does about it.
"""

from __future__ import annotations

import asyncio
import atexit
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from types import TracebackType
from typing import Any, Self

from . import _engine

# A thread that comes back from a listener to an interpreter that has ended would end the process badly.
atexit.register(_engine.end_threads)

__all__ = ["Onsite", "AnyCommand", "Doc", "Command", "OnsiteError", "EventKind", "Kind", "Language", "ListOf", "CancelToken", "NewPhoto"]

Doc = _engine.Doc
Command = _engine.Command
# Its subclasses (``OnsiteError.Refused`` …) are attached at run time, where no type checker sees them.
OnsiteError: Any = _engine.OnsiteError
EventKind = _engine.EventKind
Kind = _engine.Kind
Language = _engine.Language
ListOf = _engine.ListOf
CancelToken = _engine.CancelToken
NewPhoto = _engine.NewPhoto

AnyCommand = (
    Command.REPORT_REPAIR
    | Command.WITHDRAW_REQUEST
    | Command.OPEN_VISIT
    | Command.OPEN_UNPLANNED_VISIT
    | Command.RECORD_EVENT
    | Command.INSPECT
    | Command.ADD_NOTE
    | Command.LOG_CONTACT
    | Command.USE_ITEM
    | Command.REMOVE_PHOTO
    | Command.SET_OUTCOME
    | Command.ACCEPT
    | Command.RATE
    | Command.SIGN
    | Command.REFUSE_SIGNATURE
    | Command.TAKE_PAYMENT
    | Command.SPEND
    | Command.EDIT_TEXT
    | Command.CHOOSE_CLASH
    | Command.STATE
    | Command.SUGGEST
)
"""What :meth:`Onsite.execute` takes: any command of a technician's day."""

# Inside `Onsite`, `list` is its method.
_Docs = list[_engine.Doc]


class _Changes(_engine.ChangeListener):
    def __init__(self, heard: Callable[[_Docs], None]) -> None:
        self._heard = heard

    def changed(self, docs: _Docs) -> None:
        self._heard(docs)


class _Progress(_engine.ProgressListener):
    def __init__(self, heard: Callable[[_engine.SyncProgress], None]) -> None:
        self._heard = heard

    def progressed(self, progress: _engine.SyncProgress) -> None:
        self._heard(progress)


class Onsite:
    """One phone's records. Open them once in a process; use as an async context manager."""

    def __init__(self, engine: _engine.Onsite) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, folder: str, *, app: str, key: bytes | None = None, new_key: bytes | None = None) -> Self:
        """Opens the records in a folder, which is made where there is none.

        ``key`` is the database's key where it is encrypted; with ``new_key`` it is from then on.
        """
        options = _engine.OpenOptions(folder=folder, app=app, key=key, new_key=new_key)
        return cls(await _engine.Onsite.open(options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._engine.shut_down()

    async def close(self) -> None:
        """Ends background work and closes the file; every later call raises ``OnsiteError.ShutDown``."""
        await self._engine.shut_down()

    @property
    def engine(self) -> _engine.Onsite:
        """Every call there is, as generated."""
        return self._engine

    def new_id(self) -> uuid.UUID:
        """A fresh id for what a command creates."""
        return self._engine.new_id()

    async def enrol(self, server: str, code: str, device_name: str) -> _engine.Identity:
        """Enrols this device by the office's one-time code."""
        return await self._engine.enrol(server, code, device_name)

    async def execute(self, command: AnyCommand) -> _Docs:
        """Does a command: durable and queued when this returns."""
        return await self._engine.execute(command)  # type: ignore[arg-type]  # a Command at run time

    async def today(self, day: date | None = None) -> _engine.Today:
        """The day's work."""
        return await self._engine.today(day)

    async def show(self, doc: _engine.Doc) -> _engine.Detail:
        """Everything about one document."""
        return await self._engine.show(doc)

    async def list(self, kind: _engine.Kind, status: str | None = None) -> AsyncIterator[_engine.Line]:
        """Documents of a kind, newest due first, fetched page by page."""
        after: str | None = None
        while True:
            page = await self._engine.list(_engine.ListOf(kind=kind, status=status), after)
            for line in page.lines:
                yield line
            after = page.next
            if after is None:
                return

    async def search(self, words: str) -> AsyncIterator[_engine.Line]:
        """Full-text search, fetched page by page."""
        after: str | None = None
        while True:
            page = await self._engine.search(words, after)
            for line in page.lines:
                yield line
            after = page.next
            if after is None:
                return

    async def status(self) -> _engine.Status:
        """The badge: what waits, and whether the phone may be handed in."""
        return await self._engine.status()

    async def sync(
        self,
        *,
        cancel: _engine.CancelToken | None = None,
        progress: Callable[[_engine.SyncProgress], None] | None = None,
    ) -> _engine.SyncReport:
        """Syncs until nothing waits. ``progress`` is called on a thread of the engine's."""
        listener = None if progress is None else _Progress(progress)
        return await self._engine.sync(cancel, listener)

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[asyncio.Queue[_Docs]]:
        """A queue of the documents that change, while the context lasts."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[_Docs] = asyncio.Queue()
        subscription = self._engine.watch(_Changes(lambda docs: _put(loop, queue, docs)))
        try:
            yield queue
        finally:
            subscription.stop()


def _put(
    loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[_Docs], docs: _Docs
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, docs)
