import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Report } from "../../../gen/retake/v1/report_pb.js";
import { reportPage } from "../../../src/cli/report/report-page.ts";
import { describeWithTool, findTool } from "../../tools.ts";
import { busyReport } from "./busy-server.ts";

const flags = [
  ...["--no-sandbox", "--disable-gpu", "--no-first-run"],
  // Without these it looks for its maker's servers at each start.
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

describeWithTool("chromium", "the report of a server that was busy, in Chromium", () => {
  let folder: string;
  let address: string;
  let report: Report;
  let browser: Browser;

  beforeAll(async () => {
    report = await busyReport();
    folder = await mkdtemp(join(tmpdir(), "retake-page-"));
    const file = join(folder, "report.html");
    await writeFile(file, reportPage(report));
    address = pathToFileURL(file).href;
    const found = findTool("chromium");
    browser = await chromium.launch({ executablePath: found.kind === "found" ? found.path : "", args: flags });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function visit(
    options: Parameters<Browser["newContext"]>[0],
    look: (page: Page, context: BrowserContext) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext(options);
    try {
      const page = await context.newPage();
      const asked: string[] = [];
      const problems: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      page.on("console", (message) => problems.push(message.text()));
      page.on("pageerror", (error) => problems.push(error.message));
      await page.goto(address);
      await look(page, context);
      expect(asked).toEqual([address]);
      expect(problems).toEqual([]);
    } finally {
      await context.close();
    }
  }

  it("has in it what has happened", () => {
    expect(report.missing).toEqual([]);
    const { execution, errors, alerts, trends, anomalies, slos } = report;
    expect(Number(execution?.total?.started)).toBeGreaterThan(1_000);
    expect(errors?.byReason.map(({ name }) => name)).toEqual(expect.arrayContaining(["UNAVAILABLE", "BREAKER_OPEN"]));
    expect(errors?.critical.length).toBeGreaterThan(0);
    expect(alerts?.episodes.map(({ rule }) => rule)).toEqual(
      expect.arrayContaining(["RetakeErrorRate", "RetakeBreakerOpen"]),
    );
    expect(trends.map(({ name }) => name)).toContain("retake.test.v1.WorkflowsService/Flaky");
    expect(anomalies.map(({ title }) => title)).toContain("share of failed runs");
    expect(slos).toHaveLength(3);
  });

  it.each([
    ["a desk", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }],
    ["a desk at night", { viewport: { width: 1280, height: 900 }, colorScheme: "dark" }],
    ["a phone", { viewport: { width: 360, height: 740 }, colorScheme: "light" }],
  ] as const)("is read without scripts on %s: nothing overflows, and all pictures show something", async (_, given) => {
    await visit({ ...given, javaScriptEnabled: false }, async (page) => {
      const shot = await sharp(await page.screenshot({ fullPage: true })).metadata();
      // What is too wide makes the picture of the whole page wider.
      expect(shot.width).toBe(given.viewport.width);
      const pictures = await page.locator("svg.chart").all();
      expect(pictures.length).toBeGreaterThanOrEqual(6);
      for (const picture of pictures) {
        const box = await picture.boundingBox();
        expect(box?.width).toBeGreaterThan(250);
        const { channels } = await sharp(await picture.screenshot()).stats();
        expect(Math.max(...channels.map(({ stdev }) => stdev))).toBeGreaterThan(2);
        expect(await picture.locator(".line, .dot").count()).toBeGreaterThan(0);
      }
      const dark = given.colorScheme === "dark";
      const { data } = await sharp(await page.screenshot({ clip: { x: 2, y: 2, width: 1, height: 1 } }))
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect((data[0] ?? 0) < 128).toBe(dark);
    });
  });

  it("is printed, on more than one sheet, with nothing cut off", async () => {
    await visit({ javaScriptEnabled: false, colorScheme: "dark" }, async (page) => {
      const pdf = await page.pdf({ format: "A4", printBackground: true });
      expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
      const sheets = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g) ?? [];
      expect(sheets.length).toBeGreaterThan(1);
      // As wide as the text of A4: what does not fit there is lost on paper.
      await page.emulateMedia({ media: "print" });
      await page.setViewportSize({ width: 688, height: 1000 });
      const shot = await sharp(await page.screenshot({ fullPage: true })).metadata();
      expect(shot.width).toBe(688);
      const boxes = await page.locator("table").all();
      for (const box of boxes) {
        const { x = 0, width = 0 } = (await box.boundingBox()) ?? {};
        expect(x + width).toBeLessThanOrEqual(689);
      }
      const { data } = await sharp(await page.screenshot({ clip: { x: 2, y: 2, width: 1, height: 1 } }))
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(data[0]).toBe(255);
    });
  });

  it("runs nothing of what workflows and rules have said, scripts on", async () => {
    await visit({}, async (page) => {
      expect(await page.title()).toMatch(/^Retake report of /);
      expect(await page.locator("script").count()).toBe(0);
      expect(await page.locator("body").textContent()).toContain("<script>document.title = 'broken'</script>");
    });
  });

  it("can be read by those who do not see it: names, an order of headings, and enough contrast", async () => {
    await visit({}, async (page) => {
      const headings = await page.locator("h1, h2, h3").evaluateAll((all) => all.map(({ tagName }) => tagName));
      expect(headings.filter((name) => name === "H1")).toHaveLength(1);
      expect(headings[0]).toBe("H1");
      expect(await page.getByRole("img", { name: "Ended runs" }).count()).toBe(1);
      expect(await page.getByRole("table", { name: "Runs by workflow" }).count()).toBe(1);
      for (const scheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme: scheme });
        // As text: a function would be rewritten for this process before the page gets it.
        expect(await page.evaluate(faint)).toEqual([]);
      }
    });
  });
});

/** Texts whose contrast is below what WCAG 2.2 asks for (1.4.3): 4.5 to 1. */
const faint = `(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => { const s = c / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "");
    if (!own || ["TITLE", "DESC", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const text = luminance(parse(element.closest("svg") ? style.fill : style.color));
    const ground = luminance(behind(element));
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (contrast < 4.5) found.add(element.tagName + " " + element.textContent.slice(0, 40) + " " + contrast.toFixed(2));
  }
  return [...found];
})()`;
