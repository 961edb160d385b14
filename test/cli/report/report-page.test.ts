import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { describe, expect, it } from "vitest";
import { ReportSchema } from "../../../gen/retake/v1/report_pb.js";
import { reportJson } from "../../../src/cli/report/report-json.ts";
import { reportPage } from "../../../src/cli/report/report-page.ts";

/** A message in which everything is set: texts to that text. */
function filled<Desc extends DescMessage>(desc: Desc, text: string, depth = 0): MessageShape<Desc> {
  const message = create(desc);
  fill(reflect(desc, message), text, depth);
  return message;
}

function fill(message: ReflectMessage, text: string, depth: number): void {
  const own = message.desc.typeName.startsWith("retake.");
  for (const field of message.fields) {
    const isText = field.scalar === 9;
    const value = (): unknown => {
      if (field.message !== undefined) return reflect(field.message, filled(field.message, text, depth + 1));
      if (field.enum !== undefined) return 1;
      if (isText) return text;
      return field.scalar === 8 ? true : field.scalar === 12 ? new Uint8Array() : field.scalar === 3 ? 3n : 3;
    };
    if (!own || depth > 8) continue;
    if (field.fieldKind === "list") {
      const list = message.get(field);
      for (let i = 0; i < 3; i++) list.add(value() as never);
    } else if (field.fieldKind === "map") {
      for (const key of ["b", "a", text]) message.get(field).set(key, text);
    } else {
      message.set(field, value() as never);
    }
  }
}

const evil = `</title></style></svg><script src="//evil.example/x.js">alert('1')</script><img src=x onerror="alert(2)">`;

describe("reportPage", () => {
  const page = reportPage(filled(ReportSchema, evil));

  it("lets nothing that it is told become markup, wherever it stands", () => {
    expect(page.match(/&#60;script/g)?.length ?? 0).toBeGreaterThan(50);
    expect(page).not.toMatch(/<(script|img|iframe|object|link|base|form)\b/i);
    expect(page).not.toMatch(/<[^>]*\son\w+=/i);
    // As many ends as the page has itself.
    for (const name of ["title", "style", "body"]) {
      const text = reportPage(filled(ReportSchema, "x"));
      expect(page.split(`</${name}>`)).toHaveLength(text.split(`</${name}>`).length);
    }
  });

  it("fetches nothing, and would not be let to", () => {
    expect(page).not.toMatch(/(src|href)="(?!#)/);
    expect(page).not.toMatch(/url\(|@import/);
    expect(page).toMatch(/Content-Security-Policy" content="default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+';/);
  });

  it("says what each picture and table is to those who do not see them", () => {
    const pictures = page.match(/<svg class="(?:chart|gauge)[^>]*>/g) ?? [];
    expect(pictures.length).toBeGreaterThan(0);
    for (const picture of pictures) {
      expect(picture).toContain('role="img"');
      const [, ids = ""] = /aria-labelledby="([^"]+)"/.exec(picture) ?? [];
      for (const id of ids.split(" ")) expect(page.split(`id="${id}"`).length).toBe(2);
    }
    for (const [table] of page.matchAll(/<table>[\s\S]*?<\/table>/g)) {
      expect(table).toContain("<caption>");
      expect(table).toContain('<th scope="col"');
      expect(table).toContain('<th scope="row"');
    }
  });

  it("is a page, too, where there is nothing to tell", () => {
    const empty = reportPage(create(ReportSchema));
    expect(empty).toContain("At a glance");
    expect(empty).not.toContain("NaN");
    expect(empty).not.toContain("undefined");
  });
});

describe("reportJson", () => {
  it("is the same for reports that say the same, whatever the order of their maps", () => {
    const report = filled(ReportSchema, "text");
    const text = reportJson(report);
    const [alert] = report.alerts?.firing ?? [];
    if (alert === undefined) throw new Error("no alert");
    alert.labels = Object.fromEntries(Object.entries(alert.labels).reverse());
    expect(Object.keys(alert.labels)[0]).toBe("text");
    expect(reportJson(report)).toBe(text);
    expect(text.indexOf('"a": "text"')).toBeLessThan(text.indexOf('"b": "text"'));
    expect(text.endsWith("}\n")).toBe(true);
  });
});

it.each([
  [1n, "1 attempt failed", "and 1 run ended failed or expired"],
  [2n, "2 attempts failed", "and 2 runs ended failed or expired"],
])("counts %s as people do", (failures, attempts, runs) => {
  const text = reportPage(create(ReportSchema, { errors: { attemptFailures: failures, runFailures: failures } }));
  expect(text).toContain(attempts);
  expect(text).toContain(runs);
});
