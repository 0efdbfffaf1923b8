import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office, type Login, type Phone } from "./office";

let office: Office;
let phone: Phone;
beforeAll(async () => {
  office = await Office.open();
  await office.customer("三原华丰蛋托包装厂");
  phone = await office.phone("李卫东");
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

/** Somebody at a desk without a mouse: signed in by keys. */
async function at(login: Login): Promise<Desk> {
  const desk = await Desk.open(office);
  const { page } = desk;
  await page.goto("/");
  await page.locator('input[autocomplete="username"]:focus').waitFor();
  await page.keyboard.type(login);
  await desk.keyTo(/密码/);
  await page.keyboard.type("a long passphrase");
  await desk.keyTo(/button "登录"/);
  await page.keyboard.press("Enter");
  await page.locator("#main h1").waitFor();
  return desk;
}

/** By the navigation to a screen; whoever goes on by keyboard is in the page then, not in the navigation again. */
async function go(desk: Desk, name: string, title = name): Promise<void> {
  await desk.keyTo(new RegExp(`link ".*${name}`));
  await desk.page.keyboard.press("Enter");
  await desk.page.getByRole("heading", { name: title, level: 1 }).waitFor();
  await desk.page.locator("#main:focus").waitFor();
}

/** Chooses in a list that is open what was typed for. */
async function pick(desk: Desk, text: string): Promise<void> {
  await desk.page.locator(".ant-select-item-option-active", { hasText: text }).waitFor();
  await desk.page.keyboard.press("Enter");
}

describe("the keyboard alone", () => {
  let order: string;

  it("takes a report, sees what the customer is entitled to, and opens a work order", async () => {
    const desk = await at("clerk");
    const { page } = desk;
    await go(desk, "受理报修");
    await desk.keyTo(/combobox "按名称、编号、电话查找客户"/);
    await page.keyboard.type("华丰");
    await pick(desk, "三原华丰");
    await desk.keyTo(/radio "不针对某台设备"/);
    await page.keyboard.press("ArrowDown");
    await page.getByText("保修至 2099-12-31", { exact: true }).waitFor();
    await desk.keyTo(/textbox ".*故障情况"/);
    await page.keyboard.type("成型机真空不足,湿坯脱落");
    await desk.keyTo(/button "吴厂长/);
    await page.keyboard.press("Enter");
    expect(await page.getByLabel("联系电话").inputValue()).toBe("029-88886666");
    await desk.keyTo(/button "登记并开派工单"/);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/work-orders\/[0-9a-f-]+$/);
    order = page.url().split("/").at(-1) ?? "";
    await desk.close();
  });

  it("finds the job, sends somebody, issues and signs the dispatch order", async () => {
    const desk = await at("manager");
    const { page } = desk;
    await page.keyboard.press("/");
    await page.keyboard.type("华丰");
    await page.locator(".ant-select-item-option", { hasText: "派工单" }).first().waitFor();
    // The first hit is chosen; arrows go to others.
    for (let n = 0; n < 10; n += 1) {
      if ((await page.locator(".ant-select-item-option-active").innerText()).includes("派工单")) break;
      await page.keyboard.press("ArrowDown");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`/work-orders/${order}`));
    await page.locator("#main:focus").waitFor();
    await page.getByRole("heading", { name: "售后人员派遣单" }).waitFor();
    await desk.keyTo(/combobox "售后人员"/);
    await page.keyboard.type("李");
    await pick(desk, "李卫东");
    await desk.keyTo(/button "保存"/);
    await page.keyboard.press("Enter");
    await page.getByText("已保存").first().waitFor();
    await desk.keyTo(/button "签发派遣单"/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByText("待签字", { exact: true }).first().waitFor();
    await desk.keyTo(/button "签字"/);
    await page.keyboard.press("Enter");
    await page.getByText(/王建国 \d\d-\d\d/).first().waitFor();
    const { signoffs } = await office.ask<{ signoffs: { role: string; state: string }[] }>("clerk", `/api/work-orders/${order}`);
    expect(signoffs.find(({ role }) => role === "service_manager")?.state).toBe("signed");
    await desk.close();
  });

  it("puts a refused edit aside", async () => {
    phone.do("sync");
    phone.do("list", "work_order");
    phone.do("arrive", "1");
    // Each fits, all of them are more than a record may hold.
    for (let n = 0; n < 18; n += 1) phone.do("note", "1", `${n} ${"液".repeat(19_990)}`);
    phone.do("sync");
    expect(phone.do("refused")).toContain("单据过大");
    const desk = await at("manager");
    const { page } = desk;
    await go(desk, "被退回的修改");
    await desk.keyTo(/button "不采纳"/);
    await page.keyboard.press("Enter");
    await page.locator('[role="dialog"] input:focus').waitFor();
    await page.keyboard.type("重复粘贴");
    await page.keyboard.press("Enter");
    await page.getByText("没有待决定的修改").waitFor();
    await desk.close();
    phone.do("sync");
    expect(phone.do("refused")).toContain("办公室未采纳(王建国):重复粘贴");
  });

  it("decides on a proposal", async () => {
    const desk = await at("manager");
    const { page } = desk;
    await go(desk, "奖惩建议");
    await desk.keyTo(/button "决定"/);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await desk.keyTo(/radio "确认"/);
    await page.keyboard.press("Space");
    await desk.keyTo(/spinbutton "奖励金额"/);
    await page.keyboard.type("200");
    await desk.keyTo(/textbox ".*原因"/);
    await page.keyboard.type("全季无投诉");
    await desk.keyTo(/button "决定"/);
    await page.keyboard.press("Enter");
    await page.getByText("决定已记录").waitFor();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const decided = (await office.ask<{ rows: { decision: { decision: { amount: number } } | null }[] }>("manager", "/api/proposals")).rows;
    expect(decided.flatMap(({ decision }) => (decision === null ? [] : [decision.decision.amount]))).toEqual([20_000]);
    await desk.close();
  });
});
