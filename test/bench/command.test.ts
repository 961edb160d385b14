import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { benchCommand } from "../../bench/command.ts";
import { formatJson, type Report } from "../../bench/report.ts";
import { missed, quiet } from "./reports.ts";

/** Carries out the command with a bench that finds this. */
async function command(args: readonly string[], find: () => Report | Promise<Report>) {
  const printed: string[] = [];
  const told: string[] = [];
  const asked: { figures: string[]; subjects: string[] }[] = [];
  const code = await benchCommand(args, {
    async run(figures, plan) {
      asked.push({ figures: figures.map(({ name }) => name), subjects: [...plan.loads.keys()] });
      return find();
    },
    async runMany(figures) {
      asked.push({ figures: figures.map(({ name }) => name), subjects: [] });
      return find();
    },
    print: (line) => printed.push(line),
    tell: (line) => told.push(line),
  });
  return { code, asked, printed: printed.join("\n"), told: told.join("\n") };
}

describe("benchCommand", () => {
  it("answers 0 and prints the table when every bar holds", async () => {
    const { code, printed } = await command([], () => quiet);
    expect(code).toBe(0);
    expect(printed).toMatch(/^4 cores .*load average 0\.3 before\n(.*\n)*bridge-to-bare-echo .* holds$/);
  });

  it("answers 1, and prints and writes the same, when a bar does not hold", async () => {
    const directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
    try {
      const file = join(directory, "figures.json");
      const report = { ...quiet, figures: [missed] };
      const { code, printed } = await command(["--json", file], () => report);
      expect(code).toBe(1);
      expect(printed).toMatch(/MISSED$/);
      expect(await readFile(file, "utf8")).toBe(formatJson(report));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("answers 2 and says why when it could not be measured", async () => {
    const { code, told } = await command([], () => Promise.reject(new Error("bridge: a call was lost")));
    expect(code).toBe(2);
    expect(told).toContain("bench: bridge: a call was lost");
  });

  it("prints warnings below the table", async () => {
    const { printed } = await command([], () => ({ ...quiet, machine: { ...quiet.machine, loadAverage: 9 } }));
    expect(printed).toMatch(/\n\nWarning: the load average was 9\.0 .*\.$/);
  });

  it("measures only what it is asked for", async () => {
    const { asked } = await command(["--only", "bridge-to-bare-echo"], () => quiet);
    expect(asked).toEqual([{ figures: ["bridge-to-bare-echo"], subjects: ["bare-echo", "bridge"] }]);
  });

  it("measures the figures of much only when it is asked for them", async () => {
    const { asked } = await command(["--only", "many-recovery"], () => quiet);
    expect(asked).toEqual([{ figures: ["many-recovery"], subjects: [] }]);
    const all = await command([], () => quiet);
    expect(all.asked[0]?.figures.filter((name) => name.startsWith("many"))).toEqual([]);
  });

  it("says which figures there are when it is asked for another", async () => {
    const { code, asked, told } = await command(["--only", "nothing"], () => quiet);
    expect({ code, asked }).toEqual({ code: 2, asked: [] });
    expect(told).toContain('there is no figure "nothing"');
    expect(told).toContain("  bridge-to-bare-echo\n");
    expect(told).toContain("  many-recovery\n");
  });

  it("says what it can be told when it is asked", async () => {
    const { code, printed, asked } = await command(["--help"], () => quiet);
    expect({ code, asked }).toEqual({ code: 0, asked: [] });
    expect(printed).toContain("--only NAME");
  });

  it("says what it can be told when it is told something else", async () => {
    const { code, asked, told } = await command(["--quick"], () => quiet);
    expect({ code, asked }).toEqual({ code: 2, asked: [] });
    expect(told).toContain("--seconds N");
  });
});
