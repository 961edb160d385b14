import { parseArgs } from "node:util";

export interface SimulateOptions {
  readonly seeds: number;
  readonly from: number;
  /** Parts that are left out of each plan. */
  readonly without: ReadonlySet<string>;
  /** Tell the digest of each seed's journals. */
  readonly digests: boolean;
  /** Stop at the first seed that fails, and do not explain it. */
  readonly quick: boolean;
}

export const usage = `npm run simulate -- [--seeds N] [--from S] [--without PARTS] [--digests] [--quick]

Simulates whole servers, one for each seed, and tells what does not hold.

  --seeds N         how many (default: 1000)
  --from S          the first one (default: 1)
  --without PARTS   leave parts out of the plan, as a failing seed says: caller-1,fault-0,work-2.1
  --digests         tell the digest of each seed's journals
  --quick           stop at the first seed that fails, and only say which and why`;

/** @throws Error that says what is wrong with the arguments */
export function parseOptions(args: readonly string[]): SimulateOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "1" },
      without: { type: "string", default: "" },
      digests: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
    },
  });
  return {
    seeds: wholeNumber("--seeds", values.seeds),
    from: wholeNumber("--from", values.from),
    without: new Set(values.without.split(",").filter((part) => part !== "")),
    digests: values.digests,
    quick: values.quick,
  };
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) {
    throw new Error(`${name} is a whole number of up to nine digits, and not "${text}"`);
  }
  return Number(text);
}
