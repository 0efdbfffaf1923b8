"""The story that every language plays (``tests/fixtures/story.json``)."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any

from office import ROOT, Office

from onsite import Command, Doc, Language, ListOf, NewPhoto, Onsite, OnsiteError
from onsite._engine import CheckResult, EventKind, IncompleteReason, Kind, Outcome, PayMethod, Position, Satisfaction


def word(value: Any) -> str | None:
    return None if value is None else str(value.name).lower()


def snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def failure(e: Exception) -> dict[str, Any]:
    found = {"error": snake(type(e).__name__)}
    return found | {key: getattr(e, key) for key in ("code", "field") if hasattr(e, key)}


def differs(expected: Any, found: Any, at: str = "") -> str | None:
    """Where it is not as expected: how."""
    no = f"{at}: expected {expected}, found {found}"
    if isinstance(expected, dict):
        if "at_least" in expected:
            return None if found >= expected["at_least"] else no
        if "holds" in expected:
            return None if all(part in found for part in expected["holds"]) else no
        parts = [differs(e, found.get(key), f"{at}/{key}") for key, e in expected.items()]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        parts = [differs(e, f, f"{at}/{n}") for n, (e, f) in enumerate(zip(expected, found, strict=True))]
    else:
        return None if expected == found else no
    return next((part for part in parts if part), None)


def typed(c: dict[str, Any]) -> Any:
    """The typed command, where this player knows it."""
    ids: dict[str, Any] = {key: uuid.UUID(c[key]) for key in ("id", "visit", "item", "work_order") if key in c}
    match c["do"]:
        case "open_visit":
            return Command.OPEN_VISIT(work_order=ids["work_order"])
        case "record_event":
            position = None if c["position"] is None else Position(**c["position"])
            event = EventKind[c["event"].upper()]
            return Command.RECORD_EVENT(**ids, event=event, at=None, position=position, corrects=None)
        case "inspect":
            result = CheckResult[c["result"].upper()]
            return Command.INSPECT(**ids, check=c["check"], result=result, note=c["note"])
        case "use_item":
            rest = {key: c[key] for key in ("part_no", "name", "unit", "used", "taken_back")}
            return Command.USE_ITEM(**ids, **rest)
        case "add_note":
            return Command.ADD_NOTE(**ids, text=c["text"])
        case "edit_text":
            doc = Doc(kind=Kind[c["doc"]["kind"].upper()], id=uuid.UUID(c["doc"]["id"]))
            return Command.EDIT_TEXT(doc=doc, field=c["field"], text=c["text"], seen=c["seen"])
        case "set_outcome":
            why = None if c["incomplete_reason"] is None else IncompleteReason[c["incomplete_reason"].upper()]
            outcome = Outcome[c["outcome"].upper()]
            return Command.SET_OUTCOME(**ids, outcome=outcome, incomplete_reason=why, remarks=c["remarks"])
        case "accept":
            return Command.ACCEPT(**ids, accepted=c["accepted"], remark=c["remark"])
        case "rate":
            satisfaction = Satisfaction[c["satisfaction"].upper()]
            return Command.RATE(**ids, satisfaction=satisfaction, reasons=[], comment=c["comment"])
        case "take_payment":
            method = PayMethod[c["method"].upper()]
            return Command.TAKE_PAYMENT(**ids, amount=c["amount"], method=method, reference=c["reference"])
    return None


def shown(detail: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": detail.summary.title,
        "stage": word(detail.stage),
        "clashes": sorted(c.path for c in detail.clashes),
        "delivery": word(detail.delivery),
        "explained": sorted(e.key for e in detail.explanations),
        "numbered": detail.summary.number != "",
    }
    content = detail.content[0]
    if detail.content.is_VISIT():
        found |= {
            "resolution": content.resolution,
            "notes": sorted(n.text for n in content.notes),
            "outcome": word(content.outcome),
            "satisfaction": word(content.satisfaction),
            "accepted": content.acceptance and content.acceptance.accepted,
            "events": sorted(str(word(e.kind)) for e in content.events),
            "used": {i.name: i.used for i in content.items},
            "checks": {c.key: word(c.result) for c in content.checks},
            "photos": len(content.photos),
            "receipts": sum(r.amount for r in content.receipts),
            "signature": word(detail.signature),
        }
    elif detail.content.is_WORK_ORDER():
        found |= {
            "service_description": content.dispatch.service_description,
            "technicians": len(content.assignments),
            "items": {i.name: i.required for i in content.dispatch.items},
            "visits": len(detail.visits),
            "entitlement": detail.entitlement and word(detail.entitlement.entitlement),
        }
    elif detail.content.is_CUSTOMER():
        found |= {"name": content.name, "contacts": sorted(c.name for c in content.contacts)}
    return found


def refused(edit: Any) -> dict[str, Any]:
    said = {} if edit.decision is None else {"decision": edit.decision.verdict, "reason": edit.decision.reason}
    wrote = "".join(leaf.mine for leaf in edit.leaves)
    return {"code": edit.code, "kind": word(edit.doc.kind), "wrote": wrote, **said}


class Player:
    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.folder = office, folder
        self.phones: dict[str, Onsite] = {}
        self.names: dict[str, uuid.UUID] = {}

    def id(self, name: str) -> uuid.UUID:
        return self.names.setdefault(name, uuid.uuid4())

    def meant(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.meant(v) for key, v in value.items()}
        if isinstance(value, list):
            return [self.meant(v) for v in value]
        if value == "$now":
            return int(time.time() * 1000)
        return str(self.id(value)) if isinstance(value, str) and value.startswith("$") else value

    async def phone(self, name: str, step: dict[str, Any]) -> Any:
        if "opens" in step:
            self.phones[name] = await Onsite.open(str(self.folder / name), app="story 1.0")
            return None
        phone = self.phones[name]
        if "enrols" in step:
            await phone.enrol(self.office.url, self.office.code(str(self.id(step["enrols"]))), name)
        elif "syncs" in step:
            report = await phone.sync()
            assert differs(step["syncs"], vars(report)) is None, report
        elif "does" in step:
            command = self.meant(step["does"])
            known = typed(command)
            await (phone.engine.execute_json(json.dumps(command)) if known is None else phone.execute(known))
        elif "adds_photo_to" in step:
            doc = Doc(kind=Kind.VISIT, id=self.id(step["adds_photo_to"]))
            photo = NewPhoto(doc=doc, id=phone.new_id(), media_type="image/png", caption="铭牌", check=None)
            await phone.engine.add_photo(photo, (b"\x89PNG\r\n\x1a\n" + bytes(step["bytes"]))[: step["bytes"]])
        elif "chooses" in step:
            doc = Doc(kind=Kind.VISIT, id=self.id(step["of"]))
            clash = next(c for c in (await phone.show(doc)).clashes if c.path == step["chooses"])
            choice = next(v.change for v in clash.values if json.loads(v.value) == step["value"])
            await phone.execute(Command.CHOOSE_CLASH(doc=doc, path=clash.path, choice=choice))
        elif "signs" in step:
            visit = self.id(step["signs"])
            form = await phone.engine.to_sign(visit)
            signed = {"name": step["name"], "strokes": step["strokes"], "heads": form.heads, "content": form.content}
            await phone.execute(Command.SIGN(visit=visit, **signed))
        elif "resends" in step:
            for edit in await phone.engine.refused():
                await phone.engine.resend(edit.id)
        elif "decided" in step:
            edit = (await phone.engine.refused())[step["edit"]]
            self.office.ask(f"/api/set-aside/{edit.doc.id}/{edit.change}", self.meant(step["decided"]))
        elif "settles" in step:
            for edit in await phone.engine.refused():
                await phone.engine.dismiss(edit.id)
        elif "signs_out" in step:
            await phone.engine.sign_out()
        elif "closes" in step:
            await phone.close()
        elif "visit" in step:
            detail = await phone.show(Doc(kind=Kind.WORK_ORDER, id=self.id(step["of"])))
            assert detail.current_visit is not None
            self.names[step["visit"]] = detail.current_visit
        else:
            return await self.sees(phone, step["sees"], step.get("of", ""))
        return None

    async def sees(self, phone: Onsite, what: str, of: str) -> Any:
        match what:
            case "status":
                s = await phone.status()
                waits = {"unsent": s.unsent_changes, "blobs": s.blobs_waiting, "safe": s.safe_to_hand_in}
                return vars(s) | waits
            case "ready":
                r = await phone.engine.ready_to_leave()
                return {"ready": r.ready, "missing": [m.key for m in r.missing]}
            case "today":
                t = await phone.today()
                jobs = [
                    {"customer": j.customer_name, "address": j.service_address, "stage": word(j.stage)} for j in t.jobs
                ]
                return {"jobs": jobs, "requests": len(t.requests)}
            case "search":
                return {"titles": [line.summary.title async for line in phone.search(of)]}
            case "list":
                page = await phone.engine.list(ListOf(kind=Kind[of.upper()]), None)
                return {"titles": sorted(line.summary.title for line in page.lines)}
            case "form":
                return {"text": await phone.engine.render_form(Doc(kind=Kind.VISIT, id=self.id(of)), Language.ZH_CN)}
            case "refused":
                return {"edits": [refused(e) for e in await phone.engine.refused()]}
        return shown(await phone.show(Doc(kind=Kind[what.upper()], id=self.id(of))))


def test_the_story_that_every_language_plays(tmp_path: Path) -> None:
    story = json.loads((ROOT / "tests" / "fixtures" / "story.json").read_text())
    office = Office(tmp_path / "server", story["company"])
    player = Player(office, tmp_path)

    async def play() -> None:
        for step in story["steps"]:
            if "chapter" in step:
                continue
            if "server" in step:
                (office.stop if step["server"] == "down" else office.start)()
            elif "office" in step:
                office.ask("/api/commands", player.meant(step["office"]))
            elif "office_sees" in step:
                found = office.ask(f"/api/documents/{player.id(step['office_sees'])}")
                assert differs(step["is"], found) is None, differs(step["is"], found)
            else:
                try:
                    found = await player.phone(step["phone"], step)
                except OnsiteError as e:
                    assert "fails" in step, f"{step}: {e}"
                    assert differs(step["fails"], failure(e)) is None, f"{step}: {e}"
                    continue
                assert "fails" not in step, f"{step}: it did not fail"
                if "is" in step:
                    assert differs(step["is"], found) is None, f"{step}: {differs(step['is'], found)}"

    try:
        asyncio.run(play())
    finally:
        office.stop()
