import type { Figure } from "../../api/files";
import { money, span } from "../../format";

/** A figure's value as a number that a chart draws: percent, hours, or how many of each. */
export function plotted({ numerator, denominator, unit }: Figure): number | null {
  if (denominator === 0) return null;
  const value = numerator / denominator;
  if (unit === "milliseconds") return Math.round((value / 3_600_000) * 100) / 100;
  if (unit === "rate") return Math.round(value * 1000) / 1000;
  return Math.round(value * 1000) / 10;
}

/** A figure's value for people; a dash where there is nothing to divide by. */
export function valueOf(figure: Figure): string {
  if (figure.denominator === 0) return "—";
  const value = figure.numerator / figure.denominator;
  if (figure.unit === "milliseconds") return `${value < 0 ? "−" : ""}${span(value)}`;
  if (figure.unit === "rate") return value.toFixed(2);
  return `${(value * 100).toFixed(1)}%`;
}

/** What was counted or summed. */
export function numeratorOf({ numerator, unit }: Figure): string {
  if (unit === "milliseconds") return `${numerator < 0 ? "−" : ""}${span(numerator)}`;
  return unit === "fen" ? money(numerator) : String(numerator);
}

/** Out of how many, or how much. */
export function denominatorOf({ denominator, unit }: Figure): string {
  return unit === "fen" ? money(denominator) : String(denominator);
}
