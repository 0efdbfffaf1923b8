import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button, Drawer, Popconfirm, Switch, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import all from "virtual:enum/WebhookEvent";
import { useAct } from "../../api/act";
import { answer, api } from "../../api/client";
import { deliveries, webhooks, type Delivery, type Webhook } from "../../api/connections";
import { Dialog, textOf, wordsOf } from "../../ui/dialog";
import { Add, Edit, Remove } from "../../ui/lines";
import { More } from "../../ui/list";
import { Once } from "../../ui/once";
import { Ago, DocLink, Time } from "../../ui/parts";
import { Sheet } from "../../ui/sheet";
import { Answered } from "../../ui/state";
import { word } from "../../words";

/** What can be told; a ping is no event. */
const EVENTS = all.filter((event) => event !== "ping");

const path = (id: string) => ({ params: { path: { id } } });

/** Whether its receiver takes what it is told. */
function State({ hook }: { hook: Webhook }): ReactNode {
  const { t } = useTranslation();
  if (hook.off !== null) return <Tag color="error">{t(`webhook.off.${hook.off as "failing" | "gone"}`)}</Tag>;
  if (!hook.enabled) return <Tag>{t("webhook.disabled")}</Tag>;
  if (hook.failing_since === null) return <Tag color="green">{t("webhook.well")}</Tag>;
  return (
    <>
      <Tag color="warning">{t("webhook.failing", { count: hook.tries })}</Tag>
      <span className="quiet">
        {t("webhook.next")} <Ago at={hook.next_try} />
      </span>
    </>
  );
}

