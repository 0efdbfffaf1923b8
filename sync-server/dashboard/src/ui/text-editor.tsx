import { Button, Input } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../api/command";
import type { DocRef } from "../api/types";
import { word } from "../words";
import "./text-editor.css";

interface Edited {
  doc: DocRef;
  heads: string[];
  field: string;
  stands: string;
  may: boolean;
  label?: string;
  hint?: string;
}

/** A text of a document, written where it stands. What others write meanwhile is merged, not overwritten. */
export function TextEditor({ doc, heads, field, stands, may, label = word("field", field), hint }: Edited): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [draft, setDraft] = useState<{ text: string; seen: string[] }>();
  const save = async (): Promise<void> => {
    if (draft && (await give({ do: "edit_text", doc, field, text: draft.text, seen: draft.seen }))) setDraft(undefined);
  };
  if (!may && stands.trim() === "") return null;
  return (
    <div className="text-editor">
      <h3>{label}</h3>
      {may ? (
        <Input.TextArea
          aria-label={label}
          rows={2}
          className="grows"
          value={draft?.text ?? stands}
          {...(hint ? { placeholder: hint } : {})}
          onChange={(event) => {
            const text = event.target.value;
            setDraft((before) => ({ text, seen: before?.seen ?? heads }));
          }}
        />
      ) : (
        <div className="pre">{stands}</div>
      )}
      {draft !== undefined && draft.text !== stands && (
        <div className="inline text-editor-save">
          <Button type="primary" loading={busy} onClick={() => void save()}>
            {t("order.save")}
          </Button>
          <Button onClick={() => setDraft(undefined)}>{t("order.discard")}</Button>
        </div>
      )}
    </div>
  );
}
