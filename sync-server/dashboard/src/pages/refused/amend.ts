import { answer, api } from "../../api/client";
import type { Command, Document, RefusedRow } from "../../api/types";
import { numberOf, textOf, wordOf, type Field, type Values } from "../../ui/dialog";
import { say } from "../../words";

type Leaf = RefusedRow["leaves"][number];

/** What the office may write in place of a refused edit: each leaf as a field, all of them as one command. */
export interface Amendment {
  fields: Field[];
  beginning: Values;
  command: (values: Values) => Promise<Command>;
}

/** Form 1's particulars that the office plans. */
const PLANNED: Record<string, Field["kind"]> = {
  "dispatch/contact_name": "text",
  "dispatch/contact_phone": "text",
  "dispatch/service_address": "text",
  "dispatch/cash_advance": "money",
  "dispatch/balance_to_collect": "money",
};

/** A customer file's own particulars. */
const FILED: Record<string, Field["kind"]> = { name: "text", code: "text", call_interval_days: "number", project_completed: "day" };

/** A customer file's lists: the command that puts one of each, and what of it is words. */
const LISTED = {
  contacts: { put: (customer: string, id: string, contact: object) => ({ do: "put_contact", customer, id, contact }), words: ["name", "phone", "position"] },
  addresses: { put: (customer: string, id: string, address: object) => ({ do: "put_address", customer, id, address }), words: ["label", "text"] },
  equipment: { put: (customer: string, id: string, equipment: object) => ({ do: "put_equipment", customer, id, equipment }), words: ["name", "model", "serial"] },
};

/** Texts that the office edits, by kind. */
const TEXTS: Partial<Record<RefusedRow["doc"]["kind"], string[]>> = {
  customer: ["notes"],
  request: ["problem"],
  work_order: ["dispatch/service_description", "dispatch/remarks"],
  complaint: ["description"],
};

function asked(leaves: Leaf[], kinds: Record<string, Field["kind"]>): Pick<Amendment, "fields" | "beginning"> | undefined {
  const known = leaves.filter((leaf) => leaf.path in kinds);
  if (known.length === 0) return undefined;
  return {
    fields: known.map((leaf) => ({ name: leaf.path, label: say(leaf.label), kind: kinds[leaf.path] ?? "text" })),
    beginning: Object.fromEntries(known.map((leaf) => [leaf.path, leaf.mine as Values[string]])),
  };
}

/** One contact, address or machine of a customer, where the edit is about just one that is there. */
function listed({ doc, leaves }: RefusedRow): Amendment | undefined {
  const places = new Set(leaves.map((leaf) => leaf.path.split("/").slice(0, 2).join("/")));
  const [place = ""] = places;
  const [list = "", id = ""] = place.split("/");
  if (places.size !== 1 || !(list in LISTED)) return undefined;
  const { put, words } = LISTED[list as keyof typeof LISTED];
  const said = asked(leaves, Object.fromEntries(words.map((name) => [`${place}/${name}`, "text" as const])));
  if (!said) return undefined;
  return {
    ...said,
    command: async (values) => {
      const { entity } = await customer(doc.id);
      const stands = entity[list as keyof typeof LISTED][id];
      const written = Object.fromEntries(said.fields.map(({ name }) => [name.slice(place.length + 1), textOf(values[name])]));
      return put(doc.id, id, { ...stands, ...written }) as Command;
    },
  };
}

const customer = async (id: string): Promise<Document<"customer">> => (await answer(api.GET("/api/documents/{id}", { params: { path: { id } } }))) as Document<"customer">;

/** A value as its leaf takes it. */
function read(values: Values, path: string, kind: Field["kind"]): string | number | null {
  if (kind === "money") return numberOf(values[path]);
  if (kind === "number") return typeof values[path] === "number" ? values[path] : null;
  return kind === "day" ? wordOf(values[path]) : textOf(values[path]);
}

/** What can be written in place of a refused edit; nothing where the office has no command for it. */
export function amendment(row: RefusedRow): Amendment | undefined {
  const { doc, leaves } = row;
  // Of a document that is not there nothing can be put otherwise: it is taken in, or not.
  if (row.title === "" && row.number === "") return undefined;
  if (doc.kind === "work_order") {
    const plan = asked(leaves, PLANNED);
    if (plan) {
      const patch = (values: Values) => Object.fromEntries(plan.fields.map(({ name, kind }) => [name.replace("dispatch/", ""), read(values, name, kind)]));
      return { ...plan, command: (values) => Promise.resolve({ do: "plan_dispatch", id: doc.id, patch: patch(values) }) };
    }
  }
  if (doc.kind === "customer") {
    const file = asked(leaves, FILED);
    if (file) {
      return {
        ...file,
        command: async (values) => {
          // The command says all of them: what the edit did not touch stays as it stands.
          const { entity } = await customer(doc.id);
          const { name, code, call_interval_days, project_completed } = entity;
          const written = Object.fromEntries(file.fields.map((field) => [field.name, read(values, field.name, field.kind)]));
          return { do: "put_customer", id: doc.id, name, code, call_interval_days, project_completed, ...written };
        },
      };
    }
    const one = listed(row);
    if (one) return one;
  }
  const text = leaves.find((leaf) => TEXTS[doc.kind]?.includes(leaf.path));
  if (!text) return undefined;
  return {
    fields: [{ name: text.path, label: say(text.label), kind: "long", required: true }],
    beginning: { [text.path]: text.mine as Values[string] },
    command: (values) => Promise.resolve({ do: "edit_text", doc, field: text.path, text: textOf(values[text.path]), seen: [] }),
  };
}
