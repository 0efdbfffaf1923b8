import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office, TECHNICIANS } from "./office";

let office: Office;
beforeAll(async () => {
  office = await Office.open();
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

describe("a job's way through the office", () => {
  it("from the report on the telephone to the signatures, one voided by a change", async () => {
    await office.customer("三原华丰蛋托包装厂");
    const clerk = await Desk.at(office, "clerk", "/requests/new");
    let { page } = clerk;
    await page.getByRole("combobox", { name: "客户" }).fill("华丰");
    await page.getByTitle(/三原华丰/).first().click();
    await page.getByRole("radio", { name: /成型机/ }).check();
    await page.getByText("保内客户").waitFor();
    await page.getByText("保修至 2099-12-31", { exact: true }).waitFor();
    await page.getByLabel("故障情况").fill("成型机真空不足,湿坯脱落");
    await page.getByRole("button", { name: /吴厂长/ }).click();
    await clerk.shot("request", true);
    expect(await clerk.barriers()).toEqual([]);
    await page.getByRole("button", { name: "登记并开派工单" }).click();
    await page.waitForURL(/\/work-orders\/[0-9a-f-]+$/);
    const path = new URL(page.url()).pathname;
    await page.getByText("待派工", { exact: true }).first().waitFor();
    // A clerk opens, the service manager sends.
    expect(await page.getByRole("button", { name: "签发派遣单" }).count()).toBe(0);
    await clerk.close();

    const manager = await Desk.at(office, "manager", path);
    page = manager.page;
    await page.getByRole("combobox", { name: "售后人员" }).fill("李");
    await page.getByTitle("李卫东", { exact: true }).click();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^保\s*存$/ }).click();
    await page.getByText("已保存").first().waitFor();
    await page.getByLabel("借款金额").fill("800");
    await page.getByLabel("服务内容").fill("检查真空系统");
    await page.getByRole("button", { name: /^保\s*存$/ }).click();
    await page.getByText("未支付").waitFor();
    await page.getByRole("button", { name: "签发派遣单" }).click();
    await page.getByText("待签字", { exact: true }).first().waitFor();
    await page.getByRole("button", { name: /^签\s*字$/ }).click();
    await page.getByText(/王建国 \d\d-\d\d/).first().waitFor();
    await page.getByLabel("借款金额").fill("900");
    await page.getByText("已有的签字将因内容改动而失效").waitFor();
    await page.getByRole("button", { name: /^保\s*存$/ }).click();
    await page.getByText("签字后内容有改动，此签字已失效").waitFor();
    await page.locator(".voided del", { hasText: "¥800.00" }).waitFor();
    await page.locator(".voided ins", { hasText: "¥900.00" }).waitFor();
    await manager.shot("work-order", true);
    expect(await manager.barriers()).toEqual([]);
    await page.getByRole("button", { name: "重新签字" }).click();
    await page.locator(".voided").waitFor({ state: "detached" });
    await manager.close();
  });

  it("is moved in the calendar by keys alone: another day, then another person with a reason", async () => {
    const customer = await office.customer("泾阳金穗果托有限公司");
    const id = await office.order(customer, "热压机温度不稳");
    const [li, zhao] = [await office.staff(TECHNICIANS[0]), await office.staff(TECHNICIANS[1])];
    const now = new Date();
    // Tuesday at ten by the company's clock, so that the week has room on both sides.
    const tuesday = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() - ((now.getUTCDay() + 6) % 7) + 1, 2);
    await office.give("manager", { do: "assign", id, technicians: [li], reason: "" }, { do: "plan_dispatch", id, patch: { planned_start: tuesday, expected_stay_minutes: 120 } });
    const desk = await Desk.at(office, "manager", `/calendar?week=${new Date(tuesday).toISOString().slice(0, 10)}`);
    const { page } = desk;
    const chip = page.locator(".chip", { hasText: "泾阳金穗" });
    await chip.waitFor();
    await desk.shot("calendar");
    expect(await desk.barriers()).toEqual([]);
    await chip.focus();
    await page.keyboard.press("Space");
    await page.locator(".chip-flying").waitFor();
    const own = page.locator("tr", { has: page.getByRole("rowheader", { name: /^李卫东/ }) });
    await own.locator("td:nth-of-type(2).cell-over").waitFor();
    await page.keyboard.press("ArrowRight");
    await own.locator("td:nth-of-type(3).cell-over").waitFor();
    await page.keyboard.press("Space");
    await page.getByText("已保存").first().waitFor();
    const planned = async (): Promise<number | null> => (await office.ask<{ entity: { planned_start: number | null } }>("manager", `/api/work-orders/${id}`)).entity.planned_start;
    await expect.poll(planned).toBe(tuesday + 86_400_000);

    // To somebody else, by the mouse.
    const row = page.locator("tr", { has: page.getByRole("rowheader", { name: /^赵敏/ }) });
    const to = await row.locator("td").nth(2).boundingBox();
    const from = await chip.boundingBox();
    if (!to || !from) throw new Error("nothing to drag");
    await page.mouse.move(from.x + 20, from.y + 10);
    await page.mouse.down();
    await page.mouse.move(from.x + 30, from.y + 20);
    await page.mouse.move(to.x + 30, to.y + 20, { steps: 8 });
    await page.mouse.up();
    await page.getByRole("textbox", { name: "原因" }).fill("李工请假");
    await page.keyboard.press("Enter");
    const sent = async (): Promise<string[]> => {
      const { entity } = await office.ask<{ entity: { assignments: Record<string, { technician: string; ended: object | null }> } }>("manager", `/api/work-orders/${id}`);
      return Object.values(entity.assignments).flatMap((a) => (a.ended === null ? [a.technician] : []));
    };
    await expect.poll(sent).toEqual([zhao]);
    await row.locator(".chip", { hasText: "泾阳金穗" }).waitFor();
    await desk.close();
  });
});
