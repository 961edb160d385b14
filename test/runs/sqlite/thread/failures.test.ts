import { describe, expect, it } from "vitest";
import { JournalConflictError, JournalOpenError, JournalUnavailableError } from "../../../../src/runs/ports/journal.ts";
import { PayloadDamagedError } from "../../../../src/runs/ports/payloads.ts";
import { fromFailure, toFailure } from "../../../../src/runs/sqlite/thread/failures.ts";

const cause = Object.assign(new Error("disk full"), { code: "ERR_SQLITE_ERROR", errcode: 13 });

describe("a failure", () => {
  it.each([
    new JournalConflictError("run/1", 7),
    new JournalOpenError("locked", "somebody has it", { cause }),
    new JournalUnavailableError("not now", { cause }),
    new PayloadDamagedError("run", new Uint8Array(32).fill(3), "it is gone", { cause }),
    new RangeError("not a number"),
    Object.assign(new Error("no space"), { code: "ENOSPC" }),
    cause,
  ])("brings $name to another thread with its class, fields, codes, stack and cause", (error) => {
    const arrived = fromFailure(structuredClone(toFailure(error)));
    expect(arrived).toBeInstanceOf(error.constructor);
    expect({ ...arrived }).toEqual({ ...error });
    expect(arrived.message).toBe(error.message);
    expect(arrived.name).toBe(error.name);
    expect(arrived.stack).toBe(error.stack);
    expect((arrived.cause as Error | undefined)?.message).toBe((error.cause as Error | undefined)?.message);
  });

  it("brings whatever else is thrown as an error", () => {
    expect(fromFailure(toFailure("a string")).message).toBe("a string");
    expect(fromFailure(toFailure(undefined))).toBeInstanceOf(Error);
  });
});
