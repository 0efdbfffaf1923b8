import type page from "./locales/zh-CN.json";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "page";
    keySeparator: false;
    nsSeparator: false;
    contextSeparator: "::";
    pluralSeparator: "::";
    resources: { page: typeof page; words: Record<string, string> };
  }
}
