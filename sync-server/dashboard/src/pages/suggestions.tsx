import { PlusOutlined } from "@ant-design/icons";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button, Drawer, Segmented, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../api/command";
import { document, list, proposals, useListed } from "../api/files";
import { useHolds, useMe, usePeople } from "../api/queries";
import type { Document } from "../api/types";
import { money, stamp } from "../format";
import { newId } from "../id";
import { Export } from "../ui/export";
import { Dialog, textOf } from "../ui/dialog";
import { Rows, RowTable } from "../ui/list";
import { DocLink, Head, Names, Time } from "../ui/parts";
import { Search } from "../ui/search";
import { Answered } from "../ui/state";
import { TextEditor } from "../ui/text-editor";
import { useUrl } from "../ui/url";
import { word } from "../words";
import { Decide } from "./proposals/decide";
import "./work-order.css";
import "./visit.css";

const STATES = ["open", "adopted", "declined"] as const;
const COLOURS: Record<string, string> = { open: "gold", adopted: "green", declined: "default" };

function StateTag({ state }: { state: string }): ReactNode {
  const { t } = useTranslation();
  return <Tag color={COLOURS[state]}>{state === "open" ? t("suggestion.open") : word("decision", state)}</Tag>;
}

function Detail({ found }: { found: Document<"suggestion"> }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const me = useMe();
  const manager = useHolds("service_manager");
  const { entity, doc, heads, summary } = found;
  const shown = useInfiniteQuery(proposals({ subject: doc.id })).data?.pages[0]?.rows[0];
  const ruling = shown?.decision?.decision;
  const [deciding, setDeciding] = useState(false);
  return (
    <>
      {deciding && <Decide title={entity.title} proposal={`R2:${doc.id}`} appraisal={shown?.decision_id ?? null} close={() => setDeciding(false)} />}
      <dl className="facts">
        <dt>{t("customer.state")}</dt>
        <dd>
          <StateTag state={summary.status} /> {ruling?.major && <Tag color="gold">{t("proposal.major")}</Tag>} {ruling !== undefined && ruling !== null && ruling.amount !== 0 && money(ruling.amount)}
        </dd>
        {ruling && (
          <>
            <dt>{word("field", "decision")}</dt>
            <dd>
              {ruling.why.reason}{" "}
              <span className="quiet">
                {people.name(ruling.why.by)} {stamp(ruling.why.at)}
              </span>
            </dd>
          </>
        )}
        <dt>{t("suggestion.author")}</dt>
        <dd>
          {people.name(entity.author)} <span className="quiet">{entity.written && stamp(entity.written.at)}</span>
        </dd>
        {entity.work_order && (
          <>
            <dt>{word("field", "work_order")}</dt>
            <dd>
              <DocLink doc={{ kind: "work_order", id: entity.work_order }}>{word("kind", "work_order")}</DocLink>
            </dd>
          </>
        )}
      </dl>
      <TextEditor doc={doc} heads={heads} field="text" stands={entity.text} may={entity.author === me?.staff && summary.status === "open"} />
      {manager && (
        <Button type={ruling ? "default" : "primary"} onClick={() => setDeciding(true)}>
          {t(ruling ? "proposal.decide_again" : "proposal.decide")}
        </Button>
      )}
    </>
  );
}

function Opened({ id, close }: { id: string; close: () => void }): ReactNode {
  const query = useQuery(document("suggestion", id));
  return (
    <Drawer open title={query.data?.entity.title ?? word("kind", "suggestion")} onClose={close} size={540}>
      <Answered query={query}>{(found) => <Detail found={found} />}</Answered>
    </Drawer>
  );
}

function Write({ close }: { close: () => void }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("suggestion.sent"));
  const [id] = useState(newId);
  return (
    <Dialog
      title={t("suggestion.new")}
      ok={t("suggestion.send")}
      busy={busy}
      close={close}
      fields={[
        { name: "title", label: word("field", "title"), required: true },
        { name: "text", label: word("field", "text"), kind: "long", required: true },
      ]}
      save={(values) => give({ do: "suggest", id, title: textOf(values.title), text: textOf(values.text), work_order: null })}
    />
  );
}

export default function Suggestions(): ReactNode {
  const { t } = useTranslation();
  const [params, change] = useUrl();
  const [writing, setWriting] = useState(false);
  const state = STATES.find((one) => one === params.get("state"));
  const search = params.get("q");
  const opened = params.get("open");
  const listed = useListed(list({ kind: "suggestion", latest: true, ...(state ? { status: state } : {}), ...(search ? { search } : {}) }));
  return (
    <>
      {writing && <Write close={() => setWriting(false)} />}
      {opened && <Opened key={opened} id={opened} close={() => change({ open: undefined })} />}
      <Head
        title={t("suggestion.title")}
        actions={
          <Button type="primary" icon={<PlusOutlined />} onClick={() => setWriting(true)}>
            {t("suggestion.new")}
          </Button>
        }
      >
        <Segmented
          value={state ?? "all"}
          onChange={(chosen) => change({ state: chosen === "all" ? undefined : chosen })}
          options={[{ value: "all", label: t("list.all") }, ...STATES.map((one) => ({ value: one, label: one === "open" ? t("suggestion.open") : word("decision", one) }))]}
        />
        <Search label={t("suggestion.search")} />
        <Export lists={["suggestions"]} asked={{ status: state, search }} />
      </Head>
      <Rows listed={listed} nothing={t("suggestion.none")}>
        {(rows) => (
          <RowTable
            rows={rows}
            open={(row) => change({ open: row.doc.id })}
            columns={[
              {
                title: word("field", "written"),
                width: 155,
                render: (_, row) => (
                  <Button type="link" size="small" onClick={() => change({ open: row.doc.id })}>
                    <Time at={row.summary.due} />
                  </Button>
                ),
              },
              { title: word("field", "title"), width: 240, render: (_, row) => <b>{row.summary.title}</b> },
              { title: word("field", "text"), ellipsis: true, render: (_, row) => row.summary.subtitle },
              { title: t("suggestion.author"), width: 110, render: (_, row) => <Names ids={row.summary.people} /> },
              { title: t("customer.state"), width: 100, render: (_, row) => <StateTag state={row.summary.status} /> },
            ]}
          />
        )}
      </Rows>
    </>
  );
}
