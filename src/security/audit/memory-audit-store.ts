import { remembering, type TextRedactor } from "../redaction/index.ts";
import { type ChainEnd, chainLines, chainStart } from "./audit-chain.ts";
import { OtlpAuditWriter } from "./audit-otlp.ts";
import { type AuditPage, type AuditQuery, type AuditSlice, lineMatcher, searchLines } from "./audit-query.ts";
import type { Appended, AuditEcho, AuditStore, TallySlice } from "./audit-store.ts";
import { emptyTally, tallyLine } from "./audit-tally.ts";

/** Records that are kept; older ones are forgotten. */
const mostLines = 10_000;

/** An audit log that ends with its process: for servers whose runs do so too. */
export class MemoryAuditStore implements AuditStore {
  readonly #redactor: Pick<TextRedactor, "text" | "address">;
  readonly #echo: AuditEcho;
  #lines: string[] = [];
  #end: ChainEnd = chainStart;

  constructor(redactor: TextRedactor, echo: AuditEcho = { lines: true, otlp: false }) {
    this.#echo = echo;
    this.#redactor = remembering(redactor);
  }

  async open(): Promise<undefined> {
    return undefined;
  }

  async append(batch: string): Promise<Appended> {
    const otlp = this.#echo.otlp ? new OtlpAuditWriter() : undefined;
    const { lines, end } = chainLines(batch, this.#end, this.#redactor, otlp);
    this.#end = end;
    this.#lines.push(...lines);
    if (this.#lines.length > 2 * mostLines) this.#lines = this.#lines.slice(-mostLines);
    return { ...(this.#echo.lines && { lines }), ...(otlp && { otlp: otlp.take() }) };
  }

  async search(query: AuditQuery, page: AuditPage): Promise<AuditSlice> {
    const { found, next } = searchLines(this.#lines, this.#first, page, lineMatcher(query));
    const isEnd = next < this.#first || next > this.#end.sequence;
    return { lines: found, ...(isEnd ? {} : { next }) };
  }

  async tally(sinceMs: number, untilMs: number): Promise<TallySlice> {
    const tally = emptyTally();
    for (const line of this.#lines) tallyLine(tally, line, sinceMs, untilMs);
    return { tally };
  }

  async close(): Promise<void> {
    this.#lines = [];
  }

  get #first(): number {
    return this.#end.sequence - this.#lines.length + 1;
  }
}
