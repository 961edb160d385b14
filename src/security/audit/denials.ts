import { anonymous } from "../principal.ts";
import type { AuditEvent } from "./audit.ts";
import { hostOf } from "./host-of.ts";

export interface CountedEvent {
  readonly event: AuditEvent;
  /** When the first of them came. */
  readonly timeMs: number;
  count: number;
}

/** Kinds that are told apart at once: whoever comes from more places is told as one. */
const mostKinds = 500;

/** Actions and reasons that are told apart of all others: those of what they were denied are fewer, unless a program makes them up. */
const mostRests = 100;

/** What stands for every action beyond those. */
const anyAction = "audit.others";

/** Denials that are alike become one record that counts them: who is refused a thousand times a second fills no disk. */
export class Denials {
  readonly #kinds = new Map<string, CountedEvent>();

  add(event: AuditEvent, timeMs: number): void {
    const { action, principal, resource, reason = "" } = event;
    const source = hostOf(event.source);
    const key = `${action}\n${reason}\n${resource}\n${source}\n${principal.tenant}\n${principal.subject}`;
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.count++;
    } else if (this.#kinds.size < mostKinds) {
      this.#kinds.set(key, { event, timeMs, count: 1 });
    } else {
      this.#addToRest(event, timeMs);
    }
  }

  get size(): number {
    return this.#kinds.size;
  }

  take(): readonly CountedEvent[] {
    const taken = [...this.#kinds.values()];
    this.#kinds.clear();
    return taken;
  }

  #addToRest(denied: AuditEvent, timeMs: number): void {
    const isApart = this.#kinds.size < mostKinds + mostRests || this.#kinds.has(restKey(denied));
    const { action, reason = "" } = isApart ? denied : { action: anyAction };
    const key = restKey({ action, reason });
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const details = { sources: "more than are told apart" };
    const event: AuditEvent = {
      ...{ action, reason, details, principal: anonymous, resource: "", source: "", outcome: "denied" },
    };
    this.#kinds.set(key, { event, timeMs, count: 1 });
  }
}

function restKey({ action, reason = "" }: Pick<AuditEvent, "action" | "reason">): string {
  return `${action}\n${reason}`;
}
