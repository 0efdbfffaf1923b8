import { DatePicker, Form, Input, InputNumber, Modal, Select, Switch } from "antd";
import dayjs from "dayjs";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Several } from "./several";

type Value = string | number | boolean | string[] | null;
export type Values = Record<string, Value>;

export interface Field {
  name: string;
  label: string;
  /** A day is `YYYY-MM-DD`; money is fen. */
  kind?: "text" | "long" | "password" | "number" | "money" | "day" | "select" | "several" | "switch";
  required?: boolean;
  options?: { value: string; label: string }[];
  min?: number;
  max?: number;
  suffix?: string;
  help?: string;
}

interface Asked {
  title: string;
  what?: ReactNode;
  ok?: string;
  fields: Field[];
  beginning?: Values;
  busy: boolean;
  /** Resolves to whether it was done; the dialog stays where not. */
  save: (values: Values) => Promise<boolean>;
  close: () => void;
}

function empty(value: Value | undefined): boolean {
  return value === undefined || value === null || (typeof value === "string" && value.trim() === "") || (Array.isArray(value) && value.length === 0);
}

function Control({ field, id, value, change }: { field: Field; id: string; value: Value | undefined; change: (value: Value) => void }): ReactNode {
  const text = typeof value === "string" ? value : "";
  const number = typeof value === "number" ? value : null;
  const limits = { ...(field.min === undefined ? {} : { min: field.min }), ...(field.max === undefined ? {} : { max: field.max }) };
  switch (field.kind) {
    case "long":
      return <Input.TextArea id={id} rows={3} className="grows" value={text} onChange={(event) => change(event.target.value)} />;
    case "password":
      return <Input.Password id={id} autoComplete="new-password" value={text} onChange={(event) => change(event.target.value)} />;
    case "number":
      return <InputNumber id={id} precision={0} {...limits} suffix={field.suffix} value={number} onChange={change} style={{ width: "100%" }} />;
    case "money":
      return (
        <InputNumber
          id={id}
          prefix="¥"
          precision={2}
          {...limits}
          value={number === null ? null : number / 100}
          onChange={(yuan) => change(yuan === null ? null : Math.round(yuan * 100))}
          style={{ width: "100%" }}
        />
      );
    case "day":
      return <DatePicker id={id} value={text === "" ? null : dayjs(text)} onChange={(day) => change(dayjs.isDayjs(day) ? day.format("YYYY-MM-DD") : null)} style={{ width: "100%" }} />;
    case "select":
      return (
        <Select
          id={id}
          aria-label={field.label}
          allowClear={field.required !== true}
          showSearch={{ optionFilterProp: "label" }}
          value={text === "" ? null : text}
          onChange={(chosen: string | null) => change(chosen ?? null)}
          options={field.options ?? []}
        />
      );
    case "several":
      return (
        <Several id={id} aria-label={field.label} value={Array.isArray(value) ? value : []} onChange={change} options={field.options ?? []} />
      );
    case "switch":
      return <Switch id={id} checked={value === true} onChange={change} />;
    default:
      return <Input id={id} value={text} onChange={(event) => change(event.target.value)} />;
  }
}

/** Asks for some particulars, then does something with them. */
export function Dialog({ title, what, ok, fields, beginning, busy, save, close }: Asked): ReactNode {
  const { t } = useTranslation();
  const [values, setValues] = useState<Values>(beginning ?? {});
  const ready = fields.every((field) => field.required !== true || !empty(values[field.name]));
  const send = async (): Promise<void> => {
    if (ready && !busy && (await save(values))) close();
  };
  return (
    <Modal
      open
      title={title}
      okText={ok ?? t("order.save")}
      cancelText={t("ask.cancel")}
      okButtonProps={{ disabled: !ready, loading: busy }}
      onOk={() => void send()}
      onCancel={close}
      width={480}
    >
      {what}
      <Form layout="vertical" onFinish={() => void send()}>
        {fields.map((field) => (
          <Form.Item key={field.name} label={field.label} htmlFor={`dialog-${field.name}`} required={field.required === true} {...(field.help ? { extra: field.help } : {})}>
            <Control
              field={field}
              id={`dialog-${field.name}`}
              value={values[field.name]}
              change={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
            />
          </Form.Item>
        ))}
        <button type="submit" hidden aria-hidden tabIndex={-1} />
      </Form>
    </Modal>
  );
}

/** A value as a text, without blanks around it. */
export function textOf(value: Value | undefined): string {
  return typeof value === "string" ? value.trim() : "";
}

/** A value as a text, or nothing. */
export function wordOf(value: Value | undefined): string | null {
  return textOf(value) || null;
}

/** A value as a number; `otherwise` where there is none. */
export function numberOf(value: Value | undefined, otherwise = 0): number {
  return typeof value === "number" ? value : otherwise;
}

/** A value as one of some words; the first where it is none of them. */
export function oneOf<W extends string>(words: readonly [W, ...W[]], value: Value | undefined): W {
  return words.find((one) => one === value) ?? words[0];
}

/** A value as words. */
export function wordsOf(value: Value | undefined): string[] {
  return Array.isArray(value) ? value : [];
}
