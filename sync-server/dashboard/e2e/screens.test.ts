import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "../src/id";
import { closeBrowser, Desk, Office } from "./office";

let office: Office;
let order: string;
let visit: string;
let customer: string;
beforeAll(async () => {
  office = await Office.open();
  const file = await office.customer("三原华丰蛋托包装厂");
  customer = file.id;
  order = await office.dispatched(file, "李卫东");
  const phone = await office.phone("李卫东");
  phone.do("list");
  for (const [what, ...rest] of [
    ["arrive"],
    ["inspect", "model", "passed"],
    ["note", "液压站油温偏高"],
    ["part", "密封圈", "2"],
    ["text", "resolution", "更换密封圈"],
    ["result", "completed"],
    ["accept"],
    ["rate", "satisfied"],
    ["sign", "吴厂长"],
    ["receipt", "1200.50", "--method", "qr"],
  ] as const) {
    phone.do(what, "1", ...rest);
  }
  phone.do("sync");
  visit = (await office.ask<{ visits: { row: { doc: { id: string } } }[] }>("manager", `/api/work-orders/${order}`)).visits[0]?.row.doc.id ?? "";
  await office.give(
    "clerk",
    { do: "file_complaint", id: newId(), customer, work_order: order, staff: [await office.staff("李卫东")], about: "late_arrival", description: "来得太慢。", received: null },
    { do: "record_call", id: newId(), customer, due: null, outcome: "normal", opinion: "希望备件能常备一些。", request: null },
    { do: "suggest", id: newId(), title: "阀体加过滤网", text: "能少一半堵塞。", work_order: null },
  );
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

/** Every screen with an address of its own. */
const screens = [
  "/", "/board?finished=1", "/calendar", "/requests/new", "/work-orders/ORDER",
  "/visits/VISIT",
  "/customers",
  "/customers/CUSTOMER",
  "/calls",
  "/calls?done=1&all=1",
  "/calls?call=CUSTOMER",
  "/complaints?all=1",
  "/complaints?new=CUSTOMER",
  "/proposals",
  "/proposals?show=not_met",
  "/suggestions",
  "/figures",
  "/figures?figure=collection&period=year&by=quarter",
  "/staff",
  "/settings",
  "/devices",
  "/clashes",
  "/refused",
  "/refused?decided=1",
  "/audit",
  "/import",
  "/connections",
];

/** A screen stands, within the policy, with its words, and without barriers. */
async function stands(desk: Desk, language: "zh-CN" | "en", screen: string): Promise<void> {
  const path = screen.replace("ORDER", order).replace("VISIT", visit).replace("CUSTOMER", customer);
  await desk.go(path);
  await desk.quiet();
  expect(await desk.page.locator('[role="alert"]').allInnerTexts(), path).toEqual([]);
  const text = await desk.page.locator("body").innerText();
  expect(text, `${path} shows a key instead of words`).not.toMatch(/\b[a-z]+\.[a-z_]+(\.[a-z_]+)*\b(?!\.com)/);
  if (language === "en") expect(await desk.page.getByRole("navigation").first().innerText(), path).not.toMatch(/\p{Script=Han}/u);
  expect(await desk.barriers(), path).toEqual([]);
  await desk.shot(`${language}-${screen.replace(/\W+/g, "-")}`);
}

describe.each(["zh-CN", "en"] as const)("in %s", (language) => {
  it("every screen stands, within the policy, with its words, and without barriers", async () => {
    // Two at a time: each its half, in a browser window of its own.
    const walk = async (mine: string[]): Promise<void> => {
      const desk = await (await Desk.open(office, language)).signIn("manager");
      for (const screen of mine) await stands(desk, language, screen);
      await desk.close();
    };
    const half = (odd: number): string[] => screens.filter((_, n) => n % 2 === odd);
    await Promise.all([walk(half(0)), walk(half(1))]);
  });
});
