import { Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { VisitDetail } from "../../api/files";
import { usePeople } from "../../api/queries";
import { stamp } from "../../format";
import { Ink } from "../../ui/signature";
import { Differences } from "../../ui/value";
import { word } from "../../words";

const MOOD: Record<string, string> = { very_satisfied: "green", satisfied: "green", neutral: "gold", dissatisfied: "error" };

/** What the customer said with their own hand: acceptance, rating, signature. */
export function Signed({ detail }: { detail: VisitDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { entity, signature } = detail;
  const { acceptance, signature: signed, signature_refused: refused } = entity;
  const reasons = Object.entries(entity.dissatisfaction_reasons).flatMap(([reason, on]) => (on ? [word("dissatisfaction", reason)] : []));
  return (
    <>
      <dl className="facts">
        <dt>{word("field", "acceptance")}</dt>
        <dd>
          {acceptance === null ? (
            <span className="quiet">{t("visit.not_yet")}</span>
          ) : (
            <>
              <Tag color={acceptance.accepted ? "green" : "error"}>{t(acceptance.accepted ? "visit.accepted" : "visit.not_accepted")}</Tag>
              {acceptance.remark} <span className="quiet">{stamp(acceptance.mark.at)}</span>
            </>
          )}
        </dd>
        <dt>{word("field", "satisfaction")}</dt>
        <dd>
          {entity.satisfaction === null ? <span className="quiet">{t("visit.not_yet")}</span> : <Tag color={MOOD[entity.satisfaction] ?? "default"}>{word("satisfaction", entity.satisfaction)}</Tag>}
          {reasons.length > 0 && `${word("field", "dissatisfaction_reasons")} ${reasons.join(t("list.comma"))}`}
        </dd>
      </dl>
      {signed !== null && (
        <figure className={signature === "voided" ? "signed signed-voided" : "signed"}>
          <Ink strokes={signed.strokes} label={t("visit.signed_by", { name: signed.name })} />
          <figcaption>
            <Tag color={signature === "valid" ? "green" : "warning"}>{t(signature === "valid" ? "order.signature.valid" : "order.signature.voided")}</Tag>
            <b>{signed.name}</b>
            <span className="quiet">{stamp(signed.mark.at)}</span>
            <span className="quiet">{t("visit.on_phone_of", { who: people.name(signed.mark.by) })}</span>
          </figcaption>
        </figure>
      )}
      {signature === "voided" && detail.signature_changed.length > 0 && (
        <div className="voided visit-voided">
          <p>{t("order.voided")}</p>
          <Differences diffs={detail.signature_changed} />
        </div>
      )}
      {refused !== null && (
        <p>
          <Tag color="warning">{t("order.signature.refused")}</Tag> {refused.reason}{" "}
          <span className="quiet">
            {people.name(refused.by)} {stamp(refused.at)}
          </span>
        </p>
      )}
      {signed === null && refused === null && <p className="quiet">{t("visit.unsigned")}</p>}
    </>
  );
}
