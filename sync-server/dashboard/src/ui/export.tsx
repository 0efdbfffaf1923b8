import { DownloadOutlined } from "@ant-design/icons";
import { Button, Dropdown } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { ExportList } from "../api/connections";
import { word } from "../words";

const FORMS = ["xlsx", "csv"] as const;

/** Conditions of a list; those that say nothing are left out. */
type Asked = Record<string, string | boolean | null | undefined>;

/** Where a list is to be had as a file, in the language that is shown. */
function address(list: ExportList, form: (typeof FORMS)[number], lang: string, asked: Asked): string {
  const said = Object.entries(asked).filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return `/api/export/${list}?${new URLSearchParams([["form", form], ["lang", lang], ...said.map(([name, value]) => [name, String(value)])]).toString()}`;
}

/** Saves lists as files: what narrows the list that is shown narrows the file. */
export function Export({ lists, asked = {} }: { lists: ExportList[]; asked?: Asked }): ReactNode {
  const { t, i18n } = useTranslation();
  const items = lists.flatMap((list) =>
    FORMS.map((form) => ({
      key: `${list}.${form}`,
      label: (
        <a href={address(list, form, i18n.language, asked)} download>
          {t("files.as", { list: word("export.list", list), form: form.toUpperCase() })}
        </a>
      ),
    })),
  );
  return (
    <Dropdown trigger={["click"]} menu={{ items }}>
      <Button icon={<DownloadOutlined />}>{t("files.export")}</Button>
    </Dropdown>
  );
}
