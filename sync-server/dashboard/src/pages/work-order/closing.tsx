import { Button, Form, Input, Radio, Steps } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { useCommand } from "../../api/command";
import { useHolds, usePeople } from "../../api/queries";
import type { WorkOrderDetail } from "../../api/types";
import { stamp } from "../../format";
import { newId } from "../../id";
import { word } from "../../words";

interface Part {
  id: string;
  detail: WorkOrderDetail;
}

const RETURN_STEPS = ["received", "repaired", "replaced", "sent_back"] as const;

/** 向客户回馈: the problem and whether it was solved, as it was told. */
function Feedback({ id, detail }: Part): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { give, busy } = useCommand(t("order.saved"));
  const { feedback } = detail.entity;
  const may = detail.can.includes("tell_customer");
  const solvedNow = detail.visits.some((visit) => visit.entity.outcome === "completed");
  const [writing, setWriting] = useState(false);
  const [problem, setProblem] = useState<string>();
  const [solved, setSolved] = useState<boolean>();
  const text = problem ?? feedback?.problem ?? "";
  const tell = async (): Promise<void> => {
    if (await give({ do: "tell_customer", id, problem: text.trim(), solved: solved ?? solvedNow })) setWriting(false);
  };
  return (
    <>
      {feedback && (
        <div>
          {word("value", feedback.solved ? "solved" : "unsolved")}: {feedback.problem}{" "}
          <span className="quiet">
            {people.name(feedback.mark.by)} {stamp(feedback.mark.at)}
          </span>
        </div>
      )}
      {may && feedback && !writing && (
        <Button type="link" size="small" onClick={() => setWriting(true)}>
          {t("close.tell_again")}
        </Button>
      )}
      {may && (!feedback || writing) && (
        <Form layout="vertical" onFinish={() => void tell()} className="close-form">
          <Input.TextArea aria-label={t("close.problem")} placeholder={t("close.problem")} rows={1} className="grows" value={text} onChange={(event) => setProblem(event.target.value)} />
          <span className="inline">
            <Radio.Group
              size="small"
              optionType="button"
              aria-label={t("close.solved")}
              value={solved ?? solvedNow}
              onChange={(event) => setSolved(event.target.value as boolean)}
              options={[
                { value: true, label: word("value", "solved") },
                { value: false, label: word("value", "unsolved") },
              ]}
            />
            <Button htmlType="submit" type={feedback ? "default" : "primary"} size="small" disabled={!text.trim()} loading={busy}>
              {t("close.tell")}
            </Button>
          </span>
        </Form>
      )}
    </>
  );
}

/** What could not be solved on site: the machine's way through production, or another work order. */
function Unsolved({ id, detail }: Part): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const people = usePeople();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [order] = useState(newId);
  const { entity } = detail;
  const steps = entity.returned_machine;
  const next = RETURN_STEPS.filter((step) => !steps[step] && (step === "received" || steps.received) && (step !== "sent_back" || steps.repaired) && !(step === "replaced" && steps.repaired) && !(step === "repaired" && steps.replaced));
  const again = async (): Promise<void> => {
    if (entity.customer === null) return;
    const done = await give({
      do: "open_work_order",
      id: order,
      customer: entity.customer,
      equipment: entity.equipment,
      work_type: entity.work_type ?? "repair",
      request: null,
      follow_on_of: id,
      service_description: detail.visits.map((visit) => visit.entity.remarks.trim()).filter(Boolean).at(-1) ?? entity.dispatch.service_description,
      arrival_deadline: null,
    });
    if (done) await navigate(`/work-orders/${order}`);
  };
  return (
    <>
      {RETURN_STEPS.map((step) => {
        const mark = steps[step];
        return mark ? (
          <div key={step}>
            {word("return_step", step)}{" "}
            <span className="quiet">
              {people.name(mark.by)} {stamp(mark.at)}
            </span>
          </div>
        ) : null;
      })}
      <span className="inline">
        {detail.can.includes("move_returned_machine") &&
          next.map((step) => (
            <Button key={step} size="small" loading={busy} onClick={() => void give({ do: "move_returned_machine", id, step })}>
              {word("return_step", step)}
            </Button>
          ))}
        {detail.follow_ons.map((row) => (
          <Link key={row.doc.id} to={`/work-orders/${row.doc.id}`}>
            {row.summary.number || t("order.follow_ons")} {word("stage", row.summary.status)}
          </Link>
        ))}
        {desk && detail.follow_ons.length === 0 && entity.closed === null && (
          <Button size="small" loading={busy} onClick={() => void again()}>
            {t("close.follow_on")}
          </Button>
        )}
      </span>
    </>
  );
}

