import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";

export type DevLine = { readonly kind: string } & Record<string, unknown>;

/** `retake dev --json` as a process of its own, on free ports; it is stopped when the test has finished. */
export class DevProcess {
  readonly #child: ChildProcess;
  readonly #lines: DevLine[] = [];
  readonly #looks = new Set<() => void>();
  #rest = "";
  #stderr = "";
  #read = 0;

  constructor(command: readonly [string, ...string[]], directory: string, flags: readonly string[] = []) {
    const [program, ...args] = command;
    this.#child = spawn(program, [...args, "--json", "--grpc-port", "0", "--web-port", "0", ...flags], {
      cwd: directory,
      env: { ...process.env, NODE_NO_WARNINGS: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, as in a terminal: npm does not hand signals on to what its shell has started.
      detached: true,
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#heard(text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#child.on("close", () => this.#look());
    onTestFinished(async () => void (await this.stop()));
  }

  /** The next line of a kind, behind those that were read; fails with all that was told when it does not come. */
  async next(kind: string, fits: (line: DevLine) => boolean = () => true): Promise<DevLine> {
    const patience = AbortSignal.timeout(60_000);
    const look = () => this.#look();
    patience.addEventListener("abort", look, { once: true });
    for (;;) {
      const index = this.#lines.findIndex((line, at) => at >= this.#read && line.kind === kind && fits(line));
      const found = this.#lines[index];
      if (found !== undefined) {
        this.#read = index + 1;
        return found;
      }
      const ended = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (ended || patience.aborted) {
        throw new Error(
          `${ended ? "it ended without" : "it does not come to"} "${kind}": ${JSON.stringify(this.#lines)}${this.#stderr}`,
        );
      }
      await new Promise<void>((resolve) => this.#looks.add(resolve));
    }
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, "close");
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGTERM");
      await ended;
    }
    return this.#child.exitCode;
  }

  #heard(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      // What handlers print comes as it is.
      if (line.startsWith("{")) this.#lines.push(JSON.parse(line) as DevLine);
    }
    this.#look();
  }

  #look(): void {
    for (const look of this.#looks) look();
    this.#looks.clear();
  }
}
