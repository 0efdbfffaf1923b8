import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { CustomerShown } from "../../api/files";
import { useHolds } from "../../api/queries";
import { newId } from "../../id";
import { Dialog, textOf, type Field, type Values } from "../../ui/dialog";
import { Add, Edit, Remove } from "../../ui/lines";
import { Sheet } from "../../ui/sheet";
import { word } from "../../words";

interface Part {
  id: string;
  file: CustomerShown;
}

interface Listed<L> {
  title: string;
  all: Record<string, L>;
  fields: Field[];
  /** What the dialog begins with; of a new line, nothing is known. */
  beginning: (line: L | undefined) => Values;
  /** Writes a line; resolves to whether that was done. */
  put: (id: string, line: L) => Promise<boolean>;
  busy: boolean;
  read: (values: Values) => L;
  name: (line: L) => string;
  show: (line: L) => ReactNode;
}

/** Lines of a customer's file: those that are there, each with its dialog. One taken out is kept, and not shown. */
function Lines<L extends { removed: boolean }>({ title, all, fields, beginning, put, busy, read, name, show }: Listed<L>): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const [editing, setEditing] = useState<string>();
  const shown = Object.entries(all).filter(([, line]) => !line.removed);
  return (
    <Sheet title={title} actions={desk && <Add open={() => setEditing(newId())} />}>
      {editing !== undefined && (
        <Dialog title={title} busy={busy} close={() => setEditing(undefined)} beginning={beginning(all[editing])} fields={fields} save={(values) => put(editing, read(values))} />
      )}
      <ul className="plain lines">
        {shown.map(([key, line]) => (
          <li key={key}>
            <span className="grow">{show(line)}</span>
            {desk && (
              <>
                <Edit open={() => setEditing(key)} />
                <Remove what={name(line)} remove={() => void put(key, { ...line, removed: true })} />
              </>
            )}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="quiet">{t("list.empty")}</p>}
    </Sheet>
  );
}

/** 联系人 */
export function Contacts({ id, file }: Part): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  return (
    <Lines
      title={word("field", "contact_name")}
      all={file.entity.contacts}
      fields={[
        { name: "name", label: word("field", "contact_name"), required: true },
        { name: "phone", label: word("field", "contact_phone") },
        { name: "position", label: word("field", "position") },
      ]}
      beginning={(contact) => ({ name: contact?.name ?? "", phone: contact?.phone ?? "", position: contact?.position ?? "" })}
      put={(key, contact) => give({ do: "put_contact", customer: id, id: key, contact })}
      busy={busy}
      read={(values) => ({ name: textOf(values.name), phone: textOf(values.phone), position: textOf(values.position), removed: false })}
      name={(contact) => contact.name}
      show={(contact) => (
        <>
          <b>{contact.name}</b> <span className="quiet">{contact.position}</span> <a href={`tel:${contact.phone}`}>{contact.phone}</a>
        </>
      )}
    />
  );
}

/** 地址 */
export function Addresses({ id, file }: Part): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  return (
    <Lines
      title={word("field", "addresses")}
      all={file.entity.addresses}
      fields={[
        { name: "text", label: word("field", "address"), required: true },
        { name: "label", label: t("customer.address_label"), help: t("customer.address_label_help") },
      ]}
      beginning={(address) => ({ label: address?.label ?? "", text: address?.text ?? "" })}
      put={(key, address) => give({ do: "put_address", customer: id, id: key, address })}
      busy={busy}
      read={(values) => ({ label: textOf(values.label), text: textOf(values.text), removed: false })}
      name={(address) => address.text}
      show={(address) => (
        <>
          {address.label && <b>{address.label} </b>}
          {address.text}
        </>
      )}
    />
  );
}
