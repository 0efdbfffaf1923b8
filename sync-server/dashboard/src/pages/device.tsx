import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Table, Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { api } from "../api/client";
import { told } from "../api/problem";
import { useHolds, usePeople } from "../api/queries";
import { device as deviceQuery } from "../api/sync";
import type { DeviceDetail, SyncNote } from "../api/types";
import { bytes, second } from "../format";
import { useNow } from "../ui/now";
import { Ago, Head, Time } from "../ui/parts";
import { Answered, Nothing } from "../ui/state";
import { DeviceState, Offset } from "./devices";
import { RefusedItem } from "./refused/item";
import "./devices.css";

function Facts({ detail }: { detail: DeviceDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const now = useNow();
  const { device: d } = detail;
  const facts: [string, ReactNode][] = [
    [t("devices.staff"), people.name(d.staff)],
    [t("devices.contact"), <Ago key="" at={d.contact} now={now} empty={t("devices.never")} />],
    [t("devices.changes"), d.unsent_changes ?? "—"],
    [t("devices.photos"), d.unsent_blobs ?? "—"],
    [t("devices.oldest"), <Time key="" at={d.oldest_unsent} />],
    [t("devices.offset"), <Offset key="" ms={d.offset} />],
    [t("devices.documents"), d.documents ?? "—"],
    [t("devices.behind"), d.behind ?? "—"],
    [t("devices.app"), d.app || "—"],
    [t("devices.enrolled"), <Time key="" at={d.enrolled} />],
    ...(d.revoked === null ? [] : ([[t("devices.revoked_at"), <Time key="" at={d.revoked} />]] as [string, ReactNode][])),
  ];
  return (
    <dl className="device-facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Revoke({ detail }: { detail: DeviceDetail }): ReactNode {
  const { t } = useTranslation();
  const { modal, message } = App.useApp();
  const client = useQueryClient();
  const people = usePeople();
  const { id, code, staff, unsent_changes, unsent_blobs } = detail.device;
  const held = (unsent_changes ?? 0) + (unsent_blobs ?? 0);
  const revoke = useMutation({
    mutationFn: () => api.POST("/api/devices/{id}/revoke", { params: { path: { id } } }),
    onError: (error) => void message.error(told(t, error)),
    onSettled: () => client.invalidateQueries(),
  });
  return (
    <Button
      danger
      loading={revoke.isPending}
      onClick={() =>
        void modal.confirm({
          title: t("devices.revoke_title", { code, who: people.name(staff) }),
          content: held > 0 ? t("devices.revoke_unsent", { count: held }) : t("devices.revoke_what"),
          okText: t("devices.revoke"),
          okButtonProps: { danger: true },
          cancelText: t("ask.cancel"),
          onOk: () => revoke.mutateAsync().catch(() => undefined),
        })
      }
    >
      {t("devices.revoke")}
    </Button>
  );
}

export default function DevicePage(): ReactNode {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const manager = useHolds("admin", "service_manager");
  const query = useQuery(deviceQuery(id));
  return (
    <Answered query={query}>
      {(detail) => (
        <>
          <Head title={`${t("devices.one")} ${detail.device.code}`} actions={manager && detail.device.revoked === null && <Revoke detail={detail} />}>
            <DeviceState device={detail.device} />
            <span className="quiet">{detail.device.name}</span>
            <Link to="/devices">{t("devices.all")}</Link>
          </Head>
          <Facts detail={detail} />
          {detail.refused.map((row) => (
            <RefusedItem key={row.hash} row={row} manager={manager} />
          ))}
          <h2 className="part">{t("devices.log")}</h2>
          <Table<SyncNote>
            size="small"
            rowKey="at"
            pagination={false}
            dataSource={detail.syncs}
            locale={{ emptyText: <Nothing>{t("devices.no_syncs")}</Nothing> }}
            columns={[
              { title: t("devices.at"), render: (_, s) => second(s.at) },
              { title: t("devices.came"), render: (_, s) => (s.error === "" ? <Tag color="green">{t("devices.well")}</Tag> : <Tag color="error">{s.error}</Tag>) },
              { title: t("devices.pushed"), align: "right", dataIndex: "pushed" },
              { title: t("devices.accepted"), align: "right", dataIndex: "accepted" },
              { title: t("devices.refused"), align: "right", render: (_, s) => (s.refused > 0 ? <b>{s.refused}</b> : 0) },
              { title: t("devices.delivered"), align: "right", dataIndex: "delivered" },
              { title: t("devices.left"), align: "right", dataIndex: "unsent" },
              { title: t("devices.bytes_in"), align: "right", render: (_, s) => bytes(s.bytes_in) },
              { title: t("devices.bytes_out"), align: "right", render: (_, s) => bytes(s.bytes_out) },
              { title: t("devices.offset"), align: "right", render: (_, s) => <Offset ms={s.offset} /> },
              { title: t("devices.app"), render: (_, s) => <span className="quiet">{s.app}</span> },
            ]}
          />
        </>
      )}
    </Answered>
  );
}
