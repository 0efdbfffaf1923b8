import { CheckCircleFilled, ClockCircleOutlined, ExclamationCircleFilled } from "@ant-design/icons";
import { Button } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import { useMe, usePeople } from "../../api/queries";
import type { Signoff, WorkOrderDetail } from "../../api/types";
import { stamp } from "../../format";
import { Differences } from "../../ui/value";
import { word } from "../../words";

const ICONS: Record<Signoff["state"], ReactNode> = {
  signed: <CheckCircleFilled style={{ color: "#2f7d4f" }} />,
  voided: <ExclamationCircleFilled style={{ color: "#b26a00" }} />,
  missing: <ClockCircleOutlined style={{ color: "#65757b" }} />,
};

/** The four signatures under form 1, in their order; what was changed under a voided one. */
export function Signoffs({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const me = useMe();
  const people = usePeople();
  const { give, busy } = useCommand(t("order.signed_now"));
  const issued = detail.entity.dispatch.issued !== null;
  const others = detail.signoffs.filter((s) => s.role !== "office_director").every((s) => s.state === "signed");
  return (
    <ol className="signoffs">
      {detail.signoffs.map((place) => {
        const may =
          detail.can.includes("sign_off") &&
          me?.roles.includes(place.role) === true &&
          place.state !== "signed" &&
          (place.role !== "office_director" || others);
        return (
          <li key={place.role}>
            <div className="signoff">
              {ICONS[place.state]}
              <b>{word("role", place.role)}</b>
              <span className="grow quiet">
                {place.by !== null && place.at !== null && `${people.name(place.by)} ${stamp(place.at)}`}
                {place.by === null && (issued ? t("order.unsigned") : t("order.not_issued"))}
              </span>
              {may && (
                <Button
                  type="primary"
                  size="small"
                  loading={busy}
                  onClick={() => void give({ do: "sign_off", id, role: place.role, content: detail.content })}
                >
                  {place.state === "voided" ? t("order.sign_again") : t("order.sign")}
                </Button>
              )}
            </div>
            {place.state === "voided" && (
              <div className="voided">
                <p>{t("order.voided")}</p>
                <Differences diffs={place.changed} />
              </div>
            )}
          </li>
        );
      })}
    </ol>
  );
}
