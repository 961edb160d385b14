import type { HandlerContext } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { draining } from "../../src/runs/index.ts";
import { OpenCalls } from "../../src/server/open-calls.ts";

function contextOf(caller: AbortController): HandlerContext {
  return { signal: caller.signal } as HandlerContext;
}

test("a call ends when its caller leaves, and others stay open", () => {
  const [closing, one, other] = [new AbortController(), new AbortController(), new AbortController()];
  const calls = new OpenCalls(closing.signal);
  const open = [calls.begin(contextOf(one)), calls.begin(contextOf(other))];
  one.abort("gone");
  expect(open.map(({ signal }) => signal.reason as unknown)).toEqual(["gone", undefined]);
});

test("all calls that are open end with the server, also those that begin after it", () => {
  const closing = new AbortController();
  const calls = new OpenCalls(closing.signal);
  const [open, ended] = [calls.begin(contextOf(new AbortController())), calls.begin(contextOf(new AbortController()))];
  calls.end(ended);
  closing.abort("stops");
  const late = calls.begin(contextOf(new AbortController()));
  expect([open, late].map(({ signal }) => signal.reason as unknown)).toEqual([draining(), draining()]);
  expect(open.signal.reason).not.toBe(late.signal.reason);
  expect(ended.signal.aborted).toBe(false);
});
