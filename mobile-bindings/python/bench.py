"""The calls that a screen makes, on a phone's folder: a line each, its median in microseconds."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from onsite import Command, Kind, ListOf, Onsite

WARM, TURNS = 50, 300


async def measure(name: str, call: Callable[[], Awaitable[Any]]) -> None:
    took = []
    for n in range(WARM + TURNS):
        begin = time.perf_counter()
        await call()
        if n >= WARM:
            took.append(time.perf_counter() - begin)
    print(name, f"{statistics.median(took) * 1e6:.1f}")


async def main(folder: str) -> None:
    async with await Onsite.open(folder, app="bench 1.0") as phone:
        order = (await phone.engine.list(ListOf(kind=Kind.WORK_ORDER), None)).lines[0].summary.doc
        visit = (await phone.engine.list(ListOf(kind=Kind.VISIT), None)).lines[0].summary.doc
        assert len((await phone.today()).jobs) >= 40
        assert len((await phone.engine.search("张三", None)).lines) == 50
        await measure("today", phone.today)
        await measure("show", lambda: phone.show(order))
        await measure("search", lambda: phone.engine.search("张三", None))
        count = iter(range(WARM + TURNS))

        def edit() -> Awaitable[Any]:
            text = f"更换主泵密封圈, 试机两小时。第{next(count)}次检查。"
            return phone.execute(Command.EDIT_TEXT(doc=visit, field="resolution", text=text, seen=[]))

        await measure("edit", edit)


asyncio.run(main(sys.argv[1]))
