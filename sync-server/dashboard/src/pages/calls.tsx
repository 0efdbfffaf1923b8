import { useQuery } from "@tanstack/react-query";
import { Button, Drawer, Segmented, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useCommand } from "../api/command";
import { callsDue, document, list, useListed } from "../api/files";
import { customer as customerFile } from "../api/jobs";
import { useHolds, usePeople } from "../api/queries";
import type { Row } from "../api/types";
import { ago, dayOf, stamp } from "../format";
import { newId } from "../id";
import { Export } from "../ui/export";
import { Dialog, oneOf, textOf } from "../ui/dialog";
import { Rows, RowTable } from "../ui/list";
import { useNow } from "../ui/now";
import { DocLink, Flags, Head, Names, Time } from "../ui/parts";
import { Search } from "../ui/search";
import { Answered } from "../ui/state";
import { TextEditor } from "../ui/text-editor";
import { useUrl } from "../ui/url";
import { word } from "../words";
import "./work-order.css";
import "./visit.css";

const OUTCOMES = ["normal", "problem", "unreachable"] as const;
const COLOURS: Record<string, string> = { normal: "green", problem: "error", unreachable: "default" };

/** Records a call while it is being made: whom to ring, what was said; a problem becomes a repair report. */
function Record({ customer, close }: { customer: string; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { give, busy } = useCommand(t("call.recorded"));
  const [[id, request]] = useState(() => [newId(), newId()] as const);
  const file = useQuery(customerFile(customer)).data;
  if (!file) return null;
  const contacts = Object.values(file.entity.contacts).filter((contact) => !contact.removed);
  const machines = file.equipment.map(({ id: key }) => ({ value: key, label: `${file.entity.equipment[key]?.name ?? ""} ${file.entity.equipment[key]?.model ?? ""} ${file.entity.equipment[key]?.serial ?? ""}` }));
  const first = contacts[0];
  return (
    <Dialog
      title={t("call.with", { name: file.entity.name })}
      what={
        <ul className="plain call-contacts">
          {contacts.map((contact) => (
            <li key={contact.name + contact.phone}>
              <b>{contact.name}</b> {contact.position} <a href={`tel:${contact.phone}`}>{contact.phone}</a>
            </li>
          ))}
        </ul>
      }
      ok={t("call.record")}
      busy={busy}
      close={close}
      beginning={{ outcome: "normal" }}
      fields={[
        { name: "outcome", label: word("field", "follow_up.outcome"), kind: "select", required: true, options: OUTCOMES.map((outcome) => ({ value: outcome, label: word("call_outcome", outcome) })) },
        { name: "opinion", label: word("field", "opinion"), kind: "long" },
        { name: "problem", label: t("call.problem"), kind: "long", help: t("call.problem_help") },
        { name: "equipment", label: word("field", "equipment"), kind: "select", options: machines },
      ]}
      save={async (values) => {
        const problem = values.outcome === "problem" ? textOf(values.problem) : "";
        const done = await give(
          ...(problem
            ? [
                {
                  do: "report_repair" as const,
                  id: request,
                  customer,
                  customer_name: file.entity.name,
                  contact_name: first?.name ?? "",
                  contact_phone: first?.phone ?? "",
                  address: Object.values(file.entity.addresses).find((address) => !address.removed)?.text ?? "",
                  equipment: textOf(values.equipment) || null,
                  problem,
                  reported: null,
                },
              ]
            : []),
          { do: "record_call", id, customer, due: file.next_call, outcome: oneOf(OUTCOMES, values.outcome), opinion: textOf(values.opinion), request: problem ? request : null },
        );
        if (done && problem) await navigate(`/requests/${request}`);
        return done;
      }}
    />
  );
}

/** A call that was made: what was said, and what the office makes of it. */
function Made({ id, close }: { id: string; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const clerk = useHolds("clerk");
  const query = useQuery(document("follow_up", id));
  return (
    <Drawer open title={word("kind", "follow_up")} onClose={close} size={520}>
      <Answered query={query}>
        {({ entity, heads, doc, summary }) => (
          <>
            <dl className="facts">
              <dt>{word("field", "customer")}</dt>
              <dd>{entity.customer && <DocLink doc={{ kind: "customer", id: entity.customer }}>{summary.title}</DocLink>}</dd>
              <dt>{word("field", "due")}</dt>
              <dd>{entity.due ?? "—"}</dd>
              <dt>{word("field", "done")}</dt>
              <dd>{entity.done && `${people.name(entity.done.by)} ${stamp(entity.done.at)}`}</dd>
              <dt>{word("field", "follow_up.outcome")}</dt>
              <dd>{entity.outcome && <Tag color={COLOURS[entity.outcome]}>{word("call_outcome", entity.outcome)}</Tag>}</dd>
              {entity.request && (
                <>
                  <dt>{word("field", "request")}</dt>
                  <dd>
                    <DocLink doc={{ kind: "request", id: entity.request }}>{word("kind", "request")}</DocLink>
                  </dd>
                </>
              )}
            </dl>
            <TextEditor doc={doc} heads={heads} field="opinion" stands={entity.opinion} may={clerk} />
            {entity.opinion.trim() !== "" && <TextEditor doc={doc} heads={heads} field="analysis" stands={entity.analysis} may={clerk} hint={t("visit.analyse_hint")} />}
          </>
        )}
      </Answered>
    </Drawer>
  );
}

function Due({ record }: { record: (customer: string) => void }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const clerk = useHolds("clerk");
  const listed = useListed(callsDue());
  return (
    <Rows listed={listed} nothing={t("call.nothing_due")}>
      {(rows) => (
        <Table<Row>
          size="small"
          pagination={false}
          rowKey={(row) => row.doc.id}
          dataSource={rows}
          columns={[
            { title: word("field", "due"), width: 110, render: (_, row) => <span className="nowrap">{row.summary.due === null ? "—" : dayOf(row.summary.due)}</span> },
            {
              title: t("call.since"),
              width: 110,
              render: (_, row) => (row.summary.due !== null && dayOf(row.summary.due) < dayOf(now) ? <span className="late nowrap">{ago(row.summary.due, now)}</span> : <span className="quiet">{t("call.today")}</span>),
            },
            { title: word("field", "customer"), render: (_, row) => <DocLink doc={row.doc}>{row.summary.title}</DocLink> },
            { title: word("field", "address"), ellipsis: true, render: (_, row) => <span className="quiet">{row.summary.subtitle}</span> },
            ...(clerk
              ? [
                  {
                    title: "",
                    width: 110,
                    render: (_: unknown, row: Row) => (
                      <Button size="small" type="primary" ghost onClick={() => record(row.doc.id)}>
                        {t("call.record")}
                      </Button>
                    ),
                  },
                ]
              : []),
          ]}
        />
      )}
    </Rows>
  );
}

/** Which of the calls made are shown. */
function narrowed(params: URLSearchParams): { status?: (typeof OUTCOMES)[number]; search?: string; flagged?: true } {
  const outcome = OUTCOMES.find((one) => one === params.get("outcome"));
  const search = params.get("q");
  // The customers' words that nobody has looked into are what is to be done here.
  const flagged = outcome === undefined && !params.has("all");
  return { ...(outcome ? { status: outcome } : {}), ...(search ? { search } : {}), ...(flagged ? { flagged } : {}) };
}

function Done({ open }: { open: (id: string) => void }): ReactNode {
  const { t } = useTranslation();
  const [params, change] = useUrl();
  const asked = narrowed(params);
  const listed = useListed(list({ kind: "follow_up", latest: true, ...asked }));
  return (
    <>
      <div className="page-head">
        <Segmented
          size="small"
          value={asked.status ?? (asked.flagged ? "opinions" : "all")}
          onChange={(chosen) => change({ outcome: OUTCOMES.find((one) => one === chosen), all: chosen === "all" ? "1" : undefined })}
          options={[{ value: "opinions", label: word("flag", "opinion_open") }, ...OUTCOMES.map((one) => ({ value: one, label: word("call_outcome", one) })), { value: "all", label: t("list.all") }]}
        />
        <Search label={t("call.search")} />
      </div>
      <Rows listed={listed} nothing={t("call.none")}>
        {(rows) => (
          <RowTable
            rows={rows}
            open={(row) => open(row.doc.id)}
            columns={[
              {
                title: word("field", "done"),
                width: 155,
                render: (_, row) => (
                  <Button type="link" size="small" onClick={() => open(row.doc.id)}>
                    <Time at={row.summary.due} />
                  </Button>
                ),
              },
              { title: word("field", "customer"), width: 240, render: (_, row) => row.summary.title },
              { title: word("field", "follow_up.outcome"), width: 170, render: (_, row) => <Tag color={COLOURS[row.summary.status]}>{word("call_outcome", row.summary.status)}</Tag> },
              { title: word("field", "opinion"), ellipsis: true, render: (_, row) => row.summary.subtitle },
              { title: t("call.by"), width: 90, render: (_, row) => <Names ids={row.summary.people} /> },
              { title: t("list.flags"), width: 140, render: (_, row) => <Flags flags={row.summary.flags} clashes={row.clashes} /> },
            ]}
          />
        )}
      </Rows>
    </>
  );
}

export default function Calls(): ReactNode {
  const { t } = useTranslation();
  const [params, change] = useUrl();
  const done = params.has("done");
  const [calling, opened] = [params.get("call"), params.get("open")];
  return (
    <>
      {calling && <Record key={calling} customer={calling} close={() => change({ call: undefined })} />}
      {opened && <Made key={opened} id={opened} close={() => change({ open: undefined })} />}
      <Head title={t("call.title")}>
        <Segmented
          value={done ? "done" : "due"}
          onChange={(shown) => change({ done: shown === "done" ? "1" : undefined })}
          options={[
            { value: "due", label: t("call.due") },
            { value: "done", label: t("call.made") },
          ]}
        />
        <Export lists={["calls"]} asked={done ? narrowed(params) : {}} />
      </Head>
      {done ? <Done open={(id) => change({ open: id })} /> : <Due record={(id) => change({ call: id })} />}
    </>
  );
}
