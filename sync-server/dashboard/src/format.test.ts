import dayjs from "dayjs";
import { afterEach, describe, expect, it } from "vitest";
import { ago, bytes, dayOf, dayStart, moment, money, setZone, span, stamp, stampOf, time } from "./format";

const NOON = Date.UTC(2026, 10, 24, 4, 0);
afterEach(() => setZone(480));

describe("money", () => {
  it("is fen, shown as yuan to the fen", () => {
    expect(money(0)).toBe("¥0.00");
    expect(money(5)).toBe("¥0.05");
    expect(money(123_456_789)).toBe("¥1,234,567.89");
    expect(money(-120_050)).toBe("−¥1,200.50");
  });
});

describe("times", () => {
  it("are of the company's clock, whatever the browser's zone", () => {
    expect(time(NOON, NOON)).toBe("11-24 12:00");
    expect(time(NOON, NOON + 400 * 86_400_000)).toBe("2026-11-24 12:00");
    setZone(-300);
    expect(time(NOON, NOON)).toBe("11-23 23:00");
    expect(dayOf(NOON)).toBe("2026-11-23");
    expect(dayStart("2026-11-23")).toBe(Date.UTC(2026, 10, 23, 5, 0));
  });

  it("that a picker shows come back as the company's moment", () => {
    expect(moment(dayjs("2026-11-24T12:00:00"))).toBe(NOON);
  });

  it("of phones say how sure they are", () => {
    expect(stampOf("1763942400000-1500~40")).toEqual({ best: 1763942398500, doubt: 40 });
    expect(stampOf("1763942400000+7")).toEqual({ best: 1763942400007, doubt: undefined });
    expect(stampOf("-5+2~1")).toEqual({ best: -3, doubt: 1 });
    expect(stamp(`${NOON}+0~0`)).toMatch(/11-24 12:00$/);
    expect(stamp(`${NOON}+0~90000`)).toMatch(/11-24 12:00 ± 2 分$/);
    expect(stamp(`${NOON}`)).toMatch(/\(时钟未校对\)$/);
  });

  it("have lengths", () => {
    expect(span(45_000)).toBe("45 秒");
    expect(span(90 * 60_000)).toBe("1 小时 30 分");
    expect(span(26 * 3_600_000)).toBe("1 天 2 小时");
    expect(ago(NOON - 3_600_000, NOON)).toBe("1 小时前");
    expect(ago(NOON + 3_600_000, NOON)).toBe("1 小时后");
    expect(ago(NOON - 1000, NOON)).toBe("刚刚");
  });
});

it("bytes are for people", () => {
  expect([12, 2048, 5 * 1024 ** 2].map(bytes)).toEqual(["12 B", "2.0 KB", "5.0 MB"]);
});
