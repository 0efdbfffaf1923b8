import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useHolds } from "../api/queries";
import { Head } from "../ui/parts";
import { Nothing } from "../ui/state";
import { Feeds } from "./connections/feeds";
import { Webhooks } from "./connections/webhooks";

/** What other programs read of the company, and what they are told. */
export default function Connections(): ReactNode {
  const { t } = useTranslation();
  const admin = useHolds("admin");
  const manager = useHolds("admin", "service_manager");
  return (
    <>
      <Head title={t("connections.title")}>
        <span className="quiet">{t("connections.about")}</span>
      </Head>
      {manager ? <Feeds /> : <Nothing>{t("problem.forbidden")}</Nothing>}
      {admin && <Webhooks />}
    </>
  );
}
