import { useInfiniteQuery } from "@tanstack/react-query";
import { Switch } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useHolds } from "../api/queries";
import { refused } from "../api/sync";
import { More } from "../ui/list";
import { Head } from "../ui/parts";
import { Answered, Nothing } from "../ui/state";
import { useUrl } from "../ui/url";
import { RefusedItem } from "./refused/item";

export default function Refused(): ReactNode {
  const { t } = useTranslation();
  const manager = useHolds("admin", "service_manager");
  const [params, change] = useUrl();
  const decided = params.has("decided");
  const query = useInfiniteQuery(refused(decided));
  return (
    <>
      <Head title={t("refused.title")}>
        <label>
          <Switch size="small" checked={decided} onChange={(on) => change({ decided: on ? "1" : undefined })} /> {t("refused.show_decided")}
        </label>
        <span className="quiet">{t("refused.about")}</span>
      </Head>
      <Answered query={query}>
        {({ pages }) => {
          const rows = pages.flatMap((page) => page.rows);
          if (rows.length === 0) return <Nothing>{t("refused.none")}</Nothing>;
          return (
            <>
              {rows.map((row) => (
                <RefusedItem key={row.hash} row={row} manager={manager} />
              ))}
              <More query={query} />
            </>
          );
        }}
      </Answered>
    </>
  );
}
