import type { ReactNode } from "react";
import { usePeople, type People } from "../api/queries";
import type { Diff } from "../api/types";
import { money, time } from "../format";
import i18n from "i18next";
import { say, word } from "../words";
import "./value.css";

const MONEY = new Set(["amount", "cash_advance", "balance_to_collect", "price", "penalty"]);
const TIMES = new Set(["arrival_deadline", "planned_start"]);
/** Leaves whose values are words of a set of another name. */
const SETS: Record<string, string> = { result: "check_result", kind: "contract_kind", about: "complaint_about", dissatisfaction_reasons: "dissatisfaction" };

/** A leaf's value in words. */
export function told(path: string, value: unknown, people: People): string {
  const leaf = path.split("/").at(-1) ?? path;
  if (value === null || value === undefined || value === "") return word("value", "empty");
  if (typeof value === "boolean") return word("value", value ? "yes" : "no");
  if (typeof value === "number") {
    if (MONEY.has(leaf)) return money(value);
    if (TIMES.has(leaf)) return time(value);
    return leaf === "expected_stay_minutes" ? i18n.t("order.hours", { count: Math.round(value / 6) / 10 }) : String(value);
  }
  if (Array.isArray(value)) return value.map((one) => told(path, one, people)).join(i18n.t("list.comma")) || word("value", "empty");
  if (typeof value === "string") return people.name(value) || word(SETS[leaf] ?? leaf, value);
  const parts = Object.entries(value).filter(([key, part]) => key !== "id" && part !== "" && part !== null);
  return parts.map(([key, part]) => told(key, part, people)).join(" ");
}

/** What was changed, leaf by leaf: as it was, and as it is. */
export function Differences({ diffs }: { diffs: Diff[] }): ReactNode {
  const people = usePeople();
  return (
    <table className="diffs">
      <tbody>
        {diffs.map((diff) => (
          <tr key={diff.path}>
            <th scope="row">{say(diff.label)}</th>
            <td>
              <del>{told(diff.path, diff.before, people)}</del>
            </td>
            <td>
              <ins>{told(diff.path, diff.after, people)}</ins>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
