import { Alert, Button, Form, Input, InputNumber, Switch, Table } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../api/command";
import { useSettings, type Severity } from "../api/files";
import { useHolds } from "../api/queries";
import type { Settings } from "../api/types";
import { money } from "../format";
import { Dialog, numberOf, textOf } from "../ui/dialog";
import { Head } from "../ui/parts";
import { Add, Edit } from "../ui/lines";
import { Sheet } from "../ui/sheet";
import { Answered } from "../ui/state";
import { word } from "../words";
import "./work-order.css";
import "./visit.css";
import "./settings.css";

/** What a company has that never set anything: the rules' own defaults. */
const DEFAULTS: Settings = {
  company: "",
  utc_offset_minutes: 480,
  arrival_hours: 48,
  communication_hours: 24,
  call_interval_days: 90,
  warranty_months: 12,
  doubtful_minutes: 10,
  repeat_days: 30,
  photo_bytes: 20 * 1024 * 1024,
  checklist: {},
  parts: {},
  severities: {},
};

/** The limits, with the least and the most that the rules take. */
const LIMITS = [
  ["arrival_hours", 1, 8760],
  ["communication_hours", 1, 8760],
  ["call_interval_days", 1, 3650],
  ["warranty_months", 0, 600],
  ["doubtful_minutes", 0, 1440],
  ["repeat_days", 1, 3650],
  ["utc_offset_minutes", -840, 840],
] as const;
type Limit = (typeof LIMITS)[number][0];

const MEGABYTE = 1024 * 1024;

function Limits({ now, may }: { now: Settings; may: boolean }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [draft, setDraft] = useState<Partial<Pick<Settings, Limit | "company" | "photo_bytes">>>({});
  const changed = Object.entries(draft).filter(([name, value]) => value !== now[name as Limit]);
  const save = async (): Promise<void> => {
    if (await give({ do: "change_settings", ...Object.fromEntries(changed) })) setDraft({});
  };
  return (
    <Sheet title={t("settings.limits")}>
      <Form layout="vertical" className="plan" onFinish={() => void save()}>
        <Form.Item label={word("field", "company")} htmlFor="set-company" className="plan-wide">
          <Input id="set-company" disabled={!may} value={draft.company ?? now.company} onChange={(event) => setDraft({ ...draft, company: event.target.value })} />
        </Form.Item>
        {LIMITS.map(([name, min, max]) => (
          <Form.Item key={name} label={word("field", name)} htmlFor={`set-${name}`} extra={t(`settings.${name}`)}>
            <InputNumber
              id={`set-${name}`}
              min={min}
              max={max}
              precision={0}
              disabled={!may}
              value={draft[name] ?? now[name]}
              onChange={(value) => value !== null && setDraft({ ...draft, [name]: value })}
              style={{ width: "100%" }}
            />
          </Form.Item>
        ))}
        <Form.Item label={t("settings.photo")} htmlFor="set-photo" extra={t("settings.photo_help")}>
          <InputNumber
            id="set-photo"
            min={1}
            max={1024}
            precision={0}
            suffix="MB"
            disabled={!may}
            value={Math.round((draft.photo_bytes ?? now.photo_bytes) / MEGABYTE)}
            onChange={(value) => value !== null && setDraft({ ...draft, photo_bytes: value * MEGABYTE })}
            style={{ width: "100%" }}
          />
        </Form.Item>
        {changed.length > 0 && (
          <div className="plan-wide plan-save">
            <Button type="primary" htmlType="submit" loading={busy}>
              {t("order.save")}
            </Button>
            <Button onClick={() => setDraft({})}>{t("order.discard")}</Button>
          </div>
        )}
      </Form>
    </Sheet>
  );
}

