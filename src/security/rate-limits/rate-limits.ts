import { Code, type ConnectError } from "@connectrpc/connect";
import { QuotaFailureSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock } from "../../clock.ts";
import type { ResolvedRateLimit } from "../../config/index.ts";
import { createDenial } from "../denial.ts";
import type { Principal } from "../principal.ts";
import { sourceOf } from "../source.ts";
import { Counter } from "./counter.ts";

/** A call, as limits tell it from others. */
export interface CountedCall {
  /** Absent before it is known who calls. */
  readonly principal?: Principal;
  /** The address that it comes from, with its port. */
  readonly address: string;
  /** `package.Service/Method` of the workflow, or of another method. */
  readonly workflow: string;
}

interface Limit {
  readonly rule: ResolvedRateLimit;
  readonly counter: Counter;
  readonly levels: ReadonlySet<AccessLevel> | undefined;
  /** Methods, and services as `package.Service/*`. */
  readonly workflows: ReadonlySet<string> | undefined;
}

/** The limits that are asked at one stage of a call. */
export class RateLimits {
  readonly #limits: readonly Limit[];
  readonly #ofWorkflows: readonly Limit[];
  readonly #clock: Clock;

  constructor(rules: readonly ResolvedRateLimit[], clock: Clock) {
    this.#limits = rules.map((rule) => ({
      rule,
      counter: new Counter(rule),
      levels: rule.levels && new Set(rule.levels),
      workflows: rule.workflows && new Set(rule.workflows),
    }));
    this.#ofWorkflows = this.#limits.filter(({ rule, workflows }) => rule.perWorkflow || workflows !== undefined);
    this.#clock = clock;
  }

  /** Counts a call where each limit that is for it allows it. Otherwise it counts nowhere, and this is what to throw. */
  refusal(call: CountedCall): ConnectError | undefined {
    return this.#refusal(this.#limits, call);
  }

  /** As `refusal`, by those limits alone that tell workflows apart. */
  refusalOfStart(start: CountedCall): ConnectError | undefined {
    return this.#refusal(this.#ofWorkflows, start);
  }

  #refusal(limits: readonly Limit[], call: CountedCall): ConnectError | undefined {
    const nowMs = this.#clock.monotonic();
    const asked: { readonly counter: Counter; readonly key: string }[] = [];
    let longest: Limit | undefined;
    let longestMs = 0;
    for (const limit of limits) {
      if (!isFor(limit, call)) continue;
      const { counter } = limit;
      const key = keyOf(limit.rule, call);
      asked.push({ counter, key });
      const waitMs = counter.waitMs(key, nowMs);
      if (waitMs > longestMs) {
        longest = limit;
        longestMs = waitMs;
      }
    }
    if (longest !== undefined) return tooMany(longest.rule, call, longestMs);
    for (const { counter, key } of asked) counter.count(key, nowMs);
    return undefined;
  }
}

/** Whether a limit can be asked before it is known who calls: then calls with wrong credentials count too. */
export function isForSources({ perPrincipal, perSource, levels }: ResolvedRateLimit): boolean {
  return perSource && !perPrincipal && levels === undefined;
}

function isFor({ levels, workflows }: Limit, { principal, workflow }: CountedCall): boolean {
  if (levels !== undefined && !(principal !== undefined && levels.has(principal.level))) return false;
  if (workflows === undefined || workflows.has(workflow)) return true;
  return workflows.has(`${workflow.slice(0, workflow.indexOf("/"))}/*`);
}

/** No subject, address or name has a NUL in it that could make one key of two. */
function keyOf({ perPrincipal, perSource, perWorkflow }: ResolvedRateLimit, call: CountedCall): string {
  const { principal, address, workflow } = call;
  const who = perPrincipal ? `${principal?.tenant}\0${principal?.subject}` : "";
  const from = perSource ? sourceOf(address) : "";
  return `${who}\0${from}\0${perWorkflow ? workflow : ""}`;
}

function tooMany(rule: ResolvedRateLimit, call: CountedCall, waitMs: number): ConnectError {
  const { principal, address, workflow } = call;
  const subject = [
    ...(rule.perPrincipal ? [`principal:${principal?.tenant}/${principal?.subject}`] : []),
    ...(rule.perSource ? [`source:${sourceOf(address)}`] : []),
    ...(rule.perWorkflow ? [`workflow:${workflow}`] : []),
  ].join(" ");
  const description = `${rule.limit} calls in ${rule.windowMs / 1000} s, ${rule.burst} at once (${rule.field})`;
  const retryDelayMs = Math.max(1, Math.ceil(waitMs));
  const error = createDenial(
    Code.ResourceExhausted,
    "RATE_LIMITED",
    `too many calls of ${subject}: the limit is ${description}; call again in ${retryDelayMs / 1000} s`,
    { retryDelayMs, metadata: { limit: rule.field } },
  );
  error.details.push({ desc: QuotaFailureSchema, value: { violations: [{ subject, description }] } });
  return error;
}
