import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import { useCommand } from "../api/command";
import type { CustomerShown } from "../api/files";
import { customer as customerFile } from "../api/jobs";
import { useHolds, usePeople } from "../api/queries";
import type { Row } from "../api/types";
import { dayOf, money, stamp, stampOf } from "../format";
import { newId } from "../id";
import { Dialog, numberOf, textOf, wordOf } from "../ui/dialog";
import { DocLink, Flags, Head, Names, StageTag, Time } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { Answered, Nothing } from "../ui/state";
import { useNow } from "../ui/now";
import { useUrl } from "../ui/url";
import { word } from "../words";
import { Addresses, Contacts } from "./customer/contacts";
import { Contracts } from "./customer/contracts";
import { Machines } from "./customer/machines";
import { Notes } from "./customer/notes";
import "./work-order.css";
import "./visit.css";
import "./customer.css";

/** Everything that was ever had with the customer, newest first. */
function History({ file }: { file: CustomerShown }): ReactNode {
  const { t } = useTranslation();
  const [params, change] = useUrl();
  const kinds = ["jobs", "requests", "calls", "complaints"] as const;
  const shown = kinds.find((kind) => kind === params.get("show")) ?? "jobs";
  const rows: Row[] = file[shown];
  return (
    <Sheet
      title={t("customer.history")}
      actions={
        <Segmented
          size="small"
          value={shown}
          onChange={(kind) => change({ show: kind === "jobs" ? undefined : kind })}
          options={kinds.map((kind) => ({ value: kind, label: t(`customer.${kind}`, { count: file[kind].length }) }))}
        />
      }
    >
      {rows.length === 0 ? (
        <Nothing>{t("customer.no_history")}</Nothing>
      ) : (
        <Table<Row>
          size="small"
          pagination={rows.length > 20 ? { pageSize: 20, size: "small", showSizeChanger: false } : false}
          rowKey={(row) => row.doc.id}
          dataSource={rows}
          columns={[
            {
              title: t(shown === "jobs" || shown === "requests" ? "col.number" : "customer.when"),
              width: 150,
              render: (_, row) => <DocLink doc={row.doc}>{row.summary.number || <Time at={row.summary.due ?? row.changed} />}</DocLink>,
            },
            { title: t("col.what"), ellipsis: true, render: (_, row) => row.summary.subtitle || <span className="quiet">{row.summary.title}</span> },
            {
              title: t("customer.state"),
              width: 130,
              render: (_, row) =>
                shown === "calls" ? word("call_outcome", row.summary.status) : shown === "complaints" ? t(`complaint.${row.summary.status}` as "complaint.open") : <StageTag stage={row.summary.status} />,
            },
            { title: t("col.people"), width: 110, ellipsis: true, render: (_, row) => <Names ids={row.summary.people} /> },
            { title: t("list.flags"), width: 150, render: (_, row) => <Flags flags={row.summary.flags} clashes={row.clashes} /> },
          ]}
        />
      )}
    </Sheet>
  );
}

/** What the customer was charged, what came in, what is owed. */
function Balance({ id, file }: { id: string; file: CustomerShown }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const may = useHolds("clerk", "finance");
  const { give, busy } = useCommand(t("order.saved"));
  const [booking, setBooking] = useState(false);
  const charges = Object.entries(file.entity.charges).sort(([, a], [, b]) => stampOf(b.mark.at).best - stampOf(a.mark.at).best);
  return (
    <Sheet
      title={t("customer.balance")}
      actions={
        may && (
          <Button size="small" onClick={() => setBooking(true)}>
            {t("customer.charge")}
          </Button>
        )
      }
    >
      {booking && (
        <Dialog
          title={t("customer.charge")}
          busy={busy}
          close={() => setBooking(false)}
          fields={[
            { name: "amount", label: word("field", "amount"), kind: "money", required: true, help: t("customer.charge_help") },
            { name: "what", label: t("order.book_what"), required: true },
          ]}
          save={(values) => give({ do: "charge", customer: id, id: newId(), amount: numberOf(values.amount), what: textOf(values.what) })}
        />
      )}
      <dl className="sums">
        <dt>{word("field", "charges")}</dt>
        <dd>{money(file.charged)}</dd>
        <dt>{t("order.collected")}</dt>
        <dd>{money(file.collected)}</dd>
        <dt>{t(file.owed < 0 ? "customer.credit" : "customer.owed")}</dt>
        <dd className={file.owed > 0 ? "strong late" : "strong"}>{money(Math.abs(file.owed))}</dd>
      </dl>
      <ul className="plain">
        {charges.slice(0, 10).map(([key, charge]) => (
          <li key={key} className="quiet">
            {money(charge.amount)} {charge.what} · {people.name(charge.mark.by)} {stamp(charge.mark.at)}
          </li>
        ))}
      </ul>
    </Sheet>
  );
}

