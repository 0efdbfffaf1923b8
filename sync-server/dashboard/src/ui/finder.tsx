import { useQuery } from "@tanstack/react-query";
import { AutoComplete, Input, type InputRef } from "antd";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { answer, api } from "../api/client";
import { word } from "../words";
import { pathOf } from "./parts";

/** Finds any document by its number, a name, a phone number or a word of it. `/` goes there from anywhere. */
export function Finder(): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const input = useRef<InputRef>(null);
  const [text, setText] = useState("");
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), 200);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const typing = event.target instanceof HTMLElement && (event.target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName));
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  const found = useQuery({
    queryKey: ["find", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/documents", { params: { query: { search: asked, limit: 30 } }, signal })),
    enabled: asked.length > 0,
  });
  const rows = asked ? (found.data?.rows ?? []).filter((row) => pathOf(row.doc) !== undefined) : [];
  return (
    <AutoComplete
      value={text}
      style={{ width: 320, maxWidth: "40vw" }}
      onChange={setText}
      defaultActiveFirstOption
      notFoundContent={asked && found.isSuccess ? t("find.nothing") : null}
      options={rows.map((row) => ({
        value: row.doc.id,
        path: pathOf(row.doc),
        label: (
          <div className="clip">
            <span className="quiet">{word("kind", row.doc.kind)}</span> {row.summary.number} {row.summary.title}
            <span className="quiet"> {row.summary.subtitle}</span>
          </div>
        ),
      }))}
      onSelect={(_, option: { path?: string | undefined }) => {
        setText("");
        input.current?.blur();
        if (option.path) void navigate(option.path);
      }}
    >
      <Input ref={input} allowClear type="search" aria-label={t("find.label")} placeholder={t("find.placeholder")} />
    </AutoComplete>
  );
}
