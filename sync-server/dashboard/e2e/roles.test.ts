import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "../src/id";
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

/** A picture as a camera makes one. */
async function picture(desk: Desk): Promise<string> {
  const file = join(office.dir, `${newId()}.jpg`);
  writeFileSync(file, await desk.page.screenshot({ type: "jpeg", quality: 80 }));
  return file;
}

describe("a job goes from hand to hand", () => {
  let order: string;

  it("signed by warehouse, service manager, finance, and last by the office director", async () => {
    order = await office.order(customer);
    await office.give("manager", { do: "assign", id: order, technicians: [await office.staff("李卫东")], reason: "" }, { do: "issue_dispatch", id: order });
    const path = `/work-orders/${order}`;
    const early = await at("director", path);
    await early.page.getByText("未签", { exact: true }).first().waitFor();
    expect(await early.page.getByRole("button", { name: /^签\s*字$/ }).count(), "the director signs last").toBe(0);
    // Nor is the clerk's work the director's, on the page and behind it.
    expect(await early.page.getByLabel("借款金额").isDisabled()).toBe(true);
    await expect(office.give("director", { do: "cancel_work_order", id: order, reason: "不做了" })).rejects.toThrow(/not_your_role/);
    for (const login of ["warehouse", "manager", "finance"] as const) {
      const desk = await at(login, path);
      const sign = desk.page.getByRole("button", { name: /^签\s*字$/ });
      await sign.waitFor();
      expect(await sign.count(), `${login} signs in one place`).toBe(1);
      await sign.click();
      await sign.waitFor({ state: "detached" });
      await desk.close();
    }
    // The page that was left open knows.
    await early.page.getByRole("button", { name: /^签\s*字$/ }).click();
    await early.page.getByText("已签字").first().waitFor();
    await early.close();
    const { signoffs } = await office.ask<{ signoffs: { state: string }[] }>("clerk", path.replace("/", "/api/"));
    expect(signoffs.map(({ state }) => state)).toEqual(["signed", "signed", "signed", "signed"]);
  });

  it("done on site with a photo, which the office sees small and large", async () => {
    phone.do("sync");
    phone.do("list", "work_order");
    const desk = await at("clerk", "/");
    phone.do("arrive", "1");
    phone.do("photo", "1", await picture(desk), "旧密封圈");
    for (const [what, ...rest] of [["inspect", "model", "passed"], ["text", "resolution", "更换密封圈"], ["text", "comment", "希望备件常备"], ["result", "completed"], ["accept"], ["rate", "satisfied"], ["sign", "吴厂长"]] as const) phone.do(what, "1", ...rest);
    phone.do("sync");
    const { visits } = await office.ask<{ visits: { row: { doc: { id: string } } }[] }>("clerk", `/api/work-orders/${order}`);
    await desk.go(`/visits/${visits[0]?.row.doc.id ?? ""}`);
    const { page } = desk;
    const small = page.getByRole("img", { name: "旧密封圈" });
    await small.scrollIntoViewIfNeeded();
    const width = (): Promise<number> => small.evaluate((node) => (node as HTMLImageElement).naturalWidth);
    await expect.poll(width).toBeGreaterThan(100);
    await desk.shot("visit-photo", true);
    await small.click();
    const large = page.locator(".ant-image-preview img");
    await expect.poll(() => large.evaluate((node) => (node as HTMLImageElement).naturalWidth)).toBeGreaterThanOrEqual(1360);
    await desk.shot("photo-viewer");
    await desk.close();
  });

  it("told to the customer, closed and archived by the clerk", async () => {
    const desk = await at("clerk", `/work-orders/${order}`);
    const { page } = desk;
    await page.getByLabel("告知客户的问题情况").fill("真空管路密封圈老化，已更换。");
    await page.getByRole("button", { name: "已告知客户" }).click();
    await page.getByRole("button", { name: "注销报修记录" }).click();
    await page.getByRole("button", { name: "服务单存档" }).click();
    const stage = async (): Promise<string> => (await office.ask<{ stage: string }>("clerk", `/api/work-orders/${order}`)).stage;
    await expect.poll(stage).toBe("archived");
    await page.getByText("服务单已存档").first().waitFor();
    await desk.close();
  });

  it("called about, complained of, and decided on with the technician's word in view", async () => {
    const clerk = await at("clerk", `/complaints?new=${customer.id}`);
    let { page } = clerk;
    await page.getByRole("combobox", { name: "派工单" }).click();
    await page.getByTitle(/^WO/).first().click();
    await page.getByRole("combobox", { name: "投诉事由" }).click();
    await page.getByTitle("未及时到达现场").click();
    await page.getByRole("combobox", { name: "相关人员" }).click();
    await page.getByTitle("李卫东", { exact: true }).click();
    await page.keyboard.press("Escape");
    await page.getByLabel("投诉内容").fill("说好上午到，下午才到。");
    await page.getByRole("button", { name: /^登\s*记$/ }).click();
    await page.getByText("投诉已登记").waitFor();
    await clerk.close();
    const { rows } = await office.ask<{ rows: { doc: { id: string } }[] }>("clerk", "/api/documents?kind=complaint");
    expect(rows).toHaveLength(1);

    phone.do("sync");
    phone.do("list", "complaint");
    phone.do("statement", "--complaint", "1", "路上遇到封路，已提前电话告知。");
    phone.do("sync");
    const manager = await at("manager", `/complaints?open=${rows[0]?.doc.id ?? ""}`);
    page = manager.page;
    await page.getByText("路上遇到封路").waitFor();
    await page.getByRole("button", { name: "处理完毕" }).click();
    await page.getByRole("textbox", { name: "如何处理" }).fill("已致歉");
    await page.keyboard.press("Enter");
    await page.getByText("已致歉").waitFor();

    // R1 of the last quarter: nobody complained then, so there is a reward to decide on.
    await manager.go("/proposals");
    await page.getByRole("button", { name: /^决\s*定$/ }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("确认", { exact: true }).click();
    await dialog.getByLabel("奖励金额").fill("200");
    await dialog.getByLabel("原因").fill("全季无投诉");
    await manager.shot("proposal-deciding");
    await dialog.getByRole("button", { name: /^决\s*定$/ }).click();
    await page.getByText("决定已记录").waitFor();
    const decided = (await office.ask<{ rows: { decision: { decision: { amount: number } } | null }[] }>("manager", "/api/proposals")).rows;
    expect(decided.flatMap(({ decision }) => (decision === null ? [] : [decision.decision.amount]))).toEqual([20_000]);
    await manager.close();
  });
});

describe("two phones that wrote the same while neither had a network", () => {
  it("clash before the office's eyes until one of them chooses", async () => {
    const other = await office.phone("赵敏");
    const order = await office.order(customer, "模具漏浆");
    await office.sign(order, "李卫东", "赵敏");
    const phones = [phone, other];
    for (const one of phones) one.do("sync");
    phones.forEach((one, n) => {
      one.do("search", "模具漏浆");
      one.do("arrive", "1");
      one.do("inspect", "1", "model", n === 0 ? "passed" : "failed", n === 0 ? "型号相符" : "铭牌不符");
    });
    for (const one of [...phones, ...phones]) one.do("sync");
    const desk = await at("manager", "/clashes");
    await desk.page.locator(".clash").first().waitFor();
    await desk.shot("clash");
    expect(await desk.barriers()).toEqual([]);
    // A visit's are its technicians' to settle; the office sees both values, and from whom.
    const text = await desk.page.locator(".clash").first().innerText();
    for (const said of ["李卫东", "赵敏", "型号相符", "铭牌不符"]) expect(text).toContain(said);
    expect(await desk.page.getByRole("radio").count()).toBe(0);
    // Each choice takes a clash off the list: the first is always the next.
    const clashes = text.split("目前显示").length - 1;
    for (let n = 0; n < clashes; n += 1) {
      phone.do("clashes");
      phone.do("choose", "1", "1", "1");
    }
    phone.do("sync");
    await desk.page.getByText("没有冲突").waitFor();
    await desk.close();
  });

  it("clash for the office to choose from, where the document is the office's too", async () => {
    const tablet = await office.phone("李卫东");
    office.takenBackTwice("热压机不升温", [phone, tablet], ["客户自行修好", "与另一报修重复"]);
    const desk = await at("clerk", "/");
    const { page } = desk;
    await page.getByRole("link", { name: /^冲突/ }).click();
    const clash = page.locator(".clash", { hasText: "三原华丰" });
    const values = clash.getByRole("radio");
    await values.first().waitFor();
    const told = await clash.locator("label").allInnerTexts();
    // Every value, from whom and when; one of them is what is shown until somebody chooses.
    expect(told).toHaveLength(2);
    for (const reason of ["客户自行修好", "与另一报修重复"]) expect(told.filter((text) => text.includes(reason)), reason).toHaveLength(1);
    for (const text of told) expect(text).toMatch(/李卫东 \d\d-\d\d \d\d:\d\d/);
    expect(told.filter((text) => text.includes("目前显示"))).toHaveLength(1);
    await desk.shot("clash-chosen");
    expect(await desk.barriers()).toEqual([]);
    // What is not shown is chosen, so that the choice is seen to count.
    const [chosen, left] = told[0]?.includes("目前显示") ? [told[1], told[0]] : [told[0], told[1]];
    const reason = (text = ""): string => (text.includes("客户自行修好") ? "客户自行修好" : "与另一报修重复");
    await clash.locator("label", { hasText: reason(chosen) }).click();
    await clash.getByRole("button", { name: "选定" }).click();
    await page.getByText("没有冲突").waitFor();
    await desk.close();
    for (const one of [phone, tablet]) {
      one.do("sync");
      expect(one.do("clashes")).not.toContain("热压机不升温");
      one.do("search", "热压机不升温");
      const shown = one.do("show", "1");
      expect(shown).toContain(reason(chosen));
      expect(shown).not.toContain(reason(left));
    }
  });
});
