import { LeftOutlined, RightOutlined, WarningFilled } from "@ant-design/icons";
import {
  DndContext,
  DragOverlay,
  KeyboardSensor,
  PointerSensor,
  pointerWithin,
  rectIntersection,
  useDraggable,
  useDroppable,
  useSensor,
  useSensors,
  type CollisionDetection,
  type DragEndEvent,
  type KeyboardCoordinateGetter,
} from "@dnd-kit/core";
import { useQuery } from "@tanstack/react-query";
import { App, Button, Tooltip } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useCommand, type Command } from "../api/command";
import { calendar as calendarQuery } from "../api/jobs";
import { useHolds, usePeople } from "../api/queries";
import type { Calendar as Shown, Day, Slot } from "../api/types";
import { dayOf, dayStart, local } from "../format";
import { useAsk } from "../ui/ask";
import { useNow } from "../ui/now";
import { Head } from "../ui/parts";
import { Several } from "../ui/several";
import { Answered } from "../ui/state";
import { useUrl } from "../ui/url";
import { word } from "../words";
import { jobsOn, monday, moved, plusDays } from "./calendar/place";
import "./calendar.css";

/** People shown at once where nobody chose. */
const MOST = 60;

interface Place {
  staff: string | undefined;
  day: Day;
}
interface Held {
  slot: Slot;
  from: Place;
}

const placeId = ({ staff, day }: Place): string => `${staff ?? ""}|${day}`;

/** An arrow key goes to the next cell in its direction. */
const byCell: KeyboardCoordinateGetter = (event, { currentCoordinates, context }) => {
  const steps: Record<string, [number, number]> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  const step = steps[event.code];
  const rect = context.collisionRect;
  if (!step || !rect) return undefined;
  event.preventDefault();
  const here = { x: rect.left + Math.min(rect.width, 40) / 2, y: rect.top + rect.height / 2 };
  const cells = [...context.droppableRects.values()].map((cell) => ({ left: cell.left, top: cell.top, x: cell.left + cell.width / 2, y: cell.top + cell.height / 2, w: cell.width, h: cell.height }));
  const ahead = cells.filter((cell) => {
    const [dx, dy] = [cell.x - here.x, cell.y - here.y];
    return step[0] !== 0 ? dx * step[0] > cell.w / 2 && Math.abs(dy) < cell.h / 2 + 1 : dy * step[1] > cell.h / 2 && Math.abs(dx) < cell.w / 2 + 1;
  });
  const nearest = ahead.sort((a, b) => Math.hypot(a.x - here.x, a.y - here.y) - Math.hypot(b.x - here.x, b.y - here.y))[0];
  return nearest ? { x: nearest.left + 4, y: nearest.top + 4 } : currentCoordinates;
};

/** Where the pointer is; by keyboard, where the job lies. */
const where: CollisionDetection = (asked) => {
  const within = pointerWithin(asked);
  return within.length > 0 ? within : rectIntersection(asked);
};

function Chip({ slot, day, now }: { slot: Slot; day: Day; now: number }): ReactNode {
  const { t } = useTranslation();
  const begins = dayOf(slot.start) === day;
  const late = slot.planned && slot.actual.arrived === null && slot.deadline !== null && slot.deadline < now;
  return (
    <>
      <span className="chip-head">
        <b>{begins ? local(slot.start).format("HH:mm") : t("calendar.goes_on")}</b>
        {slot.conflicts.length > 0 && (
          <span className="chip-conflict">
            <WarningFilled /> {t("calendar.conflict")}
          </span>
        )}
        {late && <span className="late">{t("calendar.late")}</span>}
      </span>
      <span className="clip">{slot.title}</span>
      <span className="clip quiet">
        {slot.number} {word("stage", slot.stage)}
      </span>
    </>
  );
}

