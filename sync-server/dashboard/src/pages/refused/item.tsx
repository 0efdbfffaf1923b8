import { Button, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useAct } from "../../api/act";
import { api } from "../../api/client";
import { usePeople } from "../../api/queries";
import type { AsideCommand, RefusedRow } from "../../api/types";
import { time } from "../../format";
import { useAsk } from "../../ui/ask";
import { Dialog, textOf, type Values } from "../../ui/dialog";
import { DocLink } from "../../ui/parts";
import { told } from "../../ui/value";
import { say, word } from "../../words";
import { amendment, type Amendment } from "./amend";
import "./item.css";

type AmendCommand = Extract<AsideCommand, { decide: "amend" }>["command"];

/** A refused edit: what the phone wants, what stands, why it was refused, and what the office makes of it. */
export function RefusedItem({ row, manager }: { row: RefusedRow; manager: boolean }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const [ask, question] = useAsk();
  const [amending, setAmending] = useState(false);
  const amended = amendment(row);
  const { done, busy } = useAct();
  const decide = (said: () => Promise<AsideCommand>): Promise<boolean> =>
    done(async () => api.POST("/api/set-aside/{doc}/{hash}", { params: { path: { doc: row.doc.id, hash: row.hash } }, body: (await said()) as never }), t("refused.decided_now"));
  const amend = ({ reason, ...values }: Values, { command }: Amendment): Promise<boolean> =>
    decide(async () => ({ decide: "amend", reason: textOf(reason), command: (await command(values)) as AmendCommand }));
  const choose = async (what: "accept" | "dismiss"): Promise<void> => {
    const reason = await ask({ title: t(`refused.${what}`), what: t(`refused.${what}_what`), ok: t(`refused.${what}`), danger: what === "dismiss" });
    if (reason !== undefined) await decide(() => Promise.resolve({ decide: what, reason }));
  };
  return (
    <section className="refused" aria-label={`${word("kind", row.doc.kind)} ${row.number}`}>
      {question}
      {amending && amended && (
        <Dialog
          title={t("refused.amend")}
          what={<p className="quiet">{t("refused.amend_what")}</p>}
          ok={t("refused.amend")}
          busy={busy}
          close={() => setAmending(false)}
          beginning={amended.beginning}
          fields={[...amended.fields, { name: "reason", label: t("ask.reason"), required: true }]}
          save={(values) => amend(values, amended)}
        />
      )}
      <h2>
        <span>
          {word("kind", row.doc.kind)} <DocLink doc={row.doc}>{row.number || row.title}</DocLink> {row.number && row.title}
        </span>
        <span className="quiet">
          {people.name(row.staff)} · <Link to={`/devices/${row.device}`}>{t("order.phone", { code: row.device_code })}</Link> · {time(row.at)}
        </span>
      </h2>
      <p>
        <Tag color="warning">{say(row.why)}</Tag>
        {row.because_of !== null && <span className="quiet">{t("refused.rests")}</span>}
      </p>
      {row.leaves.length > 0 && (
        <table className="sides">
          <thead>
            <tr>
              <td />
              <th scope="col">{t("refused.mine")}</th>
              <th scope="col">{t("refused.stands")}</th>
            </tr>
          </thead>
          <tbody>
            {row.leaves.map((leaf) => (
              <tr key={leaf.path}>
                <th scope="row">{say(leaf.label)}</th>
                <td>{told(leaf.path, leaf.mine, people)}</td>
                <td>{told(leaf.path, leaf.stands, people)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {row.decided ? (
        <p className="quiet">
          {t(`refused.verdict.${row.decided.verdict as "accepted" | "amended" | "dismissed"}`)} · {people.name(row.decided.by)} {time(row.decided.at)} · {row.decided.reason}
        </p>
      ) : (
        manager && (
          <div className="inline">
            <Button type="primary" loading={busy} disabled={row.because_of !== null} onClick={() => void choose("accept")}>
              {t("refused.accept")}
            </Button>
            {amended && (
              <Button loading={busy} onClick={() => setAmending(true)}>
                {t("refused.amend")}
              </Button>
            )}
            <Button danger loading={busy} onClick={() => void choose("dismiss")}>
              {t("refused.dismiss")}
            </Button>
          </div>
        )
      )}
    </section>
  );
}
