import { useQuery } from "@tanstack/react-query";
import { Button, Select, Switch } from "antd";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { answer, api } from "../api/client";
import { board, usePeople, type BoardAsked } from "../api/queries";
import type { BoardColumn, Page, Row } from "../api/types";
import { Export } from "../ui/export";
import { Flags, Head, Names, pathOf, Time } from "../ui/parts";
import { Search } from "../ui/search";
import { Answered, Nothing } from "../ui/state";
import { useNow } from "../ui/now";
import { useUrl } from "../ui/url";
import { word } from "../words";
import "./board.css";

/** Stages in which somebody still has to come. */
const BEFORE = ["reported", "planning", "awaiting_signoffs", "dispatched", "acknowledged", "travelling"];

function Job({ row, stage, now }: { row: Row; stage: string; now: number }): ReactNode {
  const { t } = useTranslation();
  const { doc, summary } = row;
  const late = summary.due !== null && summary.due < now && BEFORE.includes(stage);
  return (
    <Link to={pathOf(doc) ?? "/"} className={late ? "job job-late" : "job"}>
      <span className="job-head">
        <span>{summary.number || "—"}</span>
        <Time at={summary.due} late={late} />
      </span>
      <b className="clip">{summary.title}</b>
      <span className="job-what">{summary.subtitle}</span>
      <span className={summary.people.length === 0 ? "late" : "quiet"}>
        {summary.people.length === 0 ? doc.kind === "work_order" && t("board.nobody") : <Names ids={summary.people} />}
      </span>
      <Flags flags={summary.flags} clashes={row.clashes} />
    </Link>
  );
}

function Column({ column, asked, now }: { column: BoardColumn; asked: BoardAsked; now: number }): ReactNode {
  const { t } = useTranslation();
  const [more, setMore] = useState<Page>();
  const [busy, setBusy] = useState(false);
  const label = word("stage", column.stage);
  const next = more ? more.next : column.next;
  const known = new Set(column.rows.map((row) => row.doc.id));
  const rows = [...column.rows, ...(more?.rows ?? []).filter((row) => !known.has(row.doc.id))];
  const goOn = async (): Promise<void> => {
    setBusy(true);
    try {
      const kind = column.stage === "reported" || column.stage === "withdrawn" ? "request" : "work_order";
      const page = await answer(api.GET("/api/documents", { params: { query: { ...asked, kind, status: column.stage, after: next ?? undefined, limit: 50 } } }));
      setMore({ rows: [...(more?.rows ?? []), ...page.rows], next: page.next });
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="column" id={column.stage} aria-label={t("board.column", { stage: label, count: column.count })}>
      <h2>
        {label} <span className="quiet">{column.count}</span>
      </h2>
      <div className="column-jobs">
        {rows.map((row) => (
          <Job key={row.doc.id} row={row} stage={column.stage} now={now} />
        ))}
        {next && (
          <Button size="small" block loading={busy} onClick={() => void goOn()}>
            {t("board.more", { count: Math.max(1, column.count - rows.length) })}
          </Button>
        )}
      </div>
    </section>
  );
}

export default function Board(): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const now = useNow();
  const [params, change] = useUrl();
  const [person, search, finished] = [params.get("person") ?? undefined, params.get("q") ?? undefined, params.has("finished")];
  const asked = { ...(person ? { person } : {}), ...(search ? { search } : {}) };
  const query = useQuery(board(asked));
  const found = query.isSuccess;
  useEffect(() => {
    if (found) document.getElementById(window.location.hash.slice(1))?.scrollIntoView({ inline: "start", block: "nearest" });
  }, [found]);
  return (
    <>
      <Head title={t("board.title")}>
        <Search label={t("board.search")} />
        <Select
          allowClear
          showSearch={{ optionFilterProp: "label" }}
          style={{ width: 150 }}
          aria-label={t("board.person")}
          placeholder={t("board.everybody")}
          value={person}
          onChange={(id?: string) => change({ person: id })}
          options={people.technicians.map(({ id, name }) => ({ value: id, label: name }))}
        />
        <label>
          <Switch size="small" checked={finished} onChange={(on) => change({ finished: on ? "1" : undefined })} /> {t("board.finished")}
        </label>
        <Export lists={["work-orders", "requests", "visits"]} asked={{ search, person, unfinished: !finished }} />
      </Head>
      <Answered query={query}>
        {(columns) => {
          const shown = columns.filter((c) => finished || !c.finished);
          if (shown.length === 0) return <Nothing>{t("board.empty")}</Nothing>;
          return (
            <div className="board" tabIndex={0} role="region" aria-label={t("board.title")}>
              {shown.map((column) => (
                <Column key={`${column.stage} ${person ?? ""} ${search ?? ""}`} column={column} asked={asked} now={now} />
              ))}
            </div>
          );
        }}
      </Answered>
    </>
  );
}
