"""A technician's day on the real engine, against a real server process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from onsite import CancelToken, Command, Doc, Kind, Language, ListOf, NewPhoto, Onsite, OnsiteError
from onsite._engine import CheckResult, Content, EventKind, Outcome, Satisfaction, Signed, Stage

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("ONSITE_BIN", str(ROOT / "target" / "debug" / "onsite"))
PASSWORD = "a long passphrase"


class Office:
    """A server on a folder of its own with one company, and somebody signed in at its office."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "ONSITE_DATA": str(folder),
            "ONSITE_LISTEN": f"127.0.0.1:{self.port}",
            "ONSITE_AUTH__INSECURE_COOKIES": "true",
        }
        self.log = (folder.parent / "server.log").open("wb")
        self.run("company", "add", "浆模设备公司")
        roles = [a for r in ("admin", "service_manager", "clerk") for a in ("--role", r)]
        user = ["user", "add", "--company", "浆模设备公司", "--login", "boss", "--name", "赵经理", *roles]
        self.run(*user, "--password-stdin", stdin=PASSWORD)
        self.run("user", "add", "--company", "浆模设备公司", "--name", "李工", "--role", "technician")
        self.start()
        request = urllib.request.Request(
            f"{self.url}/api/session",
            json.dumps({"login": "boss", "password": PASSWORD}).encode(),
            {"content-type": "application/json", "origin": self.url},
        )
        with urllib.request.urlopen(request) as answer:
            self.cookie = answer.headers["set-cookie"].split(";")[0]

    def run(self, *args: str, stdin: str = "") -> str:
        done = subprocess.run([PROGRAM, *args], env=self.env, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        self.server = subprocess.Popen([PROGRAM, "serve"], env=self.env, stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{self.url}/readyz"):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not start")

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"cookie": self.cookie, "content-type": "application/json", "origin": self.url}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers)) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def do(self, what: str, **fields: Any) -> Any:
        return self.ask("/api/commands", {"do": what, **fields})

    def technician(self) -> str:
        rows = self.ask("/api/documents?kind=staff&limit=100")["rows"]
        return str(next(r["doc"]["id"] for r in rows if r["summary"]["title"] == "李工"))

    def customer(self, name: str) -> str:
        customer = str(uuid.uuid4())
        self.do("put_customer", id=customer, name=name, code="", project_completed=None, call_interval_days=None)
        return customer

    def job(self, customer: str, technician: str, text: str) -> str:
        order = str(uuid.uuid4())
        self.do(
            "open_work_order",
            id=order,
            customer=customer,
            equipment=None,
            work_type="repair",
            request=None,
            follow_on_of=None,
            service_description=text,
            # Due now, so that it is among today's at any hour.
            arrival_deadline=int(time.time() * 1000),
        )
        self.do("assign", id=order, technicians=[technician], reason="")
        return order

    def code(self, technician: str) -> str:
        return str(self.ask("/api/device-codes", {"staff": technician})["code"])


@pytest.fixture
def office() -> Iterator[Office]:
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "server")
        yield office
        office.stop()


async def phone(office: Office, folder: Path) -> Onsite:
    phone = await Onsite.open(str(folder), app="pytest 1.0")
    await phone.enrol(office.url, office.code(office.technician()), "phone")
    return phone


def test_a_day_without_a_network(office: Office, tmp_path: Path) -> None:
    async def day() -> None:
        order = office.job(office.customer("西安纸托厂"), office.technician(), "液压站油温偏高")
        async with await phone(office, tmp_path / "phone") as p:
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
        order = office.job(office.customer("西安纸托厂"), office.technician(), "异响")
        async with await phone(office, tmp_path / "phone") as p:
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
        p = await phone(office, tmp_path / "phone")
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
        async with await phone(office, tmp_path / "phone") as p:
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
