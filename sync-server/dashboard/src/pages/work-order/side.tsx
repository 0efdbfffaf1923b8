import { useQuery } from "@tanstack/react-query";
import { Button, InputNumber, Input, Tag, Timeline } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useCommand } from "../../api/command";
import { timeline } from "../../api/jobs";
import { usePeople } from "../../api/queries";
import type { WorkOrderDetail } from "../../api/types";
import { money, span, stamp, time } from "../../format";
import { newId } from "../../id";
import { StageTag } from "../../ui/parts";
import { Answered } from "../../ui/state";
import { Differences } from "../../ui/value";
import { say, word } from "../../words";

/** The server as an author: it writes final numbers. */
const SERVER = "0e517e00-0000-7000-8000-000000000003";

/** A job's money: what goes out with the technician, and what is to come back. */
export function MoneyOf({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { give, busy } = useCommand(t("order.saved"));
  const [amount, setAmount] = useState<number | null>(null);
  const [what, setWhat] = useState("");
  const m = detail.money;
  const book = async (): Promise<void> => {
    const fen = Math.round((amount ?? 0) * 100);
    if (await give({ do: "book", id, booking: newId(), receipt: null, amount: fen, what: what.trim() })) {
      setAmount(null);
      setWhat("");
    }
  };
  return (
    <>
      <dl className="sums">
        <dt>{word("field", "cash_advance")}</dt>
        <dd>
          {m.cash_advance > 0 && <Tag color={m.advance_paid ? "green" : "gold"}>{m.advance_paid ? t("order.paid") : t("order.unpaid")}</Tag>} {money(m.cash_advance)}
        </dd>
        <dt>{t("order.spent")}</dt>
        <dd>{money(m.spent)}</dd>
        <dt>{word("field", "balance_to_collect")}</dt>
        <dd>{money(m.balance_to_collect)}</dd>
        <dt>{t("order.collected")}</dt>
        <dd>{money(m.collected)}</dd>
        <dt>{t("order.remaining")}</dt>
        <dd className={m.remaining > 0 ? "strong" : ""}>{money(m.remaining)}</dd>
        <dt>{t("order.booked")}</dt>
        <dd>{money(m.booked)}</dd>
      </dl>
      {Object.entries(detail.entity.bookings).map(([key, b]) => (
        <div key={key} className="quiet">
          {money(b.amount)} {b.what} · {people.name(b.mark.by)} {stamp(b.mark.at)}
        </div>
      ))}
      {detail.can.includes("pay_advance") && (
        <Button size="small" type="primary" loading={busy} onClick={() => void give({ do: "pay_advance", id })}>
          {t("order.pay_advance", { amount: money(m.cash_advance) })}
        </Button>
      )}
      {detail.can.includes("book") && (
        <form
          className="inline"
          onSubmit={(event) => {
            event.preventDefault();
            void book();
          }}
        >
          <InputNumber aria-label={word("field", "amount")} placeholder={word("field", "amount")} prefix="¥" precision={2} value={amount} onChange={setAmount} style={{ width: 120 }} />
          <Input aria-label={t("order.book_what")} placeholder={t("order.book_what")} value={what} onChange={(event) => setWhat(event.target.value)} />
          <Button htmlType="submit" disabled={!amount || !what.trim()} loading={busy}>
            {t("order.book")}
          </Button>
        </form>
      )}
    </>
  );
}

/** What happened on site, a visit a line. */
export function Visits({ detail }: { detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  if (detail.visits.length === 0) return <p className="quiet">{t("order.no_visits")}</p>;
  return (
    <ul className="visits">
      {detail.visits.map((visit) => {
        const { arrived, departed, stay_ms, expected_stay_ms } = visit.times;
        return (
          <li key={visit.row.doc.id}>
            <div className="inline">
              <Link to={`/visits/${visit.row.doc.id}`}>{visit.number || t("order.visit")}</Link>
              <StageTag stage={visit.stage} />
              {visit.entity.outcome === "incomplete" && visit.entity.incomplete_reason && <Tag>{word("incomplete_reason", visit.entity.incomplete_reason)}</Tag>}
              {visit.entity.satisfaction && <Tag>{word("satisfaction", visit.entity.satisfaction)}</Tag>}
              {visit.signature !== "none" && <Tag color={visit.signature === "valid" ? "green" : "warning"}>{t(`order.signature.${visit.signature}`)}</Tag>}
            </div>
            <div className="quiet">
              {visit.row.summary.people.map((p) => people.name(p)).join(t("list.comma"))}{" "}
              {arrived && t("order.arrived", { at: stamp(arrived) })} {departed && t("order.departed", { at: stamp(departed) })}{" "}
              {stay_ms !== null && t("order.stay", { actual: span(stay_ms), expected: expected_stay_ms === null ? "—" : span(expected_stay_ms) })}
            </div>
            {visit.entity.resolution && <div className="pre">{visit.entity.resolution}</div>}
            {visit.merges.map((said) => (
              <div key={said.en} className="merge">
                {say(said)}
              </div>
            ))}
            {visit.signature === "voided" && <Differences diffs={visit.signature_changed} />}
          </li>
        );
      })}
    </ul>
  );
}

/** Everything that happened to the job, newest first. */
export function History({ id }: { id: string }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const query = useQuery(timeline(id));
  return (
    <Answered query={query}>
      {(items) => (
        <div className="history" tabIndex={0} role="region" aria-label={t("order.history")}>
        <Timeline
          items={[...items].reverse().map((item) => ({
            key: item.hash,
            color: item.device_code === null ? "gray" : "blue",
            content: (
              <>
                <span className="quiet nowrap">{time(item.at)}</span> <b>{item.by === SERVER ? t("order.server") : people.name(item.by)}</b>{" "}
                <span className="quiet">
                  {word("kind", item.doc.kind)}
                  {item.device_code !== null && ` · ${t("order.phone", { code: item.device_code })}`}
                </span>
                <div>{item.labels.map(say).join(t("list.comma"))}</div>
                {item.received - item.at > 60_000 && <div className="quiet">{t("order.received", { at: time(item.received) })}</div>}
              </>
            ),
          }))}
        />
        </div>
      )}
    </Answered>
  );
}
