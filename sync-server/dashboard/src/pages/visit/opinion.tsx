import { Button, Input } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { VisitDetail } from "../../api/files";
import { useHolds, usePeople } from "../../api/queries";
import type { WorkOrderDetail } from "../../api/types";
import { stamp } from "../../format";
import { word } from "../../words";

/** 宝贵意见 of the customer, and what the office makes of it 记录、分析用户意见. */
export function Opinion({ id, detail, order }: { id: string; detail: VisitDetail; order: WorkOrderDetail | undefined }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [text, setText] = useState<string>();
  const comment = detail.entity.customer_comment.trim();
  const analysed = order?.entity.opinions[id];
  if (comment === "") return null;
  const save = async (): Promise<void> => {
    if (order && text?.trim() && (await give({ do: "analyse_opinion", id: order.row.doc.id, visit: id, text: text.trim() }))) setText(undefined);
  };
  return (
    <>
      <h3>{word("field", "customer_comment")}</h3>
      <blockquote className="pre opinion">{comment}</blockquote>
      {analysed && (
        <p>
          <b>{word("field", "analysis")}</b> <span className="pre">{analysed.text}</span>{" "}
          <span className="quiet">
            {people.name(analysed.mark.by)} {stamp(analysed.mark.at)}
          </span>
        </p>
      )}
      {desk && order && (
        <form
          className="write"
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          <Input.TextArea aria-label={word("field", "analysis")} placeholder={t("visit.analyse_hint")} rows={1} className="grows" value={text ?? ""} onChange={(event) => setText(event.target.value)} />
          <Button htmlType="submit" disabled={!text?.trim()} loading={busy}>
            {t(analysed ? "visit.analyse_again" : "visit.analyse")}
          </Button>
        </form>
      )}
    </>
  );
}