function Job({ slot, place, now, free }: { slot: Slot; place: Place; now: number; free: boolean }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { attributes, listeners, setNodeRef, isDragging } = useDraggable({
    id: `${slot.doc.id}|${placeId(place)}`,
    data: { slot, from: place } satisfies Held,
    disabled: !free,
  });
  const style = ["chip", slot.conflicts.length > 0 && "chip-clashing", !slot.planned && "chip-was", free && "chip-free", isDragging && "chip-held"];
  return (
    <Tooltip title={`${slot.number} ${slot.title} ${local(slot.start).format("MM-DD HH:mm")}–${local(slot.end).format("MM-DD HH:mm")} ${slot.address}`} mouseEnterDelay={0.6}>
      <div
        ref={setNodeRef}
        className={style.filter(Boolean).join(" ")}
        {...(free ? { ...attributes, ...listeners } : { role: "link", tabIndex: 0 })}
        aria-label={t("calendar.job", { number: slot.number, title: slot.title, at: local(slot.start).format("MM-DD HH:mm") })}
        onClick={() => void navigate(`/work-orders/${slot.doc.id}`)}
        onKeyUp={(event) => {
          // The space bar takes hold of a job; the enter key opens it.
          if (event.key === "Enter" && !isDragging) void navigate(`/work-orders/${slot.doc.id}`);
        }}
      >
        <Chip slot={slot} day={place.day} now={now} />
      </div>
    </Tooltip>
  );
}

function Cell({ place, jobs, now, today, movable }: { place: Place; jobs: Slot[]; now: number; today: boolean; movable: (slot: Slot) => boolean }): ReactNode {
  const { setNodeRef, isOver } = useDroppable({ id: placeId(place), data: place });
  return (
    <td ref={setNodeRef} className={[isOver && "cell-over", today && "cell-today"].filter(Boolean).join(" ")}>
      {jobs.map((slot) => (
        <Job key={slot.doc.id} slot={slot} place={place} now={now} free={movable(slot)} />
      ))}
    </td>
  );
}

