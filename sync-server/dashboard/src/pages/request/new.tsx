import { useQuery } from "@tanstack/react-query";
import { Button, DatePicker, Form, Input, Select, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import { useCommand, type Command } from "../../api/command";
import { customer as customerQuery } from "../../api/jobs";
import { useHolds } from "../../api/queries";
import type { WorkType } from "../../api/types";
import { moment, shown } from "../../format";
import { newId } from "../../id";
import { CustomerPicker } from "../../ui/customer-picker";
import { Head } from "../../ui/parts";
import { word } from "../../words";
import { EntitledTo, Glance, Machines, UnderWay } from "./machine";
import "../../ui/sheet.css";
import "./request.css";

interface Said {
  customer_name: string;
  contact_name: string;
  contact_phone: string;
  address: string;
  problem: string;
}
const EMPTY: Said = { customer_name: "", contact_name: "", contact_phone: "", address: "", problem: "" };

/** 客户报修: taking a report by telephone, with the entitlement worked out while it is told. */
export default function NewRequest(): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [params] = useSearchParams();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("request.taken"));
  // Sent twice, it is the same report.
  const [ids, setIds] = useState(() => ({ request: newId(), order: newId() }));
  const [customer, setCustomer] = useState<string | undefined>(params.get("customer") ?? undefined);
  const [equipment, setEquipment] = useState<string | undefined>(params.get("equipment") ?? undefined);
  const [type, setType] = useState<WorkType>("repair");
  const [reported, setReported] = useState<number>();
  const [said, setSaid] = useState<Said>(EMPTY);
  const file = useQuery(customerQuery(customer)).data;
  const write = (part: Partial<Said>): void => setSaid((before) => ({ ...before, ...part }));
  const contacts = Object.values(file?.entity.contacts ?? {}).filter((c) => !c.removed);
  const addresses = Object.values(file?.entity.addresses ?? {}).filter((a) => !a.removed);
  const named = customer !== undefined || said.customer_name.trim() !== "";
  const ready = named && said.problem.trim() !== "";

  const pick = (chosen: string | undefined): void => {
    setCustomer(chosen);
    setEquipment(undefined);
    write({ customer_name: "", contact_name: "", contact_phone: "", address: "" });
  };
  const take = async (dispatch: boolean): Promise<void> => {
    const { request, order } = ids;
    const commands: Command[] = [
      {
        do: "report_repair",
        id: request,
        customer: customer ?? null,
        ...said,
        equipment: equipment ?? null,
        problem: said.problem.trim(),
        reported: reported === undefined ? null : `${reported}+0~0`,
      },
    ];
    if (dispatch && customer !== undefined)
      commands.push({
        do: "open_work_order",
        id: order,
        customer,
        equipment: equipment ?? null,
        work_type: type,
        request,
        follow_on_of: null,
        service_description: said.problem.trim(),
        arrival_deadline: null,
      });
    if (!(await give(...commands))) return;
    setIds({ request: newId(), order: newId() });
    await navigate(dispatch ? `/work-orders/${order}` : `/requests/${request}`);
  };
  return (
    <>
      <Head title={t("request.new")} />
      <div className="intake">
        <Form layout="vertical" className="sheet">
          <Form.Item label={word("field", "customer")} required htmlFor="request-customer">
            <CustomerPicker id="request-customer" value={customer} name={file?.entity.name} onChange={pick} />
          </Form.Item>
          {customer === undefined && (
            <Form.Item label={t("request.unknown_customer")} htmlFor="request-name">
              <Input id="request-name" value={said.customer_name} onChange={(event) => write({ customer_name: event.target.value })} />
            </Form.Item>
          )}
          {file && (
            <Form.Item label={word("field", "equipment")}>
              <Machines customer={file} value={equipment} onChange={setEquipment} />
            </Form.Item>
          )}
          <Form.Item label={word("field", "problem")} required htmlFor="request-problem">
            <Input.TextArea id="request-problem" rows={3} className="grows" value={said.problem} onChange={(event) => write({ problem: event.target.value })} />
          </Form.Item>
          <div className="intake-row">
            <Form.Item label={word("field", "contact_name")} htmlFor="request-contact">
              <Input id="request-contact" value={said.contact_name} onChange={(event) => write({ contact_name: event.target.value })} />
            </Form.Item>
            <Form.Item label={word("field", "contact_phone")} htmlFor="request-phone">
              <Input id="request-phone" value={said.contact_phone} onChange={(event) => write({ contact_phone: event.target.value })} />
            </Form.Item>
          </div>
          {contacts.length > 0 && (
            <div className="picks">
              {contacts.map((c) => (
                <Button key={`${c.name}${c.phone}`} size="small" onClick={() => write({ contact_name: c.name, contact_phone: c.phone })}>
                  {c.name} {c.position && <span className="quiet">{c.position}</span>} {c.phone}
                </Button>
              ))}
            </div>
          )}
          <Form.Item label={word("field", "address")} htmlFor="request-address">
            <Input id="request-address" value={said.address} placeholder={addresses[0]?.text} onChange={(event) => write({ address: event.target.value })} />
          </Form.Item>
          {addresses.length > 1 && (
            <div className="picks">
              {addresses.map((a) => (
                <Button key={a.text} size="small" onClick={() => write({ address: a.text })}>
                  {a.label} {a.text}
                </Button>
              ))}
            </div>
          )}
          <div className="intake-row">
            <Form.Item label={word("field", "reported")} htmlFor="request-reported">
              <DatePicker
                id="request-reported"
                showTime={{ format: "HH:mm" }}
                format="YYYY-MM-DD HH:mm"
                placeholder={t("request.now")}
                value={reported === undefined ? null : shown(reported)}
                onChange={(value) => setReported(value === null ? undefined : moment(value))}
                style={{ width: "100%" }}
              />
            </Form.Item>
            <Form.Item label={word("field", "work_type")} htmlFor="request-type">
              <Select
                id="request-type"
                value={type}
                onChange={setType}
                options={(["repair", "installation"] as const).map((value) => ({ value, label: word("work_type", value) }))}
              />
            </Form.Item>
          </div>
          <div className="inline">
            <Button type="primary" disabled={!ready || customer === undefined || !desk} loading={busy} onClick={() => void take(true)}>
              {t("request.take_and_open")}
            </Button>
            <Button disabled={!ready} loading={busy} onClick={() => void take(false)}>
              {t("request.take")}
            </Button>
            {!desk && <Tag>{t("request.not_yours")}</Tag>}
          </div>
        </Form>
        <aside className="sheet" aria-live="polite" aria-label={t("order.entitlement")}>
          <h2>{t("order.entitlement")}</h2>
          <EntitledTo customer={customer} equipment={equipment} {...(reported === undefined ? {} : { reported })} />
          {file && (
            <>
              <Glance file={file} />
              <UnderWay file={file} />
            </>
          )}
        </aside>
      </div>
    </>
  );
}