/** Why the report cannot be closed yet, in words, the first thing first. */
function hindrance(detail: WorkOrderDetail): "close.no_result" | "close.unsettled" | "close.not_through" | "close.not_told" | "close.items" | undefined {
  const { entity, visits } = detail;
  if (!visits.some((visit) => visit.entity.outcome !== null)) return "close.no_result";
  if (detail.contradictions.length > 0) return "close.unsettled";
  const through = entity.returned_machine.sent_back !== undefined || entity.returned_machine.replaced !== undefined || detail.follow_ons.some((row) => ["completed", "customer_told", "closed", "archived"].includes(row.summary.status));
  if (detail.stage === "incomplete" && !through) return "close.not_through";
  if (entity.feedback === null) return "close.not_told";
  return "close.items";
}

/** From the work done to the archive: solved, told, closed 注销, archived 存档; the customer's words come last. */
export function Closing({ id, detail }: Part): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { give, busy } = useCommand(t("order.saved"));
  const { entity, visits, can } = detail;
  const unsolved = visits.some((visit) => visit.entity.outcome === "incomplete");
  const opinions = visits.filter((visit) => visit.entity.customer_comment.trim() !== "");
  const why = hindrance(detail);
  const mark = (one: { by: string; at: string } | null): ReactNode =>
    one && (
      <span className="quiet">
        {people.name(one.by)} {stamp(one.at)}
      </span>
    );
  const state = (done: boolean): "finish" | "wait" => (done ? "finish" : "wait");
  return (
    <Steps
      orientation="vertical"
      size="small"
      className="closing"
      items={[
        ...(unsolved
          ? [
              {
                title: t("close.unsolved"),
                status: state(entity.returned_machine.sent_back !== undefined || entity.returned_machine.replaced !== undefined || detail.follow_ons.length > 0),
                content: <Unsolved id={id} detail={detail} />,
              },
            ]
          : []),
        { title: word("field", "feedback"), status: state(entity.feedback !== null), content: <Feedback id={id} detail={detail} /> },
        {
          title: word("field", "closed"),
          status: state(entity.closed !== null),
          content: (
            <>
              {mark(entity.closed)}
              {can.includes("close_work_order") && (
                <Button size="small" type="primary" loading={busy} onClick={() => void give({ do: "close_work_order", id })}>
                  {t("close.close")}
                </Button>
              )}
              {entity.closed === null && !can.includes("close_work_order") && why && <span className="quiet">{t(why)}</span>}
            </>
          ),
        },
        {
          title: word("field", "archived"),
          status: state(entity.archived !== null),
          content: (
            <>
              {mark(entity.archived)}
              {can.includes("archive_work_order") && (
                <Button size="small" type="primary" loading={busy} onClick={() => void give({ do: "archive_work_order", id })}>
                  {t("close.archive")}
                </Button>
              )}
            </>
          ),
        },
        ...(opinions.length > 0
          ? [
              {
                title: word("field", "opinions"),
                status: state(opinions.every((visit) => entity.opinions[visit.row.doc.id] !== undefined)),
                content: opinions.map((visit) => (
                  <div key={visit.row.doc.id}>
                    <Link to={`/visits/${visit.row.doc.id}`}>{visit.entity.customer_comment}</Link> <span className="quiet">{entity.opinions[visit.row.doc.id]?.text ?? t("close.not_analysed")}</span>
                  </div>
                )),
              },
            ]
          : []),
      ]}
    />
  );
}
