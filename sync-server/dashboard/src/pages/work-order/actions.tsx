import { DownOutlined, PrinterOutlined } from "@ant-design/icons";
import { Button, Dropdown, Form, Input, Modal, Select } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useCommand } from "../../api/command";
import type { Entitlement, WorkOrderDetail } from "../../api/types";
import { useAsk } from "../../ui/ask";
import { word } from "../../words";
import { sentNow } from "./technicians";

const ENTITLEMENTS: Entitlement[] = ["in_warranty", "annual_contract", "per_visit"];

/** 客户属性 set by hand, with its reason. */
function Override({ id, detail, close }: { id: string; detail: WorkOrderDetail; close: () => void }): ReactNode {
  const { t } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [entitlement, setEntitlement] = useState(detail.entitlement.entitlement);
  const [reason, setReason] = useState("");
  const save = async (): Promise<void> => {
    if (await give({ do: "override_entitlement", id, entitlement, reason: reason.trim() })) close();
  };
  return (
    <Modal
      open
      title={t("order.override")}
      okText={t("ask.ok")}
      cancelText={t("ask.cancel")}
      okButtonProps={{ disabled: !reason.trim(), loading: busy }}
      onOk={() => void save()}
      onCancel={close}
      width={440}
    >
      <Form layout="vertical">
        <Form.Item label={t("order.entitlement")}>
          <Select
            aria-label={t("order.entitlement")}
            value={entitlement}
            onChange={setEntitlement}
            options={ENTITLEMENTS.map((value) => ({ value, label: word("entitlement", value) }))}
          />
        </Form.Item>
        <Form.Item label={t("ask.reason")} required style={{ marginBottom: 0 }}>
          <Input aria-label={t("ask.reason")} value={reason} onChange={(event) => setReason(event.target.value)} />
        </Form.Item>
      </Form>
    </Modal>
  );
}

/** What whoever is signed in could do about the job now: the next step large, the rest in a menu. */
export function Actions({ id, detail }: { id: string; detail: WorkOrderDetail }): ReactNode {
  const { t, i18n } = useTranslation();
  const { give, busy } = useCommand(t("order.saved"));
  const [ask, question] = useAsk();
  const [overriding, setOverriding] = useState(false);
  const can = (what: string): boolean => detail.can.includes(what);
  const unready = sentNow(detail).length === 0 ? t("order.issue_nobody") : detail.entity.dispatch.service_description.trim() ? undefined : t("order.issue_nothing");
  const redispatch = async (): Promise<void> => {
    const reason = await ask({ title: t("order.redispatch"), what: t("order.redispatch_what") });
    if (reason !== undefined) await give({ do: "redispatch", id, reason });
  };
  const cancel = async (): Promise<void> => {
    const reason = await ask({ title: t("order.cancel"), what: t("order.cancel_what"), danger: true });
    if (reason !== undefined) await give({ do: "cancel_work_order", id, reason });
  };
  const planning = detail.entity.dispatch.issued === null && detail.entity.cancelled === null && detail.entity.closed === null;
  return (
    <span className="inline">
      {question}
      {overriding && <Override id={id} detail={detail} close={() => setOverriding(false)} />}
      {(can("issue_dispatch") || (planning && can("assign"))) && (
        <Button type="primary" disabled={!can("issue_dispatch")} title={unready} loading={busy} onClick={() => void give({ do: "issue_dispatch", id })}>
          {t("order.issue")}
        </Button>
      )}
      {can("redispatch") && (
        <Button loading={busy} onClick={() => void redispatch()}>
          {t("order.redispatch")}
        </Button>
      )}
      <Button icon={<PrinterOutlined />} href={`/api/work-orders/${id}/dispatch/print${i18n.language === "en" ? "?lang=en" : ""}`} target="_blank">
        {t("order.print")}
      </Button>
      {(can("override_entitlement") || can("cancel_work_order")) && (
        <Dropdown
          trigger={["click"]}
          menu={{
            items: [
              ...(can("override_entitlement") ? [{ key: "override", label: t("order.override"), onClick: () => setOverriding(true) }] : []),
              ...(can("cancel_work_order") ? [{ key: "cancel", danger: true, label: t("order.cancel"), onClick: () => void cancel() }] : []),
            ],
          }}
        >
          <Button>
            {t("order.more")} <DownOutlined style={{ fontSize: 10 }} />
          </Button>
        </Dropdown>
      )}
    </span>
  );
}
