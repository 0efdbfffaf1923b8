import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office } from "./office";

let office: Office;
let order: string;
beforeAll(async () => {
  office = await Office.open();
  order = await office.dispatched(await office.customer("三原华丰蛋托包装厂"), "李卫东");
  await office.phone("李卫东");
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

/** Every screen with an address of its own. */
const screens = ["/", "/board?finished=1", "/calendar", "/requests/new", "/work-orders/ORDER", "/devices", "/clashes", "/refused", "/refused?decided=1", "/audit"];

describe.each(["zh-CN", "en"] as const)("in %s", (language) => {
  it("every screen stands, within the policy, with its words, and without barriers", async () => {
    const desk = await (await Desk.open(office, language)).signIn("manager");
    for (const screen of screens) {
      const path = screen.replace("ORDER", order);
      await desk.go(path);
      await desk.page.waitForLoadState("networkidle").catch(() => undefined);
      await desk.page.waitForTimeout(300);
      expect(await desk.page.locator('[role="alert"]').allInnerTexts(), path).toEqual([]);
      const text = await desk.page.locator("body").innerText();
      expect(text, `${path} shows a key instead of words`).not.toMatch(/\b[a-z]+\.[a-z_]+(\.[a-z_]+)*\b(?!\.com)/);
      if (language === "en") expect(await desk.page.getByRole("navigation").first().innerText(), path).not.toMatch(/\p{Script=Han}/u);
      expect(await desk.barriers(), path).toEqual([]);
      await desk.shot(`${language}-${screen.replace(/\W+/g, "-")}`);
    }
    await desk.close();
  });
});

describe("the keyboard alone", () => {
  it("signs in, finds a job and gets to its form", async () => {
    const desk = await Desk.open(office);
    const { page } = desk;
    await page.goto("/");
    await page.locator('input[autocomplete="username"]:focus').waitFor();
    await page.keyboard.type("manager");
    await page.keyboard.press("Tab");
    await page.keyboard.type("a long passphrase");
    await page.keyboard.press("Enter");
    await page.locator("#main h1").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("华丰");
    await page.locator(".ant-select-item-option", { hasText: "派工单" }).first().waitFor();
    // The first hit is chosen; arrows go to others.
    for (let n = 0; n < 10; n += 1) {
      const active = await page.locator(".ant-select-item-option-active").innerText();
      if (active.includes("派工单")) break;
      await page.keyboard.press("ArrowDown");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/work-orders\//);
    await page.getByRole("heading", { name: "售后人员派遣单" }).waitFor();
    // Whoever goes on by keyboard is in the page, not in the navigation again.
    expect(await page.evaluate("document.activeElement?.id")).toBe("main");
    await desk.close();
  });
});
