import { describe, expect, it } from "vitest";
import type { Calendar, Slot } from "../../api/types";
import { dayStart } from "../../format";
import { crew, jobsOn, monday, moved, plusDays } from "./place";

const HOUR = 3_600_000;
const slot = (id: string, day: string, hour: number, hours: number, lead = true): Slot => ({
  doc: { kind: "work_order", id },
  number: id,
  title: "宏远纸塑",
  address: "",
  stage: "planning",
  start: dayStart(day) + hour * HOUR,
  end: dayStart(day) + (hour + hours) * HOUR,
  planned: true,
  deadline: null,
  lead,
  actual: { arrived: null, departed: null },
  conflicts: [],
});
const one = slot("one", "2026-11-24", 9, 4);
const calendar: Calendar = {
  people: [
    { staff: "li", jobs: [one] },
    { staff: "zhao", jobs: [slot("one", "2026-11-24", 9, 4, false)] },
  ],
  unassigned: [slot("free", "2026-11-25", 8, 2)],
};
const day = "2026-11-24";

describe("the calendar's days", () => {
  it("begin on Monday", () => {
    expect(["2026-11-23", "2026-11-26", "2026-11-29"].map(monday)).toEqual(["2026-11-23", "2026-11-23", "2026-11-23"]);
    expect(plusDays("2026-02-27", 3)).toBe("2026-03-02");
  });

  it("hold what touches them, by the company's midnight", () => {
    const night = slot("night", "2026-11-23", 22, 5);
    const whole = slot("whole", "2026-11-23", 0, 24);
    expect(jobsOn([night, whole, one], "2026-11-23").map((j) => j.number)).toEqual(["night", "whole"]);
    expect(jobsOn([night, whole, one], "2026-11-24").map((j) => j.number)).toEqual(["night", "one"]);
    expect(jobsOn([night, whole, one], "2026-11-25")).toEqual([]);
  });
});

describe("dropping a job", () => {
  it("on somebody else puts them in the same place: the lead stays the lead", () => {
    expect(crew(calendar, "one")).toEqual(["li", "zhao"]);
    expect(moved(calendar, one, { staff: "li", day }, { staff: "wang", day })).toEqual({ technicians: ["wang", "zhao"], takesOff: true });
    expect(moved(calendar, one, { staff: "zhao", day }, { staff: "wang", day })).toEqual({ technicians: ["li", "wang"], takesOff: true });
  });

  it("on a colleague of the same job takes the one off and names nobody twice", () => {
    expect(moved(calendar, one, { staff: "li", day }, { staff: "zhao", day })).toEqual({ technicians: ["zhao"], takesOff: true });
  });

  it("that nobody has assigns somebody, and nobody is taken off", () => {
    const free = calendar.unassigned[0] as Slot;
    expect(moved(calendar, free, { staff: undefined, day: "2026-11-25" }, { staff: "li", day: "2026-11-25" })).toEqual({ technicians: ["li"], takesOff: false });
  });

  it("on another day keeps its hour", () => {
    expect(moved(calendar, one, { staff: "li", day }, { staff: "li", day: "2026-11-27" })).toEqual({ planned_start: one.start + 72 * HOUR, takesOff: false });
  });

  it("where it lies changes nothing", () => {
    expect(moved(calendar, one, { staff: "li", day }, { staff: "li", day })).toBeUndefined();
  });
});
