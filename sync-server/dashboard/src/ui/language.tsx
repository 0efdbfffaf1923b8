import { TranslationOutlined } from "@ant-design/icons";
import { Button } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { speak } from "../i18n";

/** Shows the page in the other language. */
export function LanguageSwitch(): ReactNode {
  const { t, i18n } = useTranslation();
  return (
    <Button
      type="text"
      size="small"
      icon={<TranslationOutlined />}
      lang={i18n.language === "en" ? "zh-CN" : "en"}
      onClick={() => void speak(i18n.language === "en" ? "zh-CN" : "en")}
    >
      {t("language.other")}
    </Button>
  );
}
