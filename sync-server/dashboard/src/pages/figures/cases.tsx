import { useInfiniteQuery } from "@tanstack/react-query";
import { Drawer, Segmented, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { figureCases, type FigureCase, type FigureName, type FiguresAsked } from "../../api/files";
import { money, span } from "../../format";
import { More } from "../../ui/list";
import { DocLink } from "../../ui/parts";
import { Answered } from "../../ui/state";
import { word } from "../../words";

const COLOURS = { hit: "green", miss: "error", unknown: "default", provisional: "warning" } as const;
const KINDS = ["hit", "miss", "provisional", "unknown"] as const;

/** Figures of which a hit is what one does not want. */
const BAD: FigureName[] = ["repeat_visits", "complaint_rate"];

/** The cases that a figure is summed from: each can be opened and checked. */
export function Cases({ figure, asked, title, close }: { figure: FigureName; asked: FiguresAsked; title: string; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const [only, setOnly] = useState<FigureCase["counted"] | "all">("all");
  const query = useInfiniteQuery(figureCases(figure, asked, only === "all" ? undefined : only));
  const value = (one: FigureCase): string => (one.value === null ? "" : figure === "collection" ? money(one.value) : figure === "complaint_rate" ? String(one.value) : `${one.value < 0 ? "−" : ""}${span(one.value)}`);
  const colour = (counted: FigureCase["counted"]): string => {
    if (!BAD.includes(figure)) return COLOURS[counted];
    return counted === "hit" ? "error" : counted === "miss" ? "green" : COLOURS[counted];
  };
  return (
    <Drawer open title={title} onClose={close} size={640}>
      <Answered query={query}>
        {({ pages }) => {
          const told = pages[0]?.counts ?? {};
          const counts = KINDS.map((kind) => [kind, told[kind] ?? 0] as const).filter(([, count]) => count > 0);
          const all = counts.reduce((sum, [, count]) => sum + count, 0);
          // One job may count more than once.
          const rows = pages.flatMap((page) => page.rows).map((one, key) => ({ ...one, key }));
          return (
            <>
              <Segmented
                size="small"
                value={only}
                onChange={setOnly}
                style={{ marginBottom: 8 }}
                options={[
                  { value: "all", label: t("proposal.part", { name: t("list.all"), count: all }) },
                  ...counts.map(([kind, count]) => ({ value: kind, label: t("proposal.part", { name: t(`figure.counted.${kind}`), count }) })),
                ]}
              />
              <Table<FigureCase & { key: number }>
                size="small"
                rowKey="key"
                dataSource={rows}
                pagination={false}
                locale={{ emptyText: t("figure.no_cases") }}
                columns={[
                  { title: t("col.number"), width: 160, render: (_, one) => <DocLink doc={one.doc}>{one.number || word("kind", one.doc.kind)}</DocLink> },
                  { title: word("field", "customer"), ellipsis: true, render: (_, one) => one.title },
                  { title: t("figure.value"), width: 110, align: "right", render: (_, one) => value(one) },
                  { title: t("figure.counted"), width: 110, render: (_, one) => <Tag color={colour(one.counted)}>{t(`figure.counted.${one.counted}`)}</Tag> },
                ]}
              />
              <More query={query} />
            </>
          );
        }}
      </Answered>
    </Drawer>
  );
}