function Week({ calendar, days, people, now }: { calendar: Shown; days: Day[]; people: { id: string; name: string }[]; now: number }): ReactNode {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const { give } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const [held, setHeld] = useState<Held>();
  const [manager, desk] = [useHolds("service_manager"), useHolds("service_manager", "clerk")];
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 6 } }),
    useSensor(KeyboardSensor, { coordinateGetter: byCell, keyboardCodes: { start: ["Space"], cancel: ["Escape"], end: ["Space"] } }),
  );
  const jobsOf = new Map(calendar.people.map(({ staff, jobs }) => [staff, jobs]));
  const movable = (slot: Slot): boolean => desk && slot.planned;
  const today = dayOf(now);
  const name = (staff: string | undefined): string => people.find((p) => p.id === staff)?.name ?? t("calendar.unassigned");

  const drop = async (event: DragEndEvent): Promise<void> => {
    setHeld(undefined);
    const { slot, from } = event.active.data.current as Held;
    const to = event.over?.data.current as Place | undefined;
    if (!to) return;
    const move = moved(calendar, slot, from, to);
    if (!move) return;
    if (move.technicians && !manager) {
      void message.warning(t("calendar.only_manager"));
      return;
    }
    const id = slot.doc.id;
    const commands: Command[] = [];
    if (move.technicians) {
      const said = move.takesOff ? await ask({ title: t("calendar.reassign", { number: slot.number, from: name(from.staff), to: name(to.staff) }), what: t("order.reassign_what") }) : "";
      if (said === undefined) return;
      commands.push({ do: "assign", id, technicians: move.technicians, reason: said });
    }
    if (move.planned_start !== undefined) commands.push({ do: "plan_dispatch", id, patch: { planned_start: move.planned_start } });
    await give(...commands);
  };

  const row = (staff: string | undefined, jobs: Slot[]): ReactNode => (
    <tr key={staff ?? ""} className={staff === undefined ? "row-unassigned" : ""}>
      <th scope="row">
        {name(staff)}
        <span className="quiet"> {jobs.length > 0 && jobs.length}</span>
      </th>
      {days.map((day) => (
        <Cell key={day} place={{ staff, day }} jobs={jobsOn(jobs, day)} now={now} today={day === today} movable={movable} />
      ))}
    </tr>
  );

  const told = (id: string | number, over?: string | number): { who: string; day: string } => {
    const [, staff = "", day = ""] = String(over === undefined ? id : `|${over}`).split("|");
    return { who: name(staff || undefined), day };
  };
  return (
    <DndContext
      sensors={sensors}
      collisionDetection={where}
      onDragStart={({ active }) => setHeld(active.data.current as Held)}
      onDragCancel={() => setHeld(undefined)}
      onDragEnd={(event) => void drop(event)}
      accessibility={{
        screenReaderInstructions: { draggable: t("calendar.how") },
        announcements: {
          onDragStart: () => t("calendar.taken"),
          onDragOver: ({ active, over }) => t("calendar.over", told(active.id, over?.id)),
          onDragEnd: ({ active, over }) => t("calendar.over", told(active.id, over?.id)),
          onDragCancel: () => t("calendar.left"),
        },
      }}
    >
      {question}
      <div className="calendar" tabIndex={0} role="region" aria-label={t("calendar.title")}>
        <table>
          <thead>
            <tr>
              <td />
              {days.map((day) => (
                <th key={day} scope="col" className={day === today ? "cell-today" : ""}>
                  {local(dayStart(day)).locale(i18n.language === "en" ? "en" : "zh-cn").format("ddd MM-DD")}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {row(undefined, calendar.unassigned)}
            {people.map(({ id }) => row(id, jobsOf.get(id) ?? []))}
          </tbody>
        </table>
      </div>
      <DragOverlay dropAnimation={null}>{held && <div className="chip chip-flying">{<Chip slot={held.slot} day={held.from.day} now={now} />}</div>}</DragOverlay>
    </DndContext>
  );
}

export default function CalendarPage(): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const everybody = usePeople();
  const [params, change] = useUrl();
  const first = monday(/^\d{4}-\d{2}-\d{2}$/.exec(params.get("week") ?? "")?.[0] ?? dayOf(now));
  const days = Array.from({ length: 7 }, (_, n) => plusDays(first, n));
  const chosen = params.get("people")?.split(",").filter(Boolean) ?? [];
  const query = useQuery(calendarQuery(dayStart(first), dayStart(plusDays(first, 7))));
  const busy = new Set(query.data?.people.filter((p) => p.jobs.length > 0).map((p) => p.staff));
  // Those with jobs first: of a large company not everybody is shown at once.
  const shown = chosen.length > 0 ? everybody.technicians.filter((p) => chosen.includes(p.id)) : [...everybody.technicians].sort((a, b) => Number(busy.has(b.id)) - Number(busy.has(a.id))).slice(0, MOST);
  const go = (week: Day): void => change({ week: week === monday(dayOf(now)) ? undefined : week });
  return (
    <>
      <Head title={t("calendar.title")}>
        <Button icon={<LeftOutlined />} aria-label={t("calendar.before")} onClick={() => go(plusDays(first, -7))} />
        <Button onClick={() => go(monday(dayOf(now)))}>{t("calendar.this_week")}</Button>
        <Button icon={<RightOutlined />} aria-label={t("calendar.after")} onClick={() => go(plusDays(first, 7))} />
        <b>
          {first} – {days[6]}
        </b>
        <Several
          allowClear
          style={{ minWidth: 200, maxWidth: 420 }}
          aria-label={t("board.person")}
          placeholder={t("board.everybody")}
          value={chosen}
          onChange={(ids) => change({ people: ids.join(",") || undefined })}
          options={everybody.technicians.map(({ id, name }) => ({ value: id, label: name }))}
        />
        <span className="quiet">{t("calendar.hint")}</span>
      </Head>
      <Answered query={query}>{(calendar) => <Week calendar={calendar} days={days} people={shown} now={now} />}</Answered>
    </>
  );
}
