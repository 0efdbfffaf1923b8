import { PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useAct } from "../api/act";
import { answer, api } from "../api/client";
import { useCommand } from "../api/command";
import { users as usersQuery, type UserRow } from "../api/files";
import { useHolds, useMe, usePeople } from "../api/queries";
import type { Person, Role } from "../api/types";
import { newId } from "../id";
import { Export } from "../ui/export";
import { useAsk } from "../ui/ask";
import { Dialog, textOf, wordsOf } from "../ui/dialog";
import { Edit } from "../ui/lines";
import { Ago, Head, Time } from "../ui/parts";
import { Answered } from "../ui/state";
import { useUrl } from "../ui/url";
import { word } from "../words";
import "./work-order.css";

const ROLES: Role[] = ["clerk", "service_manager", "technician", "warehouse", "finance", "office_director", "production", "admin"];

function Roles({ roles }: { roles: Role[] }): ReactNode {
  return roles.map((role) => <Tag key={role}>{word("role", role)}</Tag>);
}

/** Who works here, in which roles. */
function Staff({ editing, edit }: { editing: string | undefined; edit: (id: string | undefined) => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const me = useMe();
  const admin = useHolds("admin");
  const { give, busy } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const [params] = useUrl();
  const left = params.has("left");
  const [fresh] = useState(newId);
  const edited = people.all.find((person) => person.id === editing);
  const leave = async (person: Person): Promise<void> => {
    const reason = await ask({ title: t("staff.leave", { name: person.name }), what: t("staff.leave_what"), danger: true });
    if (reason !== undefined) await give({ do: "staff_leaves", id: person.id, reason });
  };
  return (
    <>
      {question}
      {editing !== undefined && (
        <Dialog
          title={edited ? edited.name : t("staff.new")}
          busy={busy}
          close={() => edit(undefined)}
          beginning={{ name: edited?.name ?? "", code: edited?.code ?? "", phone: edited?.phone ?? "", roles: edited?.roles ?? ["technician"] }}
          fields={[
            { name: "name", label: t("staff.name"), required: true },
            { name: "code", label: t("staff.code") },
            { name: "phone", label: word("field", "phone") },
            { name: "roles", label: word("field", "roles"), kind: "several", required: true, options: ROLES.map((role) => ({ value: role, label: word("role", role) })) },
          ]}
          save={(values) =>
            give({ do: "put_staff", id: edited?.id ?? fresh, name: textOf(values.name), code: textOf(values.code), phone: textOf(values.phone), roles: ROLES.filter((role) => wordsOf(values.roles).includes(role)) })
          }
        />
      )}
      <Table<Person>
        size="small"
        rowKey="id"
        pagination={people.all.length > 100 ? { pageSize: 100, size: "small", showSizeChanger: false } : false}
        dataSource={people.all.filter((person) => person.left === left)}
        locale={{ emptyText: t("list.empty") }}
        columns={[
          { title: t("staff.name"), width: 140, sorter: (a, b) => a.name.localeCompare(b.name), render: (_, person) => <b>{person.name}</b> },
          { title: t("staff.code"), width: 100, dataIndex: "code" },
          { title: word("field", "phone"), width: 140, render: (_, person) => person.phone && <a href={`tel:${person.phone}`}>{person.phone}</a> },
          { title: word("field", "roles"), filters: ROLES.map((role) => ({ value: role, text: word("role", role) })), onFilter: (role, person) => person.roles.includes(role as Role), render: (_, person) => <Roles roles={person.roles} /> },
          ...(admin && !left
            ? [
                {
                  title: "",
                  width: 130,
                  render: (_: unknown, person: Person) => (
                    <span className="inline">
                      <Edit open={() => edit(person.id)} />
                      {person.id !== me?.staff && (
                        <Button type="link" size="small" danger onClick={() => void leave(person)}>
                          {t("staff.leaves")}
                        </Button>
                      )}
                    </span>
                  ),
                },
              ]
            : []),
        ]}
      />
    </>
  );
}

/** Who signs in at the office. */
function Users({ adding, add }: { adding: boolean; add: (on: boolean) => void }): ReactNode {
  const { t } = useTranslation();
  const people = usePeople();
  const me = useMe();
  const query = useQuery(usersQuery);
  const [resetting, setResetting] = useState<UserRow>();
  const { done: carryOut, busy } = useAct("users");
  const done = (work: () => Promise<unknown>): Promise<boolean> => carryOut(work, t("order.saved"));
  const change = (login: string, body: { disabled?: boolean; password?: string }) => (): Promise<unknown> =>
    answer(api.PATCH("/api/users/{login}", { params: { path: { login } }, body: body as never }));
  const taken = new Set((query.data ?? []).map((user) => user.staff));
  const free = people.all.filter((person) => !person.left && !taken.has(person.id) && person.roles.some((role) => role !== "technician"));
  return (
    <>
      {adding && (
        <Dialog
          title={t("user.new")}
          busy={busy}
          close={() => add(false)}
          fields={[
            { name: "staff", label: t("staff.one"), kind: "select", required: true, options: free.map(({ id, name, code }) => ({ value: id, label: `${name} ${code}` })), help: t("user.staff_help") },
            { name: "login", label: t("login.login"), required: true },
            { name: "password", label: t("login.password"), kind: "password", required: true, help: t("user.password_help") },
          ]}
          save={(values) =>
            done(() => answer(api.POST("/api/users", { body: { staff: textOf(values.staff), login: textOf(values.login), password: typeof values.password === "string" ? values.password : "" } })))
          }
        />
      )}
      {resetting && (
        <Dialog
          title={t("user.reset", { login: resetting.login })}
          what={<p className="quiet">{t("user.reset_what")}</p>}
          busy={busy}
          close={() => setResetting(undefined)}
          fields={[{ name: "password", label: t("login.password"), kind: "password", required: true, help: t("user.password_help") }]}
          save={(values) => done(change(resetting.login, { password: typeof values.password === "string" ? values.password : "" }))}
        />
      )}
      <Answered query={query}>
        {(rows) => (
          <Table<UserRow>
            size="small"
            rowKey="login"
            pagination={false}
            dataSource={rows}
            columns={[
              { title: t("login.login"), width: 160, render: (_, user) => <b>{user.login}</b> },
              { title: t("staff.name"), width: 130, render: (_, user) => `${user.name} ${user.code}` },
              { title: word("field", "roles"), render: (_, user) => <Roles roles={user.roles} /> },
              { title: t("user.seen"), width: 130, render: (_, user) => <Ago at={user.seen} /> },
              { title: t("user.sessions"), width: 90, align: "right", dataIndex: "sessions" },
              {
                title: t("customer.state"),
                width: 150,
                render: (_, user) =>
                  user.left ? (
                    <Tag>{t("staff.left")}</Tag>
                  ) : user.disabled !== null ? (
                    <>
                      <Tag color="error">{t("user.disabled")}</Tag>
                      <Time at={user.disabled} />
                    </>
                  ) : (
                    <Tag color="green">{t("user.enabled")}</Tag>
                  ),
              },
              {
                title: "",
                width: 190,
                render: (_, user) => (
                  <span className="inline">
                    <Button type="link" size="small" onClick={() => setResetting(user)}>
                      {t("user.set_password")}
                    </Button>
                    {user.login !== me?.login && (
                      <Button type="link" size="small" danger={user.disabled === null} loading={busy} onClick={() => void done(change(user.login, { disabled: user.disabled === null }))}>
                        {t(user.disabled === null ? "user.disable" : "user.enable")}
                      </Button>
                    )}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Answered>
    </>
  );
}

export default function StaffPage(): ReactNode {
  const { t } = useTranslation();
  const admin = useHolds("admin");
  const [params, change] = useUrl();
  const [editing, setEditing] = useState<string>();
  const [adding, setAdding] = useState(false);
  const logins = admin && params.get("show") === "users";
  const shown = logins ? "users" : params.has("left") ? "left" : "staff";
  return (
    <>
      <Head
        title={t("staff.title")}
        actions={
          admin && (
            <Button type="primary" icon={<PlusOutlined />} onClick={() => (logins ? setAdding(true) : setEditing(""))}>
              {t(logins ? "user.new" : "staff.new")}
            </Button>
          )
        }
      >
        <Segmented
          value={shown}
          onChange={(chosen) => change({ show: chosen === "users" ? "users" : undefined, left: chosen === "left" ? "1" : undefined })}
          options={[{ value: "staff", label: t("staff.active") }, { value: "left", label: t("staff.left") }, ...(admin ? [{ value: "users", label: t("user.title") }] : [])]}
        />
        {!logins && <Export lists={["staff"]} asked={{ status: shown === "left" ? "left" : "active" }} />}
      </Head>
      {logins ? <Users adding={adding} add={setAdding} /> : <Staff editing={editing} edit={setEditing} />}
    </>
  );
}
