import { Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { CustomerShown } from "../../api/files";
import { useHolds } from "../../api/queries";
import { newId } from "../../id";
import { Dialog, textOf, wordOf } from "../../ui/dialog";
import { Add, Edit } from "../../ui/lines";
import { Sheet } from "../../ui/sheet";
import { WarrantyBar } from "../../ui/warranty";
import { word } from "../../words";

/** 设备: each machine with its warranty as a bar, and what a report of today would be entitled to. */
export function Machines({ id, file, today }: { id: string; file: CustomerShown; today: string }): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const all = file.entity.equipment;
  const edited = editing === undefined ? undefined : all[editing];
  const addresses = Object.entries(file.entity.addresses).flatMap(([key, address]) => (address.removed ? [] : [{ value: key, label: address.text }]));
  const others = Object.entries(all).flatMap(([key, machine]) => (machine.removed || key === editing ? [] : [{ value: key, label: `${machine.name} ${machine.model} ${machine.serial}` }]));
  return (
    <Sheet
      title={word("field", "equipment")}
      actions={desk && <Add open={() => setEditing(newId())} />}
    >
      {editing !== undefined && (
        <Dialog
          title={word("field", "equipment")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={{ ...edited }}
          fields={[
            { name: "name", label: word("field", "equipment.name") },
            { name: "model", label: word("field", "model"), required: true },
            { name: "serial", label: word("field", "serial") },
            { name: "installed", label: word("field", "installed"), kind: "day" },
            { name: "warranty_until", label: word("field", "warranty_until"), kind: "day", help: t("customer.warranty_help") },
            { name: "address", label: word("field", "address"), kind: "select", options: addresses },
            ...(edited === undefined
              ? []
              : [
                  { name: "replaced_by", label: word("field", "replaced_by"), kind: "select" as const, options: others },
                  { name: "removed", label: t("customer.machine_gone"), kind: "switch" as const },
                ]),
          ]}
          save={(values) =>
            give({
              do: "put_equipment",
              customer: id,
              id: editing,
              equipment: {
                model: textOf(values.model),
                serial: textOf(values.serial),
                name: textOf(values.name),
                address: wordOf(values.address),
                installed: wordOf(values.installed),
                warranty_until: wordOf(values.warranty_until),
                replaced_by: wordOf(values.replaced_by),
                removed: values.removed === true,
              },
            })
          }
        />
      )}
      <Table
        size="small"
        pagination={false}
        rowKey="id"
        dataSource={file.equipment}
        locale={{ emptyText: t("list.empty") }}
        columns={[
          {
            title: word("field", "equipment.name"),
            render: (_, { id: key }) => {
              const machine = all[key];
              const place = machine?.address ? file.entity.addresses[machine.address]?.text : undefined;
              const next = machine?.replaced_by ? all[machine.replaced_by] : undefined;
              return (
                <>
                  <b>{machine?.name}</b> {machine?.model} <span className="quiet">{machine?.serial}</span>
                  {place && <div className="quiet">{place}</div>}
                  {next && (
                    <div className="quiet">
                      {word("field", "replaced_by")} {next.model} {next.serial}
                    </div>
                  )}
                </>
              );
            },
          },
          { title: word("field", "installed"), width: 105, render: (_, { warranty_from }) => <span className="nowrap">{warranty_from ?? "—"}</span> },
          { title: t("customer.warranty"), width: 210, render: (_, { warranty_from, warranty_until }) => <WarrantyBar from={warranty_from} until={warranty_until} today={today} /> },
          {
            title: t("customer.entitled_today"),
            width: 150,
            render: (_, { entitlement_today, contract }) => (
              <>
                <Tag color={entitlement_today === "per_visit" ? "gold" : "green"}>{word("entitlement", entitlement_today)}</Tag>
                {contract !== null && <div className="quiet">{t("order.contract", { number: file.entity.contracts[contract]?.number ?? "" })}</div>}
              </>
            ),
          },
          { title: t("customer.repairs"), width: 70, align: "right", dataIndex: "jobs" },
          ...(desk
            ? [
                {
                  title: "",
                  width: 60,
                  render: (_: unknown, { id: key }: { id: string }) => <Edit open={() => setEditing(key)} />,
                },
              ]
            : []),
        ]}
      />
    </Sheet>
  );
}