/** What a webhook sent, and what came of it. */
function Sent({ hook, close }: { hook: Webhook; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const query = useInfiniteQuery(deliveries(hook.id));
  const { done, busy } = useAct("webhooks");
  const again = (n: number): Promise<boolean> => done(() => api.POST("/api/webhooks/{id}/deliveries/{n}/redeliver", { params: { path: { id: hook.id, n } } }), t("webhook.sent_again"));
  return (
    <Drawer open title={t("webhook.sent", { url: hook.url })} onClose={close} size={920}>
      <Answered query={query}>
        {({ pages }) => (
          <>
            <Table<Delivery>
              size="small"
              rowKey="n"
              pagination={false}
              dataSource={pages.flatMap((page) => page.rows)}
              locale={{ emptyText: t("webhook.nothing_sent") }}
              columns={[
                { title: t("devices.at"), width: 140, render: (_, one) => <Time at={one.at} /> },
                { title: t("webhook.event"), width: 170, render: (_, one) => (one.doc ? <DocLink doc={one.doc}>{t(`webhook.event.${one.event}`)}</DocLink> : t(`webhook.event.${one.event}`)) },
                { title: t("webhook.attempt"), width: 70, align: "right", dataIndex: "attempt" },
                { title: t("webhook.answer"), width: 100, render: (_, one) => <Tag color={one.taken ? "green" : "error"}>{one.status ?? t("webhook.no_answer")}</Tag> },
                { title: t("webhook.took"), width: 80, align: "right", render: (_, one) => `${one.took_ms} ms` },
                { title: t("webhook.said"), ellipsis: true, render: (_, one) => <span title={one.answer}>{one.answer}</span> },
                {
                  title: "",
                  width: 110,
                  render: (_, one) => (
                    <Button type="link" size="small" loading={busy} onClick={() => void again(one.n)}>
                      {t("webhook.again")}
                    </Button>
                  ),
                },
              ]}
            />
            <More query={query} />
          </>
        )}
      </Answered>
    </Drawer>
  );
}

/** What an ERP or another program is told, as it happens. */
export function Webhooks(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(webhooks);
  const { act, done, busy } = useAct("webhooks");
  const [editing, setEditing] = useState<Webhook | "new">();
  const [shown, setShown] = useState<string>();
  const [secret, setSecret] = useState<{ url: string; secret: string }>();
  const edited = editing === "new" ? undefined : editing;
  const tell = async (work: () => Promise<{ hook: Webhook; secret: string }>): Promise<boolean> => {
    const made = await act(work);
    if (made) setSecret({ url: made.answered.hook.url, secret: made.answered.secret });
    return made !== undefined;
  };
  const ping = async (id: string): Promise<void> => {
    // What came of it is in the list.
    if (await done(() => api.POST("/api/webhooks/{id}/ping", path(id)))) setShown(id);
  };
  return (
    <Sheet title={t("webhook.title")} actions={<Add open={() => setEditing("new")} />}>
      {editing !== undefined && (
        <Dialog
          title={t(edited ? "webhook.edit" : "webhook.new")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={{ url: edited?.url ?? "https://", events: edited?.events ?? [], note: edited?.note ?? "" }}
          fields={[
            { name: "url", label: t("webhook.url"), required: true, help: t("webhook.url_help") },
            { name: "events", label: t("webhook.events"), kind: "several", required: true, options: EVENTS.map((event) => ({ value: event, label: t(`webhook.event.${event}`) })) },
            { name: "note", label: t("webhook.note") },
          ]}
          save={(values) => {
            const said = { url: textOf(values.url), events: EVENTS.filter((event) => wordsOf(values.events).includes(event)), note: textOf(values.note) };
            return edited
              ? done(() => api.PATCH("/api/webhooks/{id}", { ...path(edited.id), body: said as never }), t("order.saved"))
              : tell(() => answer(api.POST("/api/webhooks", { body: said })));
          }}
        />
      )}
      {secret && <Once title={t("webhook.secret", { url: secret.url })} what={t("webhook.once")} value={secret.secret} close={() => setSecret(undefined)} />}
      <p className="quiet">{t("webhook.about")}</p>
      <Answered query={query}>
        {(rows) => (
          <>
            {rows.filter((hook) => hook.id === shown).map((hook) => (
              <Sent key={hook.id} hook={hook} close={() => setShown(undefined)} />
            ))}
            <Table<Webhook>
              size="small"
              rowKey="id"
              pagination={false}
              dataSource={rows}
              locale={{ emptyText: t("webhook.none") }}
              columns={[
                {
                  title: t("webhook.url"),
                  ellipsis: true,
                  render: (_, hook) => (
                    <>
                      <b title={hook.url}>{hook.url}</b>
                      {hook.note && (
                        <>
                          <br />
                          <span className="quiet">{hook.note}</span>
                        </>
                      )}
                    </>
                  ),
                },
                { title: t("webhook.events"), width: 90, align: "right", render: (_, hook) => <span title={hook.events.map((event) => t(`webhook.event.${event}`)).join(t("list.comma"))}>{hook.events.length}</span> },
                { title: word("field", "status", t("customer.state")), width: 210, render: (_, hook) => <State hook={hook} /> },
                { title: t("webhook.behind"), width: 90, align: "right", dataIndex: "behind" },
                {
                  title: t("webhook.enabled"),
                  width: 80,
                  render: (_, hook) => (
                    <Switch
                      size="small"
                      checked={hook.enabled}
                      loading={busy}
                      aria-label={t("webhook.enabled")}
                      onChange={(enabled) => void done(() => api.PATCH("/api/webhooks/{id}", { ...path(hook.id), body: { enabled } as never }), t("order.saved"))}
                    />
                  ),
                },
                {
                  title: "",
                  width: 330,
                  align: "right",
                  render: (_, hook) => (
                    <span className="inline">
                      <Button type="link" size="small" onClick={() => setShown(hook.id)}>
                        {t("webhook.deliveries")}
                      </Button>
                      <Button type="link" size="small" loading={busy} onClick={() => void ping(hook.id)}>
                        {t("webhook.ping")}
                      </Button>
                      <Edit open={() => setEditing(hook)} />
                      <Popconfirm title={t("webhook.new_secret_what")} okText={t("webhook.new_secret")} cancelText={t("ask.cancel")} onConfirm={() => void tell(() => answer(api.POST("/api/webhooks/{id}/secret", path(hook.id))))}>
                        <Button type="link" size="small">
                          {t("webhook.new_secret")}
                        </Button>
                      </Popconfirm>
                      <Remove what={hook.url} remove={() => void done(() => api.DELETE("/api/webhooks/{id}", path(hook.id)), t("order.saved"))} />
                    </span>
                  ),
                },
              ]}
            />
          </>
        )}
      </Answered>
    </Sheet>
  );
}
