import dayjs from "dayjs";
import utc from "dayjs/plugin/utc";
import i18n from "i18next";
import type { Day, Fen, Millis, Stamp } from "./api/types";

dayjs.extend(utc);

const MINUTE = 60_000;
export const DAY = 86_400_000;

/** The company's zone, minutes east of UTC: everybody sees the company's clock. */
let zone = 480;
export function setZone(minutes: number): void {
  zone = minutes;
}

/** A moment on the company's clock. */
export function local(at: Millis): dayjs.Dayjs {
  return dayjs(at).utcOffset(zone);
}

/** The company's clock, read as a moment: what a date picker shows back to milliseconds. */
export function moment(shown: dayjs.Dayjs): Millis {
  return shown.utcOffset(zone, true).valueOf();
}

/** The first moment of a day. */
export function dayStart(day: Day): Millis {
  return dayjs.utc(day).valueOf() - zone * MINUTE;
}

/** The company's day at a moment. */
export function dayOf(at: Millis): Day {
  return local(at).format("YYYY-MM-DD");
}

/** `¥1,234.50` from fen. */
export function money(fen: Fen): string {
  const abs = Math.abs(fen);
  const yuan = Math.floor(abs / 100).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  return `${fen < 0 ? "−" : ""}¥${yuan}.${(abs % 100).toString().padStart(2, "0")}`;
}

/** Day and minute; the year only where it is another. */
export function time(at: Millis, now: Millis = Date.now()): string {
  const shown = local(at);
  return shown.format(shown.year() === local(now).year() ? "MM-DD HH:mm" : "YYYY-MM-DD HH:mm");
}

/** Day and second, for logs. */
export function second(at: Millis): string {
  return local(at).format("YYYY-MM-DD HH:mm:ss");
}

export interface Told {
  best: Millis;
  /** Half the width of the interval the true time lies in; absent where the clock was never compared. */
  doubt: number | undefined;
}

/** Reads a stamp: `at`, `at±offset` or `at±offset~doubt`. */
export function stampOf(text: Stamp): Told {
  const [rest = "", doubt] = text.split("~");
  const found = /^(-?\d+)([+-]\d+)?$/.exec(rest);
  const best = Number(found?.[1] ?? 0) + Number(found?.[2] ?? 0);
  return { best, doubt: doubt === undefined ? undefined : Number(doubt) };
}

/** A moment as a phone saw it, with its doubt where that is half a minute or more. */
export function stamp(text: Stamp): string {
  const { best, doubt } = stampOf(text);
  if (doubt === undefined) return `${time(best)} (${i18n.t("time.unchecked")})`;
  return doubt >= MINUTE / 2 ? `${time(best)} ${i18n.t("time.doubt", { count: Math.ceil(doubt / MINUTE) })}` : time(best);
}

/** A length of time in its two largest units. */
export function span(ms: number): string {
  const minutes = Math.floor(Math.abs(ms) / MINUTE);
  if (minutes < 1) return i18n.t("time.seconds", { count: Math.round(Math.abs(ms) / 1000) });
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  const parts = [
    days > 0 ? i18n.t("time.days", { count: days }) : "",
    hours > 0 ? i18n.t("time.hours", { count: hours }) : "",
    days === 0 && rest > 0 ? i18n.t("time.minutes", { count: rest }) : "",
  ];
  return parts.filter(Boolean).join(" ");
}

/** How long ago, or in how long. */
export function ago(at: Millis, now: Millis = Date.now()): string {
  const away = now - at;
  if (Math.abs(away) < MINUTE) return i18n.t("time.now");
  return i18n.t(away > 0 ? "time.ago" : "time.in", { span: span(away) });
}

/** Bytes for people. */
export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  return n < 1024 ** 2 ? `${(n / 1024).toFixed(1)} KB` : `${(n / 1024 ** 2).toFixed(1)} MB`;
}

/** A moment as a date picker shows it: the company's clock, whatever the browser's zone. */
export function shown(at: Millis): dayjs.Dayjs {
  return dayjs(local(at).format("YYYY-MM-DDTHH:mm:ss"));
}
