import { Button, Popconfirm } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { CustomerShown } from "../../api/files";
import { useHolds } from "../../api/queries";
import { newId } from "../../id";
import { Dialog, textOf } from "../../ui/dialog";
import { Sheet } from "../../ui/sheet";
import { word } from "../../words";

interface Part {
  id: string;
  file: CustomerShown;
}

function Remove({ what, remove }: { what: string; remove: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Popconfirm title={t("list.remove_what", { what })} okText={t("list.remove")} cancelText={t("ask.cancel")} onConfirm={remove}>
      <Button type="link" size="small" danger>
        {t("list.remove")}
      </Button>
    </Popconfirm>
  );
}

/** 联系人 */
export function Contacts({ id, file }: Part): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const all = file.entity.contacts;
  const shown = Object.entries(all).filter(([, contact]) => !contact.removed);
  const edited = editing === undefined ? undefined : all[editing];
  return (
    <Sheet
      title={word("field", "contact_name")}
      actions={
        desk && (
          <Button size="small" onClick={() => setEditing(newId())}>
            {t("order.add")}
          </Button>
        )
      }
    >
      {editing !== undefined && (
        <Dialog
          title={word("field", "contact_name")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={{ name: edited?.name ?? "", phone: edited?.phone ?? "", position: edited?.position ?? "" }}
          fields={[
            { name: "name", label: word("field", "contact_name"), required: true },
            { name: "phone", label: word("field", "contact_phone") },
            { name: "position", label: word("field", "position") },
          ]}
          save={(values) =>
            give({ do: "put_contact", customer: id, id: editing, contact: { name: textOf(values.name), phone: textOf(values.phone), position: textOf(values.position), removed: false } })
          }
        />
      )}
      <ul className="plain lines">
        {shown.map(([key, contact]) => (
          <li key={key}>
            <span className="grow">
              <b>{contact.name}</b> <span className="quiet">{contact.position}</span> <a href={`tel:${contact.phone}`}>{contact.phone}</a>
            </span>
            {desk && (
              <>
                <Button type="link" size="small" onClick={() => setEditing(key)}>
                  {t("list.edit")}
                </Button>
                <Remove what={contact.name} remove={() => void give({ do: "put_contact", customer: id, id: key, contact: { ...contact, removed: true } })} />
              </>
            )}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="quiet">{t("list.empty")}</p>}
    </Sheet>
  );
}

/** 地址 */
export function Addresses({ id, file }: Part): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const all = file.entity.addresses;
  const shown = Object.entries(all).filter(([, address]) => !address.removed);
  const edited = editing === undefined ? undefined : all[editing];
  return (
    <Sheet
      title={word("field", "addresses")}
      actions={
        desk && (
          <Button size="small" onClick={() => setEditing(newId())}>
            {t("order.add")}
          </Button>
        )
      }
    >
      {editing !== undefined && (
        <Dialog
          title={word("field", "addresses")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={{ label: edited?.label ?? "", text: edited?.text ?? "" }}
          fields={[
            { name: "text", label: word("field", "address"), required: true },
            { name: "label", label: t("customer.address_label"), help: t("customer.address_label_help") },
          ]}
          save={(values) => give({ do: "put_address", customer: id, id: editing, address: { label: textOf(values.label), text: textOf(values.text), removed: false } })}
        />
      )}
      <ul className="plain lines">
        {shown.map(([key, address]) => (
          <li key={key}>
            <span className="grow">
              {address.label && <b>{address.label} </b>}
              {address.text}
            </span>
            {desk && (
              <>
                <Button type="link" size="small" onClick={() => setEditing(key)}>
                  {t("list.edit")}
                </Button>
                <Remove what={address.text} remove={() => void give({ do: "put_address", customer: id, id: key, address: { ...address, removed: true } })} />
              </>
            )}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="quiet">{t("list.empty")}</p>}
    </Sheet>
  );
}
