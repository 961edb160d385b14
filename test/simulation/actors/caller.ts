import { type CallOptions, createClient, type Transport } from "@connectrpc/connect";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import type { CallerPlan } from "../plan/actor-plan.ts";
import type { MethodName } from "../plan/plan.ts";
import { madeOf } from "../world/handlers.ts";
import { workflowOf } from "../world/policy-config.ts";
import { credentialsOf } from "../world/principals.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

/** Comes as often as planned, until it has its answer. */
export async function call(plan: CallerPlan, world: World): Promise<void> {
  const method = world.plan.works[plan.work]?.method;
  if (method === undefined) {
    return;
  }
  for (const { afterMs, patienceMs } of plan.visits) {
    await world.pause(afterMs);
    const visit = new Visit(plan, method, world);
    const reached = await reach(world, {
      patienceMs,
      again: plan.key !== undefined,
      call: (connection, signal) => visit.call(connection, signal),
    });
    if (reached.kind !== "left") {
      return;
    }
    visit.leave();
  }
}

class Visit {
  readonly #plan: CallerPlan;
  readonly #method: MethodName;
  readonly #world: World;
  #traceparent = "";

  constructor(plan: CallerPlan, method: MethodName, world: World) {
    this.#plan = plan;
    this.#method = method;
    this.#world = world;
  }

  async call(connection: Transport, signal: AbortSignal): Promise<void> {
    this.#traceparent = this.#world.nextTraceparent();
    if (this.#plan.how === "started") {
      await this.#start(connection, signal);
      return;
    }
    const { runId, made } = await this.#callMethod(connection, signal);
    this.#world.learn(this.#plan.name, runId);
    await this.#world.ask("answered", runId, made);
  }

  /** The run that has been started by this visit ends with it, if it is attached to nobody else. */
  leave(): void {
    this.#world.noteLeave(this.#traceparent);
  }

  async #start(connection: Transport, signal: AbortSignal): Promise<void> {
    const { work, detail, key = "", priority, minQuality } = this.#plan;
    const { run } = await createClient(RunService, connection).startRun(
      {
        workflow: workflowOf(this.#method),
        input: { case: "json", value: JSON.stringify(this.#method === "print" ? { work } : { work, detail }) },
        idempotencyKey: key,
        priority,
        minQuality,
      },
      { signal, headers: { traceparent: this.#traceparent, ...credentialsOf(this.#plan.as) } },
    );
    this.#world.learn(this.#plan.name, run?.runId ?? "");
  }

  async #callMethod(connection: Transport, signal: AbortSignal): Promise<{ runId: string; made: string }> {
    const { work, detail, key, how, name, minQuality } = this.#plan;
    let runId = "";
    const options: CallOptions = {
      signal,
      headers: {
        traceparent: this.#traceparent,
        ...credentialsOf(this.#plan.as),
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...(minQuality === Quality.MINIMAL ? {} : { "retake-min-quality": Quality[minQuality] ?? "" }),
        ...(how === "detached" ? { "retake-detach": "true" } : {}),
      },
      onHeader: (headers) => {
        runId = headers.get("retake-run-id") ?? runId;
        if (runId !== "") {
          // A stream sends it when the run is accepted.
          this.#world.learn(name, runId);
        }
      },
    };
    const client = createClient(SimulatedService, connection);
    let made = "";
    switch (this.#method) {
      case "paint":
        made = (await client.paint({ work, detail }, options)).made;
        break;
      case "print":
        made = (await client.print({ work }, options)).made;
        break;
      case "film":
        for await (const response of client.film({ work, detail }, options)) {
          made = madeOf(response);
        }
        break;
      case "score":
        for await (const response of client.score({ work, detail }, options)) {
          made = madeOf(response);
        }
        break;
    }
    return { runId, made };
  }
}
