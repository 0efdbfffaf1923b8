import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Radio, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../api/command";
import { useMe, usePeople } from "../api/queries";
import { clashes } from "../api/sync";
import type { ClashItem, Kind, Role } from "../api/types";
import { time } from "../format";
import { More } from "../ui/list";
import { DocLink, Head } from "../ui/parts";
import { Failed, Loading, Nothing } from "../ui/state";
import { say, word } from "../words";
import "./clashes.css";
import "./refused/item.css";

/** Whose a kind's clashes are; of the others its authors choose, on their phones. */
const CHOOSERS: Partial<Record<Kind, Role[]>> = {
  customer: ["clerk", "service_manager"],
  work_order: ["clerk", "service_manager"],
  complaint: ["clerk", "service_manager"],
  request: ["clerk"],
  follow_up: ["clerk"],
  appraisal: ["service_manager"],
  settings: ["admin", "service_manager"],
  staff: ["admin"],
};

/** One leaf with several values: who set which when, and the choice. */
function Leaf({ item, clash, may }: { item: ClashItem; clash: ClashItem["clashes"][number]; may: boolean }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const { give, busy } = useCommand(t("clashes.chosen"));
  const [choice, setChoice] = useState<string>();
  const told = (value: (typeof clash.values)[number]): ReactNode => (
    <>
      <b className="pre">{say(value.told)}</b>{" "}
      <span className="quiet">
        {people.name(value.by)} {time(value.at)}
      </span>{" "}
      {value.wins && <Tag>{t("clashes.shown")}</Tag>}
    </>
  );
  return (
    <form
      className="clash-leaf"
      onSubmit={(event) => {
        event.preventDefault();
        if (choice !== undefined) void give({ do: "choose_clash", doc: item.doc, path: clash.path, choice });
      }}
    >
      <h3>{say(clash.label)}</h3>
      {may ? (
        <Radio.Group value={choice} onChange={(event) => setChoice(event.target.value as string)} aria-label={say(clash.label)} options={clash.values.map((value) => ({ value: value.change, label: told(value) }))} />
      ) : (
        <ul className="plain">
          {clash.values.map((value) => (
            <li key={value.change}>{told(value)}</li>
          ))}
        </ul>
      )}
      {may && (
        <Button size="small" type="primary" htmlType="submit" disabled={choice === undefined} loading={busy}>
          {t("clashes.choose")}
        </Button>
      )}
    </form>
  );
}

export default function Clashes(): ReactNode {
  const { t } = useTranslation();
  const me = useMe();
  const query = useInfiniteQuery(clashes);
  const items = query.data?.pages.flatMap((page) => page.rows) ?? [];
  const may = (kind: Kind): boolean => CHOOSERS[kind]?.some((role) => me?.roles.includes(role)) === true;
  return (
    <>
      <Head title={t("clashes.title")}>
        <span className="quiet">{t("clashes.about")}</span>
      </Head>
      {query.isPending && <Loading />}
      {query.isError && <Failed error={query.error} again={() => void query.refetch()} />}
      {query.isSuccess && items.length === 0 && <Nothing>{t("clashes.none")}</Nothing>}
      {items.map((item) => (
        <section key={item.doc.id} className="clash" aria-label={`${word("kind", item.doc.kind)} ${item.number}`}>
          <h2>
            <span>
              {word("kind", item.doc.kind)} <DocLink doc={item.doc}>{item.number || item.title}</DocLink> {item.number && item.title}
            </span>
            {!may(item.doc.kind) && <span className="quiet">{t("clashes.others")}</span>}
          </h2>
          {item.clashes.map((clash) => (
            <Leaf key={clash.path} item={item} clash={clash} may={may(item.doc.kind)} />
          ))}
        </section>
      ))}
      <More query={query} />
    </>
  );
}
