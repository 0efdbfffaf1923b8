import { Button } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Listed } from "../api/files";
import type { Row } from "../api/types";
import { Failed, Loading, Nothing } from "./state";

/** A list's rows as far as they were asked for, and the way to more. */
export function Rows({ listed, nothing, children }: { listed: Listed; nothing: string; children: (rows: Row[]) => ReactNode }): ReactNode {
  const { t } = useTranslation();
  if (listed.rows === undefined) return listed.query.isError ? <Failed error={listed.query.error} again={() => void listed.query.refetch()} /> : <Loading />;
  if (listed.rows.length === 0) return <Nothing>{nothing}</Nothing>;
  return (
    <>
      {children(listed.rows)}
      {listed.more && (
        <Button style={{ marginTop: 8 }} loading={listed.busy} onClick={listed.more}>
          {t("list.more")}
        </Button>
      )}
    </>
  );
}
