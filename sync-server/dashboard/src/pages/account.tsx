import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Form, Input, Table, Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useAct } from "../api/act";
import { answer, api } from "../api/client";
import { told } from "../api/problem";
import { useMe } from "../api/queries";
import { useNow } from "../ui/now";
import { Ago, Head, Time } from "../ui/parts";
import { Sheet } from "../ui/sheet";
import { Answered } from "../ui/state";
import { word } from "../words";

/** The shortest password that the server takes. */
const SHORTEST = 8;

function Password(): ReactNode {
  const { t } = useTranslation();
  const { done, busy } = useAct("sessions");
  const [form] = Form.useForm<{ old: string; new: string; again: string }>();
  const change = async (said: { old: string; new: string }): Promise<void> => {
    if (await done(() => api.PUT("/api/session/password", { body: said }), t("account.password_changed"))) form.resetFields();
  };
  return (
    <Form form={form} layout="vertical" style={{ maxWidth: 320 }} requiredMark={false} onFinish={(said: { old: string; new: string }) => void change({ old: said.old, new: said.new })}>
      <Form.Item name="old" label={t("account.password_old")} rules={[{ required: true, message: t("login.password_missing") }]}>
        <Input.Password autoComplete="current-password" />
      </Form.Item>
      <Form.Item name="new" label={t("account.password_new")} rules={[{ required: true, min: SHORTEST, message: t("account.password_short", { count: SHORTEST }) }]}>
        <Input.Password autoComplete="new-password" />
      </Form.Item>
      <Form.Item
        name="again"
        label={t("account.password_again")}
        dependencies={["new"]}
        rules={[
          ({ getFieldValue }) => ({
            validator: (_, value: string | undefined) => ((value ?? "") === getFieldValue("new") ? Promise.resolve() : Promise.reject(new Error(t("account.password_differs")))),
          }),
        ]}
      >
        <Input.Password autoComplete="new-password" />
      </Form.Item>
      <Button type="primary" htmlType="submit" loading={busy}>
        {t("account.password_change")}
      </Button>
    </Form>
  );
}

/** Where one is signed in, and the way to end it. */
function Sessions(): ReactNode {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const now = useNow();
  const query = useQuery({ queryKey: ["sessions"], queryFn: ({ signal }) => answer(api.GET("/api/sessions", { signal })), meta: { kinds: [] } });
  const end = useMutation({
    mutationFn: (id: string | undefined): Promise<unknown> => (id === undefined ? api.DELETE("/api/sessions") : api.DELETE("/api/sessions/{id}", { params: { path: { id } } })),
    onError: (error) => void message.error(told(t, error)),
    onSettled: () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] === "sessions" || queryKey[0] === "session" }),
  });
  return (
    <Answered query={query}>
      {(rows) => (
        <>
          <Table<(typeof rows)[number]>
            size="small"
            rowKey="id"
            pagination={false}
            dataSource={rows}
            columns={[
              { title: t("account.where"), ellipsis: true, render: (_, s) => <span title={s.agent}>{s.agent || "—"}</span> },
              { title: t("account.since"), width: 130, render: (_, s) => <Time at={s.created} /> },
              { title: t("account.used"), width: 110, render: (_, s) => <Ago at={s.seen} now={now} /> },
              {
                title: t("account.end"),
                width: 110,
                align: "right",
                render: (_, s) =>
                  s.current ? (
                    <Tag color="green">{t("account.this_one")}</Tag>
                  ) : (
                    <Button size="small" loading={end.isPending} onClick={() => end.mutate(s.id)}>
                      {t("account.end")}
                    </Button>
                  ),
              },
            ]}
          />
          <Button danger style={{ marginTop: 10 }} loading={end.isPending} onClick={() => end.mutate(undefined)}>
            {t("account.end_all")}
          </Button>
        </>
      )}
    </Answered>
  );
}

export default function Account(): ReactNode {
  const { t } = useTranslation();
  const me = useMe();
  return (
    <>
      <Head title={t("account.title")}>
        <span className="quiet">
          {me?.name} · {me?.login} · {me?.roles.map((role) => word("role", role)).join(t("list.comma"))}
        </span>
      </Head>
      <Sheet title={t("account.sessions")}>
        <Sessions />
      </Sheet>
      <Sheet title={t("account.password")}>
        <Password />
      </Sheet>
    </>
  );
}
