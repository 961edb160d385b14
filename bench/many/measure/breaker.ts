import { WorkflowsService } from "../../../test/gen/retake/test/v1/workflows_pb.js";
import { createCallTemplates } from "../../grpc-request.ts";
import { quantile } from "../../statistics.ts";
import { failuresToOpen } from "../breaker-workflows.ts";
import { ManyProcess } from "../many-process.ts";
import { type Answer, OpenConnection } from "../open-connection.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const warmUpCalls = 400;
const rounds = 5;
const callsPerRound = 1000;
const ok = 0;
const unavailable = 14;

/**
 * How soon calls are answered behind the open breaker of a dead back-end, one after the other: by a failure, and by a
 * fallback, in turns.
 */
export async function measureBreaker(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "breaker", directory, limit: 1000, dead: true }, signal);
  const failing = await Calls.connect(server.port, "Once", unavailable);
  const answered = await Calls.connect(server.port, "Plain", ok);
  try {
    const all = [
      { name: "breaker-fail", calls: failing, latenciesMs: [] as number[][] },
      { name: "breaker-fallback", calls: answered, latenciesMs: [] as number[][] },
    ];
    for (const { calls } of all) {
      await calls.send(failuresToOpen, signal);
      await calls.send(scaled(warmUpCalls, options), signal);
    }
    for (let round = 0; round < scaled(rounds, options); round++) {
      for (const { calls, latenciesMs } of all) {
        latenciesMs.push(await calls.send(scaled(callsPerRound, options), signal));
      }
    }
    return new Map(
      all.flatMap(({ name, latenciesMs }) =>
        [50, 99].map(
          (percent) => [`${name}-p${percent}`, latenciesMs.map((own) => quantile(own, percent / 100))] as const,
        ),
      ),
    );
  } finally {
    failing.close();
    answered.close();
  }
}

/** The callers of one workflow. */
class Calls {
  readonly #status: number;
  #connection: OpenConnection | undefined;
  #answers: Answer[] = [];

  private constructor(status: number) {
    this.#status = status;
  }

  /** @param status what every call must be answered with */
  static async connect(port: number, method: string, status: number): Promise<Calls> {
    const calls = new Calls(status);
    const templates = createCallTemplates(`/${WorkflowsService.typeName}/${method}`, new Uint8Array());
    calls.#connection = await OpenConnection.connect(port, templates, (answer) => calls.#answers.push(answer));
    return calls;
  }

  /** Sends so many, one after the other. Tells how long each took, in ms. */
  async send(count: number, signal: AbortSignal): Promise<number[]> {
    this.#answers = [];
    for (let sent = 0; sent < count; sent++) {
      signal.throwIfAborted();
      this.#connection?.send(1);
      await this.#connection?.idle();
    }
    const other = this.#answers.find(({ status }) => status !== this.#status);
    if (other !== undefined) {
      throw new Error(`a call behind an open breaker was answered with grpc-status ${other.status}`);
    }
    return this.#answers.map(({ latencyMs }) => latencyMs);
  }

  close(): void {
    this.#connection?.close();
  }
}
