import dayjs from "dayjs";
import "dayjs/locale/zh-cn";
import i18n from "i18next";
import type { Locale } from "antd/es/locale";
import { initReactI18next } from "react-i18next";

export const LANGUAGES = ["zh-CN", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

const KEPT = "onsite.language";

interface Pack {
  page: Record<string, string>;
  words: Record<string, string>;
  antd: Locale;
}

/** Only the language that is shown is loaded. */
const PACKS: Record<Language, () => Promise<Pack>> = {
  "zh-CN": async () => {
    const [page, words, antd] = await Promise.all([
      import("./locales/zh-CN.json"),
      import("virtual:words/zh-CN"),
      import("antd/locale/zh_CN"),
    ]);
    return { page: page.default, words: words.default, antd: antd.default };
  },
  en: async () => {
    const [page, words, antd] = await Promise.all([
      import("./locales/en.json"),
      import("virtual:words/en"),
      import("antd/locale/en_US"),
    ]);
    return { page: page.default, words: words.default, antd: antd.default };
  },
};

const loaded = new Map<Language, Locale>();

/** The texts of Ant Design's own parts, in the language shown. */
export function antdLocale(): Locale | undefined {
  return loaded.get(i18n.language as Language);
}

/** The language a person chose on this machine; Chinese before they did. */
export function chosen(): Language {
  try {
    const kept = localStorage.getItem(KEPT);
    return LANGUAGES.find((l) => l === kept) ?? "zh-CN";
  } catch {
    return "zh-CN";
  }
}

/** Shows another language. */
export async function speak(language: Language): Promise<void> {
  if (!loaded.has(language)) {
    const pack = await PACKS[language]();
    i18n.addResourceBundle(language, "page", pack.page);
    i18n.addResourceBundle(language, "words", pack.words);
    loaded.set(language, pack.antd);
  }
  dayjs.locale(language === "en" ? "en" : "zh-cn");
  document.documentElement.lang = language;
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // A browser that keeps nothing still shows the language.
  }
  await i18n.changeLanguage(language);
}

/** Must be done before anything is shown. */
export async function begin(language: Language = chosen()): Promise<void> {
  await i18n.use(initReactI18next).init({
    lng: language,
    fallbackLng: false,
    ns: ["page", "words"],
    defaultNS: "page",
    resources: {},
    // Keys are flat, and filled in as the core's messages are.
    keySeparator: false,
    nsSeparator: false,
    // Underscores are part of keys; neither language needs another form for one.
    contextSeparator: "::",
    pluralSeparator: "::",
    interpolation: { escapeValue: false, prefix: "{", suffix: "}" },
    react: { useSuspense: false },
  });
  await speak(language);
}
