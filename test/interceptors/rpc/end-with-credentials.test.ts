import { createContextValues, type StreamRequest, type StreamResponse } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { endWithCredentials } from "../../../src/interceptors/rpc/index.ts";
import { anonymous, principalKey } from "../../../src/security/index.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

const ann = { ...anonymous, subject: "ann", level: AccessLevel.AUTHENTICATED, authentication: "api_key" as const };

async function* nothingEver(): AsyncGenerator<never> {
  await new Promise<never>(() => undefined);
}

/** A call that streams, of somebody whose credentials go on, with what carries it out. */
function start(next: (request: StreamRequest) => Promise<StreamResponse>) {
  const clock = createVirtualClock();
  const caller = new AbortController();
  const request = {
    ...{ stream: true, service: RunService, method: RunService.method.watchRun, message: nothingEver() },
    ...{ header: new Headers(), signal: caller.signal, contextValues: createContextValues().set(principalKey, ann) },
  } as unknown as StreamRequest;
  const answer = endWithCredentials(clock)(next as never)(request) as Promise<StreamResponse>;
  return { clock, caller, answer };
}

describe("streams that are watched over for their credentials", () => {
  it("are forgotten when their caller has left while nothing came", async () => {
    const { clock, caller, answer } = start(async (request) => ({ ...request, message: nothingEver() }) as never);
    const { message } = await answer;
    void message[Symbol.asyncIterator]().next();
    await clock.advance(5_000);
    expect(clock.pendingTimers).toBe(1);
    caller.abort();
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it("are forgotten when their caller has left before there was an answer", async () => {
    const { clock, caller } = start(() => new Promise(() => undefined));
    await clock.advance(5_000);
    expect(clock.pendingTimers).toBe(1);
    caller.abort();
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });
});