/** When the customer is to be called next, by plan or by hand. */
function NextCall({ id, file }: { id: string; file: CustomerShown }): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const clerk = useHolds("clerk");
  const { give, busy } = useCommand(t("order.saved"));
  const [planning, setPlanning] = useState(false);
  return (
    <>
      {planning && (
        <Dialog
          title={t("call.plan")}
          what={<p className="quiet">{t("call.plan_what")}</p>}
          busy={busy}
          close={() => setPlanning(false)}
          beginning={{ due: file.entity.next_call }}
          fields={[{ name: "due", label: word("field", "next_call"), kind: "day" }]}
          save={(values) => give({ do: "plan_call", customer: id, due: wordOf(values.due) })}
        />
      )}
      <dt>{word("field", "next_call")}</dt>
      <dd>
        {file.next_call === null ? <span className="quiet">{t("call.none_planned")}</span> : <span className={file.call_overdue ? "late" : ""}>{file.next_call}</span>}{" "}
        {file.entity.next_call !== null && <Tag>{t("call.by_hand")}</Tag>}
        {clerk && <Link to={`/calls?call=${id}`}>{t("call.record")}</Link>}{" "}
        {desk && (
          <Button type="link" size="small" onClick={() => setPlanning(true)}>
            {t("call.plan")}
          </Button>
        )}
      </dd>
    </>
  );
}

function Particulars({ id, file }: { id: string; file: CustomerShown }): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState(false);
  const { entity } = file;
  return (
    <Sheet
      title={t("customer.particulars")}
      actions={
        desk && (
          <Button size="small" onClick={() => setEditing(true)}>
            {t("list.edit")}
          </Button>
        )
      }
    >
      {editing && (
        <Dialog
          title={t("customer.particulars")}
          busy={busy}
          close={() => setEditing(false)}
          beginning={{ name: entity.name, code: entity.code, project_completed: entity.project_completed, call_interval_days: entity.call_interval_days }}
          fields={[
            { name: "name", label: word("field", "customer_name"), required: true },
            { name: "code", label: word("field", "code") },
            { name: "project_completed", label: word("field", "project_completed"), kind: "day" },
            { name: "call_interval_days", label: word("field", "call_interval_days"), kind: "number", min: 1, max: 3650, help: t("customer.interval_help") },
          ]}
          save={(values) =>
            give({
              do: "put_customer",
              id,
              name: textOf(values.name),
              code: textOf(values.code),
              project_completed: wordOf(values.project_completed),
              call_interval_days: typeof values.call_interval_days === "number" ? values.call_interval_days : null,
            })
          }
        />
      )}
      <dl className="facts">
        <dt>{word("field", "code")}</dt>
        <dd>{entity.code || "—"}</dd>
        <dt>{word("field", "project_completed")}</dt>
        <dd>{entity.project_completed ?? "—"}</dd>
        <NextCall id={id} file={file} />
      </dl>
      <Notes file={file} />
    </Sheet>
  );
}

function Shown({ id, file }: { id: string; file: CustomerShown }): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const navigate = useNavigate();
  const today = dayOf(useNow());
  return (
    <>
      <Head
        title={file.entity.name}
        actions={
          desk && (
            <span className="inline">
              <Button type="primary" onClick={() => void navigate(`/requests/new?customer=${id}`)}>
                {t("nav.request")}
              </Button>
              <Button onClick={() => void navigate(`/complaints?new=${id}`)}>{t("complaint.new")}</Button>
            </span>
          )
        }
      >
        {file.entity.code && <Tag>{file.entity.code}</Tag>}
        {file.owed > 0 && <Tag color="error">{t("customer.owes", { amount: money(file.owed) })}</Tag>}
        {file.call_overdue && <Tag color="warning">{t("call.overdue")}</Tag>}
        <Flags flags={file.row.summary.flags} clashes={file.row.clashes} />
      </Head>
      <div className="order">
        <div>
          <Machines id={id} file={file} today={today} />
          <Contracts id={id} file={file} today={today} />
          <History file={file} />
        </div>
        <div>
          <Particulars id={id} file={file} />
          <Contacts id={id} file={file} />
          <Addresses id={id} file={file} />
          <Balance id={id} file={file} />
        </div>
      </div>
    </>
  );
}

export default function CustomerPage(): ReactNode {
  const { id = "" } = useParams();
  const query = useQuery(customerFile(id));
  return <Answered query={query}>{(file) => <Shown id={id} file={file} />}</Answered>;
}
