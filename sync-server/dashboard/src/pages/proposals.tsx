import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Segmented, Select, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { proposals, type ProposalShown } from "../api/files";
import { useHolds, usePeople } from "../api/queries";
import { dayOf, money, stamp } from "../format";
import { Export } from "../ui/export";
import { More } from "../ui/list";
import { useNow } from "../ui/now";
import { DocLink, Head } from "../ui/parts";
import { Answered, Nothing } from "../ui/state";
import { useUrl } from "../ui/url";
import { word } from "../words";
import { Decide } from "./proposals/decide";
import { EvidenceList } from "./proposals/evidence";
import "./work-order.css";
import "./proposals.css";

/** Where a proposal may belong: what needs a decision first. */
const PARTS: ProposalShown["part"][] = ["waiting", "unknown", "not_met", "decided"];

function Ruled({ shown }: { shown: ProposalShown }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const ruling = shown.decision?.decision;
  if (!ruling) return null;
  return (
    <div className="ruling">
      <Tag color={ruling.decision === "confirmed" || ruling.decision === "adopted" ? (shown.proposal.rule.startsWith("P") ? "error" : "green") : "default"}>{word("decision", ruling.decision)}</Tag>
      {ruling.severity && <span>{word("severity", ruling.severity)}</span>}
      {ruling.major && <Tag color="gold">{t("proposal.major")}</Tag>}
      {ruling.amount !== 0 && <b>{money(ruling.amount)}</b>}
      <div>{ruling.why.reason}</div>
      <span className="quiet">
        {people.name(ruling.why.by)} {stamp(ruling.why.at)}
      </span>
      {shown.changed_since && <div className="merge">{t("proposal.changed_since")}</div>}
    </div>
  );
}

function One({ shown, decide }: { shown: ProposalShown; decide: (shown: ProposalShown) => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const manager = useHolds("service_manager");
  const { proposal, statements, subject } = shown;
  const name = people.name(proposal.staff) || t("proposal.nobody");
  return (
    <article className={`proposal proposal-${proposal.verdict}`} aria-label={`${name} ${word("rule", proposal.rule)}`}>
      <div>
        <h2>{name}</h2>
        <div>{word("rule", proposal.rule)}</div>
        {proposal.quarter && <div className="quiet">{t("proposal.quarter", { year: proposal.quarter.year, n: proposal.quarter.quarter })}</div>}
        <div className="inline">
          <Tag color={proposal.verdict === "proposed" ? (proposal.rule.startsWith("P") ? "volcano" : "green") : "default"}>{proposal.rule === "R2" && proposal.verdict === "unknown" ? t("suggestion.open") : t(`proposal.verdict.${proposal.verdict}`)}</Tag>
          {proposal.provisional && <Tag color="warning">{t("proposal.provisional")}</Tag>}
        </div>
        {subject && (
          <div>
            <DocLink doc={subject.doc}>{word("kind", subject.doc.kind)}</DocLink> <span className="quiet">{subject.summary.subtitle}</span>
          </div>
        )}
      </div>
      <div>
        <h3>{word("field", "evidence")}</h3>
        <EvidenceList evidence={proposal.evidence} />
      </div>
      <div>
        <h3>{t("proposal.reply")}</h3>
        {statements.length === 0 && <p className="quiet">{t("proposal.no_reply")}</p>}
        {statements.map((said) => (
          <blockquote key={said.doc.id} className="pre reply">
            {said.entity.text} <span className="quiet">{said.entity.written && stamp(said.entity.written.at)}</span>
          </blockquote>
        ))}
      </div>
      <div>
        <Ruled shown={shown} />
        {manager && (
          <Button type={shown.part === "waiting" ? "primary" : "default"} size="small" onClick={() => decide(shown)}>
            {t(shown.decision === null ? "proposal.decide" : "proposal.decide_again")}
          </Button>
        )}
      </div>
    </article>
  );
}

/** The last quarters by their names, the present one first. */
function quarters(today: string): string[] {
  const [year = 0, month = 1] = today.split("-").map(Number);
  const now = year * 4 + Math.floor((month - 1) / 3);
  return Array.from({ length: 8 }, (_, n) => `${Math.floor((now - n) / 4)}Q${((now - n) % 4) + 1}`);
}

export default function Proposals(): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const now = useNow();
  const [params, change] = useUrl();
  const part = PARTS.find((one) => one === params.get("show")) ?? "waiting";
  const [staff, quarter] = [params.get("staff") ?? undefined, params.get("quarter") ?? undefined];
  const query = useInfiniteQuery(proposals({ part, ...(staff ? { staff } : {}), ...(quarter ? { quarter } : {}) }));
  const [deciding, setDeciding] = useState<ProposalShown>();
  const shown = query.data?.pages.flatMap((page) => page.rows) ?? [];
  const counts = query.data?.pages[0]?.counts;
  const count = (one: ProposalShown["part"]): string => (counts ? `${counts[one]}${counts.more ? "+" : ""}` : "…");
  return (
    <>
      {deciding && (
        <Decide
          key={deciding.proposal.key}
          title={`${people.name(deciding.proposal.staff)} · ${word("rule", deciding.proposal.rule)}`}
          proposal={deciding.proposal.key}
          appraisal={deciding.decision_id}
          close={() => setDeciding(undefined)}
        />
      )}
      <Head title={t("proposal.title")}>
        <Segmented
          value={part}
          onChange={(chosen) => change({ show: chosen === "waiting" ? undefined : chosen })}
          options={PARTS.map((one) => ({ value: one, label: t("proposal.part", { name: t(`proposal.${one}`), count: count(one) }) }))}
        />
        <Select
          allowClear
          showSearch={{ optionFilterProp: "label" }}
          style={{ width: 150 }}
          aria-label={t("board.person")}
          placeholder={t("board.everybody")}
          value={staff ?? null}
          onChange={(id: string | null) => change({ staff: id ?? undefined })}
          options={people.technicians.map(({ id, name }) => ({ value: id, label: name }))}
        />
        <Select
          allowClear
          style={{ width: 130 }}
          aria-label={t("proposal.of_quarter")}
          placeholder={t("proposal.of_quarter")}
          value={quarter ?? null}
          onChange={(name: string | null) => change({ quarter: name ?? undefined })}
          options={quarters(dayOf(now)).map((name) => ({ value: name, label: name }))}
        />
        <span className="quiet">{t("proposal.about")}</span>
        <Export lists={["proposals"]} asked={{ person: staff, quarter, status: part }} />
      </Head>
      <Answered query={query}>
        {() => (
          <>
            {shown.length === 0 && <Nothing>{t("proposal.none")}</Nothing>}
            {shown.map((one) => (
              <One key={one.proposal.key} shown={one} decide={setDeciding} />
            ))}
            <More query={query} />
          </>
        )}
      </Answered>
    </>
  );
}
