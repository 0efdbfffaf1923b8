import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { AutoComplete, Button, InputNumber, Popover, Table } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import { settings } from "../../api/queries";
import type { RequiredItem, WorkOrderDetail } from "../../api/types";
import { newId } from "../../id";
import { word } from "../../words";

interface Line extends RequiredItem {
  id: string;
  used: number;
}

/** Asks how many, then does it. */
function Quantity({ label, most, act }: { label: string; most: number; act: (n: number) => Promise<boolean> }): ReactNode {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const [n, setN] = useState<number | null>(most);
  return (
    <Popover
      trigger="click"
      open={open}
      onOpenChange={(on) => {
        setOpen(on);
        setN(Math.max(1, most));
      }}
      content={
        <form
          className="inline"
          onSubmit={(event) => {
            event.preventDefault();
            if (n) void act(n).then((done) => done && setOpen(false));
          }}
        >
          <InputNumber autoFocus aria-label={label} value={n} precision={0} onChange={setN} />
          <Button type="primary" htmlType="submit" disabled={!n}>
            {t("ask.ok")}
          </Button>
        </form>
      }
    >
      <Button size="small">{label}</Button>
    </Popover>
  );
}

/** 必备的安装工具及零部件: what is to be taken along, what the warehouse gave, what was used and came back. */
export function Items({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t } = useTranslation();
  const catalogue = useQuery(settings).data?.parts ?? {};
  const { give, busy } = useCommand();
  const [name, setName] = useState("");
  const [part, setPart] = useState("");
  const [required, setRequired] = useState<number | null>(1);
  const may = detail.can.includes("require_item");
  const lines: Line[] = Object.entries(detail.entity.dispatch.items)
    .filter(([, item]) => !item.removed)
    .map(([item, line]) => ({ ...line, id: item, used: detail.visits.reduce((sum, v) => sum + (v.entity.items[item]?.used ?? 0), 0) }));
  const known = catalogue[part];
  const add = async (): Promise<void> => {
    const what = { part_no: part, name: name.trim(), unit: known?.unit ?? "", required: required ?? 1, removed: false };
    if (await give({ do: "require_item", id, item: newId(), ...what })) {
      setName("");
      setPart("");
      setRequired(1);
    }
  };
  return (
    <>
      <Table<Line>
        size="small"
        pagination={false}
        dataSource={lines}
        rowKey="id"
        locale={{ emptyText: t("order.no_items") }}
        columns={[
          { title: t("order.item"), render: (_, line) => line.name },
          { title: word("field", "part_no"), dataIndex: "part_no", width: 90 },
          { title: word("field", "required"), align: "right", width: 70, render: (_, line) => `${line.required} ${line.unit}` },
          {
            title: word("field", "items.issued"),
            align: "right",
            width: 90,
            render: (_, line) => <span className={line.issued < line.required ? "" : "quiet"}>{line.issued}</span>,
          },
          { title: word("field", "used"), align: "right", width: 60, dataIndex: "used" },
          {
            title: word("field", "returned"),
            align: "right",
            width: 60,
            render: (_, line) => line.returned,
          },
          {
            title: t("order.left"),
            align: "right",
            width: 70,
            render: (_, line) => {
              const left = line.issued - line.used - line.returned;
              return <span className={left > 0 ? "" : "quiet"}>{left}</span>;
            },
          },
          {
            title: "",
            width: 150,
            align: "right",
            render: (_, line) => (
              <span className="inline">
                {detail.can.includes("issue_item") && (
                  <Quantity
                    label={t("order.issue_item")}
                    most={line.required - line.issued}
                    act={(quantity) => give({ do: "issue_item", id, item: line.id, quantity })}
                  />
                )}
                {detail.can.includes("take_back_item") && line.issued > line.returned && (
                  <Quantity
                    label={t("order.take_back")}
                    most={line.issued - line.used - line.returned}
                    act={(quantity) => give({ do: "take_back_item", id, item: line.id, quantity })}
                  />
                )}
                {may && (
                  <Button
                    size="small"
                    type="text"
                    icon={<DeleteOutlined />}
                    aria-label={t("order.remove_item", { name: line.name })}
                    onClick={() =>
                      void give({
                        do: "require_item",
                        id,
                        item: line.id,
                        part_no: line.part_no,
                        name: line.name,
                        unit: line.unit,
                        required: line.required,
                        removed: true,
                      })
                    }
                  />
                )}
              </span>
            ),
          },
        ]}
      />
      {may && (
        <form
          className="inline item-add"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim()) void add();
          }}
        >
          <AutoComplete
            aria-label={t("order.add_item")}
            placeholder={t("order.add_item")}
            style={{ width: 260 }}
            value={name}
            showSearch={{ filterOption: (typed, option) => `${option?.value ?? ""} ${option?.key ?? ""}`.toLowerCase().includes(typed.toLowerCase()) }}
            options={Object.entries(catalogue).map(([no, p]) => ({ key: no, value: p.name, label: `${p.name} ${no}` }))}
            onChange={(typed: string) => {
              setName(typed);
              setPart("");
            }}
            onSelect={(value: string, option) => {
              setName(value);
              setPart(option.key);
            }}
          />
          <InputNumber aria-label={word("field", "required")} min={1} precision={0} value={required} onChange={setRequired} suffix={known?.unit} />
          <Button htmlType="submit" icon={<PlusOutlined />} disabled={!name.trim()} loading={busy}>
            {t("order.add")}
          </Button>
        </form>
      )}
    </>
  );
}
