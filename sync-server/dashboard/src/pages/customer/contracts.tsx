import { Table, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { Contract, CustomerShown } from "../../api/files";
import { useHolds } from "../../api/queries";
import { newId } from "../../id";
import { Dialog, oneOf, textOf, wordOf } from "../../ui/dialog";
import { Add, Edit } from "../../ui/lines";
import { Sheet } from "../../ui/sheet";
import { word } from "../../words";

const KINDS = ["annual", "per_visit"] as const;

/** Where a contract stands on a day. */
function standing(contract: Contract, today: string): "future" | "running" | "over" {
  if (contract.from !== null && today < contract.from) return "future";
  return contract.to !== null && contract.to < today ? "over" : "running";
}

/** 合同: by the year or by the visit, for all machines or one. */
export function Contracts({ id, file, today }: { id: string; file: CustomerShown; today: string }): ReactNode {
  const { t } = useTranslation();
  const desk = useHolds("clerk", "service_manager");
  const { give, busy } = useCommand(t("order.saved"));
  const [editing, setEditing] = useState<string>();
  const all = file.entity.contracts;
  const edited = editing === undefined ? undefined : all[editing];
  const shown = Object.entries(all)
    .flatMap(([key, contract]) => (contract.removed ? [] : [{ key, contract }]))
    .sort((a, b) => (b.contract.to ?? "9").localeCompare(a.contract.to ?? "9"));
  const machines = Object.entries(file.entity.equipment).flatMap(([key, machine]) => (machine.removed ? [] : [{ value: key, label: `${machine.name} ${machine.model} ${machine.serial}` }]));
  return (
    <Sheet
      title={word("field", "contracts")}
      actions={desk && <Add open={() => setEditing(newId())} />}
    >
      {editing !== undefined && (
        <Dialog
          title={word("field", "contracts")}
          busy={busy}
          close={() => setEditing(undefined)}
          beginning={edited ? { ...edited } : { kind: "annual", from: today }}
          fields={[
            { name: "kind", label: word("field", "kind"), kind: "select", required: true, options: KINDS.map((kind) => ({ value: kind, label: word("contract_kind", kind) })) },
            { name: "number", label: word("field", "number"), required: true },
            { name: "from", label: word("field", "from"), kind: "day" },
            { name: "to", label: word("field", "to"), kind: "day" },
            { name: "equipment", label: word("field", "equipment"), kind: "select", options: machines, help: t("customer.contract_all") },
            ...(edited === undefined ? [] : [{ name: "removed", label: word("field", "removed"), kind: "switch" as const }]),
          ]}
          save={(values) =>
            give({
              do: "put_contract",
              customer: id,
              id: editing,
              contract: {
                kind: oneOf(KINDS, values.kind),
                number: textOf(values.number),
                from: wordOf(values.from),
                to: wordOf(values.to),
                equipment: wordOf(values.equipment),
                removed: values.removed === true,
              },
            })
          }
        />
      )}
      {shown.length === 0 ? (
        <p className="quiet">{t("customer.no_contracts")}</p>
      ) : (
        <Table
          size="small"
          pagination={false}
          rowKey="key"
          dataSource={shown}
          columns={[
            { title: word("field", "number"), render: (_, { contract }) => contract.number },
            { title: word("field", "kind"), width: 120, render: (_, { contract }) => word("contract_kind", contract.kind) },
            { title: t("customer.runs"), width: 200, render: (_, { contract }) => `${contract.from ?? "…"} – ${contract.to ?? "…"}` },
            {
              title: word("field", "equipment"),
              render: (_, { contract }) => (contract.equipment === null ? t("customer.all_machines") : `${file.entity.equipment[contract.equipment]?.name ?? ""} ${file.entity.equipment[contract.equipment]?.serial ?? ""}`),
            },
            {
              title: t("customer.state"),
              width: 90,
              render: (_, { contract }) => {
                const state = standing(contract, today);
                return <Tag color={state === "running" ? "green" : "default"}>{t(`customer.contract.${state}`)}</Tag>;
              },
            },
            ...(desk
              ? [
                  {
                    title: "",
                    width: 60,
                    render: (_: unknown, { key }: { key: string }) => <Edit open={() => setEditing(key)} />,
                  },
                ]
              : []),
          ]}
        />
      )}
    </Sheet>
  );
}
