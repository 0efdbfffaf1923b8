import { Select } from "antd";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useDocuments } from "../api/queries";

/** Finds a customer by name, number, phone or place. */
export function CustomerPicker({ id, value, name, onChange }: { id?: string; value: string | undefined; name?: string | undefined; onChange: (customer: string | undefined) => void }): ReactNode {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), 200);
    return () => clearTimeout(timer);
  }, [text]);
  const found = useDocuments({ kind: "customer", search: asked, limit: 30 });
  const rows = found.data?.rows ?? [];
  const options = rows.map((row) => ({ value: row.doc.id, label: `${row.summary.title} ${row.summary.number}`, row }));
  if (value && name && !rows.some((row) => row.doc.id === value)) options.unshift({ value, label: name, row: undefined as never });
  return (
    <Select
      {...(id ? { id } : {})}
      allowClear
      showSearch={{ filterOption: false, onSearch: setText }}
      aria-label={t("customer.pick")}
      placeholder={t("customer.pick")}
      notFoundContent={found.isFetching ? t("state.loading") : t("find.nothing")}
      value={value ?? null}
      onChange={(chosen: string | null) => onChange(chosen ?? undefined)}
      style={{ width: "100%" }}
      options={options}
      optionRender={({ data, label }) => {
        const row = (data as { row?: (typeof rows)[number] }).row;
        return row ? (
          <div className="clip">
            <b>{row.summary.title}</b> <span className="quiet">{row.summary.number} {row.summary.subtitle}</span>
          </div>
        ) : (
          label
        );
      }}
    />
  );
}
