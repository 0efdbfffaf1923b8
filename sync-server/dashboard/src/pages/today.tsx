import { CheckCircleOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Table } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { today, useMe } from "../api/queries";
import type { Role, Row, Stage, Task, Today as Waiting } from "../api/types";
import { ago, dayOf } from "../format";
import type page from "../locales/zh-CN.json";
import { Ago, DocLink, Flags, Head, Names, StageTag, Time } from "../ui/parts";
import { Answered } from "../ui/state";
import "./today.css";

type Label = keyof typeof page;
/** The stages in which something is left to do, in the flow's order. */
const FLOW: Stage[] = [
  "reported",
  "planning",
  "awaiting_signoffs",
  "dispatched",
  "acknowledged",
  "travelling",
  "on_site",
  "awaiting_customer",
  "incomplete",
  "completed",
  "customer_told",
];

type Part = "overdue_arrivals" | "contradictions" | "signoffs" | "requests" | "follow_ons" | "complaints" | "calls_due" | "returned_machines" | "opinions";

/** What waits, the most pressing first, and whose it is: theirs comes before the others'. */
const PARTS: { part: Part; mine: Role[]; all?: string; late?: boolean }[] = [
  { part: "overdue_arrivals", mine: ["service_manager", "clerk"], late: true },
  { part: "contradictions", mine: ["service_manager", "clerk"] },
  { part: "signoffs", mine: ["service_manager", "warehouse", "finance", "office_director"] },
  { part: "requests", mine: ["service_manager", "clerk"] },
  { part: "follow_ons", mine: ["service_manager", "clerk"] },
  { part: "complaints", mine: ["service_manager", "clerk"], all: "/complaints" },
  { part: "calls_due", mine: ["clerk"], all: "/calls" },
  { part: "returned_machines", mine: ["production"] },
  { part: "opinions", mine: ["clerk", "service_manager"] },
];

function Rows({ task, now, late }: { task: Task; now: number; late: boolean }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table<Row>
      size="small"
      pagination={false}
      showHeader={false}
      dataSource={task.rows}
      rowKey={(row) => row.doc.id}
      tableLayout="fixed"
      columns={[
        {
          title: t("col.number"),
          width: 146,
          ellipsis: true,
          render: (_, { doc, summary }) => <DocLink doc={doc}>{summary.number || summary.title}</DocLink>,
        },
        {
          title: t("col.what"),
          render: (_, { doc, summary, clashes }) => (
            <div className="today-what">
              <span className="clip">
                {summary.number && <b className="today-title">{summary.title}</b>} <span className="quiet">{summary.subtitle}</span>
              </span>
              {doc.kind === "work_order" && <Flags flags={summary.flags} clashes={clashes} />}
            </div>
          ),
        },
        { title: t("col.people"), width: 96, ellipsis: true, render: (_, { summary }) => <Names ids={summary.people} /> },
        {
          title: t("col.due"),
          width: 142,
          align: "right",
          render: (_, { doc, summary }) =>
            late ? (
              <span className="late">{summary.due !== null && <Ago at={summary.due} now={now} />}</span>
            ) : (
              <span className="nowrap">{summary.due !== null && (doc.kind === "customer" ? dayOf(summary.due) : <Time at={summary.due} />)}</span>
            ),
        },
      ]}
    />
  );
}

function Panel({ title, count, more, children }: { title: string; count: number; more?: ReactNode; children?: ReactNode }): ReactNode {
  return (
    <section className="panel" aria-label={title}>
      <h2>
        {title} <span className="panel-count">{count}</span>
        <span className="grow" />
        {more}
      </h2>
      {children}
    </section>
  );
}

function Stages({ stages }: { stages: Waiting["stages"] }): ReactNode {
  const { t } = useTranslation();
  const shown = FLOW.flatMap((stage) => (stages[stage] ? [[stage, stages[stage]] as const] : []));
  return (
    <nav className="stages" aria-label={t("today.stages")}>
      {shown.map(([stage, count]) => (
        <Link key={stage} to={`/board#${stage}`} className="stage">
          <StageTag stage={stage} /> <b>{count}</b>
        </Link>
      ))}
    </nav>
  );
}

function Waits({ data }: { data: Waiting }): ReactNode {
  const { t } = useTranslation();
  const me = useMe();
  const mine = (roles: Role[]): boolean => roles.some((role) => me?.roles.includes(role));
  const parts = [...PARTS].sort((a, b) => Number(mine(b.mine)) - Number(mine(a.mine)));
  const counted: { label: Label; count: number; to: string }[] = [
    { label: "today.proposals", count: data.proposals, to: "/proposals" },
    { label: "today.clashes", count: data.clashes, to: "/clashes" },
    { label: "today.refused", count: data.refused, to: "/refused" },
    { label: "today.unsent", count: data.phones.unsent, to: "/devices?show=unsent" },
    { label: "today.revoked_with_unsent", count: data.phones.revoked_with_unsent, to: "/devices?show=revoked" },
  ];
  const clear = [
    ...parts.filter(({ part }) => data[part].count === 0).map(({ part }) => t(`today.${part}`)),
    ...counted.filter(({ count }) => count === 0).map(({ label }) => t(label)),
    ...(data.phones.silent.length === 0 ? [t("today.silent")] : []),
  ];
  return (
    <>
      <Stages stages={data.stages} />
      <div className="today-counts">
        {counted
          .filter(({ count }) => count > 0)
          .map(({ label, count, to }) => (
            <Link key={label} to={to} className="today-count">
              <b>{count}</b> {t(label)}
            </Link>
          ))}
      </div>
      <div className="panels">
        {parts
          .filter(({ part }) => data[part].count > 0)
          .map(({ part, late, all }) => (
            <Panel
              key={part}
              title={t(`today.${part}`)}
              count={data[part].count}
              more={
                all && data[part].more ? (
                  <Link to={all}>{t("today.more", { count: data[part].count - data[part].rows.length })}</Link>
                ) : (
                  data[part].more && <span className="quiet">{t("today.more", { count: data[part].count - data[part].rows.length })}</span>
                )
              }
            >
              <Rows task={data[part]} now={data.now} late={late ?? false} />
            </Panel>
          ))}
        {data.phones.silent.length > 0 && (
          <Panel title={t("today.silent")} count={data.phones.silent.length}>
            <ul className="plain">
              {data.phones.silent.slice(0, 10).map((phone) => (
                <li key={phone.id}>
                  <Link to={`/devices/${phone.id}`}>{phone.code}</Link> {phone.name} <Names ids={[phone.staff]} />{" "}
                  <span className="quiet">{t("today.last_contact", { ago: ago(phone.contact ?? phone.enrolled, data.now) })}</span>
                </li>
              ))}
            </ul>
          </Panel>
        )}
      </div>
      {clear.length > 0 && (
        <p className="quiet today-clear">
          <CheckCircleOutlined /> {t("today.clear")} {clear.join(t("list.comma"))}
        </p>
      )}
    </>
  );
}

export default function TodayPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(today);
  return (
    <>
      <Head title={t("today.title")}>
        <span className="quiet">{query.data?.day}</span>
      </Head>
      <Answered query={query}>{(data) => <Waits data={data} />}</Answered>
    </>
  );
}
