import asyncio
import sys

from onsite import Command, EventKind, Onsite


async def day(server: str, code: str) -> None:
    async with await Onsite.open("records", app="my tool 1.0") as phone:
        await phone.enrol(server, code, "office script")
        await phone.sync()
        async with phone.changes() as changes:                     # a queue of the documents that change
            for job in (await phone.today()).jobs:                 # works without a network from here on
                print(job.line.summary.title, job.stage.name)
                await phone.execute(Command.OPEN_VISIT(work_order=job.line.summary.doc.id))
                await phone.execute(Command.RECORD_EVENT(
                    visit=job.visit, id=phone.new_id(), event=EventKind.ARRIVED, at=None, position=None, corrects=None))
                print(await changes.get())                         # time to show the day again
        report = await phone.sync()
        badge = await phone.status()
        print(report.accepted, badge.unsent_changes, badge.safe_to_hand_in)

asyncio.run(day(*sys.argv[1:]))
