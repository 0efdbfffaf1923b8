import { Button, Modal, Typography } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import "./sheet.css";

/** Something that is shown only now: to be copied before the window is closed. */
export function Once({ title, what, value, close }: { title: string; what: string; value: string; close: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Modal open title={title} onCancel={close} width={560} footer={<Button onClick={close}>{t("devices.done")}</Button>}>
      <p>{what}</p>
      <Typography.Paragraph copyable={{ text: value, tooltips: [t("once.copy"), t("once.copied")] }} code className="once">
        {value}
      </Typography.Paragraph>
    </Modal>
  );
}
