import { useQuery } from "@tanstack/react-query";
import { Button, Table } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useAct } from "../../api/act";
import { answer, api } from "../../api/client";
import { feeds, type Feed } from "../../api/connections";
import { usePeople } from "../../api/queries";
import { Dialog, textOf } from "../../ui/dialog";
import { Add, Remove } from "../../ui/lines";
import { Once } from "../../ui/once";
import { Time } from "../../ui/parts";
import { Sheet } from "../../ui/sheet";
import { Answered } from "../../ui/state";

/** Technicians' visits as calendars that other programs subscribe to. */
export function Feeds(): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const query = useQuery(feeds);
  const { act, done, busy } = useAct("calendar-feeds");
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<{ staff: string; url: string }>();
  const issue = async (staff: string): Promise<boolean> => {
    const issued = await act(() => answer(api.POST("/api/calendar-feeds", { body: { staff } })));
    if (issued) setMade(issued.answered);
    return issued !== undefined;
  };
  return (
    <Sheet title={t("feeds.title")} actions={<Add open={() => setAdding(true)} />}>
      {adding && (
        <Dialog
          title={t("feeds.new")}
          what={<p className="quiet">{t("feeds.new_what")}</p>}
          ok={t("feeds.make")}
          busy={busy}
          close={() => setAdding(false)}
          fields={[
            { name: "staff", label: t("staff.one"), kind: "select", required: true, options: people.technicians.map(({ id, name, code }) => ({ value: id, label: `${name} ${code}` })) },
          ]}
          save={(values) => issue(textOf(values.staff))}
        />
      )}
      {made && <Once title={t("feeds.address", { who: people.name(made.staff) })} what={t("feeds.once")} value={made.url} close={() => setMade(undefined)} />}
      <p className="quiet">{t("feeds.about")}</p>
      <Answered query={query}>
        {(rows) => (
          <Table<Feed>
            size="small"
            rowKey="staff"
            pagination={false}
            dataSource={rows}
            locale={{ emptyText: t("feeds.none") }}
            columns={[
              { title: t("staff.one"), render: (_, feed) => <b>{people.name(feed.staff)}</b> },
              { title: t("connections.made"), width: 150, render: (_, feed) => <Time at={feed.made} /> },
              { title: t("connections.by"), width: 140, render: (_, feed) => people.name(feed.by) },
              {
                title: "",
                width: 190,
                align: "right",
                render: (_, feed) => (
                  <span className="inline">
                    <Button type="link" size="small" onClick={() => void issue(feed.staff)}>
                      {t("feeds.again")}
                    </Button>
                    <Remove what={people.name(feed.staff)} remove={() => void done(() => api.DELETE("/api/calendar-feeds/{staff}", { params: { path: { staff: feed.staff } } }), t("order.saved"))} />
                  </span>
                ),
              },
            ]}
          />
        )}
      </Answered>
    </Sheet>
  );
}
