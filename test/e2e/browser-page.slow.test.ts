import { createHash, X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeWithTool, findTool, requireTool } from "../tools.ts";
import { serverCertificate } from "../transport/certificates.ts";
import { expectForeignReport } from "./foreign-report.ts";
import { startNginx } from "./nginx.ts";
import { createServerSite, freePort, type ServerSite } from "./server-process.ts";

const flags = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  // Without these it looks for its maker's servers at each start.
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** The certificate of the proxy, by the digest of its key: Chromium takes it without knowing who has issued it. */
const pin = createHash("sha256")
  .update(new X509Certificate(serverCertificate).publicKey.export({ type: "spki", format: "der" }))
  .digest("base64");

describeWithTool("chromium", "a page in Chromium, with @connectrpc/connect-web", () => {
  let site: ServerSite;
  let pages: Server;
  let allowed = "";
  let browser: Browser;

  beforeAll(async () => {
    const bundle = await rolldown({ input: join(import.meta.dirname, "fixtures/page.ts"), platform: "browser" });
    const { output } = await bundle.generate({ format: "esm" });
    await bundle.close();
    const port = await freePort();
    pages = createServer((request, response) => {
      const script = request.url === "/page.js";
      response.setHeader("content-type", script ? "text/javascript" : "text/html");
      response.end(script ? output[0].code : "<!doctype html><title>A page</title>");
    });
    await new Promise<void>((resolve) => pages.listen(port, "127.0.0.1", resolve));
    allowed = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
    site = await createServerSite({ allowedOrigins: [allowed] });
    await site.launch().ready;
    const found = findTool("chromium");
    browser = await chromium.launch({
      executablePath: found.kind === "found" ? found.path : "",
      args: [...flags, `--ignore-certificate-errors-spki-list=${pin}`],
    });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    pages?.closeAllConnections();
    pages?.close();
    await site?.[Symbol.asyncDispose]();
  });

  const direct = (): string => `http://127.0.0.1:${site.webPort}`;

  async function visit(origin: string, protocol: string, server = direct()): Promise<unknown> {
    const page = await browser.newPage();
    try {
      await page.goto(origin);
      const call = [server, protocol].map((argument) => JSON.stringify(argument));
      // As text: a function would be rewritten for this process before the page gets it.
      return await page.evaluate(`import("/page.js").then(({ visit }) => visit(${call.join(", ")}))`);
    } finally {
      await page.close();
    }
  }

  it.each(["connect", "grpc-web"])("calls, watches, cancels and reads what was wrong, by %s", async (protocol) => {
    expectForeignReport(await visit(allowed, protocol), "by a page");
  });

  it("does the same through nginx, over TLS and HTTP/2", async (context) => {
    await using nginx = await startNginx(requireTool("nginx", context), site);
    const proxied = `https://localhost:${nginx.webPort}`;
    for (const protocol of ["connect", "grpc-web"]) {
      expectForeignReport(await visit(allowed, protocol, proxied), "by a page");
    }
  });

  it("is refused to a page of another origin", async () => {
    // The same page by another name is another origin, and not among those that may call.
    const other = allowed.replace("127.0.0.1", "localhost");
    await expect(visit(other, "connect")).rejects.toThrow(/Failed to fetch/);
  });
});
