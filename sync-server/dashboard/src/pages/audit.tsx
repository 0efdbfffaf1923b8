import { SafetyCertificateOutlined } from "@ant-design/icons";
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { Alert, Button, Table } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { answer, api } from "../api/client";
import { told as toldProblem } from "../api/problem";
import { usePeople } from "../api/queries";
import { audit, devices } from "../api/sync";
import type { AuditEntry } from "../api/types";
import { second } from "../format";
import { Export } from "../ui/export";
import { More } from "../ui/list";
import { Head } from "../ui/parts";
import { Failed, Loading } from "../ui/state";

/** The server as an author of entries. */
const NOBODY = "00000000-0000-0000-0000-000000000000";

/** What an entry tells besides, as `name: value` pairs. */
function detail(said: unknown): string {
  if (said === null || typeof said !== "object") return said === null || said === undefined ? "" : JSON.stringify(said);
  return Object.entries(said)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : Array.isArray(value) ? value.join(", ") : JSON.stringify(value)}`)
    .join(" · ");
}

export default function Audit(): ReactNode {
  const { t, i18n } = useTranslation();
  const people = usePeople();
  const phones = useQuery({ ...devices, refetchInterval: false }).data ?? [];
  const query = useInfiniteQuery(audit);
  const verify = useMutation({ mutationFn: () => answer(api.GET("/api/audit/verify")) });
  const rows = query.data?.pages.flatMap((page) => page.rows) ?? [];
  const action = (name: string): string => (i18n.exists(`audit.action.${name}`) ? t(`audit.action.${name}` as "audit.title") : name);
  const subject = (id: string): string => {
    const phone = phones.find((p) => p.id === id);
    return people.name(id) || (phone ? t("order.phone", { code: phone.code }) : id);
  };
  return (
    <>
      <Head
        title={t("audit.title")}
        actions={
          <Button icon={<SafetyCertificateOutlined />} loading={verify.isPending} onClick={() => verify.mutate()}>
            {t("audit.verify")}
          </Button>
        }
      >
        <span className="quiet">{t("audit.about")}</span>
        <Export lists={["audit"]} />
      </Head>
      {verify.isError && <Alert type="error" showIcon className="notice" title={toldProblem(t, verify.error)} />}
      {verify.data && (
        <Alert
          type={verify.data.holds ? "success" : "error"}
          showIcon
          className="notice"
          title={verify.data.holds ? t("audit.holds", { count: verify.data.entries }) : t("audit.broken", { n: verify.data.broken ?? 0 })}
          description={
            <>
              {t("audit.end")} <code>{verify.data.end}</code>
            </>
          }
        />
      )}
      {query.isPending && <Loading />}
      {query.isError && <Failed error={query.error} again={() => void query.refetch()} />}
      {query.isSuccess && (
        <Table<AuditEntry>
          size="small"
          rowKey="n"
          pagination={false}
          dataSource={rows}
          tableLayout="fixed"
          columns={[
            { title: t("audit.n"), align: "right", width: 70, dataIndex: "n" },
            { title: t("audit.at"), width: 160, render: (_, e) => second(e.at) },
            { title: t("audit.by"), width: 110, render: (_, e) => (e.by === NOBODY ? t("order.server") : people.name(e.by)) },
            { title: t("audit.action"), width: 170, render: (_, e) => action(e.action) },
            { title: t("audit.subject"), ellipsis: true, render: (_, e) => subject(e.subject) },
            { title: t("audit.detail"), ellipsis: true, render: (_, e) => detail(e.detail) },
            { title: t("audit.hash"), width: 120, ellipsis: true, render: (_, e) => <code className="quiet">{e.hash.slice(0, 12)}</code> },
          ]}
        />
      )}
      <More query={query} />
    </>
  );
}