/** 货物检查的项目: what a technician has to look at. Lines are dropped, never deleted. */
function Checklist({ now, may }: { now: Settings; may: boolean }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const edited = editing ? now.checklist[editing] : undefined;
  const rows = Object.entries(now.checklist).map(([key, item]) => ({ key, item }));
  return (
    <Sheet title={word("field", "checklist")} actions={may && <Add open={() => setEditing("")} />}>
      {editing !== undefined && (
        <Dialog
          title={word("field", "checklist")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={edited ? { ...edited } : { photo: true }}
          fields={[
            ...(edited ? [] : [{ name: "key", label: t("settings.key"), required: true, help: t("settings.key_help") }]),
            { name: "label", label: word("field", "label"), required: true },
            { name: "label_en", label: word("field", "label_en") },
            { name: "photo", label: t("settings.photo_needed"), kind: "switch" },
            ...(edited ? [{ name: "dropped", label: word("field", "dropped"), kind: "switch" as const }] : []),
          ]}
          save={(values) =>
            give({
              do: "change_settings",
              checklist: { [editing || textOf(values.key)]: { label: textOf(values.label), label_en: textOf(values.label_en), photo: values.photo === true, dropped: values.dropped === true } },
            })
          }
        />
      )}
      <Table
        size="small"
        pagination={false}
        dataSource={rows}
        columns={[
          { title: word("field", "label"), render: (_, { item }) => (item.dropped ? <del>{item.label}</del> : item.label) },
          { title: word("field", "label_en"), render: (_, { item }) => item.label_en },
          { title: t("settings.photo_needed"), width: 110, render: (_, { item }) => <Switch size="small" disabled checked={item.photo} aria-label={t("settings.photo_needed")} /> },
          {
            title: "",
            width: 60,
            render: (_, { key }) => may && <Edit open={() => setEditing(key)} />,
          },
        ]}
      />
    </Sheet>
  );
}

/** 零件目录 */
function Parts({ now, may }: { now: Settings; may: boolean }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const edited = editing ? now.parts[editing] : undefined;
  const rows = Object.entries(now.parts).map(([key, part]) => ({ key, part }));
  return (
    <Sheet title={word("field", "parts")} actions={may && <Add open={() => setEditing("")} />}>
      {editing !== undefined && (
        <Dialog
          title={word("field", "parts")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={edited ? { ...edited } : { price: 0 }}
          fields={[
            ...(edited ? [] : [{ name: "key", label: word("field", "part_no"), required: true }]),
            { name: "name", label: t("order.item"), required: true },
            { name: "unit", label: word("field", "unit") },
            { name: "price", label: word("field", "price"), kind: "money", min: 0 },
          ]}
          save={(values) => give({ do: "change_settings", parts: { [editing || textOf(values.key)]: { name: textOf(values.name), unit: textOf(values.unit), price: numberOf(values.price) } } })}
        />
      )}
      <Table
        size="small"
        pagination={rows.length > 20 ? { pageSize: 20, size: "small", showSizeChanger: false } : false}
        dataSource={rows}
        locale={{ emptyText: t("list.empty") }}
        columns={[
          { title: word("field", "part_no"), dataIndex: "key" },
          { title: t("order.item"), render: (_, { part }) => part.name },
          { title: word("field", "unit"), width: 70, render: (_, { part }) => part.unit },
          { title: word("field", "price"), width: 110, align: "right", render: (_, { part }) => money(part.price) },
          {
            title: "",
            width: 60,
            render: (_, { key }) => may && <Edit open={() => setEditing(key)} />,
          },
        ]}
      />
    </Sheet>
  );
}

/** 情节轻重, each with the penalty that is usual. */
function Severities({ now, may }: { now: Settings; may: boolean }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<Severity>();
  const levels: Severity[] = ["minor", "moderate", "serious"];
  const edited = editing ? now.severities[editing] : undefined;
  return (
    <Sheet title={word("field", "severities")}>
      {editing !== undefined && (
        <Dialog
          title={word("severity", editing)}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={{ label: edited?.label ?? word("severity", editing), label_en: edited?.label_en ?? "", penalty: edited?.penalty ?? 0 }}
          fields={[
            { name: "label", label: word("field", "label"), required: true },
            { name: "label_en", label: word("field", "label_en") },
            { name: "penalty", label: word("field", "penalty"), kind: "money", min: 0 },
          ]}
          save={(values) => give({ do: "change_settings", severities: { [editing]: { label: textOf(values.label), label_en: textOf(values.label_en), penalty: numberOf(values.penalty) } } })}
        />
      )}
      <Table
        size="small"
        pagination={false}
        dataSource={levels.map((key) => ({ key, level: now.severities[key] }))}
        columns={[
          { title: word("field", "label"), render: (_, { key, level }) => level?.label ?? word("severity", key) },
          { title: word("field", "penalty"), width: 140, align: "right", render: (_, { level }) => money(level?.penalty ?? 0) },
          {
            title: "",
            width: 60,
            render: (_, { key }) => may && <Edit open={() => setEditing(key)} />,
          },
        ]}
      />
    </Sheet>
  );
}

export default function SettingsPage(): ReactNode {
  const { t } = useTranslation();
  const may = useHolds("admin", "service_manager");
  const query = useSettings();
  return (
    <>
      <Head title={t("settings.title")} />
      {!may && <Alert type="info" showIcon className="notice" title={t("settings.read_only")} />}
      <Answered query={query}>
        {(found) => {
          const now = found ?? DEFAULTS;
          return (
            <div className="order">
              <div>
                <Limits now={now} may={may} />
                <Parts now={now} may={may} />
              </div>
              <div>
                <Checklist now={now} may={may} />
                <Severities now={now} may={may} />
              </div>
            </div>
          );
        }}
      </Answered>
    </>
  );
}
