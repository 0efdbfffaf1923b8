import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Tag, Tooltip } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { useCommand } from "../api/command";
import { workOrder } from "../api/jobs";
import { usePeople } from "../api/queries";
import type { Row, WorkOrderDetail } from "../api/types";
import { ago, stamp } from "../format";
import { useAsk } from "../ui/ask";
import { DocLink, Flags, Head, StageTag } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { Answered } from "../ui/state";
import { say, word } from "../words";
import { Actions } from "./work-order/actions";
import { Closing } from "./work-order/closing";
import { Items } from "./work-order/items";
import { PlanEditor } from "./work-order/plan";
import { History, MoneyOf, Visits } from "./work-order/side";
import { Signoffs } from "./work-order/signoffs";
import { Technicians } from "./work-order/technicians";
import "./work-order.css";

/** Facts that contradict each other, a sentence each, and the way to settle them. */
function Contradictions({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.settled"));
  const [ask, question] = useAsk();
  const settle = async (key: string): Promise<void> => {
    const reason = await ask({ title: t("order.settle"), what: t("order.settle_what") });
    if (reason !== undefined) await give({ do: "settle", id, contradiction: key, reason });
  };
  return (
    <>
      {question}
      {detail.contradictions.map((found) => (
        <Alert
          key={found.key}
          type="warning"
          showIcon
          className="notice"
          title={say(found.sentence)}
          action={
            detail.can.includes("settle") && (
              <Button size="small" loading={busy} onClick={() => void settle(found.key)}>
                {t("order.settle")}
              </Button>
            )
          }
        />
      ))}
    </>
  );
}

function EntitlementTag({ detail }: { detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const { entitlement, warranty_until, contract, overridden } = detail.entitlement;
  const number = contract === null ? undefined : detail.customer?.entity.contracts[contract]?.number;
  const why = [
    overridden !== null && t("order.overridden", { reason: overridden }),
    warranty_until !== null && t("order.warranty_until", { day: warranty_until }),
    number !== undefined && t("order.contract", { number }),
  ].filter(Boolean);
  return (
    <Tooltip title={why.join(" · ")}>
      <Tag color={entitlement === "per_visit" ? "gold" : "green"}>
        {word("entitlement", entitlement)}
        {why.length > 0 && ` · ${why.join(" · ")}`}
      </Tag>
    </Tooltip>
  );
}

function Linked({ label, rows }: { label: string; rows: Row[] }): ReactNode {
  if (rows.length === 0) return null;
  return (
    <>
      <dt>{label}</dt>
      <dd>
        {rows.map((row) => (
          <div key={row.doc.id}>
            <DocLink doc={row.doc}>{row.summary.number || row.summary.subtitle || row.summary.title}</DocLink> <StageTag stage={row.summary.status} />
          </div>
        ))}
      </dd>
    </>
  );
}

/** Who reported what about which machine. */
function Origin({ detail }: { detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { entity, customer, request } = detail;
  const machine = entity.equipment === null ? undefined : customer?.entity.equipment[entity.equipment];
  return (
    <dl className="facts">
      {customer && (
        <>
          <dt>{word("field", "customer")}</dt>
          <dd>
            <DocLink doc={customer.doc}>{customer.entity.name}</DocLink>
          </dd>
        </>
      )}
      {machine && (
        <>
          <dt>{word("field", "equipment")}</dt>
          <dd>
            {machine.name} {machine.model} <span className="quiet">{machine.serial}</span>
          </dd>
        </>
      )}
      {request && (
        <>
          <dt>{word("field", "request")}</dt>
          <dd>
            <DocLink doc={request.doc}>{request.summary.number}</DocLink>{" "}
            <span className="quiet">
              {request.entity.reported && stamp(request.entity.reported)} {people.name(request.entity.author)}
            </span>
            <div className="pre">{request.entity.problem}</div>
          </dd>
        </>
      )}
      <dt>{word("field", "work_type")}</dt>
      <dd>{entity.work_type && word("work_type", entity.work_type)}</dd>
      <dt>{word("field", "opened")}</dt>
      <dd>{entity.opened && `${people.name(entity.opened.by)} ${stamp(entity.opened.at)}`}</dd>
      {entity.cancelled && (
        <>
          <dt>{word("field", "cancelled")}</dt>
          <dd>
            {people.name(entity.cancelled.by)} {stamp(entity.cancelled.at)} {entity.cancelled.reason}
          </dd>
        </>
      )}
      {Object.entries(entity.redispatched).map(([key, why]) => (
        <div key={key} style={{ display: "contents" }}>
          <dt>{word("field", "redispatched")}</dt>
          <dd>
            {stamp(why.at)} {why.reason}
          </dd>
        </div>
      ))}
      <Linked label={word("field", "follow_on_of")} rows={detail.goes_on_from ? [detail.goes_on_from] : []} />
      <Linked label={t("order.follow_ons")} rows={detail.follow_ons} />
      <Linked label={t("order.complaints")} rows={detail.complaints} />
    </dl>
  );
}

export default function WorkOrderPage(): ReactNode {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const query = useQuery(workOrder(id));
  return (
    <Answered query={query}>
      {(detail) => (
        <>
          <Head
            title={
              <>
                {detail.row.summary.number} <span className="head-name">{detail.row.summary.title}</span>
              </>
            }
            actions={<Actions id={id} detail={detail} />}
          >
            <StageTag stage={detail.stage} />
            <EntitlementTag detail={detail} />
            {detail.overdue_arrival !== null && <Tag color="error">{t("order.overdue", { ago: ago(detail.overdue_arrival) })}</Tag>}
            <Flags flags={detail.row.summary.flags} />
            {detail.row.clashes > 0 && (
              <Link to="/clashes">
                <Tag color="error">{t("order.clashes", { count: detail.row.clashes })}</Tag>
              </Link>
            )}
          </Head>
          <Contradictions id={id} detail={detail} />
          <div className="order">
            <div>
              <Sheet title={t("order.form")}>
                <div className="order-frozen quiet">
                  {detail.entity.dispatch.issued ? (
                    <>
                      {word("field", "order_date")} {detail.entity.dispatch.order_date} · {word("field", "customer_name")} {detail.entity.dispatch.customer_name}
                    </>
                  ) : (
                    t("order.freezes")
                  )}
                </div>
                <h3>{t("order.technicians")}</h3>
                <Technicians id={id} detail={detail} />
                <PlanEditor id={id} detail={detail} />
                <h3>{t("order.items")}</h3>
                <Items id={id} detail={detail} />
              </Sheet>
              <Sheet title={t("order.visits")}>
                <Visits detail={detail} />
              </Sheet>
            </div>
            <div>
              <Sheet title={t("order.signoffs")}>
                <Signoffs id={id} detail={detail} />
              </Sheet>
              {(detail.visits.some((visit) => visit.entity.outcome !== null) || detail.entity.closed !== null) && (
                <Sheet title={t("close.title")}>
                  <Closing id={id} detail={detail} />
                </Sheet>
              )}
              <Sheet title={t("order.origin")}>
                <Origin detail={detail} />
              </Sheet>
              <Sheet title={t("order.money")}>
                <MoneyOf id={id} detail={detail} />
              </Sheet>
              <Sheet title={t("order.history")}>
                <History id={id} />
              </Sheet>
            </div>
          </div>
        </>
      )}
    </Answered>
  );
}
