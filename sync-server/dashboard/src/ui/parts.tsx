import { Tag, Tooltip } from "antd";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { usePeople } from "../api/queries";
import type { DocRef, Millis } from "../api/types";
import { ago, second, time } from "../format";
import { flagWord, word } from "../words";

const STAGE_COLOURS: Record<string, string> = {
  reported: "volcano",
  planning: "gold",
  awaiting_signoffs: "orange",
  dispatched: "geekblue",
  acknowledged: "geekblue",
  travelling: "blue",
  on_site: "cyan",
  awaiting_customer: "cyan",
  completed: "green",
  incomplete: "red",
  customer_told: "green",
};

/** Where a job stands. */
export function StageTag({ stage }: { stage: string }): ReactNode {
  return <Tag color={STAGE_COLOURS[stage] ?? "default"}>{word("stage", stage)}</Tag>;
}

/** What the office should see about a row. */
export function Flags({ flags, clashes = 0 }: { flags: string[]; clashes?: number }): ReactNode {
  if (flags.length === 0 && clashes === 0) return null;
  return (
    <span className="flags">
      {flags.map((flag) => (
        <Tag key={flag} color="warning">
          {flagWord(flag)}
        </Tag>
      ))}
      {clashes > 0 && <Tag color="error">{`≠ ${clashes}`}</Tag>}
    </span>
  );
}

/** People by name. */
export function Names({ ids }: { ids: (string | null)[] }): ReactNode {
  const people = usePeople();
  return ids.map((id) => people.name(id)).filter(Boolean).join("、");
}

/** A moment on the company's clock; to the second where pointed at. */
export function Time({ at, late = false, empty = "—" }: { at: Millis | null | undefined; late?: boolean; empty?: string }): ReactNode {
  if (at == null) return <span className="quiet">{empty}</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={second(at)} className={late ? "late nowrap" : "nowrap"}>
      {time(at)}
    </time>
  );
}

/** How long ago. */
export function Ago({ at, now, empty = "—" }: { at: Millis | null | undefined; now?: Millis; empty?: string }): ReactNode {
  if (at == null) return <span className="quiet">{empty}</span>;
  return (
    <Tooltip title={second(at)}>
      <time dateTime={new Date(at).toISOString()} className="nowrap">
        {ago(at, now)}
      </time>
    </Tooltip>
  );
}

/** Where a document is shown; nothing for kinds without a page of their own. */
export function pathOf(doc: DocRef): string | undefined {
  switch (doc.kind) {
    case "work_order":
      return `/work-orders/${doc.id}`;
    case "request":
      return `/requests/${doc.id}`;
    case "visit":
      return `/visits/${doc.id}`;
    case "customer":
      return `/customers/${doc.id}`;
    case "complaint":
      return `/complaints?open=${doc.id}`;
    case "suggestion":
      return `/suggestions?open=${doc.id}`;
    case "follow_up":
      return `/calls?open=${doc.id}`;
    default:
      return undefined;
  }
}

/** A document's number or name, leading to it. */
export function DocLink({ doc, children }: { doc: DocRef; children: ReactNode }): ReactNode {
  const path = pathOf(doc);
  return path === undefined ? children : <Link to={path}>{children}</Link>;
}

/** A page's head: its name, what narrows it, what can be done. */
export function Head({ title, children, actions }: { title: ReactNode; children?: ReactNode; actions?: ReactNode }): ReactNode {
  return (
    <header className="page-head">
      <h1>{title}</h1>
      <div className="grow">{children}</div>
      {actions}
    </header>
  );
}
