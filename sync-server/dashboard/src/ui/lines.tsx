import { Button, Popconfirm } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

/** Puts a line to a list. */
export function Add({ open }: { open: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Button size="small" onClick={open}>
      {t("order.add")}
    </Button>
  );
}

/** Opens a line of a list. */
export function Edit({ open }: { open: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Button type="link" size="small" onClick={open}>
      {t("list.edit")}
    </Button>
  );
}

/** Takes a line out of a list, once that is confirmed. */
export function Remove({ what, remove }: { what: string; remove: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Popconfirm title={t("list.remove_what", { what })} okText={t("list.remove")} cancelText={t("ask.cancel")} onConfirm={remove}>
      <Button type="link" size="small" danger>
        {t("list.remove")}
      </Button>
    </Popconfirm>
  );
}
