import type { Calendar, Day, Slot } from "../../api/types";
import { DAY, dayStart } from "../../format";

/** The Monday of the week a day lies in. */
export function monday(day: Day): Day {
  const at = new Date(`${day}T00:00:00Z`);
  return plusDays(day, -((at.getUTCDay() + 6) % 7));
}

/** So many days later. */
export function plusDays(day: Day, days: number): Day {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);
}

/** The jobs of a person that touch a day, by their beginning. */
export function jobsOn(jobs: Slot[], day: Day): Slot[] {
  const [from, to] = [dayStart(day), dayStart(plusDays(day, 1))];
  return jobs.filter((job) => job.start < to && (job.end > from || job.start >= from));
}

/** Everybody assigned to a job, the lead first, as the calendar tells. */
export function crew(calendar: Calendar, order: string): string[] {
  const found = calendar.people.flatMap(({ staff, jobs }) => jobs.filter((job) => job.doc.id === order).map((job) => ({ staff, lead: job.lead })));
  return found.sort((a, b) => Number(b.lead) - Number(a.lead)).map(({ staff }) => staff);
}

export interface Move {
  /** Everybody who is to be sent, the lead first; nothing where that stays. */
  technicians?: string[];
  /** When it is to begin; nothing where that stays. */
  planned_start?: number;
  /** Whether somebody is taken off. */
  takesOff: boolean;
}

/** What dropping a person's job on somebody's day would change; nothing where it changes nothing. */
export function moved(calendar: Calendar, slot: Slot, from: { staff: string | undefined; day: Day }, to: { staff: string | undefined; day: Day }): Move | undefined {
  const now = crew(calendar, slot.doc.id);
  const move: Move = { takesOff: false };
  if (to.staff !== from.staff) {
    const others = now.filter((staff) => staff !== from.staff && staff !== to.staff);
    const place = from.staff === undefined ? now.length : now.indexOf(from.staff);
    move.technicians = to.staff === undefined ? others : [...others.slice(0, place), to.staff, ...others.slice(place)];
    move.takesOff = from.staff !== undefined;
  }
  if (to.day !== from.day) move.planned_start = slot.start + (dayStart(to.day) - dayStart(from.day));
  return move.technicians === undefined && move.planned_start === undefined ? undefined : move;
}
