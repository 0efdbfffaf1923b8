import { Alert, Button, DatePicker, Form, Input, InputNumber } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand, type Command } from "../../api/command";
import type { WorkOrderDetail } from "../../api/types";
import { moment, shown, time } from "../../format";
import { word } from "../../words";

/** What form 1 lets the office write, as one sees it while writing. */
interface Plan {
  contact_name: string;
  contact_phone: string;
  service_address: string;
  planned_start: number | null;
  arrival_deadline: number | null;
  expected_stay_minutes: number | null;
  cash_advance: number;
  balance_to_collect: number;
  service_description: string;
  remarks: string;
}
type Leaf = keyof Plan;

const TEXTS = ["service_description", "remarks"] as const;

function standing({ entity }: WorkOrderDetail): Plan {
  const { dispatch } = entity;
  return {
    contact_name: dispatch.contact_name,
    contact_phone: dispatch.contact_phone,
    service_address: dispatch.service_address,
    planned_start: entity.planned_start,
    arrival_deadline: entity.arrival_deadline,
    expected_stay_minutes: dispatch.expected_stay_minutes,
    cash_advance: dispatch.cash_advance,
    balance_to_collect: dispatch.balance_to_collect,
    service_description: dispatch.service_description,
    remarks: dispatch.remarks,
  };
}

/** What somebody is writing: only what they touched; the rest follows what others do meanwhile. */
interface Draft {
  plan: Partial<Plan>;
  /** As it stood when they began, to tell what somebody else changed under them. */
  base: Plan;
  heads: string[];
}

/** Form 1, written where it stands. */
export function PlanEditor({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [draft, setDraft] = useState<Draft>();
  const now = standing(detail);
  const plan: Plan = { ...now, ...draft?.plan };
  const may = detail.can.includes("plan_dispatch");
  const mayText = detail.can.includes("edit_text");
  const changed = (Object.keys(draft?.plan ?? {}) as Leaf[]).filter((leaf) => plan[leaf] !== now[leaf]);
  const signed = detail.signoffs.some((s) => s.state === "signed");
  const voids = signed && changed.some((leaf) => leaf !== "planned_start" && leaf !== "arrival_deadline");

  const write = (part: Partial<Plan>): void =>
    setDraft((before) => ({
      plan: { ...before?.plan, ...part },
      base: before?.base ?? now,
      heads: before?.heads ?? detail.row.heads,
    }));
  /** Somebody else wrote the same meanwhile. */
  const meanwhile = (leaf: Leaf): string | undefined => {
    if (!draft || !changed.includes(leaf) || draft.base[leaf] === now[leaf]) return undefined;
    const value = now[leaf];
    const words = typeof value === "number" && leaf !== "expected_stay_minutes" ? (leaf.endsWith("start") || leaf.endsWith("deadline") ? time(value) : String(value / 100)) : String(value ?? "");
    return t("order.meanwhile", { value: words });
  };
  const field = (leaf: Leaf, control: ReactNode, wide = false): ReactNode => (
    <Form.Item
      key={leaf}
      label={word("field", leaf)}
      htmlFor={`plan-${leaf}`}
      className={wide ? "plan-wide" : ""}
      {...(meanwhile(leaf) ? { validateStatus: "warning" as const, help: meanwhile(leaf) } : {})}
    >
      {control}
    </Form.Item>
  );
  const words = (leaf: "contact_name" | "contact_phone" | "service_address"): ReactNode => (
    <Input id={`plan-${leaf}`} value={plan[leaf]} disabled={!may} onChange={(event) => write({ [leaf]: event.target.value })} />
  );
  const when = (leaf: "planned_start" | "arrival_deadline"): ReactNode => (
    <DatePicker
      id={`plan-${leaf}`}
      showTime={{ format: "HH:mm", minuteStep: 5 }}
      format="YYYY-MM-DD HH:mm"
      allowClear={false}
      disabled={!may}
      value={plan[leaf] === null ? null : shown(plan[leaf])}
      onChange={(value) => value !== null && write({ [leaf]: moment(value) })}
      style={{ width: "100%" }}
    />
  );
  const yuan = (leaf: "cash_advance" | "balance_to_collect", fixed = false): ReactNode => (
    <InputNumber
      id={`plan-${leaf}`}
      prefix="¥"
      min={0}
      precision={2}
      disabled={!may || fixed}
      value={plan[leaf] / 100}
      onChange={(value) => write({ [leaf]: Math.round((value ?? 0) * 100) })}
      style={{ width: "100%" }}
    />
  );
  const text = (leaf: "service_description" | "remarks"): ReactNode => (
    <Input.TextArea
      id={`plan-${leaf}`}
      rows={2}
      className="grows"
      disabled={!mayText}
      value={plan[leaf]}
      onChange={(event) => write({ [leaf]: event.target.value })}
    />
  );

  const save = async (): Promise<void> => {
    const patch = Object.fromEntries(changed.filter((leaf) => !TEXTS.some((text) => text === leaf)).map((leaf) => [leaf, plan[leaf]]));
    const commands: Command[] = Object.keys(patch).length > 0 ? [{ do: "plan_dispatch", id, patch }] : [];
    for (const leaf of TEXTS.filter((l) => changed.includes(l))) {
      // Written on what was seen: what others wrote meanwhile is merged, not overwritten.
      commands.push({ do: "edit_text", doc: { kind: "work_order", id }, field: `dispatch/${leaf}`, text: plan[leaf], seen: draft?.heads ?? [] });
    }
    if (await give(...commands)) setDraft(undefined);
  };

  return (
    <Form layout="vertical" className="plan" onFinish={() => void save()}>
      {field("service_description", text("service_description"), true)}
      {field("contact_name", words("contact_name"))}
      {field("contact_phone", words("contact_phone"))}
      {field("service_address", words("service_address"), true)}
      {field("planned_start", when("planned_start"))}
      {field("arrival_deadline", when("arrival_deadline"))}
      {field(
        "expected_stay_minutes",
        <InputNumber
          id="plan-expected_stay_minutes"
          min={0.5}
          step={0.5}
          disabled={!may}
          suffix={t("order.unit_hours")}
          value={plan.expected_stay_minutes === null ? null : plan.expected_stay_minutes / 60}
          onChange={(value) => value !== null && write({ expected_stay_minutes: Math.round(value * 60) })}
          style={{ width: "100%" }}
        />,
      )}
      {field("cash_advance", yuan("cash_advance", detail.money.advance_paid))}
      {field("balance_to_collect", yuan("balance_to_collect"))}
      {field("remarks", text("remarks"), true)}
      {changed.length > 0 && (
        <div className="plan-wide plan-save">
          {voids && <Alert type="warning" showIcon title={t("order.voids")} />}
          <Button type="primary" htmlType="submit" loading={busy}>
            {t("order.save")}
          </Button>
          <Button onClick={() => setDraft(undefined)}>{t("order.discard")}</Button>
        </div>
      )}
    </Form>
  );
}
