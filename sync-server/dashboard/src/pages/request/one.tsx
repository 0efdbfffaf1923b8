import { useQuery } from "@tanstack/react-query";
import { Button, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";
import { useCommand } from "../../api/command";
import { customer as customerQuery, request as requestQuery } from "../../api/jobs";
import { useDocuments, useHolds, useMe, usePeople } from "../../api/queries";
import type { Document } from "../../api/types";
import { stamp, stampOf } from "../../format";
import { newId } from "../../id";
import { useAsk } from "../../ui/ask";
import { CustomerPicker } from "../../ui/customer-picker";
import { DocLink, Head, StageTag } from "../../ui/parts";
import { Answered } from "../../ui/state";
import { word } from "../../words";
import { EntitledTo, Glance, Machines, UnderWay } from "./machine";
import "../../ui/sheet.css";
import "./request.css";

function Shown({ found }: { found: Document<"request"> }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const me = useMe();
  const people = usePeople();
  const desk = useHolds("clerk", "service_manager");
  const clerk = useHolds("clerk");
  const { give, busy } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const { entity, doc, summary } = found;
  const [customer, setCustomer] = useState(entity.customer ?? undefined);
  const [equipment, setEquipment] = useState(entity.equipment ?? undefined);
  const [order] = useState(newId);
  const file = useQuery(customerQuery(customer)).data;
  const visits = useDocuments({ kind: "visit", parent: doc.id, limit: 10 }).data?.rows ?? [];
  // Whose job answers it: found among the customer's.
  const answers = useDocuments({ kind: "work_order", parent: customer ?? "", search: summary.number, limit: 5 }, customer !== undefined && summary.number !== "").data?.rows ?? [];
  const own = entity.author === me?.staff || clerk;
  const open = summary.status === "reported";
  const identify = async (): Promise<void> => {
    if (customer !== undefined) await give({ do: "identify_request", id: doc.id, customer, equipment: equipment ?? null });
  };
  const dispatch = async (): Promise<void> => {
    if (customer === undefined) return;
    const done = await give({
      do: "open_work_order",
      id: order,
      customer,
      equipment: equipment ?? null,
      work_type: "repair",
      request: doc.id,
      follow_on_of: null,
      service_description: entity.problem,
      arrival_deadline: null,
    });
    if (done) await navigate(`/work-orders/${order}`);
  };
  const withdraw = async (): Promise<void> => {
    const reason = await ask({ title: t("request.withdraw"), danger: true });
    if (reason !== undefined) await give({ do: "withdraw_request", id: doc.id, reason });
  };
  const changed = customer !== (entity.customer ?? undefined) || equipment !== (entity.equipment ?? undefined);
  const facts: [string, string | null][] = [
    [word("field", "customer_name"), entity.customer_name],
    [word("field", "contact_name"), entity.contact_name],
    [word("field", "contact_phone"), entity.contact_phone],
    [word("field", "address"), entity.address],
    [word("field", "reported"), entity.reported && stamp(entity.reported)],
    [word("field", "author"), people.name(entity.author)],
    [word("field", "provisional_number"), entity.provisional_number],
  ];
  return (
    <>
      {question}
      <Head
        title={
          <>
            {summary.number} <span className="head-name">{summary.title}</span>
          </>
        }
        actions={
          <span className="inline">
            {open && desk && (
              <Button type="primary" disabled={customer === undefined} loading={busy} onClick={() => void dispatch()}>
                {t("request.open_order")}
              </Button>
            )}
            {open && own && (
              <Button danger onClick={() => void withdraw()}>
                {t("request.withdraw")}
              </Button>
            )}
          </span>
        }
      >
        <StageTag stage={summary.status} />
        {entity.withdrawn && <span className="quiet">{entity.withdrawn.reason}</span>}
        {[...answers, ...visits].map((row) => (
          <DocLink key={row.doc.id} doc={row.doc}>
            {word("kind", row.doc.kind)} {row.summary.number}
          </DocLink>
        ))}
        {found.clashes > 0 && <Tag color="error">{t("order.clashes", { count: found.clashes })}</Tag>}
      </Head>
      <div className="intake">
        <section className="sheet">
          <h2>{word("field", "problem")}</h2>
          <p className="pre request-problem">{entity.problem}</p>
          <dl className="facts">
            {facts
              .filter(([, value]) => value)
              .map(([name, value]) => (
                <div key={name} style={{ display: "contents" }}>
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
          </dl>
          {open && own && (
            <>
              <h2>{t("request.identify")}</h2>
              <CustomerPicker
                value={customer}
                name={file?.entity.name}
                onChange={(chosen) => {
                  setCustomer(chosen);
                  setEquipment(undefined);
                }}
              />
              {file && <Machines customer={file} value={equipment} onChange={setEquipment} />}
              {changed && customer !== undefined && (
                <Button loading={busy} onClick={() => void identify()}>
                  {t("order.save")}
                </Button>
              )}
            </>
          )}
        </section>
        <aside className="sheet" aria-live="polite" aria-label={t("order.entitlement")}>
          <h2>{t("order.entitlement")}</h2>
          <EntitledTo customer={customer} equipment={equipment} {...(entity.reported ? { reported: stampOf(entity.reported).best } : {})} />
          {file && (
            <>
              <Glance file={file} />
              {open && <UnderWay file={{ ...file, requests: file.requests.filter((row) => row.doc.id !== doc.id) }} />}
            </>
          )}
        </aside>
      </div>
    </>
  );
}

export default function RequestPage(): ReactNode {
  const { id = "" } = useParams();
  const query = useQuery(requestQuery(id));
  return <Answered query={query}>{(found) => <Shown key={found.doc.id} found={found} />}</Answered>;
}
