import { PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Drawer, Form, Modal, Segmented, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useCommand } from "../api/command";
import { document, list, useListed } from "../api/files";
import { customer as customerFile } from "../api/jobs";
import { useDocuments, useHolds, usePeople } from "../api/queries";
import type { Document } from "../api/types";
import { stamp } from "../format";
import { newId } from "../id";
import { Export } from "../ui/export";
import { useAsk } from "../ui/ask";
import { CustomerPicker } from "../ui/customer-picker";
import { Dialog, oneOf, textOf, wordOf, wordsOf } from "../ui/dialog";
import { Rows, RowTable } from "../ui/list";
import { DocLink, Head, Names, Time } from "../ui/parts";
import { Search } from "../ui/search";
import { Answered } from "../ui/state";
import { TextEditor } from "../ui/text-editor";
import { useUrl } from "../ui/url";
import { word } from "../words";
import "./work-order.css";
import "./visit.css";

const ABOUT = ["other", "late_arrival", "communication", "goods_not_inspected"] as const;
const STATES = ["open", "resolved", "dismissed"] as const;
const COLOURS: Record<string, string> = { open: "error", resolved: "green", dismissed: "default" };

/** Which job, who, and what it is about. */
function File({ customer, close }: { customer: string; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const [, change] = useUrl();
  const { give, busy } = useCommand(t("complaint.filed"));
  const [id] = useState(newId);
  const file = useQuery(customerFile(customer)).data;
  if (!file) return null;
  return (
    <Dialog
      title={t("complaint.of", { name: file.entity.name })}
      ok={t("complaint.file")}
      busy={busy}
      close={close}
      beginning={{ about: "other" }}
      fields={[
        { name: "about", label: word("field", "about"), kind: "select", required: true, options: ABOUT.map((about) => ({ value: about, label: word("complaint_about", about) })) },
        { name: "work_order", label: word("field", "work_order"), kind: "select", options: file.jobs.map((row) => ({ value: row.doc.id, label: `${row.summary.number} ${row.summary.subtitle}` })), help: t("complaint.job_help") },
        { name: "staff", label: word("field", "staff"), kind: "several", options: people.technicians.map(({ id: who, name }) => ({ value: who, label: name })) },
        { name: "description", label: word("field", "description"), kind: "long", required: true },
      ]}
      save={async (values) => {
        const done = await give({
          do: "file_complaint",
          id,
          customer,
          work_order: wordOf(values.work_order),
          staff: wordsOf(values.staff),
          about: oneOf(ABOUT, values.about),
          description: textOf(values.description),
          received: null,
        });
        if (done) change({ new: undefined, open: id });
        return done;
      }}
    />
  );
}

/** Whose complaint it is comes first: it says which jobs can be meant. */
function Whose({ choose, close }: { choose: (customer: string) => void; close: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Modal open title={t("complaint.new")} footer={null} onCancel={close} width={440}>
      <Form layout="vertical">
        <Form.Item label={word("field", "customer")} htmlFor="whose" required>
          <CustomerPicker id="whose" value={undefined} onChange={(customer) => customer !== undefined && choose(customer)} />
        </Form.Item>
      </Form>
    </Modal>
  );
}

function Reply({ id }: { id: string }): ReactNode {
  const people = usePeople();
  const said = useQuery(document("statement", id)).data;
  if (!said) return null;
  return (
    <li>
      <b>{people.name(said.entity.author)}</b> <span className="quiet">{said.entity.written && stamp(said.entity.written.at)}</span>
      <div className="pre">{said.entity.text}</div>
    </li>
  );
}

function Detail({ found }: { found: Document<"complaint"> }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const { entity, doc, heads, summary } = found;
  const replies = useDocuments({ kind: "statement", parent: doc.id, limit: 20 }).data?.rows ?? [];
  const jobs = useQuery({ ...customerFile(entity.customer ?? undefined) }).data?.jobs ?? [];
  const job = jobs.find((row) => row.doc.id === entity.work_order);
  const settled = entity.dismissed ?? entity.resolved;
  const resolve = async (dismiss: boolean): Promise<void> => {
    const reason = await ask({
      title: t(dismiss ? "complaint.dismiss" : "complaint.resolve"),
      what: t(dismiss ? "complaint.dismiss_what" : "complaint.resolve_what"),
      label: t(dismiss ? "ask.reason" : "complaint.how"),
      danger: dismiss,
    });
    if (reason !== undefined) await give({ do: "resolve_complaint", id: doc.id, dismiss, reason });
  };
  return (
    <>
      {question}
      <dl className="facts">
        <dt>{t("customer.state")}</dt>
        <dd>
          <Tag color={COLOURS[summary.status]}>{t(`complaint.${summary.status}` as "complaint.open")}</Tag>
        </dd>
        <dt>{word("field", "customer")}</dt>
        <dd>{entity.customer && <DocLink doc={{ kind: "customer", id: entity.customer }}>{summary.title}</DocLink>}</dd>
        <dt>{word("field", "about")}</dt>
        <dd>{entity.about && word("complaint_about", entity.about)}</dd>
        {entity.work_order && (
          <>
            <dt>{word("field", "work_order")}</dt>
            <dd>
              <DocLink doc={{ kind: "work_order", id: entity.work_order }}>{job?.summary.number ?? word("kind", "work_order")}</DocLink> <span className="quiet">{job?.summary.subtitle}</span>
            </dd>
          </>
        )}
        <dt>{word("field", "staff")}</dt>
        <dd>{summary.people.map((who) => people.name(who)).join(t("list.comma")) || "—"}</dd>
        <dt>{word("field", "received")}</dt>
        <dd>
          {entity.received && stamp(entity.received)} <span className="quiet">{people.name(entity.taken_by)}</span>
        </dd>
        {settled && (
          <>
            <dt>{t(entity.dismissed ? "complaint.dismissed" : "complaint.resolved")}</dt>
            <dd>
              {settled.reason}{" "}
              <span className="quiet">
                {people.name(settled.by)} {stamp(settled.at)}
              </span>
            </dd>
          </>
        )}
      </dl>
      <TextEditor doc={doc} heads={heads} field="description" stands={entity.description} may={desk && settled === null} />
      {replies.length > 0 && (
        <>
          <h3>{t("complaint.replies")}</h3>
          <ul className="plain replies">
            {replies.map((row) => (
              <Reply key={row.doc.id} id={row.doc.id} />
            ))}
          </ul>
        </>
      )}
      <p>
        <Link to="/proposals">{t("complaint.to_proposals")}</Link>
      </p>
      {desk && settled === null && (
        <div className="inline">
          <Button type="primary" loading={busy} onClick={() => void resolve(false)}>
            {t("complaint.resolve")}
          </Button>
          <Button loading={busy} onClick={() => void resolve(true)}>
            {t("complaint.dismiss")}
          </Button>
        </div>
      )}
    </>
  );
}

function Opened({ id, close }: { id: string; close: () => void }): ReactNode {
  const query = useQuery(document("complaint", id));
  return (
    <Drawer open title={word("kind", "complaint")} onClose={close} size={540}>
      <Answered query={query}>{(found) => <Detail found={found} />}</Answered>
    </Drawer>
  );
}

export default function Complaints(): ReactNode {
  const { t } = useTranslation();
  const [params, change] = useUrl();
  const desk = useHolds("clerk", "service_manager");
  const state = params.has("all") ? undefined : (STATES.find((one) => one === params.get("state")) ?? "open");
  const search = params.get("q");
  const [fresh, opened] = [params.get("new"), params.get("open")];
  const listed = useListed(list({ kind: "complaint", latest: state !== "open", ...(state ? { status: state } : {}), ...(search ? { search } : {}) }));
  return (
    <>
      {fresh === "?" && <Whose choose={(customer) => change({ new: customer })} close={() => change({ new: undefined })} />}
      {fresh && fresh !== "?" && <File key={fresh} customer={fresh} close={() => change({ new: undefined })} />}
      {opened && <Opened key={opened} id={opened} close={() => change({ open: undefined })} />}
      <Head
        title={t("complaint.title")}
        actions={
          desk && (
            <Button type="primary" icon={<PlusOutlined />} onClick={() => change({ new: "?" })}>
              {t("complaint.new")}
            </Button>
          )
        }
      >
        <Segmented
          value={state ?? "all"}
          onChange={(chosen) => change({ all: chosen === "all" ? "1" : undefined, state: chosen === "all" || chosen === "open" ? undefined : chosen })}
          options={[...STATES.map((one) => ({ value: one, label: t(`complaint.${one}`) })), { value: "all", label: t("list.all") }]}
        />
        <Search label={t("complaint.search")} />
        <Export lists={["complaints"]} asked={{ status: state, search }} />
      </Head>
      <Rows listed={listed} nothing={t("complaint.none")}>
        {(rows) => (
          <RowTable
            rows={rows}
            open={(row) => change({ open: row.doc.id })}
            columns={[
              {
                title: word("field", "received"),
                width: 155,
                render: (_, row) => (
                  <Button type="link" size="small" onClick={() => change({ open: row.doc.id })}>
                    <Time at={row.summary.due} />
                  </Button>
                ),
              },
              { title: word("field", "customer"), width: 240, render: (_, row) => row.summary.title },
              { title: word("field", "description"), ellipsis: true, render: (_, row) => row.summary.subtitle },
              { title: word("field", "staff"), width: 130, render: (_, row) => <Names ids={row.summary.people} /> },
              { title: t("customer.state"), width: 100, render: (_, row) => <Tag color={COLOURS[row.summary.status]}>{t(`complaint.${row.summary.status}` as "complaint.open")}</Tag> },
            ]}
          />
        )}
      </Rows>
    </>
  );
}
