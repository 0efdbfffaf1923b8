"""A technician's day on the real engine, against a real server process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from office import Office

from onsite import CancelToken, Command, Doc, Kind, Language, ListOf, NewPhoto, Onsite, OnsiteError
from onsite._engine import CheckResult, Content, EventKind, Outcome, Satisfaction, Signed, Stage


@pytest.fixture
def office() -> Iterator[Office]:
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "server")
        yield office
        office.stop()


async def phone(office: Office, folder: Path, technician: str) -> Onsite:
    phone = await Onsite.open(str(folder), app="pytest 1.0")
    await phone.enrol(office.url, office.code(technician), "phone")
    return phone


def test_a_day_without_a_network(office: Office, tmp_path: Path) -> None:
    async def day() -> None:
        technician = office.technician()
        order = office.job(office.customer("西安纸托厂"), technician, "液压站油温偏高")
        async with await phone(office, tmp_path / "phone", technician) as p:
            seen: list[int] = []
            await p.sync(progress=lambda progress: seen.append(progress.documents))
            assert seen and seen[-1] > 0
            assert (await p.engine.ready_to_leave()).ready
            [job] = (await p.today()).jobs
            assert job.line.summary.title == "西安纸托厂"
            assert job.stage == Stage.PLANNING
            # From here on without a network.
            office.stop()
            async with p.changes() as changes:
                await p.execute(Command.OPEN_VISIT(work_order=uuid.UUID(order)))
                heard = await asyncio.wait_for(changes.get(), 10)
                assert Doc(kind=Kind.VISIT, id=job.visit) in heard
            arrived = Command.RECORD_EVENT(
                visit=job.visit, id=p.new_id(), event=EventKind.ARRIVED, at=None, position=None, corrects=None
            )
            await p.execute(arrived)
            await p.execute(
                Command.INSPECT(visit=job.visit, check="model", result=CheckResult.PASSED, note="与铭牌一致")
            )
            visit = Doc(kind=Kind.VISIT, id=job.visit)
            await p.execute(Command.EDIT_TEXT(doc=visit, field="resolution", text="更换密封圈", seen=[]))
            photo = NewPhoto(doc=visit, id=p.new_id(), media_type="image/png", caption="铭牌", check="model")
            await p.engine.add_photo(photo, b"\x89PNG\r\n\x1a\n" + bytes(2000))
            await p.execute(
                Command.SET_OUTCOME(visit=job.visit, outcome=Outcome.COMPLETED, incomplete_reason=None, remarks="")
            )
            await p.execute(Command.ACCEPT(visit=job.visit, accepted=True, remark=""))
            await p.execute(
                Command.RATE(visit=job.visit, satisfaction=Satisfaction.VERY_SATISFIED, reasons=[], comment="很快")
            )
            shown = await p.engine.to_sign(job.visit)
            await p.execute(
                Command.SIGN(
                    visit=job.visit,
                    name="吴厂长",
                    strokes="10,10 500,300;20,20 30,40",
                    heads=shown.heads,
                    content=shown.content,
                )
            )
            detail = await p.show(visit)
            assert detail.signature == Signed.VALID
            assert isinstance(detail.content, Content.VISIT)
            assert detail.content[0].resolution == "更换密封圈"
            assert abs((datetime.now(timezone.utc) - detail.content[0].events[0].mark.at.at).total_seconds()) < 60
            status = await p.status()
            assert not status.safe_to_hand_in and status.unsent_changes > 5 and status.blobs_waiting == 1
            with pytest.raises(OnsiteError.UnsentWork):
                await p.engine.sign_out()
            with pytest.raises(OnsiteError.Offline):
                await p.sync()
            assert "更换密封圈" in await p.engine.render_form(visit, Language.ZH_CN)
            assert [line.summary.title async for line in p.search("西安")] != []
            # The network is back.
            office.start()
            report = await p.sync()
            assert report.accepted > 5 and report.uploaded == 1
            assert (await p.status()).safe_to_hand_in
            there = office.ask(f"/api/documents/{job.visit}")["entity"]
            assert there["resolution"] == "更换密封圈"
            await p.engine.sign_out()

    asyncio.run(day())


def test_what_a_rule_refuses_says_which_field(office: Office, tmp_path: Path) -> None:
    async def run() -> None:
        technician = office.technician()
        order = office.job(office.customer("西安纸托厂"), technician, "异响")
        async with await phone(office, tmp_path / "phone", technician) as p:
            await p.sync()
            await p.execute(Command.OPEN_VISIT(work_order=uuid.UUID(order)))
            [job] = (await p.today()).jobs
            with pytest.raises(OnsiteError.Refused) as e:
                await p.execute(Command.ADD_NOTE(visit=job.visit, id=p.new_id(), text="  "))
            assert e.value.field == "text"
            with pytest.raises(OnsiteError.Invalid) as bad:
                await p.engine.execute_json('{"do": "fly"}')
            assert bad.value.field == "command"
            with pytest.raises(OnsiteError.Refused):
                await p.engine.execute_json(json.dumps({"do": "cancel_work_order", "id": order, "reason": "算了"}))

    asyncio.run(run())


def test_cancelled_and_closed(office: Office, tmp_path: Path) -> None:
    async def run() -> None:
        p = await phone(office, tmp_path / "phone", office.technician())
        token = CancelToken()
        token.cancel()
        with pytest.raises(OnsiteError.Cancelled):
            await p.sync(cancel=token)
        assert (await p.sync()).received > 0, "what was cancelled can be done again"
        task = asyncio.create_task(p.sync())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await p.sync()
        background = p.engine.keep_synced()
        await p.close()
        background.stop()
        for call in (p.status(), p.today(), p.sync()):
            with pytest.raises(OnsiteError.ShutDown):
                await call
        # The file is free again.
        async with await Onsite.open(str(tmp_path / "phone"), app="pytest 1.0") as again:
            assert (await again.status()).enrolled

    asyncio.run(run())


def test_pages_and_threads(office: Office, tmp_path: Path) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    async def run() -> None:
        customer, technician = office.customer("西安纸托厂"), office.technician()
        orders = {office.job(customer, technician, f"第 {n} 单") for n in range(120)}
        async with await phone(office, tmp_path / "phone", technician) as p:
            await p.sync()
            first = await p.engine.list(ListOf(kind=Kind.WORK_ORDER), None)
            assert 0 < len(first.lines) < 120 and first.next is not None
            listed = [str(line.summary.doc.id) async for line in p.list(Kind.WORK_ORDER)]
            assert len(listed) == len(set(listed)) and set(listed) == orders
            with pytest.raises(OnsiteError.Invalid):
                await p.engine.list(ListOf(kind=Kind.WORK_ORDER), "no mark")
        before = threads()
        for n in range(20):
            async with await Onsite.open(str(tmp_path / f"other-{n}"), app="pytest 1.0") as other:
                async with other.changes():
                    await asyncio.gather(*(other.status() for _ in range(10)))
        assert threads() <= before + 8, "the engine's threads are a fixed few"

    asyncio.run(run())


def test_the_readmes_sample_runs(office: Office, tmp_path: Path) -> None:
    technician = office.technician()
    office.job(office.customer("西安纸托厂"), technician, "液压站油温偏高")
    # Where it is named: one that has the package from its wheel, and nothing else.
    python = os.environ.get("ONSITE_SAMPLE_PYTHON", sys.executable)
    sample = Path(__file__).resolve().parents[1] / "sample.py"
    args = [python, str(sample), office.url, office.code(technician)]
    env = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(args, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == "西安纸托厂 PLANNING"
    accepted, unsent, safe = last.split()
    assert int(accepted) >= 2 and (unsent, safe) == ("0", "True"), last


LISTENS_TO_ITS_END = """
import asyncio, sys, time
from onsite import Onsite

def slowly(_):
    print("heard", flush=True)
    time.sleep(0.7)

async def main(server, code):
    phone = await Onsite.open("listening", app="test 1.0")
    await phone.enrol(server, code, "script")
    syncing = asyncio.ensure_future(phone.sync(progress=slowly))
    await asyncio.sleep(0.3)
    print("leaves", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_script_ends_well_while_the_engine_still_tells_it_something(office: Office, tmp_path: Path) -> None:
    technician = office.technician()
    office.job(office.customer("西安纸托厂"), technician, "液压站油温偏高")
    args = [sys.executable, "-c", LISTENS_TO_ITS_END, office.url, office.code(technician)]
    done = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:1] == ["heard"] and "leaves" in done.stdout, done.stdout
