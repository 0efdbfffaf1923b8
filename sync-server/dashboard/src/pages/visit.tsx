import { PrinterOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Table, Tag, Timeline } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { useSettings, visit as visitQuery, type VisitDetail } from "../api/files";
import { workOrder } from "../api/jobs";
import { usePeople } from "../api/queries";
import { money, span, stamp, stampOf } from "../format";
import { DocLink, Flags, Head, StageTag } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { Answered } from "../ui/state";
import { say, word } from "../words";
import { Opinion } from "./visit/opinion";
import { Photos } from "./visit/photos";
import { Signed } from "./visit/signed";
import "./work-order.css";
import "./visit.css";

/** What the technician wrote, field by field. */
function Form({ detail }: { detail: VisitDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { entity } = detail;
  const texts = (["service_description", "diagnosis", "resolution", "remarks"] as const).filter((field) => entity[field].trim() !== "");
  return (
    <>
      <dl className="facts visit-result">
        <dt>{word("field", "outcome")}</dt>
        <dd>
          {entity.outcome === null ? (
            <span className="quiet">{t("visit.no_outcome")}</span>
          ) : (
            <>
              <Tag color={entity.outcome === "completed" ? "green" : "error"}>{word("outcome", entity.outcome)}</Tag>
              {entity.incomplete_reason && word("incomplete_reason", entity.incomplete_reason)}
              {entity.outcome_given && (
                <span className="quiet">
                  {" "}
                  {people.name(entity.outcome_given.by)} {stamp(entity.outcome_given.at)}
                </span>
              )}
            </>
          )}
        </dd>
      </dl>
      {texts.length === 0 && <p className="quiet">{t("visit.nothing_written")}</p>}
      {texts.map((field) => (
        <div key={field} className="visit-text">
          <h3>{word("field", field)}</h3>
          <div className="pre">{entity[field]}</div>
        </div>
      ))}
    </>
  );
}

/** 货物检查: the checklist of the company, each line with what was found. */
function Checks({ detail }: { detail: VisitDetail }): ReactNode {
  const { t, i18n } = useTranslation();
  const people = usePeople();
  const settings = useSettings().data;
  const label = (key: string): string => {
    const item = settings?.checklist[key];
    return (i18n.language === "en" ? item?.label_en : item?.label) || word("check", key);
  };
  const asked = Object.entries(settings?.checklist ?? {}).flatMap(([key, item]) => (item.dropped ? [] : [key]));
  const keys = [...new Set([...asked, ...Object.keys(detail.entity.checks)])];
  const photos = (key: string): number => detail.photos.filter((photo) => photo.check === key).length;
  return (
    <ul className="checks">
      {keys.map((key) => {
        const check = detail.entity.checks[key];
        const result = check?.result ?? null;
        return (
          <li key={key}>
            <span>{label(key)}</span>
            {result === null ? <Tag>{t("visit.unchecked")}</Tag> : <Tag color={result === "passed" ? "green" : result === "failed" ? "error" : "default"}>{word("check_result", result)}</Tag>}
            <span className="quiet">
              {[check?.note, check?.mark && `${people.name(check.mark.by)} ${stamp(check.mark.at)}`, photos(key) > 0 && t("visit.check_photos", { count: photos(key) })].filter(Boolean).join(" · ")}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** Parts used, money taken and spent. */
function Goods({ detail }: { detail: VisitDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { entity } = detail;
  const items = Object.entries(entity.items).filter(([, item]) => item.used !== 0 || item.taken_back !== 0);
  const receipts = Object.entries(entity.receipts);
  const expenses = Object.entries(entity.expenses);
  if (items.length + receipts.length + expenses.length === 0) return <p className="quiet">{t("visit.no_goods")}</p>;
  return (
    <>
      {items.length > 0 && (
        <Table
          size="small"
          pagination={false}
          rowKey={([id]) => id}
          dataSource={items}
          columns={[
            { title: word("field", "part_no"), render: (_, [, item]) => item.part_no || "—" },
            { title: t("order.item"), render: (_, [, item]) => item.name },
            { title: word("field", "used"), align: "right", render: (_, [, item]) => `${item.used} ${item.unit}` },
            { title: word("field", "taken_back"), align: "right", render: (_, [, item]) => item.taken_back || "—" },
          ]}
        />
      )}
      {receipts.length > 0 && (
        <>
          <h3>
            {word("field", "receipts")} {money(detail.money.collected)}
          </h3>
          <ul className="plain">
            {receipts.map(([id, receipt]) => (
              <li key={id}>
                <b>{money(receipt.amount)}</b> {word("pay_method", receipt.method)} {receipt.reference}{" "}
                <span className="quiet">
                  {people.name(receipt.mark.by)} {stamp(receipt.mark.at)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      {expenses.length > 0 && (
        <>
          <h3>
            {word("field", "expenses")} {money(detail.money.spent)}
          </h3>
          <ul className="plain">
            {expenses.map(([id, expense]) => (
              <li key={id}>
                <b>{money(expense.amount)}</b> {word("expense_category", expense.category)} {expense.note}{" "}
                <span className="quiet">
                  {people.name(expense.mark.by)} {stamp(expense.mark.at)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** The day on site as it went: moments, notes, talks with the customer. */
function Day({ detail }: { detail: VisitDetail }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { entity, times } = detail;
  const moments = [
    ...detail.events.map((event) => ({
      key: event.id,
      at: event.at,
      by: event.by,
      strong: true,
      what: word("event_kind", event.kind),
      corrected: event.corrected,
      more: event.position ? t("visit.position", { lat: (event.position.lat_e7 / 1e7).toFixed(5), lon: (event.position.lon_e7 / 1e7).toFixed(5), metres: event.position.accuracy_m }) : "",
    })),
    ...Object.entries(entity.notes).map(([key, note]) => ({ key, at: note.mark.at, by: note.mark.by, strong: false, what: word("field", "notes"), corrected: false, more: note.text })),
    ...Object.entries(entity.contacts).map(([key, talk]) => ({
      key,
      at: talk.mark.at,
      by: talk.mark.by,
      strong: false,
      what: `${word("field", "visit.contacts")} · ${word("channel", talk.channel)} ${talk.with}`,
      corrected: false,
      more: talk.summary,
    })),
  ].sort((a, b) => stampOf(a.at).best - stampOf(b.at).best);
  const lengths = [
    times.stay_ms !== null && t("order.stay", { actual: span(times.stay_ms), expected: times.expected_stay_ms === null ? "—" : span(times.expected_stay_ms) }),
    times.work_ms !== null && t("visit.worked", { span: span(times.work_ms) }),
  ].filter(Boolean);
  return (
    <>
      {lengths.length > 0 && <p className="quiet">{lengths.join(" · ")}</p>}
      {moments.length === 0 && <p className="quiet">{t("visit.no_events")}</p>}
      <Timeline
        className="visit-day"
        items={moments.map((one) => ({
          key: one.key,
          color: one.corrected ? "gray" : one.strong ? "green" : "blue",
          content: (
            <>
              <span className="nowrap quiet">{stamp(one.at)}</span> {one.corrected ? <del>{one.what}</del> : <b>{one.what}</b>} <span className="quiet">{people.name(one.by)}</span>
              {one.corrected && <span className="quiet"> {t("visit.corrected")}</span>}
              {one.more && <div className="pre">{one.more}</div>}
            </>
          ),
        }))}
      />
    </>
  );
}

function Shown({ id, detail }: { id: string; detail: VisitDetail }): ReactNode {
  const { t, i18n } = useTranslation();
  const people = usePeople();
  const order = useQuery({ ...workOrder(detail.work_order?.id ?? ""), enabled: detail.work_order !== null }).data;
  const provisional = Object.values(detail.entity.provisional_numbers).filter((number) => number !== detail.number);
  return (
    <>
      <Head
        title={
          <>
            {detail.number || t("order.visit")} <span className="head-name">{detail.row.summary.title}</span>
          </>
        }
        actions={
          <Button icon={<PrinterOutlined />} href={`/api/visits/${id}/print${i18n.language === "en" ? "?lang=en" : ""}`} target="_blank">
            {t("order.print")}
          </Button>
        }
      >
        <StageTag stage={detail.stage} />
        <span>{detail.row.summary.people.map((p) => people.name(p)).join(t("list.comma"))}</span>
        {detail.work_order !== null ? (
          <DocLink doc={detail.work_order}>
            {word("kind", "work_order")} {order?.row.summary.number}
          </DocLink>
        ) : (
          <Tag>{t("visit.unplanned")}</Tag>
        )}
        {detail.entity.request !== null && <DocLink doc={{ kind: "request", id: detail.entity.request }}>{word("kind", "request")}</DocLink>}
        {provisional.length > 0 && (
          <span className="quiet">
            {word("field", "provisional_number")} {provisional.join(t("list.comma"))}
          </span>
        )}
        <Flags flags={detail.row.summary.flags} />
        {detail.row.clashes > 0 && (
          <Link to="/clashes">
            <Tag color="error">{t("order.clashes", { count: detail.row.clashes })}</Tag>
          </Link>
        )}
      </Head>
      {detail.merges.map((said) => (
        <div key={said.en} className="merge visit-merge">
          {say(said)}
        </div>
      ))}
      <div className="order">
        <div>
          <Sheet title={t("visit.form")}>
            <Form detail={detail} />
          </Sheet>
          <Sheet title={word("field", "photos")}>
            <Photos detail={detail} />
          </Sheet>
          <Sheet title={t("visit.goods")}>
            <Goods detail={detail} />
          </Sheet>
        </div>
        <div>
          <Sheet title={t("visit.customer")}>
            <Signed detail={detail} />
            <Opinion id={id} detail={detail} order={order} />
          </Sheet>
          <Sheet title={t("visit.day")}>
            <Day detail={detail} />
          </Sheet>
          <Sheet title={word("field", "checks")}>
            <Checks detail={detail} />
          </Sheet>
        </div>
      </div>
    </>
  );
}

export default function VisitPage(): ReactNode {
  const { id = "" } = useParams();
  const query = useQuery(visitQuery(id));
  return <Answered query={query}>{(detail) => <Shown id={id} detail={detail} />}</Answered>;
}
