import { Button, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import { usePeople } from "../../api/queries";
import type { WorkOrderDetail } from "../../api/types";
import { stamp } from "../../format";
import { useAsk } from "../../ui/ask";
import { Several } from "../../ui/several";

/** Who is sent now, the lead first. */
export function sentNow({ entity }: WorkOrderDetail): string[] {
  const now = Object.values(entity.assignments).filter((a) => a.ended === null && a.technician !== null);
  return [...new Set(now.sort((a, b) => Number(b.lead) - Number(a.lead)).map((a) => a.technician ?? ""))];
}

/** Who is sent, and who was before. */
export function Technicians({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { give, busy } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const [draft, setDraft] = useState<string[]>();
  const now = sentNow(detail);
  const chosen = draft ?? now;
  const may = detail.can.includes("assign");
  const former = Object.entries(detail.entity.assignments).filter(([, a]) => a.ended !== null);
  const save = async (): Promise<void> => {
    let reason: string | undefined = "";
    if (now.some((who) => !chosen.includes(who))) reason = await ask({ title: t("order.reassign"), what: t("order.reassign_what") });
    if (reason === undefined) return;
    if (await give({ do: "assign", id, technicians: chosen, reason })) setDraft(undefined);
  };
  return (
    <div className="technicians">
      {question}
      {may ? (
        <Several
          aria-label={t("order.technicians")}
          placeholder={t("order.nobody")}
          value={chosen}
          onChange={setDraft}
          options={people.technicians.map((p) => ({ value: p.id, label: p.name }))}
          tagRender={({ value, label, closable, onClose }) => (
            <Tag closable={closable} onClose={onClose} color={chosen[0] === value ? "cyan" : "default"}>
              {label}
              {chosen[0] === value && chosen.length > 1 && ` · ${t("order.lead")}`}
            </Tag>
          )}
        />
      ) : (
        <span>{now.map((who) => people.name(who)).join(t("list.comma")) || t("order.nobody")}</span>
      )}
      {draft && draft.join() !== now.join() && (
        <span>
          <Button type="primary" loading={busy} onClick={() => void save()}>
            {t("order.save")}
          </Button>{" "}
          <Button onClick={() => setDraft(undefined)}>{t("order.discard")}</Button>
        </span>
      )}
      {former.length > 0 && (
        <ul className="former">
          {former.map(([key, a]) => (
            <li key={key} className="quiet">
              {t("order.former", {
                who: people.name(a.technician),
                from: a.assigned ? stamp(a.assigned.at) : "",
                to: a.ended ? stamp(a.ended.at) : "",
                by: people.name(a.ended?.by),
                reason: a.ended?.reason ?? "",
              })}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
