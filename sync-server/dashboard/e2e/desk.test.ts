import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office, type Login, type Phone } from "./office";

let office: Office;
let customer: { id: string; machine: string };
let phone: Phone;
beforeAll(async () => {
  office = await Office.open();
  customer = await office.customer("三原华丰蛋托包装厂");
  phone = await office.phone("李卫东");
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

const at = (login: Login, path: string): Promise<Desk> => Desk.at(office, login, path);

describe("the admin", () => {
  it("changes a limit, which the clerk only reads", async () => {
    const desk = await at("admin", "/settings");
    const { page } = desk;
    await page.getByLabel("到达时限").fill("24");
    await page.getByRole("button", { name: /^保\s*存$/ }).click();
    await page.getByText("已保存").first().waitFor();
    await desk.close();
    const { rows } = await office.ask<{ rows: { doc: { id: string } }[] }>("clerk", "/api/documents?kind=settings");
    const { entity } = await office.ask<{ entity: { arrival_hours: number } }>("clerk", `/api/documents/${rows[0]?.doc.id ?? ""}`);
    expect(entity.arrival_hours).toBe(24);
    const clerk = await at("clerk", "/settings");
    await clerk.page.getByText("只有管理员与售后经理可以修改。").waitFor();
    expect(await clerk.page.locator("#set-arrival_hours").isDisabled()).toBe(true);
    await clerk.close();
    await expect(office.give("clerk", { do: "change_settings", arrival_hours: 1 })).rejects.toThrow(/not_your_role/);
  });

  it("takes on a person, who signs in with the login that they were given", async () => {
    const desk = await at("admin", "/staff");
    const { page } = desk;
    await page.getByRole("button", { name: "新增人员" }).click();
    let dialog = page.getByRole("dialog");
    await dialog.getByLabel("姓名").fill("郑秋月");
    await dialog.getByLabel("工号").fill("A17");
    // A technician has a phone; whoever also works at the office may have a login.
    await dialog.getByRole("combobox", { name: "职责" }).fill("销售内勤");
    await page.getByTitle("销售内勤", { exact: true }).last().click();
    await page.keyboard.press("Escape");
    await dialog.getByRole("button", { name: /^保\s*存$/ }).click();
    await page.getByRole("row", { name: /郑秋月/ }).waitFor();
    await page.getByText("登录用户", { exact: true }).click();
    await page.getByRole("button", { name: "新增用户" }).click();
    dialog = page.getByRole("dialog");
    await dialog.getByRole("combobox", { name: "人员" }).fill("郑秋月");
    await page.getByTitle(/^郑秋月/).click();
    await dialog.getByLabel("用户名").fill("zheng");
    await dialog.getByLabel("密码").fill("another long passphrase");
    await page.keyboard.press("Enter");
    await page.getByRole("row", { name: /^zheng/ }).waitFor();
    await desk.close();
    const signed = await fetch(`${office.url}/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ login: "zheng", password: "another long passphrase" }),
    });
    expect(signed.status).toBe(200);
  });
});

describe("the clerk on the telephone", () => {
  it("records what the customer says, and a problem becomes a repair report", async () => {
    const desk = await at("clerk", `/calls?call=${customer.id}`);
    const { page } = desk;
    const dialog = page.getByRole("dialog");
    await dialog.getByText("吴厂长").waitFor();
    await dialog.getByRole("combobox", { name: "回访结果" }).click();
    await page.getByTitle("出现问题", { exact: true }).click();
    await dialog.getByLabel("客户意见").fill("希望备件常备");
    await dialog.getByLabel("故障情况").fill("液压站油温偏高");
    await dialog.getByRole("button", { name: "记录回访" }).click();
    await page.waitForURL(/\/requests\/[0-9a-f-]+$/);
    await page.getByText("液压站油温偏高").first().waitFor();
    const request = page.url().split("/").at(-1);
    // What narrows the list of calls narrows its file.
    const saved = async (address: string): Promise<number> => {
      await desk.go(address);
      await page.getByRole("button", { name: "导出" }).click();
      const saving = page.waitForEvent("download");
      await page.getByRole("link", { name: /（CSV）/ }).click();
      return readFileSync(await (await saving).path(), "utf8").trim().split("\r\n").length - 1;
    };
    expect(await saved("/calls?done=1&outcome=problem&q=备件")).toBe(1);
    expect(await saved("/calls?done=1&outcome=normal")).toBe(0);
    expect(await saved("/calls?done=1&all=1&q=没有这样的话")).toBe(0);
    await desk.close();
    const { rows } = await office.ask<{ rows: { doc: { id: string } }[] }>("clerk", "/api/documents?kind=follow_up");
    expect(rows).toHaveLength(1);
    const call = await office.ask<{ entity: { outcome: string; opinion: string; request: string } }>("clerk", `/api/documents/${rows[0]?.doc.id ?? ""}`);
    expect(call.entity).toMatchObject({ outcome: "problem", opinion: "希望备件常备", request });
  });
});

describe("a technician's suggestion", () => {
  it("comes from the phone, is adopted with a reward, and the phone is told", async () => {
    phone.do("suggest", "阀体加过滤网", "能少一半堵塞。");
    phone.do("sync");
    const desk = await at("manager", "/suggestions");
    const { page } = desk;
    await page.getByText("阀体加过滤网").click();
    await page.getByRole("button", { name: /^决\s*定$/ }).click();
    const dialog = page.getByRole("dialog").last();
    await dialog.getByText("采纳", { exact: true }).click();
    await dialog.getByRole("switch").click();
    await dialog.getByLabel("奖励金额").fill("500");
    await dialog.getByLabel("原因").fill("试用三台均有效");
    await desk.shot("suggestion-deciding");
    await dialog.getByRole("button", { name: /^决\s*定$/ }).click();
    await page.getByText("决定已记录").waitFor();
    await desk.close();
    const told = (await office.ask<{ rows: { decision: { decision: { decision: string; amount: number; major: boolean } } | null }[] }>("manager", "/api/proposals")).rows;
    expect(told.flatMap(({ decision }) => (decision === null ? [] : [decision.decision]))).toMatchObject([{ decision: "adopted", amount: 50_000, major: true }]);
    phone.do("sync");
    expect(phone.do("list", "appraisal")).toMatch(/试用三台均有效\s+采纳/);
  });
});
