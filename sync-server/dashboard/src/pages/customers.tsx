import { PlusOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { useCommand } from "../api/command";
import { list, useListed } from "../api/files";
import { useHolds } from "../api/queries";
import { dayOf } from "../format";
import { newId } from "../id";
import { Export } from "../ui/export";
import { Dialog, textOf, wordOf } from "../ui/dialog";
import { Rows, RowTable } from "../ui/list";
import { useNow } from "../ui/now";
import { Flags, Head } from "../ui/parts";
import { Search } from "../ui/search";
import { useUrl } from "../ui/url";
import { word } from "../words";

/** 客户建档 */
function NewCustomer({ close }: { close: () => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { give, busy } = useCommand(t("order.saved"));
  const [id] = useState(newId);
  return (
    <Dialog
      title={t("customer.new")}
      ok={t("customer.open")}
      busy={busy}
      close={close}
      fields={[
        { name: "name", label: word("field", "customer_name"), required: true },
        { name: "code", label: word("field", "code") },
        { name: "project_completed", label: word("field", "project_completed"), kind: "day" },
        { name: "contact_name", label: word("field", "contact_name") },
        { name: "contact_phone", label: word("field", "contact_phone") },
        { name: "address", label: word("field", "address") },
      ]}
      save={async (values) => {
        const contact = { name: textOf(values.contact_name), phone: textOf(values.contact_phone), position: "", removed: false };
        const address = { label: "", text: textOf(values.address), removed: false };
        const done = await give(
          { do: "put_customer", id, name: textOf(values.name), code: textOf(values.code), project_completed: wordOf(values.project_completed), call_interval_days: null },
          ...(contact.name ? [{ do: "put_contact" as const, customer: id, id: newId(), contact }] : []),
          ...(address.text ? [{ do: "put_address" as const, customer: id, id: newId(), address }] : []),
        );
        if (done) await navigate(`/customers/${id}`);
        return done;
      }}
    />
  );
}

export default function Customers(): ReactNode {
  const { t } = useTranslation();
  const [params] = useUrl();
  const navigate = useNavigate();
  const desk = useHolds("clerk", "service_manager");
  const now = useNow();
  const [opening, setOpening] = useState(false);
  const search = params.get("q");
  const listed = useListed(list({ kind: "customer", ...(search ? { search } : {}) }));
  return (
    <>
      {opening && <NewCustomer close={() => setOpening(false)} />}
      <Head
        title={t("customer.title")}
        actions={
          desk && (
            <Button type="primary" icon={<PlusOutlined />} onClick={() => setOpening(true)}>
              {t("customer.new")}
            </Button>
          )
        }
      >
        <Search label={t("customer.pick")} />
        <Export lists={["customers", "equipment", "contracts"]} asked={{ search }} />
      </Head>
      <Rows listed={listed} nothing={t("customer.none")}>
        {(rows) => (
          <RowTable
            rows={rows}
            open={(row) => void navigate(`/customers/${row.doc.id}`)}
            columns={[
              { title: word("field", "customer.name"), render: (_, row) => <Link to={`/customers/${row.doc.id}`}>{row.summary.title}</Link> },
              { title: word("field", "code"), width: 110, render: (_, row) => row.summary.number },
              { title: word("field", "address"), ellipsis: true, render: (_, row) => row.summary.subtitle },
              {
                title: word("field", "next_call"),
                width: 130,
                render: (_, row) =>
                  row.summary.due === null ? <span className="quiet">{t("call.none_planned")}</span> : <span className={row.summary.due < now ? "late nowrap" : "nowrap"}>{dayOf(row.summary.due)}</span>,
              },
              { title: t("list.flags"), width: 180, render: (_, row) => <Flags flags={row.summary.flags} clashes={row.clashes} /> },
            ]}
          />
        )}
      </Rows>
    </>
  );
}
