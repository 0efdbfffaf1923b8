import { useQuery } from "@tanstack/react-query";
import { Button, DatePicker, Select, Segmented, Table, Tooltip } from "antd";
import dayjs from "dayjs";
import { lazy, Suspense, useMemo, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { FIGURES, figures as figuresQuery, trend as trendQuery, type FigureName, type Figures as All, type FiguresAsked } from "../api/files";
import { usePeople } from "../api/queries";
import { dayOf } from "../format";
import { Export } from "../ui/export";
import { useNow } from "../ui/now";
import { Head } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { Answered, Loading } from "../ui/state";
import { useUrl } from "../ui/url";
import { Cases } from "./figures/cases";
import { denominatorOf, numeratorOf, plotted, valueOf } from "./figures/shown";
import "./work-order.css";
import "./visit.css";
import "./figures.css";

// Drawing is a large library: it comes after the figures.
const Chart = lazy(() => import("../ui/chart"));

const PERIODS = ["quarter", "last_quarter", "year", "twelve_months"] as const;
type Period = (typeof PERIODS)[number];

/** First and last day of a period that ends now or ended last. */
function days(period: Period, today: string): { from: string; to: string } {
  const now = dayjs(today);
  const quarter = now.startOf("month").subtract(now.month() % 3, "month");
  const day = (at: dayjs.Dayjs): string => at.format("YYYY-MM-DD");
  switch (period) {
    case "quarter":
      return { from: day(quarter), to: today };
    case "last_quarter":
      return { from: day(quarter.subtract(3, "month")), to: day(quarter.subtract(1, "day")) };
    case "year":
      return { from: day(now.startOf("year")), to: today };
    case "twelve_months":
      return { from: day(now.startOf("month").subtract(11, "month")), to: today };
  }
}

/** One figure over the months or quarters: a drawing, and the same as a table. */
function Trend({ figure, asked, by }: { figure: FigureName; asked: FiguresAsked; by: "month" | "quarter" }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(trendQuery({ ...asked, by }));
  const data = query.data;
  const unit = data?.[0]?.figures[figure].unit;
  const name = t(`figure.${figure}`);
  const axis = unit === "milliseconds" ? t("figure.hours") : unit === "rate" ? t("figure.per_job") : "%";
  const option = useMemo(
    () => ({
      animation: false,
      color: ["#0b5c6b"],
      grid: { left: 48, right: 16, top: 28, bottom: 26 },
      // Drawn into the canvas: the page's policy lets no styles in by markup.
      tooltip: { trigger: "axis", renderMode: "richText", confine: true },
      xAxis: { type: "category", data: data?.map((one) => one.period) ?? [], axisLabel: { color: "#4a5b61" } },
      yAxis: { type: "value", name: axis, nameTextStyle: { color: "#4a5b61" }, axisLabel: { color: "#4a5b61" }, ...(axis === "%" && unit !== "fen" ? { min: 0, max: 100 } : {}) },
      series: [{ name, type: "line", symbolSize: 7, lineStyle: { width: 2 }, connectNulls: false, data: data?.map((one) => plotted(one.figures[figure])) ?? [] }],
    }),
    [data, figure, name, axis, unit],
  );
  return (
    <Answered query={query}>
      {(periods) => (
        <>
          <Suspense fallback={<Loading />}>
            <Chart option={option} label={t("figure.chart", { name })} />
          </Suspense>
          <div className="trend-table" tabIndex={0} role="region" aria-label={t("figure.chart", { name })}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{t("figure.period")}</th>
                  {periods.map((one) => (
                    <th key={one.period} scope="col">
                      {one.period}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                <tr>
                  <th scope="row">{t("figure.value")}</th>
                  {periods.map((one) => (
                    <td key={one.period}>
                      <b>{valueOf(one.figures[figure])}</b>
                    </td>
                  ))}
                </tr>
                <tr className="quiet">
                  <th scope="row">{t("figure.out_of")}</th>
                  {periods.map((one) => (
                    <td key={one.period}>
                      {numeratorOf(one.figures[figure])} / {denominatorOf(one.figures[figure])}
                    </td>
                  ))}
                </tr>
                <tr className="quiet">
                  <th scope="row">{t("figure.unknown")}</th>
                  {periods.map((one) => (
                    <td key={one.period}>{one.figures[figure].unknown}</td>
                  ))}
                </tr>
              </tbody>
            </table>
          </div>
        </>
      )}
    </Answered>
  );
}

/** The same figure of each technician. */
function ByTechnician({ figure, all, open }: { figure: FigureName; all: Record<string, All>; open: (staff: string) => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const rows = Object.entries(all).map(([staff, figures]) => ({ staff, figure: figures[figure] }));
  return (
    <Table
      size="small"
      pagination={rows.length > 30 ? { pageSize: 30, size: "small", showSizeChanger: false } : false}
      rowKey="staff"
      dataSource={rows}
      locale={{ emptyText: t("figure.no_cases") }}
      columns={[
        { title: t("board.person"), render: (_, row) => people.name(row.staff) },
        {
          title: t("figure.value"),
          align: "right",
          sorter: (a, b) => (plotted(a.figure) ?? -1e9) - (plotted(b.figure) ?? -1e9),
          render: (_, row) => <b>{valueOf(row.figure)}</b>,
        },
        {
          title: t("figure.out_of"),
          align: "right",
          render: (_, row) => (
            <Button type="link" size="small" onClick={() => open(row.staff)}>
              {numeratorOf(row.figure)} / {denominatorOf(row.figure)}
            </Button>
          ),
        },
        { title: t("figure.unknown"), align: "right", render: (_, row) => row.figure.unknown },
        { title: t("figure.provisional"), align: "right", render: (_, row) => row.figure.provisional },
      ]}
    />
  );
}

export default function Figures(): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const today = dayOf(useNow());
  const [params, change] = useUrl();
  const [cases, setCases] = useState<{ figure: FigureName; staff: string | undefined }>();
  const [from, to] = [params.get("from"), params.get("to")];
  const period = PERIODS.find((one) => one === params.get("period")) ?? "quarter";
  const staff = params.get("staff") ?? undefined;
  const figure = FIGURES.find((one) => one === params.get("figure")) ?? "first_time_fix";
  const span = from && to ? { from, to } : days(period, today);
  const asked: FiguresAsked = { ...span, ...(staff ? { staff } : {}) };
  const query = useQuery(figuresQuery(asked));
  const by = params.get("by") === "quarter" ? "quarter" : "month";
  // A trend of one month is no trend: at least a year is drawn.
  const year = dayjs(span.to).startOf("month").subtract(11, "month").format("YYYY-MM-DD");
  const drawn: FiguresAsked = { ...asked, from: span.from < year ? span.from : year };
  return (
    <>
      {cases && (
        <Cases
          figure={cases.figure}
          asked={{ ...span, ...(cases.staff ? { staff: cases.staff } : {}) }}
          title={`${t(`figure.${cases.figure}`)}${cases.staff ? ` · ${people.name(cases.staff)}` : ""}`}
          close={() => setCases(undefined)}
        />
      )}
      <Head title={t("figure.title")}>
        <Segmented
          value={from && to ? "" : period}
          onChange={(chosen) => change({ period: chosen === "quarter" ? undefined : chosen, from: undefined, to: undefined })}
          options={PERIODS.map((one) => ({ value: one, label: t(`figure.period.${one}`) }))}
        />
        <DatePicker.RangePicker
          value={[dayjs(span.from), dayjs(span.to)]}
          allowClear={false}
          onChange={(range) => {
            const [first, last] = range ?? [];
            if (first && last) change({ from: first.format("YYYY-MM-DD"), to: last.format("YYYY-MM-DD") });
          }}
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
        <Export lists={["figures"]} asked={{ from: span.from, to: span.to, person: staff }} />
      </Head>
      <Answered query={query}>
        {(found) => (
          <div className="order">
            <div>
              <Table<FigureName>
                size="small"
                className="clickable-rows figures"
                pagination={false}
                rowKey={(name) => name}
                dataSource={[...FIGURES]}
                rowClassName={(name) => (name === figure ? "ant-table-row-selected" : "")}
                onRow={(name) => ({ onClick: () => change({ figure: name }) })}
                columns={[
                  {
                    title: t("figure.name"),
                    render: (_, name) => (
                      <Tooltip title={t(`figure.how.${name}`)} placement="topLeft">
                        <Button type="link" size="small" onClick={() => change({ figure: name })}>
                          {t(`figure.${name}`)}
                        </Button>
                      </Tooltip>
                    ),
                  },
                  { title: t("figure.value"), align: "right", width: 140, render: (_, name) => <b className="figure-value">{valueOf(found.all[name])}</b> },
                  {
                    title: t("figure.numerator"),
                    align: "right",
                    width: 120,
                    render: (_, name) => numeratorOf(found.all[name]),
                  },
                  { title: t("figure.denominator"), align: "right", width: 110, render: (_, name) => denominatorOf(found.all[name]) },
                  { title: t("figure.unknown"), align: "right", width: 80, render: (_, name) => (found.all[name].unknown > 0 ? <b>{found.all[name].unknown}</b> : 0) },
                  { title: t("figure.provisional"), align: "right", width: 80, render: (_, name) => found.all[name].provisional },
                  {
                    title: t("figure.cases"),
                    width: 80,
                    render: (_, name) => (
                      <Button
                        type="link"
                        size="small"
                        aria-label={`${t(`figure.${name}`)} ${t("figure.cases")}`}
                        onClick={(event) => {
                          event.stopPropagation();
                          setCases({ figure: name, staff });
                        }}
                      >
                        {t("figure.open")}
                      </Button>
                    ),
                  },
                ]}
              />
              <p className="quiet">{t("figure.about")}</p>
            </div>
            <div>
              <Sheet
                title={t(`figure.${figure}`)}
                actions={
                  <Segmented
                    size="small"
                    value={by}
                    onChange={(chosen) => change({ by: chosen === "month" ? undefined : chosen })}
                    options={[
                      { value: "month", label: t("figure.month") },
                      { value: "quarter", label: t("figure.by_quarter") },
                    ]}
                  />
                }
              >
                <p className="quiet">{t(`figure.how.${figure}`)}</p>
                <Trend figure={figure} asked={drawn} by={by} />
              </Sheet>
              {!staff && (
                <Sheet title={t("figure.by_technician")}>
                  <ByTechnician figure={figure} all={found.by_technician} open={(who) => setCases({ figure, staff: who })} />
                </Sheet>
              )}
            </div>
          </div>
        )}
      </Answered>
    </>
  );
}
