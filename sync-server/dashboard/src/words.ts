import i18n from "i18next";
import type { Said } from "./api/types";

/** The name for people of a word of the domain, such as `word("stage", "planning")`. */
export function word(set: string, name: string, otherwise = name, values: Record<string, string> = {}): string {
  return i18n.t(`${set}.${name}` as never, { ns: "words", defaultValue: otherwise, ...values });
}

/** A text that the server gave in both languages. */
export function say(said: Said): string {
  return i18n.language === "en" ? said.en : said.zh;
}

/** A flag of a row, such as `signoff_voided:finance`, in a few words. */
export function flagWord(flag: string): string {
  const [name = "", about = ""] = flag.split(":");
  return word("flag", name, name, { role: word("role", about) });
}
