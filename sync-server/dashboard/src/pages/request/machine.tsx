import { useQuery } from "@tanstack/react-query";
import { Alert, Radio, Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { customer as customerQuery, entitlement } from "../../api/jobs";
import type { CustomerDetail, Entitled } from "../../api/types";
import { dayOf } from "../../format";
import { useNow } from "../../ui/now";
import { DocLink, StageTag } from "../../ui/parts";
import { WarrantyBar } from "../../ui/warranty";
import { word } from "../../words";

/** Stages after which a job is no reason not to open another. */
const OVER = ["withdrawn", "completed", "customer_told", "closed", "archived", "cancelled"];

/** Which of a customer's machines: each with its warranty. */
export function Machines({ customer, value, onChange }: { customer: CustomerDetail; value: string | undefined; onChange: (equipment: string | undefined) => void }): ReactNode {
  const { t } = useTranslation();
  const today = dayOf(useNow());
  const machines = customer.equipment.filter((e) => customer.entity.equipment[e.id]?.removed === false);
  return (
    <Radio.Group className="machines" value={value ?? ""} onChange={(event) => onChange((event.target.value as string) || undefined)} aria-label={word("field", "equipment")}>
      {machines.map(({ id, warranty_from, warranty_until }) => {
        const machine = customer.entity.equipment[id];
        return (
          <Radio key={id} value={id}>
            <span className="machine">
              <span>
                <b>{machine?.name}</b> {machine?.model} <span className="quiet">{machine?.serial}</span>
              </span>
              <WarrantyBar from={warranty_from} until={warranty_until} today={today} />
            </span>
          </Radio>
        );
      })}
      <Radio value="">{t("request.no_machine")}</Radio>
    </Radio.Group>
  );
}

/** 核对保修期, as it is being filled in: what the customer is entitled to, and why. */
export function EntitledTo({ customer, equipment, reported }: { customer: string | undefined; equipment: string | undefined; reported?: number }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(entitlement(customer, equipment, reported));
  const file = useQuery(customerQuery(customer)).data;
  if (customer === undefined) return <p className="quiet">{t("request.entitlement_unknown")}</p>;
  if (data === undefined) return null;
  return <Shown entitled={data} file={file} />;
}

function Shown({ entitled, file }: { entitled: Entitled; file: CustomerDetail | undefined }): ReactNode {
  const { t } = useTranslation();
  const { entitlement: is, warranty_until, contract } = entitled;
  const paper = contract === null ? undefined : file?.entity.contracts[contract];
  return (
    <div className={is === "per_visit" ? "entitled entitled-pays" : "entitled"}>
      <b>{word("entitlement", is)}</b>
      <span>
        {warranty_until !== null && t("order.warranty_until", { day: warranty_until })}
        {paper !== undefined && (paper.to === null ? t("order.contract", { number: paper.number }) : t("request.by_contract", { number: paper.number, to: paper.to }))}
        {warranty_until === null && paper === undefined && t("request.pays")}
      </span>
    </div>
  );
}

/** What is under way at the customer already: perhaps the report is of it. */
export function UnderWay({ file }: { file: CustomerDetail }): ReactNode {
  const { t } = useTranslation();
  const open = [...file.requests, ...file.jobs].filter((row) => !OVER.includes(row.summary.status));
  if (open.length === 0) return null;
  return (
    <Alert
      type="warning"
      title={t("request.under_way")}
      description={
        <ul className="plain">
          {open.slice(0, 8).map((row) => (
            <li key={row.doc.id}>
              <DocLink doc={row.doc}>{row.summary.number}</DocLink> <StageTag stage={row.summary.status} />
              <span className="quiet">{row.summary.subtitle}</span>
            </li>
          ))}
        </ul>
      }
    />
  );
}

/** The customer in a glance: number of machines, what is owed. */
export function Glance({ file }: { file: CustomerDetail }): ReactNode {
  const { t } = useTranslation();
  return (
    <p>
      <DocLink doc={file.row.doc}>{file.entity.name}</DocLink> {file.entity.code && <Tag>{file.entity.code}</Tag>}
      <span className="quiet">{t("request.history", { count: file.jobs.length })}</span>
      {file.entity.notes && <span className="pre">{file.entity.notes}</span>}
    </p>
  );
}
