import { QrcodeOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Modal, Segmented, Select, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useAct } from "../api/act";
import { answer, api } from "../api/client";
import { useHolds, usePeople } from "../api/queries";
import { devices } from "../api/sync";
import type { Device, DeviceCode } from "../api/types";
import { ago, span, time } from "../format";
import { Export } from "../ui/export";
import { useNow } from "../ui/now";
import { Ago, Head, Time } from "../ui/parts";
import { Answered, Nothing } from "../ui/state";
import { useUrl } from "../ui/url";
import "./devices.css";

const SHOWS = ["use", "unsent", "silent", "refused", "revoked"] as const;

/** What stands between a phone and being handed in, in a word. */
export function DeviceState({ device }: { device: Device }): ReactNode {
  const { t } = useTranslation();
  if (device.revoked !== null) return <Tag>{device.wiped ? t("devices.wiped") : t("devices.revoked")}</Tag>;
  if (device.contact === null) return <Tag color="gold">{t("devices.never")}</Tag>;
  if (device.silent) return <Tag color="error">{t("devices.silent")}</Tag>;
  return device.shown.includes("unsent") ? <Tag color="blue">{t("devices.unsent")}</Tag> : <Tag color="green">{t("devices.clear")}</Tag>;
}

/** How far a phone's clock is off. */
export function Offset({ ms }: { ms: number | null }): ReactNode {
  if (ms === null) return "—";
  const off = Math.abs(ms);
  return <span className={off > 120_000 ? "late" : off < 2_000 ? "quiet" : ""}>{off < 2_000 ? "0" : `${ms > 0 ? "−" : "+"}${span(off)}`}</span>;
}

/** An SVG made to stand within a page, as one that stands alone. */
const picture = (svg: string): string => svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ');

/** A code for a person's phone: shown once, as QR and to be typed. */
function Enrol({ close }: { close: () => void }): ReactNode {
  const { t } = useTranslation();
  const { act, busy } = useAct("devices");
  const people = usePeople();
  const [staff, setStaff] = useState<string>();
  const [code, setCode] = useState<DeviceCode>();
  const make = async (): Promise<void> => {
    if (staff === undefined) return;
    const made = await act(() => answer(api.POST("/api/device-codes", { body: { staff } })));
    if (made) setCode(made.answered);
  };
  const phone = people.all.filter((p) => !p.left);
  return (
    <Modal open title={t("devices.enrol")} onCancel={close} width={460} footer={code ? <Button onClick={close}>{t("devices.done")}</Button> : null}>
      {code ? (
        <div className="enrol">
          <img src={`data:image/svg+xml;utf8,${encodeURIComponent(picture(code.qr))}`} alt={t("devices.qr")} width={220} height={220} />
          <p>{t("devices.scan", { who: people.name(staff) })}</p>
          <p className="enrol-code">{code.short_code}</p>
          <p className="quiet">
            {t("devices.server", { url: new URL(code.url).origin })}
            <br />
            {t("devices.expires", { at: time(code.expires), in: ago(code.expires) })}
          </p>
        </div>
      ) : (
        <form
          className="inline"
          onSubmit={(event) => {
            event.preventDefault();
            void make();
          }}
        >
          <Select
            autoFocus
            showSearch={{ optionFilterProp: "label" }}
            style={{ width: 260 }}
            aria-label={t("devices.whose")}
            placeholder={t("devices.whose")}
            value={staff}
            onChange={setStaff}
            options={phone.map((p) => ({ value: p.id, label: `${p.name} ${p.code}` }))}
          />
          <Button type="primary" htmlType="submit" icon={<QrcodeOutlined />} disabled={!staff} loading={busy}>
            {t("devices.make")}
          </Button>
        </form>
      )}
    </Modal>
  );
}

export default function Devices(): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const now = useNow();
  const manager = useHolds("admin", "service_manager");
  const [params, change] = useUrl();
  const [enrolling, setEnrolling] = useState(false);
  const show = SHOWS.find((s) => s === params.get("show")) ?? "use";
  const query = useQuery(devices);
  return (
    <>
      <Head
        title={t("devices.title")}
        actions={
          manager && (
            <Button type="primary" icon={<QrcodeOutlined />} onClick={() => setEnrolling(true)}>
              {t("devices.enrol")}
            </Button>
          )
        }
      >
        <Segmented
          value={show}
          aria-label={t("devices.show")}
          onChange={(value) => change({ show: value === "use" ? undefined : value })}
          options={SHOWS.map((value) => ({ value, label: `${t(`devices.show.${value}`)} ${query.data?.filter((d) => d.shown.includes(value)).length ?? ""}` }))}
        />
        <Export lists={["devices"]} asked={{ status: show }} />
      </Head>
      {enrolling && <Enrol close={() => setEnrolling(false)} />}
      <Answered query={query}>
        {(all) => (
          <Table<Device>
            size="small"
            rowKey="id"
            pagination={{ pageSize: 100, hideOnSinglePage: true }}
            dataSource={all.filter((d) => d.shown.includes(show))}
            locale={{ emptyText: <Nothing>{t("devices.none")}</Nothing> }}
            scroll={{ x: "max-content" }}
            columns={[
              { title: t("devices.code"), render: (_, d) => <Link to={`/devices/${d.id}`}>{d.code}</Link> },
              { title: t("devices.staff"), render: (_, d) => people.name(d.staff), sorter: (a, b) => people.name(a.staff).localeCompare(people.name(b.staff), "zh") },
              { title: t("devices.name"), render: (_, d) => d.name },
              { title: t("devices.state"), render: (_, d) => <DeviceState device={d} /> },
              {
                title: t("devices.contact"),
                render: (_, d) => <Ago at={d.contact} now={now} empty={t("devices.never")} />,
                sorter: (a, b) => (a.contact ?? 0) - (b.contact ?? 0),
              },
              { title: t("devices.changes"), align: "right", render: (_, d) => <Many n={d.unsent_changes} />, sorter: (a, b) => (a.unsent_changes ?? 0) - (b.unsent_changes ?? 0) },
              { title: t("devices.photos"), align: "right", render: (_, d) => <Many n={d.unsent_blobs} /> },
              { title: t("devices.oldest"), render: (_, d) => <Time at={d.oldest_unsent} /> },
              { title: t("devices.refused"), align: "right", render: (_, d) => <Many n={d.refused} /> },
              { title: t("devices.offset"), align: "right", render: (_, d) => <Offset ms={d.offset} /> },
              { title: t("devices.documents"), align: "right", render: (_, d) => d.documents ?? "—" },
              { title: t("devices.app"), render: (_, d) => <span className="quiet">{d.app}</span> },
            ]}
          />
        )}
      </Answered>
    </>
  );
}

function Many({ n }: { n: number | null }): ReactNode {
  if (n === null) return <span className="quiet">—</span>;
  return n === 0 ? <span className="quiet">0</span> : <b>{n}</b>;
}
