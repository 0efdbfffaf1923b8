import { describe, expect, it, vi } from "vitest";
import type { RefusedRow } from "../../api/types";
import { amendment } from "./amend";

const said = { zh: "改", en: "x" };
const refused = (kind: RefusedRow["doc"]["kind"], ...leaves: [string, unknown][]): RefusedRow =>
  ({ doc: { kind, id: "7" }, title: "三原", number: "", leaves: leaves.map(([path, mine]) => ({ path, mine, stands: null, label: said })) }) as unknown as RefusedRow;

describe("an amendment", () => {
  it("of form 1 plans all that the edit touched, as one command", async () => {
    const made = amendment(refused("work_order", ["dispatch/contact_name", "吴厂长"], ["dispatch/cash_advance", 50_000], ["signoffs/finance", {}]));
    expect(made?.fields.map((field) => [field.name, field.kind])).toEqual([["dispatch/contact_name", "text"], ["dispatch/cash_advance", "money"]]);
    expect(await made?.command({ ...made.beginning, "dispatch/cash_advance": 60_000 })).toEqual({ do: "plan_dispatch", id: "7", patch: { contact_name: "吴厂长", cash_advance: 60_000 } });
  });

  it("of a text edits that text", async () => {
    const made = amendment(refused("customer", ["notes", "常缺配件"]));
    expect(await made?.command({ notes: " 常缺密封圈 " })).toEqual({ do: "edit_text", doc: { kind: "customer", id: "7" }, field: "notes", text: "常缺密封圈", seen: [] });
  });

  it("of one of a customer's contacts puts that contact, where it is about no other", async () => {
    const made = amendment(refused("customer", ["contacts/1/phone", "139"], ["contacts/1/removed", false]));
    expect(made?.fields.map((field) => field.name)).toEqual(["contacts/1/phone"]);
    vi.spyOn(globalThis, "fetch").mockResolvedValue(Response.json({ entity: { contacts: { 1: { name: "吴厂长", phone: "138", position: "厂长", removed: false } } } }));
    expect(await made?.command({ "contacts/1/phone": "137" })).toEqual({ do: "put_contact", customer: "7", id: "1", contact: { name: "吴厂长", phone: "137", position: "厂长", removed: false } });
    expect(amendment(refused("customer", ["contacts/1/phone", "139"], ["contacts/2/phone", "138"]))).toBeUndefined();
  });

  it("there is none where the office has no command for it", () => {
    expect(amendment(refused("visit", ["diagnosis", "油温高"]))).toBeUndefined();
    expect(amendment(refused("work_order", ["signoffs/finance", {}]))).toBeUndefined();
    expect(amendment(refused("work_order"))).toBeUndefined();
    expect(amendment({ ...refused("customer", ["notes", "新"]), title: "" })).toBeUndefined();
  });
});
